//! Policies over what is known of a trace: how they vote, and whether a vote can still change.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Reason, Verdict};
use crate::leaf_set::LeafSet;
use crate::predicate::Predicates;
use crate::probabilistic::Share;

/// Compiled policies: what [`compile`](crate::compile) makes of the configuration.
#[derive(Debug, Default)]
pub struct PolicySet {
    pub(crate) predicates: Predicates,
    /// Drop policies first, each kind in configured order: the order of evaluation.
    pub(crate) policies: Vec<Policy>,
    /// What `probabilistic` policies keep.
    pub(crate) shares: Vec<Share>,
    /// Some policy looks at the trace's duration.
    pub(crate) uses_latency: bool,
}

/// A conjunction of terms: a plain policy has one, `and` and `drop` one per sub-policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Arc<str>,
    pub(crate) drops: bool,
    pub(crate) terms: Vec<Term>,
}

/// One condition on a trace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Always,
    /// A predicate matched on some span or resource, or, inverted, on none.
    Leaf {
        leaf: usize,
        invert: bool,
    },
    /// `lower < duration`, and `duration <= upper` when there is an upper bound; milliseconds.
    Latency {
        lower: i64,
        upper: Option<i64>,
    },
    /// By number in [`PolicySet::shares`].
    Share(usize),
}

/// All that policies look at: kept up to date span by span, so a decision reads no span again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) matched: LeafSet,
    /// Which of the first 64 shares keep the trace: hashed once.
    shares: u64,
    /// Earliest start of the spans that have one, and their latest end, in Unix nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Facts {
    /// What is known of a trace by its id alone.
    pub(crate) fn new(policies: &PolicySet, id: &[u8; 16]) -> Self {
        let shares = policies.shares.iter().take(64).rev();
        let shares = shares.fold(0, |bits, share| bits << 1 | u64::from(share.keeps(id)));
        Self { shares, ..Self::default() }
    }

    /// Earliest start to latest end in nanoseconds; none when no span had a start time.
    pub(crate) fn duration_nanos(&self) -> Option<i64> {
        let nanos = || match self.end.checked_sub(self.start) {
            Some(nanos) => i64::try_from(nanos).unwrap_or(i64::MAX),
            None => i64::try_from(self.start - self.end).map_or(i64::MIN, |nanos| -nanos),
        };
        (self.start != 0).then(nanos)
    }

    /// The same for people: zero when unknown or when spans end before they start.
    pub(crate) fn duration(&self) -> Duration {
        let nanos = self.duration_nanos().and_then(|nanos| u64::try_from(nanos).ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }

    /// Takes in a span's times; a span without a start time says nothing about the duration.
    pub(crate) fn add_times(&mut self, start: u64, end: u64) -> bool {
        if start == 0 {
            return false;
        }
        let before = (self.start, self.end);
        self.start = if self.start == 0 { start } else { self.start.min(start) };
        self.end = self.end.max(end);
        before != (self.start, self.end)
    }
}

/// How a condition stands, and whether spans still to come can change it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outlook {
    TrueForGood,
    TrueNow,
    FalseNow,
    FalseForGood,
}

impl Outlook {
    fn new(holds: bool, for_good: bool) -> Self {
        match (holds, for_good) {
            (true, true) => Self::TrueForGood,
            (true, false) => Self::TrueNow,
            (false, false) => Self::FalseNow,
            (false, true) => Self::FalseForGood,
        }
    }

    fn holds(self) -> bool {
        matches!(self, Self::TrueForGood | Self::TrueNow)
    }
}

/// What one policy has voted, over all decisions. A trace counts once per policy asked about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyVotes {
    /// Traces it voted to keep.
    pub sampled: u64,
    /// Traces it did not match.
    pub not_sampled: u64,
    /// Traces it dropped (drop policies only).
    pub dropped: u64,
    /// Spans of the traces it voted to keep.
    pub spans_sampled: u64,
}

/// An outcome: the verdict, why, and the index of the policy that decided.
pub(crate) type Outcome = (Verdict, Reason, Option<usize>);

impl PolicySet {
    /// The policies' names in the order of evaluation: drop policies first.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.policies.iter().map(|policy| &policy.name)
    }

    /// Decides, and counts each policy's vote until the first that settles it.
    pub(crate) fn decide(
        &self,
        id: &[u8; 16],
        facts: &Facts,
        first_match: bool,
        spans: u64,
        votes: &mut [PolicyVotes],
    ) -> Outcome {
        let mut winner = None;
        for (index, (policy, votes)) in self.policies.iter().zip(votes).enumerate() {
            if !self.outlook(policy, id, facts).holds() {
                votes.not_sampled += 1;
                continue;
            }
            if policy.drops {
                votes.dropped += 1;
                return (Verdict::Dropped, Reason::DroppedByPolicy, Some(index));
            }
            votes.sampled += 1;
            votes.spans_sampled += spans;
            winner = winner.or(Some(index));
            if first_match {
                break;
            }
        }
        match winner {
            Some(_) => (Verdict::Kept, Reason::PolicyMatch, winner),
            None => (Verdict::Dropped, Reason::NoPolicyMatched, None),
        }
    }

    /// True when the trace is kept whatever spans still come.
    pub(crate) fn keeps_for_good(&self, id: &[u8; 16], facts: &Facts, first_match: bool) -> bool {
        for policy in &self.policies {
            match (policy.drops, self.outlook(policy, id, facts)) {
                (true, Outlook::FalseForGood) => {}
                (true, _) => return false,
                (false, Outlook::TrueForGood) => return true,
                // A policy before the winner that may still match would be the one to name.
                (false, Outlook::TrueNow | Outlook::FalseNow) if first_match => return false,
                (false, _) => {}
            }
        }
        false
    }

    fn outlook(&self, policy: &Policy, id: &[u8; 16], facts: &Facts) -> Outlook {
        let mut whole = Outlook::TrueForGood;
        for term in &policy.terms {
            match (self.term(term, id, facts), whole) {
                (Outlook::FalseForGood, _) => return Outlook::FalseForGood,
                (Outlook::FalseNow, _) => whole = Outlook::FalseNow,
                (Outlook::TrueNow, Outlook::TrueForGood) => whole = Outlook::TrueNow,
                _ => {}
            }
        }
        whole
    }

    fn term(&self, term: &Term, id: &[u8; 16], facts: &Facts) -> Outlook {
        match *term {
            Term::Always => Outlook::TrueForGood,
            Term::Leaf { leaf, invert } => {
                let matched = facts.matched.contains(leaf);
                Outlook::new(matched != invert, matched)
            }
            Term::Latency { lower, upper } => {
                let Some(nanos) = facts.duration_nanos() else { return Outlook::FalseNow };
                // Whole milliseconds towards zero, as the collector compares them. The duration only grows.
                let millis = nanos / 1_000_000;
                match upper {
                    Some(upper) if millis > upper => Outlook::FalseForGood,
                    _ => Outlook::new(millis > lower, upper.is_none() && millis > lower),
                }
            }
            Term::Share(share) => {
                let hash = || self.shares.get(share).is_some_and(|share| share.keeps(id));
                Outlook::new(if share < 64 { facts.shares >> share & 1 == 1 } else { hash() }, true)
            }
        }
    }
}
