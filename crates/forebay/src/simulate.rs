//! `forebay simulate`: policies tried on recorded traces.

use crate::cli::SimulateArgs;
use crate::inspect::print;
use forebay_config::{ComponentId, Diagnostics, Node, Source as ConfigSource};
use forebay_simulate::{Decide, Observer, Options, Source, Subject};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Shorter runs show no progress bar.
const SOON: Duration = Duration::from_millis(500);
/// Warnings that are printed; the others are counted.
const WARNINGS: usize = 20;
/// Examples for each change, unless asked otherwise.
const EXAMPLES: usize = 3;

pub fn simulate(args: &SimulateArgs) -> Result<(), String> {
    let new = subject(&args.config, args.processor.as_deref())?;
    let old = if args.against.is_empty() {
        None
    } else {
        // It need not have the same name in both: the change may be the name.
        let named = subject(&args.against, args.processor.as_deref());
        Some(named.or_else(|error| subject(&args.against, None).map_err(|_| error))?)
    };
    let read = Arc::new(AtomicU64::new(0));
    let mut total = Some(0);
    let mut sources = Vec::new();
    for name in &args.files {
        let (source, size) = open(name, &read)?;
        sources.push(source);
        total = total.zip(size).map(|(total, size)| total + size);
    }
    let decide = if args.as_configured { Decide::AsConfigured } else { Decide::Whole(args.wait) };
    let present = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let options = Options {
        decide,
        examples: args.examples.unwrap_or(if old.is_some() { EXAMPLES } else { 0 }),
        present: u64::try_from(present.as_nanos()).unwrap_or(u64::MAX),
    };
    let mut terminal = Terminal::new(read, total);
    let report = forebay_simulate::simulate(sources, new, old, options, &mut terminal);
    terminal.finish();
    let report = report.map_err(|error| error.to_string())?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        print(&format!("{json}\n"))
    } else {
        print(&report.to_string())
    }
}

/// The `tail_sampling` processor of a configuration. Its other components need not exist here.
fn subject(config: &[String], wanted: Option<&str>) -> Result<Subject, String> {
    let said = |errors: Diagnostics| errors.to_string();
    let sources: Result<Vec<_>, _> = config.iter().map(|config| ConfigSource::parse(config)).collect();
    let env = |name: &str| std::env::var(name).ok();
    let read_file = |path: &std::path::Path| std::fs::read_to_string(path);
    let (spec, _) = forebay_config::load(&sources.map_err(said)?, &env, &read_file).map_err(said)?;
    let name = config.join(", ");
    let is_sampler = |id: &ComponentId| forebay_processor_tail_sampling::FACTORY.info.answers_to(&id.kind);
    let found: Vec<&(ComponentId, Node)> = spec.processors.iter().filter(|(id, _)| is_sampler(id)).collect();
    let list = || found.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
    let (id, section) = match (wanted, found.as_slice()) {
        (_, []) => return Err(format!("{name}: there is no tail_sampling processor to simulate")),
        (None, [one]) => one,
        (None, _) => return Err(format!("{name}: which one? give --processor one of {}", list())),
        (Some(wanted), all) => {
            let same = |(id, _): &&&(ComponentId, Node)| id.to_string() == wanted;
            all.iter()
                .find(same)
                .ok_or_else(|| format!("{name}: no processor {wanted}; there is {}", list()))?
        }
    };
    let (sampler, policies) = forebay_processor_tail_sampling::read_sampler(section).map_err(said)?;
    Ok(Subject { name, processor: id.to_string(), sampler, policies })
}

/// Opens a recording; also its size, if that can be known.
fn open(name: &str, read: &Arc<AtomicU64>) -> Result<(Source, Option<u64>), String> {
    let (bytes, size): (Box<dyn Read + Send>, _) = if name == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let cannot = |error: io::Error| format!("{name}: cannot read the recording: {error}");
        let file = File::open(name).map_err(cannot)?;
        let status = file.metadata().map_err(cannot)?;
        if status.is_dir() {
            return Err(format!("{name}: is a folder; give the files in it"));
        }
        (Box::new(file), status.is_file().then_some(status.len()))
    };
    let bytes = Box::new(Counted { bytes, read: Arc::clone(read) });
    Ok((Source { name: name.to_owned(), bytes }, size))
}

/// Counts what is read of all recordings.
struct Counted {
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Progress and warnings on standard error.
struct Terminal {
    read: Arc<AtomicU64>,
    begun: Instant,
    total: Option<u64>,
    /// Only once it takes a while; draws only on a terminal.
    bar: Option<ProgressBar>,
    warnings: usize,
}

impl Terminal {
    fn new(read: Arc<AtomicU64>, total: Option<u64>) -> Self {
        Self { read, begun: Instant::now(), total, bar: None, warnings: 0 }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.warnings > WARNINGS {
            eprintln!("and {} more such warnings", self.warnings - WARNINGS);
        }
    }
}

impl Observer for Terminal {
    fn progress(&mut self) {
        if self.bar.is_none() && self.begun.elapsed() > SOON {
            let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::stderr());
            let style = match self.total {
                Some(_) => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
                None => "{spinner} {bytes}, {bytes_per_sec}",
            };
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            self.bar = Some(bar.with_elapsed(self.begun.elapsed()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.read.load(Ordering::Relaxed));
        }
    }

    fn warn(&mut self, message: &str) {
        self.warnings += 1;
        if self.warnings <= WARNINGS {
            let print = || eprintln!("warning: {message}");
            match &self.bar {
                Some(bar) => bar.suspend(print),
                None => print(),
            }
        }
    }
}
