//! `service.telemetry.logs`.

use super::keep;
use forebay_config::{Diagnostics, GoDuration, Node};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    #[default]
    Info,
    /// Warnings and errors.
    Warn,
    /// Errors.
    Error,
    /// The collector's `dpanic`, `panic` and `fatal`: the agent logs nothing that severe; what stops it is printed by the command
    /// line whatever the level.
    Fatal,
}

impl LogLevel {
    /// The level as a filter.
    pub fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Fatal => LevelFilter::OFF,
        }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KNOWN: &[&str] = &["debug", "info", "warn", "error", "dpanic", "panic", "fatal"];
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(LogLevel::Debug),
            "info" | "" => Ok(LogLevel::Info),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "error" => Ok(LogLevel::Error),
            "dpanic" | "panic" | "fatal" => Ok(LogLevel::Fatal),
            _ => Err(de::Error::unknown_variant(&text, KNOWN)),
        }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Time, level, place and message separated by tabs, then the fields as JSON.
    #[default]
    Console,
    /// One JSON object a line.
    Json,
}

/// Which repeated messages are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogSampling {
    /// Whether anything is left out.
    pub enabled: bool,
    /// Counting starts again after this long.
    pub tick: Duration,
    /// Messages of one kind that are written in each tick.
    pub initial: u64,
    /// Beyond `initial`, every n-th is written; 0: none.
    pub thereafter: u64,
}

impl Default for LogSampling {
    fn default() -> Self {
        Self { enabled: true, tick: Duration::from_secs(10), initial: 10, thereafter: 100 }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file that is appended to.
    File(PathBuf),
}

/// The agent's own log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogsConfig {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// How a line is written.
    pub encoding: Encoding,
    /// Leaves out the source file and line.
    pub disable_caller: bool,
    /// Which repeated messages are left out.
    pub sampling: LogSampling,
    /// Where lines go; none: nowhere.
    pub output_paths: Vec<Output>,
    /// Where it is said that a line could not be written.
    pub error_output_paths: Vec<Output>,
    /// Fields of every line.
    pub initial_fields: serde_json::Map<String, serde_json::Value>,
    /// Leaves `resource` out of JSON lines (console lines never have it).
    pub disable_zap_resource: bool,
    /// The agent's resource attributes, for JSON lines.
    #[serde(skip)]
    pub resource: Vec<(String, String)>,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            encoding: Encoding::default(),
            disable_caller: false,
            sampling: LogSampling::default(),
            output_paths: vec![Output::Stderr],
            error_output_paths: vec![Output::Stderr],
            initial_fields: serde_json::Map::new(),
            disable_zap_resource: false,
            resource: Vec::new(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLogs {
    level: Option<LogLevel>,
    development: bool,
    encoding: Option<Encoding>,
    disable_caller: bool,
    disable_stacktrace: Option<bool>,
    sampling: Option<RawSampling>,
    output_paths: Option<Vec<String>>,
    error_output_paths: Option<Vec<String>>,
    initial_fields: serde_json::Map<String, serde_json::Value>,
    processors: Option<Vec<de::IgnoredAny>>,
    disable_zap_resource: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawSampling {
    enabled: Option<bool>,
    tick: Option<GoDuration>,
    initial: Option<u64>,
    thereafter: Option<u64>,
}

pub(super) fn parse(node: &Node, found: &mut Diagnostics) -> LogsConfig {
    let raw: RawLogs = keep(node.read(), found);
    if raw.processors.is_some_and(|list| !list.is_empty()) {
        let message = "the agent does not send its own log over OTLP";
        let help = "use `output_paths` (`stderr`, `stdout` or a file) and let a log agent read it; remove `processors`";
        found.push(node.error_at(&["processors"], message).with_help(help));
    }
    if raw.development {
        let message = "has no effect: it changes when the Go collector panics and prints stack traces";
        found.push(node.error_at(&["development"], message).into_warning());
    }
    if raw.disable_stacktrace == Some(false) {
        let message = "has no effect: the agent's log has no stack traces";
        found.push(node.error_at(&["disable_stacktrace"], message).into_warning());
    }
    let default = LogSampling::default();
    let given = raw.sampling.unwrap_or_default();
    let sampling = LogSampling {
        enabled: given.enabled.unwrap_or(default.enabled),
        tick: given.tick.map_or(default.tick, Duration::from),
        initial: given.initial.unwrap_or(default.initial),
        thereafter: given.thereafter.unwrap_or(default.thereafter),
    };
    let mut outputs = |key: &str, given: Option<Vec<String>>| {
        let Some(paths) = given else { return vec![Output::Stderr] };
        let mut outputs = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            match output(path) {
                Ok(output) => outputs.push(output),
                Err(message) => found.push(node.error_at(&[key, &index.to_string()], message)),
            }
        }
        outputs
    };
    LogsConfig {
        level: raw.level.unwrap_or_default(),
        encoding: raw.encoding.unwrap_or_default(),
        disable_caller: raw.disable_caller,
        sampling,
        output_paths: outputs("output_paths", raw.output_paths),
        error_output_paths: outputs("error_output_paths", raw.error_output_paths),
        initial_fields: raw.initial_fields,
        disable_zap_resource: raw.disable_zap_resource,
        resource: Vec::new(),
    }
}

fn output(path: &str) -> Result<Output, String> {
    match path {
        "stderr" => Ok(Output::Stderr),
        "stdout" => Ok(Output::Stdout),
        "" => Err("a path is needed: `stderr`, `stdout` or a file".to_owned()),
        _ => match path.split_once("://") {
            None => Ok(Output::File(PathBuf::from(path))),
            Some(("file", rest)) => {
                let file = rest.strip_prefix("localhost").unwrap_or(rest);
                if Path::new(file).is_absolute() {
                    Ok(Output::File(PathBuf::from(file)))
                } else {
                    Err(format!("`{path}` must name an absolute path: `file:///var/log/forebay.log`"))
                }
            }
            Some((scheme, _)) => Err(format!(
                "`{scheme}://` is not supported: write `stderr`, `stdout`, a path or `file:///path`"
            )),
        },
    }
}
