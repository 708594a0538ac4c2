//! The traces of one shard whose spans are held: a slab of small entries, listed by priority class.

use std::sync::Arc;

use forebay_memory::{HugePages, HugeVec, prefetch};

use crate::batches::{Batch, Size};
use crate::facts::{Candidate, Facts};
use crate::leaf_set::LeafSet;
use crate::limits::Meters;
use crate::names::{Names, UNNAMED};
use crate::policy::{PolicySet, PolicyVotes};
use crate::segments::{RecordAt, grow_by_an_eighth};

/// No trace.
const NONE: u32 = u32::MAX;

/// No rank: no priority that is in the order was seen.
pub(crate) const UNRANKED: u8 = u8::MAX;

/// A trace whose spans are held: undecided, or dropped and retained. Two cache lines, in this order: what every run of spans
/// changes is in the first.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    pub(crate) last_seen: u64,
    /// Encoded bytes of its spans.
    pub(crate) bytes: u64,
    pub(crate) spans: u32,
    /// The record of its spans that came last.
    pub(crate) last_record: RecordAt,
    pub(crate) facts: Facts,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) first_seen: u64,
    /// Number of its root span's name.
    root_name: u32,
    /// The resource whose service is reported: number in the contexts, where a record of this trace holds it.
    pub(crate) resource: u32,
    /// The last record with spans by which more policies matched.
    pub(crate) turning: RecordAt,
    /// Its number in the order in which traces came, so that old references to its place can be told.
    number: u32,
    older: u32,
    newer: u32,
    /// The highest priority seen, as its place in the order; [`UNRANKED`] without one.
    pub(crate) rank: u8,
    /// Which class it counts to.
    pub(crate) class: u8,
    /// A span without a parent has come.
    pub(crate) has_root: bool,
    /// Spans came since it was last considered for eviction.
    pub(crate) touched: bool,
    /// Dropped, but held for a while: a late span may still turn the verdict.
    pub(crate) retained: bool,
}

/// An entry of the slab.
type Slot = Option<Trace>;

const _: () = assert!(size_of::<Slot>() == 128);

/// What only some configurations need, or few traces.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// With `span_ingest`.
    pub(crate) batch: Option<Box<Batch>>,
    /// Counted when some policy or setting asks for it.
    pub(crate) size: Option<Size>,
    /// A priority that is not in the order.
    pub(crate) odd_priority: Option<Arc<str>>,
    /// Span ids that are named as parents and have not come, sorted; looked at when the root has.
    pub(crate) open_parents: Vec<[u8; 8]>,
    /// Policies that a limit kept from matching when the trace was dropped: they are not asked again.
    pub(crate) refused: LeafSet,
    pub(crate) decided_at: u64,
}

impl Trace {
    pub(crate) fn new(id: [u8; 16], now: u64, facts: Facts, class: u8) -> Self {
        Self {
            id,
            first_seen: now,
            last_seen: now,
            bytes: 0,
            spans: 0,
            last_record: RecordAt::NONE,
            turning: RecordAt::NONE,
            facts,
            root_name: UNNAMED,
            number: 0,
            older: NONE,
            newer: NONE,
            resource: u32::MAX,
            rank: UNRANKED,
            class,
            has_root: false,
            touched: false,
            retained: false,
            extra: None,
        }
    }

    pub(crate) fn batch(&self) -> Option<&Batch> {
        self.extra.as_ref()?.batch.as_deref()
    }

    pub(crate) fn batch_mut(&mut self) -> Option<&mut Batch> {
        self.extra.as_mut()?.batch.as_deref_mut()
    }

    pub(crate) fn size(&self) -> Option<&Size> {
        self.extra.as_ref()?.size.as_ref()
    }

    pub(crate) fn has_odd_priority(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.odd_priority.is_some())
    }

    /// Adds what was read to what is known; true when that changed anything.
    pub(crate) fn learn(&mut self, add: impl Fn(&mut Facts) -> bool) -> bool {
        if let Some(batch) = self.batch_mut() {
            add(&mut batch.facts);
        }
        add(&mut self.facts)
    }

    /// Evaluates the open batch by itself.
    pub(crate) fn evaluate_batch(
        &mut self,
        policies: &PolicySet,
        meters: &mut Meters,
        votes: &mut [PolicyVotes],
    ) {
        let Candidate { bytes, rank, .. } = self.candidate();
        let (id, spans) = (self.id, u64::from(self.spans));
        if let Some(batch) = self.batch_mut()
            && std::mem::take(&mut batch.open)
        {
            let candidate = Candidate { id: &id, facts: &batch.facts, spans, bytes, rank };
            batch.outcome = policies.decide_batch(candidate, &mut batch.keep, meters, votes, &mut batch.cast);
            batch.part = meters.part.take().or(batch.part);
        }
    }

    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let bytes = self.size().map_or(0, Size::request);
        Candidate {
            id: &self.id,
            facts: &self.facts,
            spans: u64::from(self.spans),
            bytes,
            rank: usize::from(self.class),
        }
    }

    /// Bytes on the heap that come with it.
    fn heap(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| size_of::<Extra>() + extra.open_parents.len() * 8);
        let batch = self.batch().map_or(0, |_| size_of::<Batch>());
        extra + batch
    }
}

/// A held trace as timers remember it: its slot, and its number in the order in which traces came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TraceRef {
    pub(crate) number: u32,
    pub(crate) at: u32,
}

/// Traces of one class in one state, linked in the order in which they yield.
#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
}

/// What a class holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) traces: usize,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
}

/// The slab.
#[derive(Debug)]
pub(crate) struct Traces {
    slots: HugeVec<Slot>,
    names: Names,
    free: Vec<u32>,
    next_number: u32,
    /// By class: the undecided, and the retained.
    lists: [Vec<List>; 2],
    holdings: [Vec<Holding>; 2],
    /// Bytes on the heap beside the slots, as last counted.
    heap: usize,
    /// Bytes elsewhere that come with each trace.
    beside: usize,
}

impl Traces {
    pub(crate) fn new(classes: usize, beside: usize, seed: u64) -> Self {
        Self {
            slots: HugeVec::new_in(HugePages),
            names: Names::new(seed),
            free: Vec::new(),
            next_number: 0,
            lists: std::array::from_fn(|_| vec![List { oldest: NONE, newest: NONE }; classes]),
            holdings: std::array::from_fn(|_| vec![Holding::default(); classes]),
            heap: 0,
            beside,
        }
    }

    /// What is undecided, or retained, by class.
    pub(crate) fn holdings(&self, retained: bool) -> &[Holding] {
        &self.holdings[usize::from(retained)]
    }

    /// What is undecided, or retained, in all.
    pub(crate) fn holding(&self, retained: bool) -> Holding {
        self.holdings(retained).iter().fold(Holding::default(), |sum, class| Holding {
            traces: sum.traces + class.traces,
            spans: sum.spans + class.spans,
            bytes: sum.bytes + class.bytes,
        })
    }

    /// How many traces are undecided.
    pub(crate) fn undecided(&self) -> usize {
        self.holdings[0].iter().map(|class| class.traces).sum()
    }

    /// How many traces are held in any state.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Bytes that the entries of held traces take.
    pub(crate) fn in_use(&self) -> usize {
        self.len() * (size_of::<Slot>() + self.beside) + self.heap + self.names.memory()
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        let tables = self.slots.capacity() * size_of::<Slot>() + self.free.capacity() * size_of::<u32>();
        tables + self.heap + self.names.memory()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Trace> {
        self.slots.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Trace> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    /// A trace is about to be looked at.
    #[inline]
    pub(crate) fn prefetch(&self, at: u32) {
        if let Some(slot) = self.slots.get(at as usize) {
            prefetch(slot);
        }
    }

    pub(crate) fn reference(&self, at: u32) -> TraceRef {
        TraceRef { number: self.get(at).map_or(0, |trace| trace.number), at }
    }

    /// The trace that a reference was made to, while it is held.
    pub(crate) fn find(&self, reference: TraceRef) -> Option<&Trace> {
        self.get(reference.at).filter(|trace| trace.number == reference.number)
    }

    /// Adds an undecided trace.
    pub(crate) fn push(&mut self, mut trace: Trace) -> u32 {
        trace.number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let at = self.free.pop().unwrap_or_else(|| {
            grow_by_an_eighth(&mut self.slots);
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.heap += trace.heap();
        self.slots[at as usize] = Some(trace);
        self.link(at);
        at
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Trace> {
        self.get(at)?;
        self.unlink(at);
        let trace = self.slots[at as usize].take()?;
        self.heap -= trace.heap();
        self.names.release(trace.root_name);
        self.free.push(at);
        Some(trace)
    }

    /// Changes a trace in a way that its list, or the counts of what is held, have to follow.
    pub(crate) fn change(&mut self, at: u32, change: impl FnOnce(&mut Trace)) {
        self.unlink(at);
        if let Some(trace) = self.get_mut(at) {
            let before = trace.heap();
            change(trace);
            let after = trace.heap();
            self.heap = self.heap + after - before;
        }
        self.link(at);
    }

    /// Changes what a trace has on the heap.
    pub(crate) fn change_heap(&mut self, at: u32, change: impl FnOnce(&mut Trace)) {
        if let Some(trace) = self.get_mut(at) {
            let before = trace.heap();
            change(trace);
            let after = trace.heap();
            self.heap = self.heap + after - before;
        }
    }

    /// The root span has come: its name, and the resource whose service is reported from now on.
    pub(crate) fn set_root(&mut self, at: u32, name: &str, resource: Option<u32>) {
        let number = self.names.hold(name);
        let Some(trace) = self.get_mut(at) else { return self.names.release(number) };
        trace.has_root = true;
        trace.resource = resource.unwrap_or(trace.resource);
        let before = std::mem::replace(&mut trace.root_name, number);
        self.names.release(before);
    }

    /// The name of its root span, if that has come.
    pub(crate) fn root_name(&self, trace: &Trace) -> Option<Arc<str>> {
        self.names.get(trace.root_name).cloned()
    }

    /// Counts spans that were added to a trace.
    pub(crate) fn add_spans(&mut self, at: u32, spans: u32, bytes: u64) {
        if let Some(trace) = self.slots.get_mut(at as usize).and_then(Option::as_mut) {
            trace.spans += spans;
            trace.bytes += bytes;
            let holding = &mut self.holdings[usize::from(trace.retained)][usize::from(trace.class)];
            holding.spans += u64::from(spans);
            holding.bytes += bytes;
        }
    }

    /// The trace of a class that yields first. One that spans came for since it was last asked about goes to the end
    /// of the queue instead, once.
    pub(crate) fn first_to_yield(&mut self, class: usize, retained: bool) -> Option<u32> {
        loop {
            let at = self.lists[usize::from(retained)].get(class)?.oldest;
            let trace = self.get_mut(at)?;
            if !std::mem::take(&mut trace.touched) {
                return Some(at);
            }
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: u32) {
        let Some(trace) = self.slots.get_mut(at as usize).and_then(Option::as_mut) else { return };
        let (state, class) = (usize::from(trace.retained), usize::from(trace.class));
        let holding = &mut self.holdings[state][class];
        holding.traces += 1;
        holding.spans += u64::from(trace.spans);
        holding.bytes += trace.bytes;
        let list = &mut self.lists[state][class];
        let older = std::mem::replace(&mut list.newest, at);
        (trace.older, trace.newer) = (older, NONE);
        match self.get_mut(older) {
            Some(older) => older.newer = at,
            None => self.lists[state][class].oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(trace) = self.get(at) else { return };
        let &Trace { spans, bytes, retained, class, older, newer, .. } = trace;
        let (state, class) = (usize::from(retained), usize::from(class));
        let holding = &mut self.holdings[state][class];
        holding.traces -= 1;
        holding.spans -= u64::from(spans);
        holding.bytes -= bytes;
        match self.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.lists[state][class].oldest = newer,
        }
        match self.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.lists[state][class].newest = older,
        }
    }
}
