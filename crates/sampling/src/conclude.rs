//! What a decision does: the verdict is found, the spans are sent on, discarded or retained, and it is remembered.

use std::sync::Arc;
use std::time::Duration;

use crate::decided::Remembered;
use crate::decision::{Action, Decision, Reason, Trigger, Verdict};
use crate::emit::Piece;
use crate::evidence;
use crate::explain::Votes;
use crate::index::Place;
use crate::marks::Marks;
use crate::policy::{NO_MATCH, Outcome, kept_by};
use crate::sampler::Sampler;
use crate::segments::RecordAt;
use crate::traces::Trace;

/// A record of a trace about to be sent on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunKey {
    resource: u32,
    scope: u32,
    record: RecordAt,
}

/// How the policies settled a trace.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    /// The part of a `composite` policy that let it through.
    pub(crate) part: Option<(usize, usize)>,
    pub(crate) votes: Votes,
}

/// Why a trace goes on, as its scopes may tell: the policy, and the part of a `composite` one.
pub(crate) type Why = (Option<usize>, Option<(usize, usize)>);

/// None for a trace that is discarded.
pub(crate) type Kept = Option<Why>;

/// The rest of a decided trace that is too large to be let go at once: what came last has gone.
#[derive(Debug)]
pub(crate) struct Rest {
    kept: Kept,
    last_record: RecordAt,
    bytes: usize,
}

/// A trace is let go in steps of this many records and bytes, so that a giant one neither stalls the others nor is
/// in memory twice.
const STEP_RECORDS: usize = 4096;
const STEP_BYTES: usize = 4 << 20;

impl Sampler {
    /// Decides a trace on what it has.
    pub(crate) fn decide(&mut self, at: u32, trigger: Trigger, out: &mut Vec<Action>) {
        let Some(trace) = self.traces.get_mut(at) else { return };
        let mut cast = Votes::default();
        self.meters.part = None;
        let outcome = if trigger == Trigger::Shutdown && self.config.drop_pending_traces_on_shutdown {
            (Verdict::Dropped, Reason::DroppedAtShutdown, None)
        } else if trigger == Trigger::TooLarge {
            (Verdict::Dropped, Reason::TooLarge, None)
        } else if trace.batch().is_some() {
            trace.evaluate_batch(&self.policies, &mut self.meters, &mut self.votes);
            let batch = trace.batch();
            let pending = || batch.and_then(|batch| batch.keep).map_or(NO_MATCH, kept_by);
            batch.and_then(|batch| batch.outcome).unwrap_or_else(pending)
        } else {
            let first_match = self.config.sample_on_first_match;
            let (meters, votes) = (&mut self.meters, &mut self.votes);
            self.policies.decide(trace.candidate(), first_match, meters, votes, &mut cast)
        };
        let mut part = self.meters.part;
        if let Some(batch) = trace.batch_mut() {
            cast = std::mem::take(&mut batch.cast);
            part = batch.part;
        }
        self.conclude(at, Settled { outcome, part, votes: cast }, trigger, out);
    }

    /// Carries out a verdict, and reports and remembers it.
    pub(crate) fn conclude(
        &mut self,
        at: u32,
        Settled { outcome: (verdict, reason, policy), part, votes }: Settled,
        trigger: Trigger,
        out: &mut Vec<Action>,
    ) {
        let Some(trace) = self.traces.get(at) else { return };
        let retained_until = self.retained_until(trace, reason, trigger);
        let (last_record, turning) = (trace.last_record, trace.turning);
        // What is only discarded need not be looked at.
        let is_read = policy.is_some() || verdict == Verdict::Kept;
        let rest = if is_read { self.collect_runs(last_record) } else { RecordAt::NONE };
        let Some(trace) = self.traces.get(at) else { return };
        let evidence = policy.and_then(|policy| {
            // What made a policy match is nearly always in the spans that told something new last.
            let turning = Some(turning).filter(|record| *record != RecordAt::NONE);
            let records = turning.into_iter().chain(self.runs.iter().map(|run| run.record));
            let records = records.map(|record| (self.segments.scope(record), self.segments.spans(record)));
            evidence::find(&self.policies, policy, part, trace, records, &self.contexts, &mut self.caches)
        });
        let name = |policy: usize| self.policies.policies.get(policy).map(|policy| Arc::clone(&policy.name));
        let decision = Decision {
            trace_id: trace.id,
            verdict,
            reason,
            trigger,
            policy: policy.and_then(name),
            evidence,
            votes,
            spans: u64::from(trace.spans),
            bytes: trace.bytes,
            first_seen: Duration::from_nanos(trace.first_seen),
            last_seen: Duration::from_nanos(trace.last_seen),
            decided_at: Duration::from_nanos(self.now),
            duration: trace.facts.duration(),
            times: trace.facts.times(),
            root_name: self.traces.root_name(trace),
            service_name: self.service_name(trace),
            priority: self.priority(trace),
            retained_until: retained_until.map(Duration::from_nanos),
        };
        out.push(Action::Decided(Box::new(decision)));
        self.count_decision(at, verdict, trigger);
        if let Some(until) = retained_until {
            self.retain(at, until, out);
            return;
        }
        let Some(trace) = self.traces.remove(at) else { return };
        self.remember(at, &trace, verdict, policy, trigger, self.now);
        self.let_go(&trace, (verdict == Verdict::Kept).then_some((policy, part)), rest, out);
    }

    /// Sends on the records in `self.runs`, `rest` being the one before them, or discards the spans of a trace.
    pub(crate) fn let_go(&mut self, trace: &Trace, kept: Kept, rest: RecordAt, out: &mut Vec<Action>) {
        let spans = u64::from(trace.spans);
        if kept.is_some() {
            self.stats.traces_kept += 1;
            self.stats.spans_kept += spans;
        } else {
            self.stats.traces_dropped += 1;
            self.stats.spans_dropped += spans;
        }
        let (bytes, rest) = match kept {
            Some(kept) => (self.send_on(kept, out), rest),
            None => self.discard(trace.last_record),
        };
        if rest != RecordAt::NONE {
            let bytes = (trace.bytes as usize).saturating_sub(bytes);
            self.rests_bytes += bytes;
            self.rests.push_back(Rest { kept, last_record: rest, bytes });
        }
    }

    /// Lets go of a step of a decided trace that was too large to go at once; how many bytes it had.
    pub(crate) fn release_step(&mut self, out: &mut Vec<Action>) -> usize {
        let Some(rest) = self.rests.front() else { return 0 };
        let (kept, last_record) = (rest.kept, rest.last_record);
        let (released, before) = match kept {
            Some(kept) => {
                let before = self.collect_runs(last_record);
                (self.send_on(kept, out), before)
            }
            None => self.discard(last_record),
        };
        let Some(rest) = self.rests.front_mut() else { return released };
        let bytes = if before == RecordAt::NONE { rest.bytes } else { released.min(rest.bytes) };
        rest.bytes -= bytes;
        rest.last_record = before;
        self.rests_bytes -= bytes;
        if before == RecordAt::NONE {
            self.rests.pop_front();
        }
        released
    }

    /// The last records of a trace up to `last` in order of arrival, and the one before them.
    pub(crate) fn collect_runs(&mut self, last: RecordAt) -> RecordAt {
        self.runs.clear();
        let (mut next, mut bytes) = (last, 0);
        while next != RecordAt::NONE && self.runs.len() < STEP_RECORDS && bytes < STEP_BYTES {
            let scope = self.segments.scope(next);
            bytes += self.segments.len(next);
            self.runs.push(RunKey { resource: self.contexts.resource_of(scope), scope, record: next });
            next = self.segments.previous(next);
        }
        self.runs.reverse();
        next
    }

    /// Discards the last records of a trace up to `last`; their bytes, and the one before them.
    fn discard(&mut self, last: RecordAt) -> (usize, RecordAt) {
        let (mut next, mut bytes) = (last, 0);
        for _ in 0..STEP_RECORDS {
            if next == RecordAt::NONE || bytes >= STEP_BYTES {
                break;
            }
            let released = self.segments.release(next);
            self.contexts.release_scope(released.scope);
            bytes += released.len;
            next = released.previous;
        }
        (bytes, next)
    }

    /// Sends on the collected records, by resource and scope, and lets go of them; how many bytes they had.
    fn send_on(&mut self, (policy, part): Why, out: &mut Vec<Action>) -> usize {
        if !self.config.verdicts_only {
            if let Some(marks) = &mut self.marks {
                marks.set_kept(&self.policies, policy, part);
            }
            self.runs.sort_by_key(|run| (run.resource, run.scope));
            self.send_runs(out);
        }
        let mut bytes = 0;
        for run in self.runs.drain(..) {
            bytes += self.segments.release(run.record).len;
            self.contexts.release_scope(run.scope);
        }
        bytes
    }

    fn send_runs(&mut self, out: &mut Vec<Action>) {
        let (segments, contexts) = (&self.segments, &self.contexts);
        let mark = self.marks.as_ref().map_or(&[][..], Marks::kept);
        let piece = |run: &RunKey| Piece {
            resource: run.resource,
            scope: run.scope,
            resource_header: contexts.resource_header(run.resource),
            scope_header: contexts.scope_header(run.scope),
            spans: segments.spans(run.record),
            count: segments.count(run.record),
            mark,
        };
        self.emitter.write(&self.runs, piece, out);
    }

    /// Remembers the verdict of a trace that was held at `at`.
    pub(crate) fn remember(
        &mut self,
        at: u32,
        trace: &Trace,
        verdict: Verdict,
        policy: Option<usize>,
        trigger: Trigger,
        decided_at: u64,
    ) {
        let early = verdict == Verdict::Kept && matches!(trigger, Trigger::EarlyKeep | Trigger::SpanIngest);
        let item = Remembered {
            id: trace.id,
            decided_at,
            policy: policy.and_then(|policy| u32::try_from(policy).ok()).unwrap_or(u32::MAX),
            streams_until: if early { self.latest_decision(trace) } else { 0 },
        };
        let (to, forgotten) = match verdict {
            Verdict::Kept => {
                let (to, forgotten) = self.kept.insert(item);
                (Place::Kept(to), forgotten)
            }
            Verdict::Dropped => {
                let (to, forgotten) = self.dropped.insert(item);
                (Place::Dropped(to), forgotten)
            }
        };
        // It was where the new one is now.
        if let Some(forgotten) = forgotten {
            self.index.remove(&forgotten, to);
        }
        self.index.change(&trace.id, Place::Held(at), to);
    }

    fn count_decision(&mut self, at: u32, verdict: Verdict, trigger: Trigger) {
        let Some(trace) = self.traces.get(at) else { return };
        let stats = &mut self.stats;
        stats.verdict_changes += u64::from(trace.retained && verdict == Verdict::Kept);
        stats.traces_too_large += u64::from(trigger == Trigger::TooLarge);
        if trigger.is_eviction() {
            stats.traces_evicted += 1;
            if let Some(class) = self.evictions.get_mut(usize::from(trace.class)) {
                let spans = u64::from(trace.spans);
                match verdict {
                    Verdict::Kept => class.spans_kept += spans,
                    Verdict::Dropped => class.spans_dropped += spans,
                }
                class.traces += 1;
            }
        }
    }

    pub(crate) fn service_name(&self, trace: &Trace) -> Option<Arc<str>> {
        self.contexts.try_facts(trace.resource)?.service_name.clone()
    }

    /// The highest priority seen, or one that is not in the order.
    pub(crate) fn priority(&self, trace: &Trace) -> Option<Arc<str>> {
        let known = self.priorities.get(usize::from(trace.rank)).cloned();
        known.or_else(|| trace.extra.as_ref()?.odd_priority.clone())
    }
}
