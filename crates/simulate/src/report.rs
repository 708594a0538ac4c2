//! What a simulation found; serializes to the JSON of `forebay simulate --json`.

use forebay_sampling::Decision;
use serde::Serialize;
use std::sync::Arc;

const DAY: f64 = 86_400.0;
/// From less than this, nothing can be said of a day.
const LEAST_SECONDS: f64 = 1.0;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was read.
    pub recording: RecordingReport,
    /// `whole_traces` or `as_configured`.
    pub mode: &'static str,
    /// What the configuration would do.
    pub new: SideReport,
    /// What the one it is compared with would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<SideReport>,
    /// What is different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RecordingReport {
    /// The recordings.
    pub names: Vec<String>,
    /// Requests in them.
    pub records: u64,
    /// Records that could not be read.
    pub bad_records: u64,
    /// Spans in them.
    pub spans: u64,
    /// Spans left out because of their trace id.
    pub invalid_spans: u64,
    /// The requests' bytes in protobuf.
    pub bytes: u64,
    /// When the first record arrived: the newest end of its spans.
    pub from: Option<String>,
    /// When the last one arrived.
    pub to: Option<String>,
    /// The time between.
    pub seconds: f64,
}

/// Traces, spans, and the spans' encoded size without resources and scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Traces.
    pub traces: u64,
    /// Their spans.
    pub spans: u64,
    /// The spans' bytes.
    pub bytes: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, traces: u64, spans: u64, bytes: u64) {
        *self = self.plus(Self { traces, spans, bytes });
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            traces: self.traces.saturating_sub(other.traces),
            spans: self.spans.saturating_sub(other.spans),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            traces: self.traces + other.traces,
            spans: self.spans + other.spans,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Counts in percent of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Traces.
    pub traces: f64,
    /// Spans.
    pub spans: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Share {
    pub(crate) fn new(part: Counts, all: Counts) -> Self {
        let percent = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 * 100.0 };
        Self {
            traces: percent(part.traces, all.traces),
            spans: percent(part.spans, all.spans),
            bytes: percent(part.bytes, all.bytes),
        }
    }
}

/// As many a day, were every day like the recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerDay {
    /// Traces.
    pub traces: f64,
    /// Spans.
    pub spans: f64,
    /// Bytes.
    pub bytes: f64,
}

impl PerDay {
    /// None when the recording is shorter than a second.
    pub(crate) fn new(counts: Counts, seconds: f64) -> Option<Self> {
        let daily = |count: u64| (count as f64 * DAY / seconds).round();
        (seconds >= LEAST_SECONDS).then(|| Self {
            traces: daily(counts.traces),
            spans: daily(counts.spans),
            bytes: daily(counts.bytes),
        })
    }
}

/// Counts, and what they come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Total {
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// In percent of all.
    pub percent: Share,
    /// A day.
    pub per_day: Option<PerDay>,
}

/// What one configuration would do.
#[derive(Clone, Debug, Serialize)]
pub struct SideReport {
    /// The configuration.
    pub config: String,
    /// The processor's id.
    pub processor: String,
    /// All that was decided.
    pub all: Counts,
    /// What is kept.
    pub kept: Total,
    /// What is dropped.
    pub dropped: Total,
    /// By policy, in the order they are asked.
    pub policies: Vec<PolicyReport>,
    /// What was dropped without a policy having matched.
    pub without_policy: Vec<PolicyReport>,
}

/// What one policy would do.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyReport {
    /// Its name, or the reason when no policy decided.
    pub policy: String,
    /// What becomes of what it matches.
    pub verdict: &'static str,
    /// Traces that it matched, also those that another policy before it decided.
    pub matched_traces: u64,
    /// Traces that it alone keeps: without it they would be dropped. Known when whole traces are decided and every
    /// policy is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone_traces: Option<u64>,
    /// Those it decided: the first that matched.
    #[serde(flatten)]
    pub decided: Total,
    /// Some of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// Traces with the two verdicts.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Kept by both.
    pub kept_by_both: Counts,
    /// Those of them that another policy keeps than did.
    pub kept_by_another_policy: Counts,
    /// Dropped by both.
    pub dropped_by_both: Counts,
    /// Kept now, dropped before.
    pub newly_kept: Counts,
    /// Dropped now, kept before.
    pub newly_dropped: Counts,
    /// By the policy that keeps them now and why they were dropped.
    pub newly_kept_by_policy: Vec<Change>,
    /// By the policy that kept them and why they are dropped now.
    pub newly_dropped_by_policy: Vec<Change>,
}

/// Traces that one configuration keeps and the other drops.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The policy that keeps or kept them.
    pub kept_by: Option<String>,
    /// Why the other drops them.
    pub dropped_because: &'static str,
    /// The policy that drops them, if one does.
    pub dropped_by: Option<String>,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Some of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// One trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Example {
    /// Its id in hex.
    pub trace_id: String,
    /// The name of its root span.
    pub root: Option<String>,
    /// Its service.
    pub service: Option<String>,
    /// Its priority.
    pub priority: Option<String>,
    /// Its spans.
    pub spans: u64,
    /// From its first start to its last end.
    pub duration_ms: f64,
    /// What the policy that decided saw.
    pub evidence: Option<String>,
    /// On which span.
    pub span_id: Option<String>,
}

impl Example {
    /// A trace with the verdict that keeps it, or the only one. `other` may have seen more of it.
    pub(crate) fn new(decision: &Decision, other: &Decision) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let evidence = decision.evidence.as_ref();
        Self {
            trace_id: hex(&decision.trace_id),
            root: text(&decision.root_name).or_else(|| text(&other.root_name)),
            service: text(&decision.service_name).or_else(|| text(&other.service_name)),
            priority: text(&decision.priority).or_else(|| text(&other.priority)),
            spans: decision.spans.max(other.spans),
            duration_ms: decision.duration.max(other.duration).as_secs_f64() * 1e3,
            evidence: evidence.map(|fact| format!("{} = {}", fact.key, fact.value)),
            span_id: evidence.and_then(|fact| fact.span_id).map(|id| hex(&id)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
