//! One configuration under test: its sampler and what it decided.

use crate::report::{Counts, Example, PerDay, PolicyReport, Share, SideReport, Total};
use crate::run::{Decide, Options, Subject};
use forebay_sampling::{
    Action, Decision, LateSpans, Reason, Sampler, SamplerConfig, Stats, Trigger, Verdict, Vote,
};
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Trace ids are hashed with this: nobody can choose them here, and two runs should be the same.
const SEED: u64 = 0;

pub(crate) struct Side {
    config: String,
    processor: String,
    sampler: Sampler,
    actions: Vec<Action>,
    rows: Vec<Row>,
    examples: usize,
    /// Every policy was asked about every trace, so that one can say which would be lost without it.
    all_asked: bool,
    /// Dropped traces whose verdict may still turn: their row, and what they added to it.
    retained: HashMap<[u8; 16], (usize, Counts), foldhash::quality::RandomState>,
}

/// Verdicts of one kind.
struct Row {
    verdict: Verdict,
    reason: Reason,
    policy: Option<Arc<str>>,
    counts: Counts,
    /// Traces that no other policy matched.
    alone: u64,
    examples: Vec<Example>,
}

impl Side {
    pub(crate) fn new(subject: Subject, options: Options) -> Self {
        let Subject { name, processor, sampler, policies } = subject;
        let all_asked = matches!(options.decide, Decide::Whole(_)) && !sampler.sample_on_first_match;
        let settings = SamplerConfig { verdicts_only: true, ..options.decide.settings(sampler) };
        let sampler = Sampler::new(settings, policies, SEED);
        Self {
            config: name,
            processor,
            sampler,
            actions: Vec::new(),
            rows: Vec::new(),
            examples: options.examples,
            all_asked,
            retained: HashMap::default(),
        }
    }

    /// Decides what was due before `now`, then takes the request in.
    pub(crate) fn ingest(&mut self, request: &[u8], now: Duration, mut decided: impl FnMut(&Decision)) {
        self.tick(now, &mut decided);
        // A client would wait until there is room, and time pass.
        while self.sampler.is_full()
            && let Some(due) = self.sampler.next_deadline()
            && self.step(due, &mut decided)
        {}
        self.sampler.ingest(request, None, now, &mut self.actions);
        self.act(&mut decided);
    }

    /// No more spans: what is held is decided when it is due.
    pub(crate) fn finish(&mut self, mut decided: impl FnMut(&Decision)) {
        self.tick(Duration::MAX, &mut decided);
        while self.sampler.flush(Duration::ZERO, &mut self.actions) {
            self.act(&mut decided);
        }
        self.act(&mut decided);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.sampler.stats()
    }

    /// Goes from deadline to deadline, so that what policies let through a second is as it would have been.
    fn tick(&mut self, now: Duration, decided: &mut impl FnMut(&Decision)) {
        while let Some(due) = self.sampler.next_deadline().filter(|due| *due <= now) {
            if !self.step(due, decided) {
                self.step(now, decided);
                return;
            }
        }
    }

    /// Decides what is due at a time; whether that changed anything.
    fn step(&mut self, due: Duration, decided: &mut impl FnMut(&Decision)) -> bool {
        self.sampler.tick(due, &mut self.actions);
        let acted = !self.actions.is_empty();
        self.act(decided);
        acted || self.sampler.next_deadline() != Some(due)
    }

    fn act(&mut self, decided: &mut impl FnMut(&Decision)) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Decided(decision) => {
                    decided(&decision);
                    self.count(&decision);
                }
                Action::Late(late) => self.count_late(&late),
                Action::Emit(_) => {}
            }
        }
        self.actions = actions;
    }

    fn count(&mut self, decision: &Decision) {
        if decision.trigger == Trigger::LateSpans
            && let Some((at, counts)) = self.retained.remove(&decision.trace_id)
            && let Some(row) = self.rows.get_mut(at)
        {
            // The verdict has turned: the trace counts once, as what it is now.
            row.counts = row.counts.minus(counts);
        }
        let alone = self.all_asked && {
            let policies = self.sampler.votes().len();
            (0..policies).filter(|policy| decision.votes.of(*policy) == Vote::Matched).count() == 1
        };
        let counts = Counts { traces: 1, spans: decision.spans, bytes: decision.bytes };
        let at = self.row(decision.verdict, decision.reason, decision.policy.as_ref());
        let wanted = self.examples;
        let Some(row) = self.rows.get_mut(at) else { return };
        row.counts = row.counts.plus(counts);
        row.alone += u64::from(alone);
        if row.examples.len() < wanted {
            row.examples.push(Example::new(decision, decision));
        }
        if decision.retained_until.is_some() {
            self.retained.insert(decision.trace_id, (at, counts));
        }
    }

    fn count_late(&mut self, late: &LateSpans) {
        let reason = match (late.verdict, &late.policy) {
            (Verdict::Kept, _) => Reason::PolicyMatch,
            (Verdict::Dropped, Some(_)) => Reason::DroppedByPolicy,
            (Verdict::Dropped, None) => Reason::NoPolicyMatched,
        };
        let counts = Counts { traces: 0, spans: late.spans, bytes: late.bytes };
        let at = match self.retained.get_mut(&late.trace_id) {
            Some((at, added)) if late.retained => {
                *added = added.plus(counts);
                *at
            }
            _ => self.row(late.verdict, reason, late.policy.as_ref()),
        };
        if let Some(row) = self.rows.get_mut(at) {
            row.counts = row.counts.plus(counts);
        }
    }

    /// The place of the row for such verdicts.
    fn row(&mut self, verdict: Verdict, reason: Reason, policy: Option<&Arc<str>>) -> usize {
        let same =
            |row: &Row| row.verdict == verdict && row.reason == reason && row.policy.as_ref() == policy;
        self.rows.iter().position(same).unwrap_or_else(|| {
            let (policy, counts) = (policy.cloned(), Counts::default());
            self.rows.push(Row { verdict, reason, policy, counts, alone: 0, examples: Vec::new() });
            self.rows.len() - 1
        })
    }

    pub(crate) fn report(self, seconds: f64) -> SideReport {
        let of = |verdict: Verdict| {
            let mut counts = Counts::default();
            let rows = self.rows.iter().filter(|row| row.verdict == verdict);
            rows.for_each(|row| counts.add(row.counts.traces, row.counts.spans, row.counts.bytes));
            counts
        };
        let (kept, dropped) = (of(Verdict::Kept), of(Verdict::Dropped));
        let all = kept.plus(dropped);
        let total = |counts: Counts| Total {
            counts,
            percent: Share::new(counts, all),
            per_day: PerDay::new(counts, seconds),
        };
        let mut policies = Vec::new();
        for (policy, votes) in self.sampler.policies().names().zip(self.sampler.votes()) {
            let mut rows = self.rows.iter().filter(|row| row.policy.as_ref() == Some(policy)).peekable();
            let (mut decided, mut alone) = (Counts::default(), 0);
            let mut examples = Vec::new();
            let drops = votes.dropped > 0 || rows.peek().is_some_and(|row| row.verdict == Verdict::Dropped);
            for row in rows {
                decided = decided.plus(row.counts);
                alone += row.alone;
                examples.extend(row.examples.iter().cloned());
            }
            policies.push(PolicyReport {
                policy: policy.to_string(),
                verdict: if drops { "dropped" } else { "kept" },
                matched_traces: votes.sampled + votes.dropped,
                alone_traces: (self.all_asked && !drops).then_some(alone),
                decided: total(decided),
                examples,
            });
        }
        let others = self.rows.iter().filter(|row| row.policy.is_none());
        let other = others.map(|row| PolicyReport {
            policy: row.reason.as_str().to_owned(),
            verdict: "dropped",
            matched_traces: row.counts.traces,
            alone_traces: None,
            decided: total(row.counts),
            examples: row.examples.clone(),
        });
        SideReport {
            config: self.config.clone(),
            processor: self.processor.clone(),
            kept: total(kept),
            dropped: total(dropped),
            all,
            policies,
            without_policy: other.collect(),
        }
    }
}
