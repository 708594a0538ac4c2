//! What a shard remembers of its verdicts and of spans that came after them.

use crate::log::{Log, Snapshot, Texts};
use forebay_sampling::{Decision, LateSpans, PolicySet, Reason, Trigger, Verdict, Votes};
use forebay_telemetry::DecisionTraits;
use std::sync::Arc;
use std::time::Duration;

/// One shard's last verdicts and late spans. Only its shard writes, so the locks are free but for the moment somebody
/// looks.
pub(crate) struct Recent {
    policies: Arc<PolicySet>,
    verdicts: Log<Remembered>,
    late: Log<Late>,
}

/// A verdict as it is remembered. Times are nanoseconds on the sampler's clock.
#[derive(Clone)]
pub(crate) struct Remembered {
    pub trace_id: [u8; 16],
    pub verdict: Verdict,
    pub reason: Reason,
    pub trigger: Trigger,
    /// Its place in the policy set.
    pub policy: Option<u32>,
    pub span_id: Option<[u8; 8]>,
    pub votes: Votes,
    pub spans: u64,
    pub bytes: u64,
    pub first_seen: u64,
    pub last_seen: u64,
    pub decided_at: u64,
    pub retained_until: Option<u64>,
    /// Unix nanoseconds.
    pub times: Option<(u64, u64)>,
    texts: Texts<5>,
}

/// The strings of a remembered verdict.
#[derive(Clone, Copy, Default)]
pub(crate) struct Strings<'a> {
    pub key: Option<&'a str>,
    pub value: Option<&'a str>,
    pub service: Option<&'a str>,
    pub root: Option<&'a str>,
    pub priority: Option<&'a str>,
}

/// Late spans of one trace in one request.
#[derive(Clone)]
pub(crate) struct Late {
    pub trace_id: [u8; 16],
    pub verdict: Verdict,
    pub streamed: bool,
    pub retained: bool,
    pub spans: u64,
    pub bytes: u64,
    /// When they came, in nanoseconds on the sampler's clock.
    pub at: u64,
    /// Nanoseconds since the verdict.
    pub age: u64,
}

impl Recent {
    /// Remembers as much as fits `limit` bytes, three quarters of them for verdicts.
    pub fn new(limit: usize, policies: Arc<PolicySet>) -> Self {
        let late = limit / 4;
        Self { policies, verdicts: Log::new(limit - late), late: Log::new(late) }
    }

    pub fn decided(&self, decision: &Decision) {
        let place = |name: &Arc<str>| self.policies.names().position(|known| Arc::ptr_eq(known, name));
        let policy = decision.policy.as_ref().and_then(place).and_then(|place| u32::try_from(place).ok());
        let evidence = decision.evidence.as_ref();
        self.verdicts.push(decision.votes.heap_bytes(), |text| Remembered {
            texts: Texts::write(
                text,
                [
                    evidence.map(|fact| &*fact.key),
                    evidence.map(|fact| &*fact.value),
                    decision.service_name.as_deref(),
                    decision.root_name.as_deref(),
                    decision.priority.as_deref(),
                ],
            ),
            trace_id: decision.trace_id,
            verdict: decision.verdict,
            reason: decision.reason,
            trigger: decision.trigger,
            policy,
            span_id: evidence.and_then(|fact| fact.span_id),
            votes: decision.votes.clone(),
            spans: decision.spans,
            bytes: decision.bytes,
            first_seen: nanos(decision.first_seen),
            last_seen: nanos(decision.last_seen),
            decided_at: nanos(decision.decided_at),
            retained_until: decision.retained_until.map(nanos),
            times: decision.times,
        });
    }

    /// Late spans that came `now`.
    pub fn late(&self, late: &LateSpans, now: Duration) {
        self.late.push(0, |_| Late {
            trace_id: late.trace_id,
            verdict: late.verdict,
            streamed: late.streamed,
            retained: late.retained,
            spans: late.spans,
            bytes: late.bytes,
            at: nanos(now),
            age: nanos(late.age),
        });
    }

    pub fn verdicts(&self) -> Snapshot<Remembered> {
        self.verdicts.read()
    }

    pub fn late_spans(&self) -> Snapshot<Late> {
        self.late.read()
    }

    /// Bytes of memory taken.
    pub fn memory(&self) -> usize {
        self.verdicts.memory() + self.late.memory()
    }
}

impl Remembered {
    pub fn strings<'a>(&self, text: &'a str) -> Strings<'a> {
        let [key, value, service, root, priority] = self.texts.read(text);
        Strings { key, value, service, root, priority }
    }

    /// What a filter looks at.
    pub fn traits<'a>(&self, text: &'a str, policies: &'a PolicySet) -> DecisionTraits<'a> {
        let Strings { service, priority, .. } = self.strings(text);
        let policy = self.policy(policies);
        let (reason, trigger) = (self.reason.as_str(), self.trigger.as_str());
        DecisionTraits { verdict: shown(self.verdict), policy, service, priority, reason, trigger }
    }

    /// The name of the policy that decided.
    pub fn policy<'a>(&self, policies: &'a PolicySet) -> Option<&'a str> {
        policies.names().nth(self.policy? as usize).map(|name| &**name)
    }

    /// From the first start to the last end, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.times.map_or(0, |(start, end)| end.saturating_sub(start))
    }
}

/// A verdict in the words of the admin endpoints.
pub(crate) fn shown(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Kept => "kept",
        Verdict::Dropped => "dropped",
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
