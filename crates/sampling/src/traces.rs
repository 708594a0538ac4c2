//! The undecided traces of one shard: a slab of small entries in order of arrival.

use std::sync::Arc;

use crate::batches::{Batch, Size};
use crate::facts::{Candidate, Facts};
use crate::limits::Meters;
use crate::policy::{PolicySet, PolicyVotes};
use crate::segments::RecordAt;

/// No trace.
pub(crate) const NONE: u32 = u32::MAX;

/// An undecided trace.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    pub(crate) first_seen: u64,
    pub(crate) last_seen: u64,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    pub(crate) facts: Facts,
    /// With `span_ingest`.
    pub(crate) batch: Option<Box<Batch>>,
    /// Counted when some policy or setting asks for it.
    pub(crate) size: Option<Box<Size>>,
    /// The record of its spans that came last.
    pub(crate) last_record: RecordAt,
    /// Rank and value of the highest priority seen.
    pub(crate) priority: Option<(u32, Arc<str>)>,
    pub(crate) root_name: Option<Arc<str>>,
    pub(crate) service_name: Option<Arc<str>>,
    /// A span without a parent has come.
    pub(crate) has_root: bool,
}

impl Trace {
    /// Adds what was read to what is known; true when that changed anything.
    pub(crate) fn learn(&mut self, add: impl Fn(&mut Facts) -> bool) -> bool {
        if let Some(batch) = &mut self.batch {
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
        let bytes = self.candidate().bytes;
        if let Some(batch) = &mut self.batch
            && std::mem::take(&mut batch.open)
        {
            let candidate = Candidate { id: &self.id, facts: &batch.facts, spans: self.spans, bytes };
            batch.outcome = policies.decide_batch(candidate, &mut batch.keep, meters, votes, &mut batch.cast);
            batch.part = meters.part.take().or(batch.part);
        }
    }

    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let bytes = self.size.as_ref().map_or(0, |size| size.request());
        Candidate { id: &self.id, facts: &self.facts, spans: self.spans, bytes }
    }
}

#[derive(Debug)]
struct Slot {
    trace: Option<Trace>,
    /// Changes with each trace that leaves the slot, so that old references to it can be told.
    generation: u32,
    older: u32,
    newer: u32,
}

/// The slab, with the traces linked from the oldest to the newest.
#[derive(Debug)]
pub(crate) struct Traces {
    slots: Vec<Slot>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    held: usize,
    /// Bytes beside its slot that each held trace takes.
    boxes: usize,
}

impl Traces {
    pub(crate) fn new(boxes: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE, held: 0, boxes }
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Bytes that the entries of held traces take.
    pub(crate) fn in_use(&self) -> usize {
        self.held * (size_of::<Slot>() + self.boxes)
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        let boxes = self.held * self.boxes;
        self.slots.capacity() * size_of::<Slot>() + self.free.capacity() * size_of::<u32>() + boxes
    }

    pub(crate) fn oldest(&self) -> Option<(u32, &Trace)> {
        Some((self.oldest, self.get(self.oldest)?))
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Trace> {
        self.slots.get(at as usize)?.trace.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Trace> {
        self.slots.get_mut(at as usize)?.trace.as_mut()
    }

    pub(crate) fn generation(&self, at: u32) -> u32 {
        self.slots.get(at as usize).map_or(0, |slot| slot.generation)
    }

    pub(crate) fn push_newest(&mut self, trace: Trace) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { trace: None, generation: 0, older: NONE, newer: NONE });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[at as usize];
        slot.trace = Some(trace);
        slot.older = self.newest;
        slot.newer = NONE;
        match std::mem::replace(&mut self.newest, at) {
            NONE => self.oldest = at,
            older => self.slots[older as usize].newer = at,
        }
        self.held += 1;
        at
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Trace> {
        let slot = self.slots.get_mut(at as usize)?;
        let trace = slot.trace.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        let (older, newer) = (slot.older, slot.newer);
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        self.free.push(at);
        self.held -= 1;
        Some(trace)
    }
}
