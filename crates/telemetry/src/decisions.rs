//! Sampling decisions, as the status page, `/decisions` and `/explain` show them.

use serde::Serialize;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One verdict on one trace, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DecisionRecord {
    /// Lower-case hex.
    pub trace_id: String,
    /// `kept` or `dropped`.
    pub verdict: &'static str,
    /// The reason's name; the same as the metric label.
    pub reason: &'static str,
    /// What made it be decided now: the wait was over, a policy settled it early, there was no more room.
    pub trigger: &'static str,
    /// The policy that decided, if one did.
    pub policy: Option<String>,
    /// What decided, in words: the attribute and its value, the status, the duration.
    pub evidence: Option<String>,
    /// Lower-case hex id of the span that decided.
    pub span_id: Option<String>,
    /// `service.name` of the root, or of the first span seen.
    pub service: Option<String>,
    /// The root span's name, if it has arrived.
    pub root: Option<String>,
    /// `task.priority`, if a span had it.
    pub priority: Option<String>,
    /// Spans decided about.
    pub spans: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// From the first start to the last end, in milliseconds.
    pub duration_ms: f64,
    /// From the first span's arrival to the decision, in milliseconds.
    pub held_ms: f64,
    /// When it was decided, Unix milliseconds.
    pub decided_unix_ms: u64,
    /// The processor that decided.
    pub processor: String,
}

/// Which decisions are asked for; what is not set is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// `kept` or `dropped`.
    pub verdict: Option<String>,
    /// The policy that decided.
    pub policy: Option<String>,
    /// `service.name`.
    pub service: Option<String>,
    /// `task.priority`.
    pub priority: Option<String>,
    /// Such as `no_policy_matched`.
    pub reason: Option<String>,
    /// Such as `early_keep`.
    pub trigger: Option<String>,
}

/// What a filter looks at, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecisionTraits<'a> {
    /// `kept` or `dropped`.
    pub verdict: &'a str,
    /// The policy that decided.
    pub policy: Option<&'a str>,
    /// `service.name`.
    pub service: Option<&'a str>,
    /// `task.priority`.
    pub priority: Option<&'a str>,
    /// Why the verdict is what it is.
    pub reason: &'a str,
    /// Why it fell when it did.
    pub trigger: &'a str,
}

impl DecisionFilter {
    /// Whether a decision is asked for.
    #[must_use]
    pub fn admits(&self, decision: DecisionTraits<'_>) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        is(&self.verdict, Some(decision.verdict))
            && is(&self.policy, decision.policy)
            && is(&self.service, decision.service)
            && is(&self.priority, decision.priority)
            && is(&self.reason, Some(decision.reason))
            && is(&self.trigger, Some(decision.trigger))
    }
}

/// What one processor knows of one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The processor.
    pub processor: String,
    /// Its pipeline.
    pub pipeline: Option<String>,
    /// The verdicts on the trace that are remembered in full, the first one first.
    pub verdicts: Vec<ExplainedVerdict>,
    /// A verdict of which no more is remembered than late spans need.
    pub bare_verdict: Option<BareVerdict>,
    /// The trace as it is held, if it is undecided.
    pub held: Option<HeldTrace>,
    /// The trace as it is retained, if it was dropped and late spans may still turn the verdict.
    pub retained: Option<RetainedTrace>,
    /// Spans that came after a verdict, in order of arrival.
    pub late: Vec<LateSpansRecord>,
    /// Late spans that came before this may have been forgotten, Unix milliseconds; none when nothing was.
    pub late_known_since_unix_ms: Option<u64>,
    /// How many verdicts are remembered, and since when.
    pub remembered: Remembered,
    /// Why the processor could not be asked whether it holds the trace now.
    pub unanswered: Option<&'static str>,
}

impl Explanation {
    /// True when the processor knows anything of the trace.
    #[must_use]
    pub fn knows(&self) -> bool {
        let live = self.held.is_some() || self.retained.is_some();
        live || !self.verdicts.is_empty() || self.bare_verdict.is_some() || !self.late.is_empty()
    }
}

/// How far back a processor remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// Verdicts.
    pub verdicts: u64,
    /// None that fell since then is forgotten, Unix milliseconds; none when none is remembered.
    pub since_unix_ms: Option<u64>,
}

/// A verdict with what led to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ExplainedVerdict {
    /// The verdict.
    #[serde(flatten)]
    pub decision: DecisionRecord,
    /// Each policy's vote, in the order they are asked.
    pub votes: Vec<PolicyVote>,
    /// Arrivals and the trace's own times.
    #[serde(flatten)]
    pub times: TraceTimes,
    /// Set on a dropped trace: until then late spans may turn the verdict, if room allows. Unix milliseconds.
    pub retained_until_unix_ms: Option<u64>,
}

/// When a trace's spans came, and when they ran. Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TraceTimes {
    /// When the first span came.
    pub first_arrival_unix_ms: u64,
    /// When the last span came.
    pub last_arrival_unix_ms: u64,
    /// The earliest start of its spans; none when no span has a start time.
    pub start_unix_ms: Option<u64>,
    /// The latest end of its spans.
    pub end_unix_ms: Option<u64>,
}

/// What one policy said, or would say now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PolicyVote {
    /// The policy's name.
    pub policy: String,
    /// A match of it drops the trace.
    pub drops: bool,
    /// `matched`, `not_matched`, `failed`, `not_asked`; of an undecided trace how it stands, such as `matches_for_good`.
    pub vote: &'static str,
}

/// A verdict whose circumstances are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BareVerdict {
    /// `kept` or `dropped`.
    pub verdict: &'static str,
    /// The policy that decided, if one did.
    pub policy: Option<String>,
    /// When, Unix milliseconds.
    pub decided_unix_ms: u64,
}

/// An undecided trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeldTrace {
    /// Since the first span came, in milliseconds.
    pub held_ms: f64,
    /// When it is decided at the latest, Unix milliseconds.
    pub due_unix_ms: u64,
    /// The same from now, in milliseconds.
    pub due_in_ms: f64,
    /// What will decide it then, such as `decision_wait`.
    pub due_by: &'static str,
    /// Spans so far.
    pub spans: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// `service.name` of the root, or of the first span seen.
    pub service: Option<String>,
    /// The root span's name, if it has arrived.
    pub root: Option<String>,
    /// `task.priority`, if a span had it.
    pub priority: Option<String>,
    /// Arrivals and the trace's own times.
    #[serde(flatten)]
    pub times: TraceTimes,
    /// Some of the spans that others name as their parent and that have not come, in lower-case hex. Looked at once the
    /// root is there, when traces are decided by `idle_timeout`.
    pub missing_parents: Vec<String>,
    /// How each policy stands now, in the order they are asked.
    pub policies: Vec<PolicyVote>,
}

/// A dropped trace that is held for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RetainedTrace {
    /// When it is let go at the latest, Unix milliseconds.
    pub until_unix_ms: u64,
    /// The same from now, in milliseconds.
    pub left_ms: f64,
    /// Spans so far, late ones included.
    pub spans: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// When the last span came, Unix milliseconds.
    pub last_arrival_unix_ms: u64,
    /// How each policy stands now, in the order they are asked.
    pub policies: Vec<PolicyVote>,
}

/// Spans that came after a verdict and followed it: neighbouring arrivals of one kind together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LateSpansRecord {
    /// The verdict they followed: `kept` or `dropped`.
    pub verdict: &'static str,
    /// The trace was kept early and streamed: they had not missed its wait.
    pub streamed: bool,
    /// The trace was retained, and so were they.
    pub retained: bool,
    /// How many.
    pub spans: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// In how many requests they came, counted for each scope.
    pub arrivals: u64,
    /// When the first came, Unix milliseconds.
    pub first_unix_ms: u64,
    /// When the last came, Unix milliseconds.
    pub last_unix_ms: u64,
    /// From the verdict to the last arrival, in milliseconds.
    pub age_ms: f64,
}

/// Something that remembers its recent decisions.
pub trait DecisionSource: Send + Sync {
    /// The newest decisions that the filter admits, newest first, at most `limit`; must not wait for the data lane.
    fn recent(&self, filter: &DecisionFilter, limit: usize) -> Vec<DecisionRecord>;

    /// What is known of a trace; may wait for the thread that owns it, no longer than `timeout`.
    fn explain(&self, trace_id: [u8; 16], timeout: Duration) -> Explanation;
}

/// All decision sources of an agent.
#[derive(Clone, Default)]
pub struct Decisions(Arc<Mutex<Vec<Arc<dyn DecisionSource>>>>);

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decisions")
    }
}

impl Decisions {
    /// Adds a source.
    pub fn register(&self, source: Arc<dyn DecisionSource>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// The newest decisions of all sources that the filter admits, newest first, at most `limit`.
    pub fn recent(&self, filter: &DecisionFilter, limit: usize) -> Vec<DecisionRecord> {
        let mut all: Vec<_> = self.sources().iter().flat_map(|source| source.recent(filter, limit)).collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.decided_unix_ms));
        all.truncate(limit);
        all
    }

    /// What each source knows of a trace, one after the other, within `timeout` in all.
    pub fn explain(&self, trace_id: [u8; 16], timeout: Duration) -> Vec<Explanation> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.sources().iter().map(|source| source.explain(trace_id, left())).collect()
    }

    fn sources(&self) -> Vec<Arc<dyn DecisionSource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
