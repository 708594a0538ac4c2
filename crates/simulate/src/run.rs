//! The simulation: records in, virtual time on, verdicts counted.

use crate::diff::Differ;
use crate::merge::{Bad, Merge, Source};
use crate::report::{RecordingReport, Report};
use crate::side::Side;
use forebay_sampling::{PolicySet, PriorityClasses, SamplerConfig};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Longer than any recording, and far from where times overflow: 100 years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Records that are further behind than this show that a recording is not in order of time.
const IN_ORDER: u64 = 60_000_000_000;

/// A configuration to try.
pub struct Subject {
    /// What it is called in the report.
    pub name: String,
    /// The processor's id in it.
    pub processor: String,
    /// Its settings, for one sampler that has every trace.
    pub sampler: SamplerConfig,
    /// Its policies.
    pub policies: Arc<PolicySet>,
}

/// On what traces are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decide {
    /// On all their spans in the recordings, wherever these stand. Or, to bound memory, on those that came within a
    /// time of virtual time after the first.
    Whole(Option<Duration>),
    /// As the agent would have: on what had come by `decision_wait`, within `num_traces`, `memory_limit` and the
    /// decision caches, the order of the records being the order in which they came.
    AsConfigured,
}

/// How to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// On what traces are decided.
    pub decide: Decide,
    /// Example traces for each row of the report.
    pub examples: usize,
    /// The present in Unix nanoseconds: spans that end later have a wrong time.
    pub present: u64,
}

/// Hears how it goes.
pub trait Observer {
    /// A record was read.
    fn progress(&mut self);
    /// Something that the user should know; one line.
    fn warn(&mut self, message: &str);
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum SimulateError {
    /// A file is no recording.
    #[error("{0}")]
    NotARecording(String),
    /// Nothing to decide on.
    #[error("there are no spans in what was given: record some with the `file` exporter")]
    Nothing,
}

/// Runs `new`, and `old` if it is given, over the recordings.
///
/// # Errors
/// When a recording gives nothing at all. Records that cannot be read are left out, with a warning.
pub fn simulate(
    sources: Vec<Source>,
    new: Subject,
    old: Option<Subject>,
    options: Options,
    observer: &mut impl Observer,
) -> Result<Report, SimulateError> {
    let mut recording = RecordingReport {
        names: sources.iter().map(|source| source.name.clone()).collect(),
        ..RecordingReport::default()
    };
    let mut bad = Vec::new();
    let mut merge = Merge::new(sources, options.present, &mut bad);
    let mut clock = Clock::default();
    let mut sides: Vec<Side> =
        std::iter::once(new).chain(old).map(|subject| Side::new(subject, options)).collect();
    let mut differ = (sides.len() > 1).then(|| Differ::new(options.examples));
    loop {
        let record = merge.next(&mut bad);
        if let Some((time, record)) = record {
            let now = clock.at(time);
            recording.records += 1;
            recording.bytes += record.request.len() as u64;
            for (number, side) in sides.iter_mut().enumerate() {
                side.ingest(record.request, now, |decision| {
                    if let Some(differ) = &mut differ {
                        differ.decided(number, decision);
                    }
                });
            }
            observer.progress();
        }
        let ended = record.is_none();
        report_bad(&mut bad, &mut recording, observer)?;
        if ended {
            break;
        }
    }
    for (number, side) in sides.iter_mut().enumerate() {
        side.finish(|decision| {
            if let Some(differ) = &mut differ {
                differ.decided(number, decision);
            }
        });
    }
    let stats = sides.first().map(Side::stats).unwrap_or_default();
    recording.spans = stats.spans_accepted;
    recording.invalid_spans = stats.spans_invalid;
    if recording.spans == 0 {
        return Err(SimulateError::Nothing);
    }
    clock.report(&mut recording, options, observer);
    let mut reports = sides.into_iter().map(|side| side.report(recording.seconds));
    let Some(new) = reports.next() else { return Err(SimulateError::Nothing) };
    let old = reports.next();
    let mode = match options.decide {
        Decide::Whole(_) => "whole_traces",
        Decide::AsConfigured => "as_configured",
    };
    Ok(Report { recording, mode, new, old, diff: differ.map(Differ::report) })
}

impl Decide {
    /// The settings that the sampler runs with.
    pub(crate) fn settings(self, configured: SamplerConfig) -> SamplerConfig {
        match self {
            // A stop is no part of it: what is left at the end is decided when it would have been due.
            Self::AsConfigured => {
                SamplerConfig { drop_pending_traces_on_shutdown: false, record_policy: false, ..configured }
            }
            // What says how long a trace is waited for and what fits is left at its widest. Nothing is kept early,
            // so that each policy is asked about each trace, in order.
            Self::Whole(wait) => SamplerConfig {
                decision_wait: wait.unwrap_or(FOREVER),
                num_traces: usize::MAX,
                early_keep: false,
                sample_on_first_match: configured.sample_on_first_match,
                span_ingest: configured.span_ingest,
                maximum_trace_size: configured.maximum_trace_size,
                priority: PriorityClasses { floors: Vec::new(), budgets: Vec::new(), ..configured.priority },
                ..SamplerConfig::default()
            },
        }
    }
}

fn report_bad(
    bad: &mut Vec<Bad>,
    recording: &mut RecordingReport,
    observer: &mut impl Observer,
) -> Result<(), SimulateError> {
    for Bad { name, error, hopeless } in bad.drain(..) {
        let message = format!("{name}: {error}");
        if hopeless {
            return Err(SimulateError::NotARecording(message));
        }
        recording.bad_records += 1;
        observer.warn(&message);
    }
    Ok(())
}

/// Virtual time: the newest end of a span so far.
#[derive(Default)]
struct Clock {
    first: Option<u64>,
    now: u64,
    /// Records that were behind by more than [`IN_ORDER`], and the most.
    behind: (u64, u64),
}

impl Clock {
    fn at(&mut self, time: u64) -> Duration {
        if time > 0 && self.first.is_none() {
            self.first = Some(time);
        }
        self.now = self.now.max(time);
        let behind = self.now - time;
        if behind > IN_ORDER {
            self.behind = (self.behind.0 + 1, self.behind.1.max(behind));
        }
        Duration::from_nanos(self.now)
    }

    fn report(&self, recording: &mut RecordingReport, options: Options, observer: &mut impl Observer) {
        let first = self.first.unwrap_or(self.now);
        let time = |nanos: u64| {
            let time = i64::try_from(nanos / 1_000_000)
                .ok()
                .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            time.map(|time| time.to_string())
        };
        recording.seconds = Duration::from_nanos(self.now - first).as_secs_f64();
        (recording.from, recording.to) = (self.first.and_then(time), self.first.and_then(|_| time(self.now)));
        let (records, most) = self.behind;
        if records > 0 && options.decide != Decide::Whole(None) {
            observer.warn(&format!(
                "{records} records are behind those before them, by up to {} s: they count as having come late; \
                 leave `--as-configured` and `--wait` out to decide on whole traces",
                most / 1_000_000_000
            ));
        }
    }
}
