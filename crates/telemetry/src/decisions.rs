//! Recent sampling decisions, as the status page and `/decisions` show them.

use serde::Serialize;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Something that remembers its recent decisions.
pub trait DecisionSource: Send + Sync {
    /// The newest decisions first, at most `limit`; must not wait for the data lane.
    fn recent(&self, limit: usize) -> Vec<DecisionRecord>;
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

    /// The newest decisions of all sources, newest first, at most `limit`.
    pub fn recent(&self, limit: usize) -> Vec<DecisionRecord> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<_> = sources.iter().flat_map(|source| source.recent(limit)).collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.decided_unix_ms));
        all.truncate(limit);
        all
    }
}
