//! The last verdicts, for the status page and `/decisions`.

use forebay_sampling::{Decision, Verdict};
use forebay_telemetry::{DecisionRecord, DecisionSource};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Verdicts remembered by each shard.
const REMEMBERED: usize = 512;

/// One shard's last verdicts. Only its shard writes, so the lock is free but for the moment somebody looks.
pub(crate) struct Recent {
    processor: String,
    /// The wall-clock time at which the sampler's clock read zero.
    started: SystemTime,
    ring: Mutex<VecDeque<Decision>>,
}

impl Recent {
    pub fn new(processor: String, started: SystemTime) -> Self {
        Self { processor, started, ring: Mutex::new(VecDeque::with_capacity(REMEMBERED)) }
    }

    pub fn push(&self, decision: Decision) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(decision);
    }

    fn record(&self, decision: &Decision) -> DecisionRecord {
        let text = |value: &Option<std::sync::Arc<str>>| value.as_deref().map(str::to_owned);
        let decided = self.started + decision.decided_at;
        DecisionRecord {
            trace_id: hex(&decision.trace_id),
            verdict: match decision.verdict {
                Verdict::Kept => "kept",
                Verdict::Dropped => "dropped",
            },
            reason: decision.reason.as_str(),
            trigger: decision.trigger.as_str(),
            policy: text(&decision.policy),
            evidence: decision.evidence.as_ref().map(|fact| format!("{} = {}", fact.key, fact.value)),
            span_id: decision.evidence.as_ref().and_then(|fact| fact.span_id).map(|id| hex(&id)),
            service: text(&decision.service_name),
            root: text(&decision.root_name),
            priority: text(&decision.priority),
            spans: decision.spans,
            bytes: decision.bytes,
            duration_ms: milliseconds(decision.duration),
            held_ms: milliseconds(decision.decided_at.saturating_sub(decision.first_seen)),
            decided_unix_ms: decided
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            processor: self.processor.clone(),
        }
    }
}

impl DecisionSource for Recent {
    fn recent(&self, limit: usize) -> Vec<DecisionRecord> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newest: Vec<Decision> = ring.iter().rev().take(limit).cloned().collect();
        drop(ring);
        newest.iter().map(|decision| self.record(decision)).collect()
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
