//! Making room: who yields when memory, the number of traces or a class's budget is used up.

use crate::decision::{Action, Trigger};
use crate::sampler::Sampler;

/// A trace that takes more than this part of the memory limit by itself is decided on what it has.
const LARGEST_SHARE: u64 = 4;

/// What a class gave up before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Traces decided for want of room.
    pub traces: u64,
    /// Their spans that were kept.
    pub spans_kept: u64,
    /// Their spans that were dropped.
    pub spans_dropped: u64,
}

impl Sampler {
    /// Decides one undecided trace of the lowest class that holds more than its floor, or of the lowest class that
    /// holds any. False when nothing is undecided.
    pub(crate) fn evict(&mut self, trigger: Trigger, out: &mut Vec<Action>) -> bool {
        let holdings = self.traces.holdings(false);
        let floor = |class: usize| self.config.priority.floors.get(class).copied().unwrap_or(0);
        let lowest_first = || (0..holdings.len()).rev().filter(|&class| holdings[class].traces > 0);
        let above_floor = lowest_first().find(|&class| holdings[class].bytes > floor(class));
        let Some(class) = above_floor.or_else(|| lowest_first().next()) else { return false };
        let Some(at) = self.traces.first_to_yield(class, false) else { return false };
        self.decide(at, trigger, out);
        true
    }

    /// A trace has grown: makes it, its class and all that is held fit their bounds.
    pub(crate) fn fit(&mut self, at: u32, out: &mut Vec<Action>) {
        if let Some(trace) = self.traces.get(at) {
            let class = usize::from(trace.class);
            let most = self.config.memory_limit.map_or(u64::MAX, |limit| limit as u64 / LARGEST_SHARE);
            if trace.retained {
                self.fit_retained(out);
            } else if trace.bytes > most {
                self.decide(at, Trigger::EvictedTraceSize, out);
            }
            if let Some(budget) = self.config.priority.budgets.get(class).copied().flatten() {
                while self.traces.holdings(false)[class].bytes > budget
                    && let Some(at) = self.traces.first_to_yield(class, false)
                {
                    self.decide(at, Trigger::EvictedClassBudget, out);
                }
            }
        }
        let Some(limit) = self.config.memory_limit else { return };
        while self.in_use() > limit {
            // Dead space comes first, then what is dropped already, then what the lowest class holds.
            let dead = self.segments.dead();
            if (dead < limit / 8 || !self.segments.compact())
                && !self.release_least_retained(out)
                && !self.evict(Trigger::EvictedMemory, out)
            {
                break;
            }
        }
    }

    /// Bytes that what is held takes, without what is on its way out.
    fn in_use(&self) -> usize {
        let held = self.segments.in_use().saturating_sub(self.rests_bytes);
        held + self.contexts.memory() + self.traces.in_use()
    }

    /// Gives memory back that dead records take, when they are most of what is taken.
    pub(crate) fn tidy(&mut self) {
        self.timers.sweep(&self.traces);
        if self.segments.dead() > (self.segments.in_use() / 8 * 5).max(16 << 20) {
            self.segments.compact();
        }
    }
}
