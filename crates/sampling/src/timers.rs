//! When traces are due. Every queue may name traces that are gone: a reference tells.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::traces::{Trace, TraceRef, Traces};

/// The deadlines of one shard's traces.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Undecided traces in the order in which their first spans came.
    by_age: VecDeque<TraceRef>,
    /// With `idle_timeout`: a moment at which each undecided trace may be due; it is found to be later when spans
    /// came meanwhile.
    quiet: BinaryHeap<Reverse<(u64, TraceRef)>>,
    /// Traces whose root has come, in order of deadline.
    roots: VecDeque<(u64, TraceRef)>,
    /// Dropped traces that are retained, in order of deadline.
    retained: VecDeque<(u64, TraceRef)>,
}

impl Timers {
    pub(crate) fn push_new(&mut self, trace: TraceRef) {
        self.by_age.push_back(trace);
    }

    pub(crate) fn push_quiet(&mut self, deadline: u64, trace: TraceRef) {
        self.quiet.push(Reverse((deadline, trace)));
    }

    pub(crate) fn push_root(&mut self, deadline: u64, trace: TraceRef) {
        self.roots.push_back((deadline, trace));
    }

    pub(crate) fn push_retained(&mut self, deadline: u64, trace: TraceRef) {
        self.retained.push_back((deadline, trace));
    }

    /// The undecided trace whose first span came first.
    pub(crate) fn oldest(&mut self, traces: &Traces) -> Option<u32> {
        loop {
            let front = *self.by_age.front()?;
            if traces.find(front).is_some_and(|trace| !trace.retained) {
                return Some(front.at);
            }
            self.by_age.pop_front();
        }
    }

    /// The same without forgetting those that are gone.
    pub(crate) fn peek_oldest<'t>(&self, traces: &'t Traces) -> Option<&'t Trace> {
        self.by_age.iter().find_map(|&trace| traces.find(trace).filter(|trace| !trace.retained))
    }

    /// The trace `later` places behind the oldest one. It may be gone, and another one in its place.
    pub(crate) fn later(&self, later: usize) -> Option<u32> {
        self.by_age.get(later).map(|trace| trace.at)
    }

    /// The next trace that may be due for want of spans at `now`, and since when, taken out.
    pub(crate) fn pop_quiet(&mut self, now: u64) -> Option<(u64, TraceRef)> {
        let &Reverse((deadline, _)) = self.quiet.peek()?;
        if deadline > now {
            return None;
        }
        self.quiet.pop().map(|Reverse(next)| next)
    }

    /// The next trace that is due after its root, taken out.
    pub(crate) fn pop_root(&mut self, now: u64) -> Option<TraceRef> {
        self.roots.pop_front_if(|(deadline, _)| *deadline <= now).map(|(_, trace)| trace)
    }

    /// The next trace that has been retained long enough, taken out.
    pub(crate) fn pop_retained(&mut self, now: u64) -> Option<TraceRef> {
        self.retained.pop_front_if(|(deadline, _)| *deadline <= now).map(|(_, trace)| trace)
    }

    /// When a trace is due after its root; none before that has come.
    pub(crate) fn root_deadline(&self, trace: TraceRef) -> Option<u64> {
        self.roots.iter().find(|(_, due)| *due == trace).map(|(deadline, _)| *deadline)
    }

    /// The earliest deadline but that of [`Self::oldest`]; `u64::MAX` without any. It may be a trace's that is gone.
    pub(crate) fn next(&self) -> u64 {
        let quiet = self.quiet.peek().map(|Reverse((deadline, _))| *deadline);
        let root = self.roots.front().map(|(deadline, _)| *deadline);
        let retained = self.retained.front().map(|(deadline, _)| *deadline);
        [quiet, root, retained].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        self.by_age.capacity() * size_of::<TraceRef>()
            + (self.quiet.capacity() + self.roots.capacity() + self.retained.capacity())
                * size_of::<(u64, TraceRef)>()
    }

    /// Forgets traces that are gone once they are most of what a queue names, so that one trace that stays for hours
    /// does not keep the names of all that came and went behind it.
    pub(crate) fn sweep(&mut self, traces: &Traces) {
        let most = 2 * traces.len() + 1024;
        let is_undecided = |trace: &TraceRef| traces.find(*trace).is_some_and(|trace| !trace.retained);
        if self.by_age.len() > most {
            self.by_age.retain(is_undecided);
        }
        if self.quiet.len() > most {
            self.quiet.retain(|Reverse((_, trace))| is_undecided(trace));
        }
        if self.roots.len() > most {
            self.roots.retain(|(_, trace)| is_undecided(trace));
        }
        if self.retained.len() > most {
            self.retained.retain(|(_, trace)| traces.find(*trace).is_some_and(|trace| trace.retained));
        }
    }
}
