//! What one policy set keeps and the other does not.

use crate::report::{Change, Counts, Diff, Example};
use forebay_sampling::{Decision, Verdict};
use hashbrown::HashMap;
use std::sync::Arc;

/// Compares the verdicts of two sides trace by trace.
pub(crate) struct Differ {
    traces: HashMap<[u8; 16], Known, foldhash::quality::RandomState>,
    both_kept: Counts,
    both_dropped: Counts,
    other_policy: Counts,
    rows: Vec<Row>,
    examples: usize,
}

/// How far a trace is.
enum Known {
    /// Decided by this side only.
    One(usize, Box<Decision>),
    /// Compared. A verdict after that (of a trace whose first one was forgotten) does not count.
    Both,
}

/// Traces that one side keeps by one policy, and the other drops for one reason.
struct Row {
    /// The side that keeps them.
    side: usize,
    kept_by: Option<Arc<str>>,
    dropped_because: &'static str,
    dropped_by: Option<Arc<str>>,
    counts: Counts,
    examples: Vec<Example>,
}

impl Differ {
    pub(crate) fn new(examples: usize) -> Self {
        Self {
            traces: HashMap::default(),
            both_kept: Counts::default(),
            both_dropped: Counts::default(),
            other_policy: Counts::default(),
            rows: Vec::new(),
            examples,
        }
    }

    /// Side 0 is the new configuration, side 1 the old one.
    pub(crate) fn decided(&mut self, side: usize, decision: &Decision) {
        match self.traces.get_mut(&decision.trace_id) {
            None => {
                self.traces.insert(decision.trace_id, Known::One(side, Box::new(decision.clone())));
            }
            Some(Known::One(first, before)) if *first == side => {
                if before.verdict == Verdict::Dropped && decision.verdict == Verdict::Kept {
                    **before = decision.clone();
                }
            }
            Some(known @ Known::One(..)) => {
                if let Known::One(_, before) = std::mem::replace(known, Known::Both) {
                    let (new, old) = if side == 0 { (decision, &*before) } else { (&*before, decision) };
                    self.compare(new, old);
                }
            }
            Some(Known::Both) => {}
        }
    }

    fn compare(&mut self, new: &Decision, old: &Decision) {
        let (spans, bytes) = (new.spans.max(old.spans), new.bytes.max(old.bytes));
        let (side, kept, dropped) = match (new.verdict, old.verdict) {
            (Verdict::Kept, Verdict::Kept) => {
                self.both_kept.add(1, spans, bytes);
                if new.policy != old.policy {
                    self.other_policy.add(1, spans, bytes);
                }
                return;
            }
            (Verdict::Dropped, Verdict::Dropped) => return self.both_dropped.add(1, spans, bytes),
            (Verdict::Kept, Verdict::Dropped) => (0, new, old),
            (Verdict::Dropped, Verdict::Kept) => (1, old, new),
        };
        let because = dropped.reason.as_str();
        let same = |row: &&mut Row| {
            row.side == side
                && row.kept_by == kept.policy
                && row.dropped_because == because
                && row.dropped_by == dropped.policy
        };
        let row = match self.rows.iter_mut().find(same) {
            Some(row) => row,
            None => self.rows.push_mut(Row {
                side,
                kept_by: kept.policy.clone(),
                dropped_because: because,
                dropped_by: dropped.policy.clone(),
                counts: Counts::default(),
                examples: Vec::new(),
            }),
        };
        row.counts.add(1, spans, bytes);
        if row.examples.len() < self.examples {
            row.examples.push(Example::new(kept, dropped));
        }
    }

    pub(crate) fn report(mut self) -> Diff {
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.counts.traces));
        let sum = |side: usize| {
            let rows = self.rows.iter().filter(|row| row.side == side);
            rows.fold(Counts::default(), |sum, row| sum.plus(row.counts))
        };
        let (newly_kept, newly_dropped) = (sum(0), sum(1));
        let changes = |side: usize| {
            let rows = self.rows.iter().filter(|row| row.side == side);
            let text = |policy: &Option<Arc<str>>| policy.as_deref().map(str::to_owned);
            let change = |row: &Row| Change {
                kept_by: text(&row.kept_by),
                dropped_because: row.dropped_because,
                dropped_by: text(&row.dropped_by),
                counts: row.counts,
                examples: row.examples.clone(),
            };
            rows.map(change).collect()
        };
        Diff {
            kept_by_both: self.both_kept,
            dropped_by_both: self.both_dropped,
            kept_by_another_policy: self.other_policy,
            newly_kept,
            newly_dropped,
            newly_kept_by_policy: changes(0),
            newly_dropped_by_policy: changes(1),
        }
    }
}
