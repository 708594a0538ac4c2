//! The agent's own log: `tracing` events as the collector writes its lines.

use crate::config::{Encoding, LogSampling, LogsConfig, Output};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier, level_filters::LevelFilter};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// An output cannot be opened.
    #[error(
        "cannot write the log to {path}: {source}; name a writable file, `stderr` or `stdout` in service.telemetry.logs"
    )]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// `init_logs` was called before.
    #[error("the log is set up already")]
    Twice,
}

/// Sends every `tracing` event of the process to the configured outputs. Once per process.
pub fn init_logs(config: &LogsConfig) -> Result<(), LogsError> {
    let subscriber = tracing_subscriber::registry().with(LogLayer::new(config)?);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogsError::Twice)
}

/// The layer behind [`init_logs`].
pub(crate) struct LogLayer {
    own: LevelFilter,
    /// For what libraries say: no more than warnings, whatever the level.
    foreign: LevelFilter,
    encoding: Encoding,
    caller: bool,
    initial: Map<String, Value>,
    resource: Option<Value>,
    sampler: Option<Mutex<Sampler>>,
    sinks: Vec<Mutex<Sink>>,
    error_sinks: Vec<Mutex<Sink>>,
}

impl LogLayer {
    pub(crate) fn new(config: &LogsConfig) -> Result<Self, LogsError> {
        let open = |outputs: &[Output]| -> Result<Vec<_>, LogsError> {
            outputs.iter().map(|output| Sink::open(output).map(Mutex::new)).collect()
        };
        let own = config.level.filter();
        let resource: Map<_, _> =
            config.resource.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        Ok(Self {
            own,
            foreign: own.min(LevelFilter::WARN),
            encoding: config.encoding,
            caller: !config.disable_caller,
            initial: config.initial_fields.clone(),
            resource: (!resource.is_empty()).then_some(Value::Object(resource)),
            sampler: config.sampling.enabled.then(|| Mutex::new(Sampler::new(&config.sampling))),
            sinks: open(&config.output_paths)?,
            error_sinks: open(&config.error_output_paths)?,
        })
    }

    fn shows(&self, metadata: &Metadata<'_>) -> bool {
        let own = metadata.target().starts_with("forebay");
        *metadata.level() <= if own { self.own } else { self.foreign }
    }

    fn line(&self, event: &Event<'_>, colour: bool) -> String {
        let mut fields = Fields(self.initial.clone(), String::new());
        event.record(&mut fields);
        let Fields(fields, message) = fields;
        let metadata = event.metadata();
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let level = level(*metadata.level());
        let caller = metadata.file().filter(|_| self.caller).map(|file| {
            format!(
                "{}:{}",
                file.rsplit_once("/crates/").map_or(file, |(_, file)| file),
                metadata.line().unwrap_or(0)
            )
        });
        let mut line = String::with_capacity(128);
        match self.encoding {
            Encoding::Json => {
                let mut pairs = vec![("level", Value::from(level)), ("ts", time.into())];
                pairs.extend(caller.map(|caller| ("caller", caller.into())));
                pairs.push(("msg", message.into()));
                pairs.extend(self.resource.clone().map(|resource| ("resource", resource)));
                let taken: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
                let fields = fields.iter().filter(|(key, _)| !taken.contains(&key.as_str()));
                let all = pairs.iter().map(|(key, value)| (*key, value));
                for (index, (key, value)) in
                    all.chain(fields.map(|(key, value)| (key.as_str(), value))).enumerate()
                {
                    let _ =
                        write!(line, "{}{}:{value}", if index == 0 { '{' } else { ',' }, Value::from(key));
                }
                line.push('}');
            }
            Encoding::Console => {
                let (on, off) = if colour { (ansi(*metadata.level()), "\u{1b}[0m") } else { ("", "") };
                let _ = write!(line, "{time}\t{on}{level}{off}");
                if let Some(caller) = caller {
                    let _ = write!(line, "\t{caller}");
                }
                line.push('\t');
                escape_controls(&mut line, &message);
                if !fields.is_empty() {
                    let _ = write!(line, "\t{}", Value::Object(fields));
                }
            }
        }
        line.push('\n');
        line
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.shows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.own.max(self.foreign))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(sampler) = &self.sampler {
            let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
            if !sampler.pass(event.metadata().callsite(), Instant::now()) {
                return;
            }
        }
        for sink in &self.sinks {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let line = self.line(event, sink.colour);
            if let Err(error) = sink.to.write_all(line.as_bytes()).and_then(|()| sink.to.flush()) {
                let told = format!("cannot write to the log ({}): {error}\n", sink.name);
                for sink in &self.error_sinks {
                    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                    // Nobody is left to tell.
                    let _ = sink.to.write_all(told.as_bytes());
                }
            }
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

fn ansi(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[34m",
        _ => "\u{1b}[35m",
    }
}

/// A message may hold what a client sent: no line breaks and no terminal controls get through.
fn escape_controls(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// The fields of an event and its message.
struct Fields(Map<String, Value>, String);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.1 = text,
            ("message", value) => self.1 = value.to_string(),
            (name, value) => {
                self.0.insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string().into());
    }
}

/// Counts the messages of each place in the source, so that a failure that repeats fills no disk.
pub(crate) struct Sampler {
    config: LogSampling,
    counts: HashMap<Identifier, (Instant, u64)>,
}

impl Sampler {
    pub(crate) fn new(config: &LogSampling) -> Self {
        Self { config: config.clone(), counts: HashMap::new() }
    }

    pub(crate) fn pass(&mut self, callsite: Identifier, now: Instant) -> bool {
        let (since, count) = self.counts.entry(callsite).or_insert((now, 0));
        if now.duration_since(*since) >= self.config.tick {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let beyond = count.saturating_sub(self.config.initial);
        beyond == 0 || (self.config.thereafter > 0 && beyond % self.config.thereafter == 0)
    }
}

struct Sink {
    name: String,
    colour: bool,
    to: Box<dyn Write + Send>,
}

impl Sink {
    fn open(output: &Output) -> Result<Self, LogsError> {
        let colours = std::env::var_os("NO_COLOR").is_none();
        Ok(match output {
            Output::Stderr => Self {
                name: "stderr".to_owned(),
                colour: colours && io::stderr().is_terminal(),
                to: Box::new(io::stderr()),
            },
            Output::Stdout => Self {
                name: "stdout".to_owned(),
                colour: colours && io::stdout().is_terminal(),
                to: Box::new(io::stdout()),
            },
            Output::File(path) => {
                let open = OpenOptions::new().create(true).append(true).open(path);
                let name = path.display().to_string();
                let file: File = open.map_err(|source| LogsError::Open { path: name.clone(), source })?;
                Self { name, colour: false, to: Box::new(file) }
            }
        })
    }
}
