//! The processor's answers: recent verdicts, and all that is known of one trace.

use crate::recent::{Late, Recent, Remembered, Strings, hex, nanos, shown};
use crate::shard::Shard;
use forebay_sampling::{Held, Known, PolicySet, Retained, Shard as Part, Standing, Verdict};
use forebay_telemetry::{
    BareVerdict, DecisionFilter, DecisionRecord, DecisionSource, ExplainedVerdict, Explanation, HeldTrace,
    LateSpansRecord, PolicyVote, Remembered as Memory, RetainedTrace, TraceTimes,
};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// What a processor shows of itself.
pub(crate) struct Source {
    pub processor: String,
    pub pipeline: Option<String>,
    pub policies: Arc<PolicySet>,
    pub shards: Vec<ShardView>,
    /// With which traces are given to shards.
    pub seed: u64,
    /// When the sampler's clock read zero, in Unix nanoseconds.
    pub epoch: u64,
}

/// One shard, seen from outside.
pub(crate) struct ShardView {
    pub recent: Arc<Recent>,
    /// Gone once the processor has stopped: nothing is held then.
    pub shard: Weak<Shard>,
}

const BUSY: &str = "what is held could not be looked at in time: the sampler is busy";

/// Unix nanoseconds.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos)
}

impl DecisionSource for Source {
    fn recent(&self, filter: &DecisionFilter, limit: usize) -> Vec<DecisionRecord> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let verdicts = shard.recent.verdicts();
            let newest = verdicts.iter().rev();
            let admitted = newest.filter(|(one, text)| filter.admits(one.traits(text, &self.policies)));
            found.extend(admitted.take(limit).map(|(one, text)| self.record(one, text)));
        }
        found.sort_by_key(|record| std::cmp::Reverse(record.decided_unix_ms));
        found.truncate(limit);
        found
    }

    fn explain(&self, trace_id: [u8; 16], timeout: Duration) -> Explanation {
        let count = self.shards.len();
        let owner = if count > 1 { Part::index_of(&trace_id, count, self.seed) } else { 0 };
        let mut explanation = Explanation {
            processor: self.processor.clone(),
            pipeline: self.pipeline.clone(),
            remembered: self.memory(),
            ..Explanation::default()
        };
        let Some(shard) = self.shards.get(owner) else { return explanation };
        let answer = shard.shard.upgrade().map(|shard| shard.explain(&trace_id, timeout));
        // Read after the answer: a verdict that fell in between is not missed.
        let (verdicts, late) = (shard.recent.verdicts(), shard.recent.late_spans());
        let mine = || verdicts.iter().filter(|(one, _)| one.trace_id == trace_id);
        explanation.verdicts = mine().map(|(one, text)| self.explained(one, text)).collect();
        explanation.late = self.late(late.iter().map(|(one, _)| one).filter(|one| one.trace_id == trace_id));
        let since = late.iter().next().filter(|_| late.forgetful).map(|(oldest, _)| oldest.at);
        let matters = |since: &u64| mine().next().is_none_or(|(first, _)| first.decided_at < *since);
        explanation.late_known_since_unix_ms = since.filter(matters).map(|since| self.unix_ms(since));
        let (now, known) = match answer {
            Some(Some(answer)) => answer,
            None => return explanation,
            Some(None) => {
                explanation.unanswered = Some(BUSY);
                return explanation;
            }
        };
        let decided_since = mine().any(|(one, _)| one.decided_at > nanos(now));
        let mut bare = |verdict, policy: Option<&str>, decided_at| {
            explanation.bare_verdict = explanation.verdicts.is_empty().then(|| BareVerdict {
                verdict: shown(verdict),
                policy: policy.map(str::to_owned),
                decided_unix_ms: self.unix_ms(nanos(decided_at)),
            });
        };
        match known {
            Known::Held(held) => explanation.held = (!decided_since).then(|| self.held(&held, now)),
            Known::Retained(retained) => {
                bare(Verdict::Dropped, None, retained.decided_at);
                explanation.retained = (!decided_since).then(|| self.retained(&retained, now));
            }
            Known::Decided { verdict, policy, decided_at } => bare(verdict, policy.as_deref(), decided_at),
            Known::Nothing => {}
        }
        explanation
    }
}

impl Source {
    fn unix_ms(&self, at: u64) -> u64 {
        self.epoch.saturating_add(at) / 1_000_000
    }

    /// How far back all shards remember.
    fn memory(&self) -> Memory {
        let read = self.shards.iter().map(|shard| shard.recent.verdicts());
        let (mut verdicts, mut since) = (0, Some(0));
        for shard in read {
            verdicts += shard.len() as u64;
            let complete_since = match shard.forgetful {
                true => shard.iter().next().map(|(oldest, _)| oldest.decided_at),
                false => Some(0),
            };
            since = since.zip(complete_since).map(|(one, other)| one.max(other));
        }
        Memory { verdicts, since_unix_ms: since.map(|at| self.unix_ms(at)) }
    }

    fn record(&self, one: &Remembered, text: &str) -> DecisionRecord {
        let Strings { key, value, service, root, priority } = one.strings(text);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        DecisionRecord {
            trace_id: hex(&one.trace_id),
            verdict: shown(one.verdict),
            reason: one.reason.as_str(),
            trigger: one.trigger.as_str(),
            policy: owned(one.policy(&self.policies)),
            evidence: key.zip(value).map(|(key, value)| format!("{key} = {value}")),
            span_id: one.span_id.map(|id| hex(&id)),
            service: owned(service),
            root: owned(root),
            priority: owned(priority),
            spans: one.spans,
            bytes: one.bytes,
            duration_ms: milliseconds(one.duration()),
            held_ms: milliseconds(one.decided_at.saturating_sub(one.first_seen)),
            decided_unix_ms: self.unix_ms(one.decided_at),
            processor: self.processor.clone(),
        }
    }

    fn explained(&self, one: &Remembered, text: &str) -> ExplainedVerdict {
        ExplainedVerdict {
            decision: self.record(one, text),
            votes: self.votes(|policy| one.votes.of(policy).as_str()),
            times: self.times(one.first_seen, one.last_seen, one.times),
            retained_until_unix_ms: one.retained_until.map(|until| self.unix_ms(until)),
        }
    }

    fn votes(&self, vote: impl Fn(usize) -> &'static str) -> Vec<PolicyVote> {
        let policies = self.policies.outline().enumerate();
        policies
            .map(|(at, (name, drops))| PolicyVote { policy: name.to_string(), drops, vote: vote(at) })
            .collect()
    }

    fn times(&self, first_seen: u64, last_seen: u64, times: Option<(u64, u64)>) -> TraceTimes {
        TraceTimes {
            first_arrival_unix_ms: self.unix_ms(first_seen),
            last_arrival_unix_ms: self.unix_ms(last_seen),
            start_unix_ms: times.map(|(start, _)| start / 1_000_000),
            end_unix_ms: times.map(|(_, end)| end / 1_000_000),
        }
    }

    fn held(&self, held: &Held, now: Duration) -> HeldTrace {
        let (now, due) = (nanos(now), nanos(held.due));
        let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        HeldTrace {
            held_ms: milliseconds(now.saturating_sub(nanos(held.first_seen))),
            due_unix_ms: self.unix_ms(due),
            due_in_ms: milliseconds(due.saturating_sub(now)),
            due_by: held.due_by.as_str(),
            spans: held.spans,
            bytes: held.bytes,
            service: owned(&held.service_name),
            root: owned(&held.root_name),
            priority: owned(&held.priority),
            times: self.times(nanos(held.first_seen), nanos(held.last_seen), held.times),
            missing_parents: held.missing_parents.iter().map(|id| hex(id)).collect(),
            policies: self.standings(&held.standings),
        }
    }

    fn retained(&self, retained: &Retained, now: Duration) -> RetainedTrace {
        let (now, until) = (nanos(now), nanos(retained.until));
        RetainedTrace {
            until_unix_ms: self.unix_ms(until),
            left_ms: milliseconds(until.saturating_sub(now)),
            spans: retained.spans,
            bytes: retained.bytes,
            last_arrival_unix_ms: self.unix_ms(nanos(retained.last_seen)),
            policies: self.standings(&retained.standings),
        }
    }

    fn standings(&self, standings: &[Standing]) -> Vec<PolicyVote> {
        self.votes(|at| standings.get(at).map_or("", |standing| standing.as_str()))
    }

    /// Neighbouring arrivals that followed one verdict in one way, together.
    fn late<'a>(&self, arrivals: impl Iterator<Item = &'a Late>) -> Vec<LateSpansRecord> {
        let mut groups: Vec<LateSpansRecord> = Vec::new();
        for one in arrivals {
            let at = self.unix_ms(one.at);
            let (verdict, streamed, retained) = (shown(one.verdict), one.streamed, one.retained);
            let kind = (verdict, streamed, retained);
            let group = match groups.pop_if(|last| (last.verdict, last.streamed, last.retained) == kind) {
                Some(group) => group,
                None => {
                    LateSpansRecord { verdict, streamed, retained, first_unix_ms: at, ..Default::default() }
                }
            };
            groups.push(LateSpansRecord {
                spans: group.spans + one.spans,
                bytes: group.bytes + one.bytes,
                arrivals: group.arrivals + 1,
                last_unix_ms: at,
                age_ms: milliseconds(one.age),
                ..group
            });
        }
        groups
    }
}

fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
