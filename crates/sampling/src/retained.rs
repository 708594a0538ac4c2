//! Dropped traces that are held for a while: what a late span may still turn around.

use std::time::Duration;

use crate::conclude::Settled;
use crate::decision::{Action, LateSpans, Reason, Trigger, Verdict};
use crate::sampler::{Sampler, nanos};
use crate::segments::RecordAt;
use crate::traces::Trace;

impl Sampler {
    /// Until when a trace with this verdict is retained; none when it is let go at once.
    pub(crate) fn retained_until(&self, trace: &Trace, reason: Reason, trigger: Trigger) -> Option<u64> {
        let retain = self.config.retain_dropped?;
        let may_turn = reason == Reason::NoPolicyMatched && !trace.retained;
        let has_room =
            !matches!(trigger, Trigger::Shutdown | Trigger::EvictedMemory | Trigger::EvictedTraceSize);
        (may_turn && has_room && trace.bytes <= retain.bytes)
            .then(|| self.now.saturating_add(nanos(retain.time)))
    }

    /// Holds on to a trace that has just been dropped.
    pub(crate) fn retain(&mut self, at: u32, until: u64, out: &mut Vec<Action>) {
        let Some(trace) = self.traces.get(at) else { return };
        let refused = self.policies.matching_but_for_limits(trace.candidate());
        let now = self.now;
        self.traces.change(at, |trace| {
            trace.retained = true;
            trace.touched = false;
            let extra = trace.extra.get_or_insert_default();
            extra.refused = refused;
            extra.decided_at = now;
        });
        self.timers.push_retained(until, self.traces.reference(at));
        self.fit_retained(out);
    }

    /// Spans came for a retained trace: the verdict turns if they make a policy match.
    pub(crate) fn reconsider(&mut self, at: u32, out: &mut Vec<Action>) {
        let Some(trace) = self.traces.get(at) else { return };
        let Some(extra) = &trace.extra else { return };
        let candidate = trace.candidate();
        self.meters.part = None;
        let found = self.policies.reconsider(candidate, &extra.refused, &mut self.meters, &mut self.votes);
        if let Some((outcome, votes)) = found {
            let part = self.meters.part;
            self.conclude(at, Settled { outcome, part, votes }, Trigger::LateSpans, out);
        }
    }

    /// Reports spans that came for a retained trace.
    pub(crate) fn report_retained(&self, at: u32, spans: u32, bytes: u64, out: &mut Vec<Action>) {
        let Some(trace) = self.traces.get(at) else { return };
        let decided_at = trace.extra.as_ref().map_or(0, |extra| extra.decided_at);
        out.push(Action::Late(LateSpans {
            trace_id: trace.id,
            verdict: Verdict::Dropped,
            policy: None,
            spans: u64::from(spans),
            bytes,
            age: Duration::from_nanos(self.now.saturating_sub(decided_at)),
            streamed: false,
            retained: true,
        }));
    }

    /// Lets go of retained traces until their bytes fit.
    pub(crate) fn fit_retained(&mut self, out: &mut Vec<Action>) {
        let Some(retain) = self.config.retain_dropped else { return };
        while self.traces.holding(true).bytes > retain.bytes && self.release_least_retained(out) {}
    }

    /// Lets go of the retained trace of the lowest class that was dropped first; false when there is none.
    pub(crate) fn release_least_retained(&mut self, out: &mut Vec<Action>) -> bool {
        let classes = self.config.priority.count();
        let found = (0..classes).rev().find_map(|class| self.traces.first_to_yield(class, true));
        found.is_some_and(|at| {
            self.release_retained(at, out);
            true
        })
    }

    /// Lets go of a retained trace for good; about how many bytes it took.
    pub(crate) fn release_retained(&mut self, at: u32, out: &mut Vec<Action>) -> usize {
        let Some(trace) = self.traces.remove(at) else { return 0 };
        let decided_at = trace.extra.as_ref().map_or(self.now, |extra| extra.decided_at);
        self.remember(at, &trace, Verdict::Dropped, None, Trigger::DecisionWait, decided_at);
        self.let_go(&trace, None, RecordAt::NONE, out);
        trace.bytes as usize + size_of::<Trace>()
    }
}
