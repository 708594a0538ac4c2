//! The record of the collector's answers, and the comparison with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use crate::case::Case;
use crate::corpus::{Scenario, Trace};
use crate::replay::Kept;

/// It does not survive, or waits for ever.
pub const FAILURES: [&str; 2] = ["crashes", "hangs"];

/// What the collector kept in one case, and what Forebay kept where it differs on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What became of the collector instead of an answer: one of [`FAILURES`].
    pub failure: Option<&'static str>,
    /// How many traces the collector kept spans of.
    pub traces: usize,
    /// What the collector kept.
    pub collector: Kept,
    /// What Forebay kept, if that is not the same.
    pub forebay: Option<Kept>,
}

impl Record {
    /// The collector gave no answer.
    #[must_use]
    pub fn failed(scenario: &Scenario, failure: &'static str) -> Self {
        Self { failure: Some(failure), ..Self::new(scenario, Kept::new(scenario.spans)) }
    }

    /// The collector kept these.
    #[must_use]
    pub fn new(scenario: &Scenario, collector: Kept) -> Self {
        Self { failure: None, traces: collector.traces(scenario).len(), collector, forebay: None }
    }
}

/// The folder of the golden files.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// One line: name, kept traces, kept spans, the spans as a bitmap, and the last two again for Forebay where it differs.
#[must_use]
pub fn line(case: &Case, record: &Record) -> String {
    let bits = |kept: &Kept| match (case.counts_only, kept.bits()) {
        (true, _) => "-".to_owned(),
        (_, []) => ".".to_owned(),
        (_, bits) => BASE64.encode(bits),
    };
    let Record { traces, collector, forebay, .. } = record;
    let mut line = match record.failure {
        Some(failure) => format!("{} {failure}", case.name),
        None => format!("{} {traces} {} {}", case.name, collector.spans, bits(collector)),
    };
    if let Some(kept) = forebay {
        // Writing to a string does not fail.
        let _ = write!(line, " {} {}", kept.spans, bits(kept));
    }
    line
}

/// The record of `case`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn record(case: &Case, scenario: &Scenario) -> Result<Record, String> {
    let lines = lines(&case.group)?;
    let line =
        lines.get(&case.name).ok_or("there is no record of the collector's answer: run with --record")?;
    parse(line, scenario).ok_or_else(|| format!("the record is not understood: {line}"))
}

/// The lines of a group's file by the cases' names.
///
/// # Errors
/// When the file cannot be read.
pub fn lines(group: &str) -> Result<BTreeMap<String, String>, String> {
    let path = folder().join(group).with_extension("txt");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    Ok(text.lines().filter_map(|line| Some((line.split(' ').next()?.to_owned(), line.to_owned()))).collect())
}

fn parse(line: &str, scenario: &Scenario) -> Option<Record> {
    let fields: Vec<&str> = line.split(' ').collect();
    let kept = |spans: &str, bits: &str| {
        let bits = match bits {
            "-" | "." => Vec::new(),
            bits => BASE64.decode(bits).ok()?,
        };
        Some(Kept::from_bits(bits, spans.parse().ok()?, scenario.spans))
    };
    let record = |traces: &str, collector, forebay| {
        Some(Record { failure: None, traces: traces.parse().ok()?, collector, forebay })
    };
    let failed = |word: &str| FAILURES.into_iter().find(|failure| *failure == word);
    match *fields.as_slice() {
        [_, failure] => Some(Record::failed(scenario, failed(failure)?)),
        [_, failure, spans, bits] if failed(failure).is_some() => {
            Some(Record { forebay: Some(kept(spans, bits)?), ..Record::failed(scenario, failed(failure)?) })
        }
        [_, traces, spans, bits] => record(traces, kept(spans, bits)?, None),
        [_, traces, spans, bits, our_spans, our_bits] => {
            record(traces, kept(spans, bits)?, Some(kept(our_spans, our_bits)?))
        }
        _ => None,
    }
}

/// Compares what Forebay keeps with what the collector keeps; how many traces differ, all on purpose.
///
/// # Errors
/// Every difference that is not meant, and meant ones that are not there.
pub fn compare(
    case: &Case,
    scenario: &Scenario,
    collector: &Record,
    forebay: &Kept,
) -> Result<usize, String> {
    let traces = forebay.traces(scenario).len();
    if case.counts_only {
        let (theirs, ours) = ((collector.traces, collector.collector.spans), (traces, forebay.spans));
        return if theirs == ours {
            Ok(0)
        } else {
            Err(format!(
                "the collector keeps {} traces and {} spans, Forebay {} and {}",
                theirs.0, theirs.1, ours.0, ours.1
            ))
        };
    }
    let differing = forebay.differing(&collector.collector, scenario);
    let meant = |trace: &Trace| {
        case.differs.as_ref().is_some_and(|difference| {
            difference.quirks.is_empty() || difference.quirks.iter().any(|quirk| trace.quirks.contains(quirk))
        })
    };
    let mut wrong = String::new();
    for number in &differing {
        let trace = &scenario.traces[*number];
        if !meant(trace) {
            let show = |kept: &Kept| {
                let spans = trace.spans.iter().map(|span| if kept.has(*span) { 'x' } else { '.' });
                spans.collect::<String>()
            };
            let _ = writeln!(
                wrong,
                "  trace {number} {:?}: the collector keeps {}, Forebay {}",
                trace.quirks,
                show(&collector.collector),
                show(forebay)
            );
        }
    }
    if !wrong.is_empty() {
        let shown: String = wrong.lines().take(12).map(|line| format!("{line}\n")).collect();
        return Err(format!("{} traces differ; not meant:\n{shown}", differing.len()));
    }
    if differing.is_empty() && collector.collector.spans != forebay.spans {
        let (theirs, ours) = (collector.collector.spans, forebay.spans);
        return Err(format!("the same spans, but the collector sends {theirs} with copies, Forebay {ours}"));
    }
    if case.differs.is_some() && differing.is_empty() {
        return Err("the difference that is meant is not there".to_owned());
    }
    Ok(differing.len())
}
