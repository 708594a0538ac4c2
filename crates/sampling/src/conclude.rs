//! What a decision does: the verdict is found, the spans are sent on or discarded, and both are remembered.

use std::sync::Arc;
use std::time::Duration;

use crate::decided::Remembered;
use crate::decision::{Action, Decision, Reason, Trigger, Verdict};
use crate::emit::Piece;
use crate::evidence;
use crate::explain::Votes;
use crate::index::Place;
use crate::marks::Marks;
use crate::policy::{NO_MATCH, kept_by};
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

impl Sampler {
    /// Decides a trace on what it has, sends it on or discards it, and remembers the verdict.
    pub(crate) fn decide(&mut self, at: u32, trigger: Trigger, out: &mut Vec<Action>) {
        let Some(mut trace) = self.traces.remove(at) else { return };
        let mut cast = Votes::default();
        self.meters.part = None;
        let (verdict, reason, policy) =
            if trigger == Trigger::Shutdown && self.config.drop_pending_traces_on_shutdown {
                (Verdict::Dropped, Reason::DroppedAtShutdown, None)
            } else if trigger == Trigger::TooLarge {
                (Verdict::Dropped, Reason::TooLarge, None)
            } else if trace.batch.is_some() {
                trace.evaluate_batch(&self.policies, &mut self.meters, &mut self.votes);
                let batch = trace.batch.as_ref();
                let pending = || batch.and_then(|batch| batch.keep).map_or(NO_MATCH, kept_by);
                batch.and_then(|batch| batch.outcome).unwrap_or_else(pending)
            } else {
                let first_match = self.config.sample_on_first_match;
                let (meters, votes) = (&mut self.meters, &mut self.votes);
                self.policies.decide(trace.candidate(), first_match, meters, votes, &mut cast)
            };
        let mut part = self.meters.part;
        if let Some(batch) = &mut trace.batch {
            cast = std::mem::take(&mut batch.cast);
            part = batch.part;
        }
        if let Some(marks) = &mut self.marks {
            marks.set_kept(&self.policies, policy, part);
        }
        self.collect_runs(trace.last_record);
        let evidence = policy.and_then(|policy| {
            let records = self.runs.iter().map(|run| (run.scope, self.segments.get(run.record).spans));
            evidence::find(&self.policies, policy, part, &trace, records, &self.contexts, &mut self.caches)
        });
        if verdict == Verdict::Kept {
            self.send_runs(out);
        }
        for run in self.runs.drain(..) {
            self.segments.release(run.record);
            self.contexts.release_scope(run.scope);
        }
        self.remember(&trace, verdict, policy, trigger);
        self.count(&trace, verdict, trigger);
        let name = |policy: usize| self.policies.policies.get(policy).map(|policy| Arc::clone(&policy.name));
        out.push(Action::Decided(Box::new(Decision {
            trace_id: trace.id,
            verdict,
            reason,
            trigger,
            policy: policy.and_then(name),
            evidence,
            votes: cast,
            spans: trace.spans,
            bytes: trace.bytes,
            first_seen: Duration::from_nanos(trace.first_seen),
            last_seen: Duration::from_nanos(trace.last_seen),
            decided_at: Duration::from_nanos(self.now),
            duration: trace.facts.duration(),
            times: trace.facts.times(),
            root_name: trace.root_name,
            service_name: trace.service_name,
            priority: trace.priority.map(|(_, value)| value),
        })));
    }

    /// The records of a trace in order of arrival, grouped by resource and scope.
    fn collect_runs(&mut self, last: RecordAt) {
        self.runs.clear();
        let mut next = last;
        while next != RecordAt::NONE {
            let record = self.segments.get(next);
            let resource = self.contexts.resource_of(record.scope);
            self.runs.push(RunKey { resource, scope: record.scope, record: next });
            next = record.previous;
        }
        self.runs.reverse();
        self.runs.sort_by_key(|run| (run.resource, run.scope));
    }

    fn send_runs(&mut self, out: &mut Vec<Action>) {
        let (segments, contexts) = (&self.segments, &self.contexts);
        let mark = self.marks.as_ref().map_or(&[][..], Marks::kept);
        let piece = |run: &RunKey| Piece {
            resource: run.resource,
            scope: run.scope,
            resource_header: contexts.resource_header(run.resource),
            scope_header: contexts.scope_header(run.scope),
            spans: segments.get(run.record).spans,
            mark,
        };
        self.emitter.write(&self.runs, piece, out);
    }

    fn remember(&mut self, trace: &Trace, verdict: Verdict, policy: Option<usize>, trigger: Trigger) {
        let early = verdict == Verdict::Kept && matches!(trigger, Trigger::EarlyKeep | Trigger::SpanIngest);
        let item = Remembered {
            id: trace.id,
            decided_at: self.now,
            policy: policy.and_then(|policy| u32::try_from(policy).ok()).unwrap_or(u32::MAX),
            streams_until: if early { trace.first_seen.saturating_add(self.wait) } else { 0 },
        };
        let (place, forgotten) = match verdict {
            Verdict::Kept => {
                let (at, forgotten) = self.kept.insert(item);
                (Place::Kept(at), forgotten)
            }
            Verdict::Dropped => {
                let (at, forgotten) = self.dropped.insert(item);
                (Place::Dropped(at), forgotten)
            }
        };
        if let Some(forgotten) = forgotten {
            self.index.remove(&forgotten);
        }
        self.index.set(trace.id, place);
    }

    fn count(&mut self, trace: &Trace, verdict: Verdict, trigger: Trigger) {
        let stats = &mut self.stats;
        stats.spans_held -= trace.spans;
        stats.bytes_held -= trace.bytes;
        match verdict {
            Verdict::Kept => {
                stats.traces_kept += 1;
                stats.spans_kept += trace.spans;
            }
            Verdict::Dropped => {
                stats.traces_dropped += 1;
                stats.spans_dropped += trace.spans;
            }
        }
        stats.traces_too_large += u64::from(trigger == Trigger::TooLarge);
        if matches!(trigger, Trigger::EvictedNumTraces | Trigger::EvictedMemory) {
            stats.traces_evicted += 1;
        }
    }
}
