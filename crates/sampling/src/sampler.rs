//! The sampler of one shard: spans and the time go in, actions and the next deadline come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use forebay_memory::HUGE_PAGE;

use crate::ahead::Due;
use crate::batches::{Batch, Size};
use crate::conclude::{Rest, RunKey};
use crate::condition::ConditionErrors;
use crate::config::SamplerConfig;
use crate::contexts::Contexts;
use crate::decided::Decided;
use crate::decision::{Action, Trigger};
use crate::emit::{Emitter, REQUEST_TARGET};
use crate::explain::Votes;
use crate::facts::Facts;
use crate::index::{Index, Place};
use crate::ingest::Scratch;
use crate::limits::Meters;
use crate::marks::Marks;
use crate::policy::{PolicySet, PolicyVotes};
use crate::predicate::MatchCache;
use crate::read::Reader;
use crate::room::Evictions;
use crate::segments::Segments;
use crate::timers::Timers;
use crate::traces::{Extra, Trace, TraceRef, Traces};

/// The tail sampler of one shard. One owner, no locks, no clock: the time is passed in, as the duration
/// since any fixed start. A time earlier than one seen before counts as that one.
#[derive(Debug)]
pub struct Sampler {
    pub(crate) config: SamplerConfig,
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) seed: u64,
    pub(crate) now: u64,
    pub(crate) wait: u64,
    wait_after_root: Option<u64>,
    /// With `idle_timeout`: for how long a trace must be quiet, and its greatest age.
    idle: Option<u64>,
    max_age: u64,
    pub(crate) index: Index,
    pub(crate) traces: Traces,
    pub(crate) timers: Timers,
    /// Decided traces of which a part has still to go, and the bytes of these parts.
    pub(crate) rests: VecDeque<Rest>,
    pub(crate) rests_bytes: usize,
    pub(crate) kept: Decided,
    pub(crate) dropped: Decided,
    pub(crate) segments: Segments,
    pub(crate) contexts: Contexts,
    pub(crate) caches: Vec<MatchCache>,
    pub(crate) meters: Meters,
    pub(crate) condition_errors: Option<ConditionErrors>,
    /// Undecided traces with a batch that is being taken in.
    open: Vec<TraceRef>,
    /// Number of the batch that is being taken in.
    pub(crate) batch: u32,
    pub(crate) emitter: Emitter,
    /// With `record_policy`.
    pub(crate) marks: Option<Marks>,
    pub(crate) scratch: Scratch,
    /// For [`Sampler::ingest`].
    pub(crate) reader: Option<Box<Reader>>,
    pub(crate) runs: Vec<RunKey>,
    pub(crate) votes: Vec<PolicyVotes>,
    /// By class.
    pub(crate) evictions: Vec<Evictions>,
    /// The values of the order of priorities, to be shared.
    pub(crate) priorities: Vec<Arc<str>>,
    pub(crate) stats: Stats,
}

/// Counts since the start, and what is held now. At all times
/// `spans_accepted = spans_kept + spans_dropped + spans_held + spans_retained`, and the same of traces, with
/// `traces_new`. Of what was kept and dropped, [`Sampler::evictions`] says how much went before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Undecided traces.
    pub traces_held: usize,
    /// Their spans.
    pub spans_held: u64,
    /// The encoded size of these.
    pub bytes_held: u64,
    /// Dropped traces whose spans are held in case a late span turns the verdict.
    pub traces_retained: usize,
    /// Their spans.
    pub spans_retained: u64,
    /// The encoded size of these.
    pub bytes_retained: u64,
    /// When the first span of the undecided trace that has waited longest came; none without one.
    pub oldest_first_seen: Option<Duration>,
    /// Bytes of memory that the sampler takes, decision caches included.
    pub memory: usize,
    /// Traces whose first span came.
    pub traces_new: u64,
    /// Traces decided to keep.
    pub traces_kept: u64,
    /// Traces dropped for good.
    pub traces_dropped: u64,
    /// Traces that had been dropped and retained, and were kept after all.
    pub verdict_changes: u64,
    /// Traces decided before their time for want of room, kept or dropped.
    pub traces_evicted: u64,
    /// Traces dropped because they grew larger than `maximum_trace_size`.
    pub traces_too_large: u64,
    /// Spans that came, without invalid ones.
    pub spans_accepted: u64,
    /// Spans sent on, late ones included.
    pub spans_kept: u64,
    /// Spans discarded, late ones included.
    pub spans_dropped: u64,
    /// Spans that came after their trace was kept.
    pub spans_late_kept: u64,
    /// Spans that came after their trace was dropped.
    pub spans_late_dropped: u64,
    /// Spans left out because their trace id has not 16 bytes; receivers let none through.
    pub spans_invalid: u64,
}

/// Bytes that a held trace takes in the index and in timers, about.
const BESIDE: usize = 40;

/// A tick decides no more traces once it has sent on this many requests: the rest is due at once.
const REQUESTS_PER_TICK: usize = 2;

/// Nor once it has reported this many verdicts: each takes memory until it is looked at.
const ACTIONS_PER_TICK: usize = 256;

impl Sampler {
    /// A sampler without traces. `seed` should be random and secret, and the same for all shards of a processor.
    #[must_use]
    pub fn new(mut config: SamplerConfig, policies: Arc<PolicySet>, seed: u64) -> Self {
        config.num_traces = config.num_traces.clamp(1, u32::MAX as usize - 1);
        let remembered = |size: usize| if size == 0 { config.num_traces } else { size };
        let classes = config.priority.count();
        config.priority.unset = config.priority.unset.min(classes - 1);
        let yielding = if config.priority.limits { classes } else { 0 };
        let meters = Meters::new(&policies, config.shards, yielding);
        let leaf_words = policies.predicates.leaves.len().saturating_sub(1) / 64;
        let leaf_bytes = if leaf_words > 0 { (leaf_words + 3) * 8 } else { 0 };
        let segment_bytes =
            config.memory_limit.map_or(HUGE_PAGE, |limit| (limit / 16).clamp(64 << 10, HUGE_PAGE));
        Self {
            wait: nanos(config.decision_wait),
            wait_after_root: config.decision_wait_after_root_received.map(nanos),
            idle: config.idle_timeout.map(nanos),
            max_age: config.max_trace_age.map_or(u64::MAX, nanos),
            evictions: vec![Evictions::default(); classes],
            priorities: config.priority.order.iter().map(|value| Arc::from(value.as_str())).collect(),
            kept: Decided::new(remembered(config.sampled_cache_size)),
            dropped: Decided::new(remembered(config.non_sampled_cache_size)),
            // A trace that is kept early could still grow too large; batches have their own way.
            config: SamplerConfig {
                early_keep: config.early_keep && config.maximum_trace_size.is_none() && !config.span_ingest,
                ..config
            },
            seed,
            now: 0,
            index: Index::new(seed),
            traces: Traces::new(classes, BESIDE + leaf_bytes, seed),
            timers: Timers::default(),
            rests: VecDeque::new(),
            rests_bytes: 0,
            segments: Segments::new(segment_bytes),
            contexts: Contexts::new(seed),
            meters,
            condition_errors: None,
            open: Vec::new(),
            batch: 0,
            caches: policies.predicates.caches(seed),
            emitter: Emitter::default(),
            marks: config.record_policy.then(|| Marks::new(&policies)),
            scratch: Scratch::new(policies.predicates.keys.len()),
            reader: None,
            runs: Vec::new(),
            votes: vec![PolicyVotes::default(); policies.policies.len()],
            stats: Stats::default(),
            policies,
        }
    }

    /// Decides the traces whose time has come. Stops early when that makes much to send on at once:
    /// [`Self::next_deadline`] is then not after `now`.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.advance(now);
        let (mut sent, mut ahead) = (Sent::new(out), Due::new());
        while sent.below(out) {
            if !self.rests.is_empty() {
                sent.steps(self.release_step(out));
            } else if let Some(at) = self.pop_retained() {
                sent.steps(self.release_retained(at, out));
            } else if let Some((at, trigger)) = self.due() {
                if trigger == self.latest_trigger() {
                    ahead.advance(self);
                }
                self.decide(at, trigger, out);
            } else {
                break;
            }
        }
        self.tidy();
        self.emitter.flush(out);
    }

    /// When [`Self::tick`] has something to do next, at the earliest; none when nothing is held.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.rests.is_empty() {
            return Some(Duration::from_nanos(self.now));
        }
        let oldest = self.timers.peek_oldest(&self.traces);
        let aged = oldest.map_or(u64::MAX, |trace| self.latest_decision(trace));
        if self.traces.len() == 0 {
            return None;
        }
        Some(Duration::from_nanos(aged.min(self.timers.next())))
    }

    /// Shutdown: decides undecided traces on what they have, or drops them if so configured.
    /// True when there are more: send on what came out and call again.
    #[must_use = "true means that traces are left: call again"]
    pub fn flush(&mut self, now: Duration, out: &mut Vec<Action>) -> bool {
        self.advance(now);
        let mut sent = Sent::new(out);
        while sent.below(out) {
            if !self.rests.is_empty() {
                sent.steps(self.release_step(out));
            } else if let Some(at) = self.timers.oldest(&self.traces) {
                self.decide(at, Trigger::Shutdown, out);
            } else if !self.release_least_retained(out) {
                break;
            }
        }
        self.emitter.flush(out);
        self.traces.len() > 0 || !self.rests.is_empty()
    }

    /// True when the next request should wait for a decision: as many traces as may be are held, and none is to make
    /// room (`block_on_overflow`). [`Self::next_deadline`] tells until when at the latest.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.config.block_on_overflow && self.traces.undecided() >= self.config.num_traces
    }

    /// Counts and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let parts = [
            self.segments.memory(),
            self.contexts.memory(),
            self.traces.memory(),
            self.index.memory(),
            self.kept.memory(),
            self.dropped.memory(),
            self.timers.memory(),
            self.emitter.memory(),
        ];
        let (held, retained) = (self.traces.holding(false), self.traces.holding(true));
        let oldest = self.timers.peek_oldest(&self.traces);
        Stats {
            traces_held: held.traces,
            spans_held: held.spans,
            bytes_held: held.bytes,
            traces_retained: retained.traces,
            spans_retained: retained.spans,
            bytes_retained: retained.bytes,
            oldest_first_seen: oldest.map(|trace| Duration::from_nanos(trace.first_seen)),
            memory: parts.iter().sum(),
            ..self.stats
        }
    }

    /// What was decided before its time for want of room, by class in the order of priorities.
    #[must_use]
    pub fn evictions(&self) -> &[Evictions] {
        &self.evictions
    }

    /// Each policy's votes, in the order of [`PolicySet::names`].
    #[must_use]
    pub fn votes(&self) -> &[PolicyVotes] {
        &self.votes
    }

    /// The policies it decides by.
    #[must_use]
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(nanos(now));
        self.meters.now = self.now;
    }

    /// Makes an entry for a trace seen for the first time, and room for it before.
    pub(crate) fn new_trace(&mut self, id: [u8; 16], out: &mut Vec<Action>) -> u32 {
        if !self.config.block_on_overflow && self.traces.undecided() >= self.config.num_traces {
            self.evict(Trigger::EvictedNumTraces, out);
        }
        let facts = Facts::new(&self.policies, &id);
        let mut trace = Trace::new(id, self.now, facts, self.config.priority.unset as u8);
        let sized = self.policies.uses_size || self.config.maximum_trace_size.is_some();
        if sized || self.config.span_ingest {
            let facts = || Facts::new(&self.policies, &id);
            let batch = || {
                let cast = Votes::default();
                Batch { facts: facts(), open: false, keep: None, outcome: None, part: None, cast }
            };
            trace.extra = Some(Box::new(Extra {
                batch: self.config.span_ingest.then(|| Box::new(batch())),
                size: sized.then(Size::default),
                ..Extra::default()
            }));
        }
        let at = self.traces.push(trace);
        self.index.insert(&id, Place::Held(at));
        self.stats.traces_new += 1;
        let reference = self.traces.reference(at);
        self.timers.push_new(reference);
        if let Some(idle) = self.idle {
            self.timers.push_quiet(self.now.saturating_add(self.wait.max(idle)), reference);
        }
        at
    }

    /// A root span has come for the first time, or the last span that its trace waited for since: it may be due
    /// earlier.
    pub(crate) fn root_received(&mut self, at: u32) {
        if let Some(wait) = self.wait_after_root
            && (wait < self.wait || self.idle.is_some())
        {
            self.timers.push_root(self.now.saturating_add(wait), self.traces.reference(at));
        }
    }

    /// When a trace is decided at the latest if nothing else settles it.
    pub(crate) fn latest_decision(&self, trace: &Trace) -> u64 {
        trace.first_seen.saturating_add(if self.idle.is_some() { self.max_age } else { self.wait })
    }

    /// What decides a trace then.
    fn latest_trigger(&self) -> Trigger {
        if self.is_patient() { Trigger::MaxTraceAge } else { Trigger::DecisionWait }
    }

    /// When a trace has been quiet for long enough, as things stand.
    fn quiet_deadline(&self, trace: &Trace, idle: u64) -> u64 {
        let waited = trace.first_seen.saturating_add(self.wait);
        waited.max(trace.last_seen.saturating_add(idle))
    }

    /// Whether traces are complete when they are quiet, not when the time is up.
    pub(crate) fn is_patient(&self) -> bool {
        self.idle.is_some()
    }

    /// A trace has spans in the batch that is being taken in.
    pub(crate) fn open_batch(&mut self, at: u32) {
        let Some(trace) = self.traces.get_mut(at) else { return };
        let id = trace.id;
        if let Some(batch) = trace.batch_mut()
            && !batch.open
        {
            batch.open = true;
            batch.facts = Facts::new(&self.policies, &id);
            self.open.push(self.traces.reference(at));
        }
    }

    /// The batches that are being taken in are complete: decides the traces that they settle.
    pub(crate) fn end_batches(&mut self, out: &mut Vec<Action>) {
        let mut open = std::mem::take(&mut self.open);
        for reference in open.drain(..) {
            if self.traces.find(reference).is_none() {
                continue;
            }
            let Some(trace) = self.traces.get_mut(reference.at) else { continue };
            trace.evaluate_batch(&self.policies, &mut self.meters, &mut self.votes);
            if trace.batch().is_some_and(|batch| batch.outcome.is_some()) {
                self.decide(reference.at, Trigger::SpanIngest, out);
            }
        }
        self.open = open;
    }

    /// True when a trace is larger than one may be.
    pub(crate) fn is_too_large(&self, at: u32) -> bool {
        let size = || self.traces.get(at)?.size();
        self.config.maximum_trace_size.is_some_and(|most| size().is_some_and(|size| size.batches() > most))
    }

    /// When a trace is decided at the latest as things stand, and by what.
    pub(crate) fn due_of(&self, at: u32, trace: &Trace) -> (u64, Trigger) {
        let latest = self.latest_decision(trace);
        let by_age = self.latest_trigger();
        let root = self.timers.root_deadline(self.traces.reference(at));
        let quiet = self.idle.map(|idle| self.quiet_deadline(trace, idle));
        let ways = [
            (latest, by_age),
            (root.unwrap_or(u64::MAX), Trigger::RootReceived),
            (quiet.unwrap_or(u64::MAX), Trigger::Idle),
        ];
        ways.into_iter().min_by_key(|(deadline, _)| *deadline).unwrap_or((latest, by_age))
    }

    fn due(&mut self) -> Option<(u32, Trigger)> {
        while let Some(reference) = self.timers.pop_root(self.now) {
            if self.traces.find(reference).is_some_and(|trace| !trace.retained)
                && self.is_complete(reference.at)
            {
                return Some((reference.at, Trigger::RootReceived));
            }
        }
        if let Some(at) = self.timers.oldest(&self.traces)
            && self.traces.get(at).is_some_and(|trace| self.latest_decision(trace) <= self.now)
        {
            return Some((at, self.latest_trigger()));
        }
        let idle = self.idle?;
        while let Some((deadline, reference)) = self.timers.pop_quiet(self.now) {
            let Some(trace) = self.traces.find(reference).filter(|trace| !trace.retained) else { continue };
            let due = self.quiet_deadline(trace, idle);
            if due <= deadline {
                return Some((reference.at, Trigger::Idle));
            }
            self.timers.push_quiet(due, reference);
        }
        None
    }

    /// Whether a trace whose root has come is all there; if not, it waits for the parents that are missing.
    fn is_complete(&mut self, at: u32) -> bool {
        if !self.is_patient() {
            return true;
        }
        match self.open_parents(at) {
            Some(open) if open.is_empty() => true,
            Some(open) => {
                self.traces.change_heap(at, |trace| {
                    trace.extra.get_or_insert_default().open_parents = open;
                });
                false
            }
            None => false,
        }
    }

    fn pop_retained(&mut self) -> Option<u32> {
        while let Some(reference) = self.timers.pop_retained(self.now) {
            if self.traces.find(reference).is_some_and(|trace| trace.retained) {
                return Some(reference.at);
            }
        }
        None
    }
}

/// Counts the requests among the actions pushed since it was made.
struct Sent {
    started_at: usize,
    looked_at: usize,
    requests: usize,
    /// Bytes let go of without being sent.
    released: usize,
}

impl Sent {
    fn new(out: &[Action]) -> Self {
        Self { started_at: out.len(), looked_at: out.len(), requests: 0, released: 0 }
    }

    fn below(&mut self, out: &[Action]) -> bool {
        let new = out.get(self.looked_at..).unwrap_or_default();
        self.requests += new.iter().filter(|action| matches!(action, Action::Emit(_))).count();
        self.looked_at = out.len();
        self.requests + self.released / REQUEST_TARGET < REQUESTS_PER_TICK
            && out.len() - self.started_at < ACTIONS_PER_TICK
    }

    fn steps(&mut self, released: usize) {
        self.released += released;
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
