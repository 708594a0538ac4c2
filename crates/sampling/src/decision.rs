//! What the sampler says: verdicts with their reasons, and the requests that go on.

use crate::explain::Votes;
use std::sync::Arc;
use std::time::Duration;

/// What the sampler wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this on.
    Emit(Emit),
    /// A trace was decided.
    Decided(Box<Decision>),
    /// Spans of a trace that was decided before followed its verdict.
    Late(LateSpans),
}

/// One request to send on: a complete `ExportTraceServiceRequest` with spans of one or more kept traces.
/// The spans of one trace stand together.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit {
    /// The request's protobuf bytes.
    pub request: Vec<u8>,
    /// How many spans it holds.
    pub spans: usize,
}

/// Whether a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The trace goes on to the exporters.
    Kept,
    /// The trace is discarded.
    Dropped,
}

impl Verdict {
    /// The collector's metric label: `sampled` or `not_sampled`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "sampled",
            Self::Dropped => "not_sampled",
        }
    }
}

/// Why the verdict is what it is; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A policy matched.
    PolicyMatch,
    /// No policy matched.
    NoPolicyMatched,
    /// A drop policy matched.
    DroppedByPolicy,
    /// Larger than `maximum_trace_size`.
    TooLarge,
    /// Undecided at shutdown, with `drop_pending_traces_on_shutdown`.
    DroppedAtShutdown,
}

impl Reason {
    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PolicyMatch => "policy_match",
            Self::NoPolicyMatched => "no_policy_matched",
            Self::DroppedByPolicy => "dropped_by_policy",
            Self::TooLarge => "too_large",
            Self::DroppedAtShutdown => "dropped_at_shutdown",
        }
    }
}

/// What made the sampler decide now; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// `decision_wait` passed since the first span.
    DecisionWait,
    /// `decision_wait_after_root_received` passed since the root span.
    RootReceived,
    /// No later span could change the verdict.
    EarlyKeep,
    /// More than `num_traces` traces were undecided and this was of the lowest class.
    EvictedNumTraces,
    /// Held spans took more than `memory_limit` and this trace was of the lowest class.
    EvictedMemory,
    /// Its class held more than its budget.
    EvictedClassBudget,
    /// It took a quarter of `memory_limit` by itself.
    EvictedTraceSize,
    /// No span had come for `idle_timeout`.
    Idle,
    /// It had reached `max_trace_age`.
    MaxTraceAge,
    /// It had been dropped and retained, and late spans turned the verdict.
    LateSpans,
    /// A policy matched a batch as it came (`span_ingest`).
    SpanIngest,
    /// It grew larger than `maximum_trace_size`.
    TooLarge,
    /// The sampler was flushed.
    Shutdown,
}

impl Trigger {
    /// The metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DecisionWait => "decision_wait",
            Self::RootReceived => "root_received",
            Self::EarlyKeep => "early_keep",
            Self::EvictedNumTraces => "evicted_num_traces",
            Self::EvictedMemory => "evicted_memory",
            Self::EvictedClassBudget => "evicted_class_budget",
            Self::EvictedTraceSize => "evicted_trace_size",
            Self::Idle => "idle",
            Self::MaxTraceAge => "max_trace_age",
            Self::LateSpans => "late_spans",
            Self::SpanIngest => "span_ingest",
            Self::TooLarge => "too_large",
            Self::Shutdown => "shutdown",
        }
    }

    /// Decided before its time for want of room.
    #[must_use]
    pub fn is_eviction(self) -> bool {
        matches!(
            self,
            Self::EvictedNumTraces | Self::EvictedMemory | Self::EvictedClassBudget | Self::EvictedTraceSize
        )
    }
}

/// A trace's verdict and what led to it. Times are since the start of the clock the sampler is driven by.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The trace.
    pub trace_id: [u8; 16],
    /// Kept or dropped.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Why now.
    pub trigger: Trigger,
    /// The policy that decided: the first that matched, in the order of evaluation.
    pub policy: Option<Arc<str>>,
    /// What that policy saw.
    pub evidence: Option<Evidence>,
    /// What each policy said.
    pub votes: Votes,
    /// Spans at the time of the decision.
    pub spans: u64,
    /// Their encoded size, without resources and scopes.
    pub bytes: u64,
    /// When the first span came.
    pub first_seen: Duration,
    /// When the last span came.
    pub last_seen: Duration,
    /// When this was decided.
    pub decided_at: Duration,
    /// The name of the root span, if it came.
    pub root_name: Option<Arc<str>>,
    /// `service.name` of the root span's resource, else of the first span's.
    pub service_name: Option<Arc<str>>,
    /// The highest priority seen (`task.priority`).
    pub priority: Option<Arc<str>>,
    /// Latest end minus earliest start, zero when no span has a start time.
    pub duration: Duration,
    /// The earliest start and the latest end of its spans in Unix nanoseconds; none when no span has a start time.
    pub times: Option<(u64, u64)>,
    /// Set on a dropped trace that is retained: until then late spans may turn the verdict.
    pub retained_until: Option<Duration>,
}

/// The fact that made a policy match.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The span it was found on; none when it is a fact about the resource or the whole trace.
    pub span_id: Option<[u8; 8]>,
    /// The attribute's key, or `duration`, `status.code`, `sampling_percentage`.
    pub key: Arc<str>,
    /// The value seen.
    pub value: String,
}

/// Spans that came after their trace was decided, in one request.
#[derive(Clone, Debug, PartialEq)]
pub struct LateSpans {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The verdict they follow.
    pub verdict: Verdict,
    /// The policy that had decided.
    pub policy: Option<Arc<str>>,
    /// How many.
    pub spans: u64,
    /// Their encoded size.
    pub bytes: u64,
    /// Time since the decision.
    pub age: Duration,
    /// The trace was kept early and is streaming: they are not late in the sense of having missed the wait.
    pub streamed: bool,
    /// The trace was dropped and is retained, and so are they.
    pub retained: bool,
}
