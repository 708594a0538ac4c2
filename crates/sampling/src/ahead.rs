//! Fetching ahead: what is known of a held trace lies where nothing has been touched for as long as it waits, so whoever
//! decides many traces asks for the next ones' memory while it is at the one before (docs/adr/0010).

use crate::sampler::Sampler;
use crate::segments::RecordAt;

/// How many places ahead a trace is asked for, and then what it leads to.
const FAR: usize = 12;
const NEAR: usize = 8;

/// The traces that are decided next, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Due {
    /// The records of the next traces, one more of each with every trace that is decided.
    records: [RecordAt; NEAR],
    next: usize,
}

impl Due {
    pub(crate) fn new() -> Self {
        Self { records: [RecordAt::NONE; NEAR], next: 0 }
    }

    /// The trace that came first is about to be decided.
    pub(crate) fn advance(&mut self, sampler: &Sampler) {
        let Sampler { timers, traces, index, segments, .. } = sampler;
        for record in &mut self.records {
            *record = segments.previous_if_any(*record);
            segments.prefetch(*record);
        }
        if let Some(far) = timers.later(FAR) {
            traces.prefetch(far);
        }
        let near = timers.later(NEAR).and_then(|at| traces.get(at));
        if let Some(trace) = near {
            index.prefetch(index.hash(&trace.id));
        }
        let record = near.map_or(RecordAt::NONE, |trace| trace.last_record);
        segments.prefetch(record);
        self.records[self.next] = record;
        self.next = (self.next + 1) % NEAR;
    }
}
