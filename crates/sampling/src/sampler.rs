//! The sampler of one shard: spans and the time go in, actions and the next deadline come out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::batches::{Batch, Size};
use crate::conclude::RunKey;
use crate::condition::ConditionErrors;
use crate::config::SamplerConfig;
use crate::contexts::Contexts;
use crate::decided::{Decided, Remembered};
use crate::decision::{Action, Trigger, Verdict};
use crate::emit::Emitter;
use crate::explain::Votes;
use crate::facts::Facts;
use crate::index::{Index, Place};
use crate::ingest::Scratch;
use crate::limits::Meters;
use crate::marks::Marks;
use crate::policy::{PolicySet, PolicyVotes};
use crate::predicate::MatchCache;
use crate::segments::{RecordAt, Segments};
use crate::traces::{Trace, Traces};

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
    pub(crate) index: Index,
    pub(crate) traces: Traces,
    /// Traces whose root has come: deadline, number and generation, in order of deadline.
    root_due: VecDeque<(u64, u32, u32)>,
    pub(crate) kept: Decided,
    pub(crate) dropped: Decided,
    pub(crate) segments: Segments,
    pub(crate) contexts: Contexts,
    pub(crate) caches: Vec<MatchCache>,
    pub(crate) meters: Meters,
    pub(crate) condition_errors: Option<ConditionErrors>,
    /// Undecided traces with a batch that is being taken in: number and generation.
    open: Vec<(u32, u32)>,
    /// Number of the batch that is being taken in.
    pub(crate) batch: u32,
    pub(crate) emitter: Emitter,
    /// With `record_policy`.
    pub(crate) marks: Option<Marks>,
    pub(crate) scratch: Scratch,
    pub(crate) runs: Vec<RunKey>,
    pub(crate) votes: Vec<PolicyVotes>,
    pub(crate) stats: Stats,
}

/// Counts since the start, and what is held now. At all times
/// `spans_accepted = spans_kept + spans_dropped + spans_held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Undecided traces.
    pub traces_held: usize,
    /// Their spans.
    pub spans_held: u64,
    /// The encoded size of these.
    pub bytes_held: u64,
    /// Bytes of memory that the sampler takes, decision caches included.
    pub memory: usize,
    /// Traces whose first span came.
    pub traces_new: u64,
    /// Traces decided to keep.
    pub traces_kept: u64,
    /// Traces decided to drop.
    pub traces_dropped: u64,
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

/// A tick decides no more traces once it has sent on this many requests: the rest is due at once.
const REQUESTS_PER_TICK: usize = 16;

impl Sampler {
    /// A sampler without traces. `seed` should be random and secret, and the same for all shards of a processor.
    #[must_use]
    pub fn new(mut config: SamplerConfig, policies: Arc<PolicySet>, seed: u64) -> Self {
        config.num_traces = config.num_traces.clamp(1, u32::MAX as usize - 1);
        let remembered = |size: usize| if size == 0 { config.num_traces } else { size };
        let sized = policies.uses_size || config.maximum_trace_size.is_some();
        let boxes =
            usize::from(sized) * size_of::<Size>() + usize::from(config.span_ingest) * size_of::<Batch>();
        let meters = Meters::new(&policies, config.shards);
        let segment_bytes =
            config.memory_limit.map_or(1 << 20, |limit| (limit / 16).clamp(64 << 10, 1 << 20));
        Self {
            wait: nanos(config.decision_wait),
            wait_after_root: config.decision_wait_after_root_received.map(nanos),
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
            traces: Traces::new(boxes),
            root_due: VecDeque::new(),
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
        let mut sent = Sent::new(out);
        while sent.below(out, REQUESTS_PER_TICK)
            && let Some((at, trigger)) = self.due()
        {
            self.decide(at, trigger, out);
        }
        self.emitter.flush(out);
    }

    /// When [`Self::tick`] has something to do next; none without undecided traces.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let (_, oldest) = self.traces.oldest()?;
        let waited = oldest.first_seen.saturating_add(self.wait);
        let rooted = self.root_due.front().map_or(u64::MAX, |&(deadline, ..)| deadline);
        Some(Duration::from_nanos(waited.min(rooted)))
    }

    /// Shutdown: decides undecided traces on what they have, or drops them if so configured.
    /// True when there are more: send on what came out and call again.
    #[must_use = "true means that traces are left: call again"]
    pub fn flush(&mut self, now: Duration, out: &mut Vec<Action>) -> bool {
        self.advance(now);
        let mut sent = Sent::new(out);
        while sent.below(out, REQUESTS_PER_TICK)
            && let Some((at, _)) = self.traces.oldest()
        {
            self.decide(at, Trigger::Shutdown, out);
        }
        self.emitter.flush(out);
        self.traces.held() > 0
    }

    /// True when the next request should wait for a decision: as many traces as may be are held, and none is to make
    /// room (`block_on_overflow`). [`Self::next_deadline`] tells until when at the latest.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.config.block_on_overflow && self.traces.held() >= self.config.num_traces
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
        ];
        Stats { traces_held: self.traces.held(), memory: parts.iter().sum(), ..self.stats }
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
        if !self.config.block_on_overflow
            && self.traces.held() >= self.config.num_traces
            && let Some((oldest, _)) = self.traces.oldest()
        {
            self.decide(oldest, Trigger::EvictedNumTraces, out);
        }
        let batch = self.config.span_ingest;
        let sized = self.policies.uses_size || self.config.maximum_trace_size.is_some();
        let at = self.traces.push_newest(Trace {
            id,
            first_seen: self.now,
            last_seen: self.now,
            spans: 0,
            bytes: 0,
            facts: Facts::new(&self.policies, &id),
            batch: batch.then(|| {
                let facts = Facts::new(&self.policies, &id);
                Box::new(Batch {
                    facts,
                    open: false,
                    keep: None,
                    outcome: None,
                    part: None,
                    cast: Votes::default(),
                })
            }),
            size: sized.then(Box::default),
            last_record: RecordAt::NONE,
            priority: None,
            root_name: None,
            service_name: None,
            has_root: false,
        });
        self.index.set(id, Place::Held(at));
        self.stats.traces_new += 1;
        at
    }

    /// A root span has come for the first time: the trace may be due earlier.
    pub(crate) fn root_received(&mut self, at: u32) {
        if let Some(wait) = self.wait_after_root
            && wait < self.wait
        {
            self.root_due.push_back((self.now.saturating_add(wait), at, self.traces.generation(at)));
        }
    }

    /// Decides the oldest traces until what is held fits the memory limit.
    pub(crate) fn fit_memory(&mut self, out: &mut Vec<Action>) {
        let Some(limit) = self.config.memory_limit else { return };
        while self.segments.in_use() + self.contexts.memory() + self.traces.in_use() > limit
            && let Some((oldest, _)) = self.traces.oldest()
        {
            self.decide(oldest, Trigger::EvictedMemory, out);
        }
    }

    /// A trace has spans in the batch that is being taken in.
    pub(crate) fn open_batch(&mut self, at: u32) {
        let Some(trace) = self.traces.get_mut(at) else { return };
        if let Some(batch) = &mut trace.batch
            && !batch.open
        {
            batch.open = true;
            batch.facts = Facts::new(&self.policies, &trace.id);
            self.open.push((at, self.traces.generation(at)));
        }
    }

    /// The batches that are being taken in are complete: decides the traces that they settle.
    pub(crate) fn end_batches(&mut self, out: &mut Vec<Action>) {
        let mut open = std::mem::take(&mut self.open);
        for (at, generation) in open.drain(..) {
            if self.traces.generation(at) != generation {
                continue;
            }
            let Some(trace) = self.traces.get_mut(at) else { continue };
            trace.evaluate_batch(&self.policies, &mut self.meters, &mut self.votes);
            if trace.batch.as_ref().is_some_and(|batch| batch.outcome.is_some()) {
                self.decide(at, Trigger::SpanIngest, out);
            }
        }
        self.open = open;
    }

    /// True when a trace is larger than one may be.
    pub(crate) fn is_too_large(&self, at: u32) -> bool {
        let size = || self.traces.get(at)?.size.as_ref();
        self.config.maximum_trace_size.is_some_and(|most| size().is_some_and(|size| size.batches() > most))
    }

    /// What is remembered of a decided trace, which counts as a use.
    pub(crate) fn recall(&mut self, place: Place) -> Option<(Verdict, Remembered)> {
        match place {
            Place::Held(_) => None,
            Place::Kept(at) => Some((Verdict::Kept, self.kept.touch(at))),
            Place::Dropped(at) => Some((Verdict::Dropped, self.dropped.touch(at))),
        }
    }

    /// When a trace is decided at the latest, and by what.
    pub(crate) fn due_of(&self, at: u32, trace: &Trace) -> (u64, Trigger) {
        let waited = trace.first_seen.saturating_add(self.wait);
        let generation = self.traces.generation(at);
        let rooted = self.root_due.iter().find(|due| (due.1, due.2) == (at, generation));
        match rooted {
            Some(&(deadline, ..)) if deadline < waited => (deadline, Trigger::RootReceived),
            _ => (waited, Trigger::DecisionWait),
        }
    }

    fn due(&mut self) -> Option<(u32, Trigger)> {
        while let Some(&(deadline, at, generation)) = self.root_due.front()
            && deadline <= self.now
        {
            self.root_due.pop_front();
            if self.traces.get(at).is_some() && self.traces.generation(at) == generation {
                return Some((at, Trigger::RootReceived));
            }
        }
        let (at, oldest) = self.traces.oldest()?;
        (oldest.first_seen.saturating_add(self.wait) <= self.now).then_some((at, Trigger::DecisionWait))
    }
}

/// Counts the requests among the actions pushed since it was made.
struct Sent {
    looked_at: usize,
    requests: usize,
}

impl Sent {
    fn new(out: &[Action]) -> Self {
        Self { looked_at: out.len(), requests: 0 }
    }

    fn below(&mut self, out: &[Action], limit: usize) -> bool {
        let new = out.get(self.looked_at..).unwrap_or_default();
        self.requests += new.iter().filter(|action| matches!(action, Action::Emit(_))).count();
        self.looked_at = out.len();
        self.requests < limit
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
