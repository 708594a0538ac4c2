//! Policies over what is known of a trace: how they vote, and whether a vote can still change.

use std::sync::Arc;

use crate::decision::{Reason, Verdict};
use crate::explain::Votes;
use crate::facts::Candidate;
use crate::leaf_set::LeafSet;
use crate::limits::{Composite, Limit, Meters, Unit};
use crate::outlook::{Answer, Outlook};
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
    /// What `rate_limiting` and `bytes_limiting` policies let through.
    pub(crate) limits: Vec<Limit>,
    /// What `composite` policies are made of.
    pub(crate) composites: Vec<Composite>,
    /// Some policy looks at the trace's duration.
    pub(crate) uses_latency: bool,
    /// Some policy looks at the number of spans.
    pub(crate) uses_span_count: bool,
    /// Some policy looks at the encoded size.
    pub(crate) uses_size: bool,
}

/// A conjunction of terms: a plain policy has one, a `drop` one per sub-policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Arc<str>,
    /// Its place in the configuration.
    pub(crate) configured: usize,
    pub(crate) drops: bool,
    /// Its vote depends on the traces it voted on before.
    pub(crate) limited: bool,
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
    /// A predicate that matched on some span before it failed on one.
    Fallible {
        leaf: usize,
        failure: usize,
    },
    /// `lower < duration`, and `duration <= upper` when there is an upper bound; milliseconds.
    Latency {
        lower: i64,
        upper: Option<i64>,
    },
    /// By number in [`PolicySet::shares`].
    Share(usize),
    /// `min <= spans`, and `spans <= max` when there is an upper bound.
    SpanCount {
        min: u64,
        max: Option<u64>,
    },
    /// What still passes, by number in [`PolicySet::limits`].
    Limit(usize),
    /// By number in [`PolicySet::composites`].
    Composite(usize),
    Not(Box<Term>),
    /// Every one holds; asked in order, and no further than the first that does not.
    All(Vec<Term>),
}

impl Term {
    /// Its vote depends on the traces it voted on before.
    pub(crate) fn is_limited(&self) -> bool {
        match self {
            Self::Limit(_) | Self::Composite(_) => true,
            Self::Not(term) => term.is_limited(),
            Self::All(terms) => terms.iter().any(Self::is_limited),
            _ => false,
        }
    }
}

impl PolicySet {
    /// Places in the configuration of policies that cannot vote on a part of a trace (`span_ingest`): what they say
    /// of it may be wrong of the whole.
    pub fn need_whole_traces(&self) -> impl Iterator<Item = usize> {
        let needs = |policy: &&Policy| policy.terms.iter().any(|term| self.needs_whole_trace(term));
        self.policies.iter().filter(needs).map(|policy| policy.configured)
    }

    fn needs_whole_trace(&self, term: &Term) -> bool {
        match term {
            Term::Limit(_) | Term::SpanCount { max: Some(_), .. } | Term::Latency { upper: Some(_), .. } => {
                true
            }
            Term::Composite(composite) => self.composites.get(*composite).is_some_and(|composite| {
                composite.parts.iter().any(|part| self.needs_whole_trace(&part.term))
            }),
            Term::Not(term) => self.needs_whole_trace(term),
            Term::All(terms) => terms.iter().any(|term| self.needs_whole_trace(term)),
            _ => false,
        }
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
    /// Traces it could not be evaluated on, and had no vote.
    pub failed: u64,
    /// Spans of the traces it voted to keep.
    pub spans_sampled: u64,
}

/// An outcome: the verdict, why, and the index of the policy that decided.
pub(crate) type Outcome = (Verdict, Reason, Option<usize>);

/// The outcome when no policy matches.
pub(crate) const NO_MATCH: Outcome = (Verdict::Dropped, Reason::NoPolicyMatched, None);

/// The outcome of a match.
pub(crate) fn kept_by(policy: usize) -> Outcome {
    (Verdict::Kept, Reason::PolicyMatch, Some(policy))
}

impl PolicySet {
    /// The policies' names in the order of evaluation: drop policies first.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.policies.iter().map(|policy| &policy.name)
    }

    /// Decides; counts each policy's vote until the first that settles it, and notes it in `cast`. Limits are drawn from.
    pub(crate) fn decide(
        &self,
        trace: Candidate<'_>,
        first_match: bool,
        meters: &mut Meters,
        votes: &mut [PolicyVotes],
        cast: &mut Votes,
    ) -> Outcome {
        let mut winner = None;
        for (index, (policy, votes)) in self.policies.iter().zip(votes).enumerate() {
            let answer = self.matches(policy, trace, meters);
            cast.cast(index, answer);
            match answer {
                Answer::Yes => {}
                Answer::No => {
                    votes.not_sampled += 1;
                    continue;
                }
                Answer::Failed => {
                    votes.failed += 1;
                    continue;
                }
            }
            if policy.drops {
                votes.dropped += 1;
                return (Verdict::Dropped, Reason::DroppedByPolicy, Some(index));
            }
            votes.sampled += 1;
            votes.spans_sampled += trace.spans;
            winner = winner.or(Some(index));
            if first_match {
                break;
            }
        }
        winner.map_or(NO_MATCH, kept_by)
    }

    /// Decides on one batch, if that settles it. `keep` remembers the policy that matched first while a later
    /// batch may still be dropped.
    pub(crate) fn decide_batch(
        &self,
        trace: Candidate<'_>,
        keep: &mut Option<usize>,
        meters: &mut Meters,
        votes: &mut [PolicyVotes],
        cast: &mut Votes,
    ) -> Option<Outcome> {
        let mut may_drop = false;
        for (index, (policy, votes)) in self.policies.iter().zip(votes).enumerate() {
            may_drop |= policy.drops;
            if !policy.drops && keep.is_some() {
                break;
            }
            let answer = self.matches(policy, trace, meters);
            cast.cast(index, answer);
            match answer {
                Answer::No => votes.not_sampled += 1,
                Answer::Failed => votes.failed += 1,
                Answer::Yes if policy.drops => {
                    votes.dropped += 1;
                    return Some((Verdict::Dropped, Reason::DroppedByPolicy, Some(index)));
                }
                Answer::Yes => {
                    votes.sampled += 1;
                    votes.spans_sampled += trace.spans;
                    *keep = Some(index);
                }
            }
        }
        keep.filter(|_| !may_drop).map(kept_by)
    }

    /// True when the trace is kept whatever spans still come.
    pub(crate) fn keeps_for_good(&self, trace: Candidate<'_>, first_match: bool) -> bool {
        if !first_match && self.policies.iter().any(|policy| policy.limited) {
            return false;
        }
        for policy in &self.policies {
            if policy.limited {
                return false;
            }
            let outlook = self.all(&policy.terms, trace);
            if policy.drops {
                if outlook.may_hold() {
                    return false;
                }
            } else if outlook.holds_for_good() {
                return true;
            } else if first_match && outlook.may_hold() {
                // A policy before the winner that may still match would be the one to name.
                return false;
            }
        }
        false
    }

    /// What a policy says, now that it is asked.
    fn matches(&self, policy: &Policy, trace: Candidate<'_>, meters: &mut Meters) -> Answer {
        if policy.limited {
            self.ask_all(&policy.terms, trace, meters)
        } else {
            self.all(&policy.terms, trace).now
        }
    }

    fn ask(&self, term: &Term, trace: Candidate<'_>, meters: &mut Meters) -> Answer {
        let answer = |holds| if holds { Answer::Yes } else { Answer::No };
        match term {
            Term::Limit(limit) => {
                let unit = self.limits.get(*limit).map_or(Unit::Spans, |limit| limit.unit);
                let amount = if unit == Unit::Spans { trace.spans } else { trace.bytes };
                answer(meters.take(*limit, amount, trace.rank))
            }
            Term::Composite(composite) => {
                let parts = self.composites.get(*composite).map_or(&[][..], |composite| &composite.parts);
                let answers = parts.iter().map(|part| self.ask(&part.term, trace, meters));
                match answers.enumerate().find(|(_, answer)| *answer != Answer::No) {
                    Some((part, Answer::Yes)) => answer(meters.take_part(*composite, part, trace.spans)),
                    Some((_, other)) => other,
                    None => Answer::No,
                }
            }
            Term::Not(term) => match self.ask(term, trace, meters) {
                Answer::Yes => Answer::No,
                Answer::No => Answer::Yes,
                Answer::Failed => Answer::Failed,
            },
            Term::All(terms) => self.ask_all(terms, trace, meters),
            term => self.term(term, trace).now,
        }
    }

    fn ask_all(&self, terms: &[Term], trace: Candidate<'_>, meters: &mut Meters) -> Answer {
        let mut answers = terms.iter().map(|term| self.ask(term, trace, meters));
        answers.find(|answer| *answer != Answer::Yes).unwrap_or(Answer::Yes)
    }

    /// Whether a term held when it was asked about a trace that was kept by it or by one after it: limits count as
    /// having let the trace through.
    pub(crate) fn holds_unmetered(&self, term: &Term, trace: Candidate<'_>) -> bool {
        match term {
            Term::Limit(_) => true,
            Term::Not(inner) if inner.is_limited() => true,
            Term::All(terms) => terms.iter().all(|term| self.holds_unmetered(term, trace)),
            term => self.term(term, trace).holds(),
        }
    }

    /// Which policies that depend on a limit match but for that limit.
    pub(crate) fn matching_but_for_limits(&self, trace: Candidate<'_>) -> LeafSet {
        let mut matching = LeafSet::default();
        let limited = self.policies.iter().enumerate().filter(|(_, policy)| policy.limited && !policy.drops);
        for (index, policy) in limited {
            if policy.terms.iter().all(|term| self.holds_unmetered(term, trace)) {
                matching.insert(index);
            }
        }
        matching
    }

    /// What a dropped trace has become with spans that came late: kept by a policy that now matches, dropped for good
    /// by a drop policy, or, without an outcome, as before. Policies among `refused` were kept from matching by a
    /// limit: that the limit lets something through by now is no reason.
    pub(crate) fn reconsider(
        &self,
        trace: Candidate<'_>,
        refused: &LeafSet,
        meters: &mut Meters,
        votes: &mut [PolicyVotes],
    ) -> Option<(Outcome, Votes)> {
        let mut cast = Votes::default();
        for (index, (policy, votes)) in self.policies.iter().zip(votes).enumerate() {
            if refused.contains(index) {
                continue;
            }
            let answer = self.matches(policy, trace, meters);
            cast.cast(index, answer);
            if answer != Answer::Yes {
                continue;
            }
            if policy.drops {
                votes.dropped += 1;
                return Some(((Verdict::Dropped, Reason::DroppedByPolicy, Some(index)), cast));
            }
            votes.sampled += 1;
            votes.spans_sampled += trace.spans;
            return Some((kept_by(index), cast));
        }
        None
    }

    /// How a conjunction stands: its first term that does not hold speaks for it.
    pub(crate) fn all(&self, terms: &[Term], trace: Candidate<'_>) -> Outlook {
        const OTHERS: u8 = Answer::No as u8 | Answer::Failed as u8;
        let mut whole = Outlook::TRUE_FOR_GOOD;
        for term in terms {
            if !whole.may_hold() {
                break;
            }
            let next = self.term(term, trace);
            if whole.holds() {
                whole.now = next.now;
            }
            whole.may = whole.may & OTHERS | next.may;
        }
        whole
    }

    fn term(&self, term: &Term, trace: Candidate<'_>) -> Outlook {
        let Candidate { id, facts, spans, .. } = trace;
        match *term {
            Term::Always => Outlook::TRUE_FOR_GOOD,
            Term::Leaf { leaf, invert } => {
                let matched = facts.matched.contains(leaf);
                Outlook::new(matched != invert, matched)
            }
            Term::Fallible { leaf, failure } => match () {
                () if facts.matched.contains(leaf) => Outlook::TRUE_FOR_GOOD,
                () if facts.matched.contains(failure) => {
                    Outlook { now: Answer::Failed, may: Answer::Failed as u8 }
                }
                () => Outlook { may: Outlook::FALSE_NOW.may | Answer::Failed as u8, ..Outlook::FALSE_NOW },
            },
            Term::Latency { lower, upper } => {
                let Some(nanos) = facts.duration_nanos() else { return Outlook::FALSE_NOW };
                // Whole milliseconds towards zero, as the collector compares them. The duration only grows.
                let millis = nanos / 1_000_000;
                match upper {
                    Some(upper) if millis > upper => Outlook::new(false, true),
                    _ => Outlook::new(millis > lower, upper.is_none() && millis > lower),
                }
            }
            Term::Share(share) => {
                let hash = || self.shares.get(share).is_some_and(|share| share.keeps(id));
                Outlook::new(if share < 64 { facts.shares >> share & 1 == 1 } else { hash() }, true)
            }
            // The number of spans only grows.
            Term::SpanCount { max: Some(max), .. } if spans > max => Outlook::new(false, true),
            Term::SpanCount { min, max } => Outlook::new(spans >= min, max.is_none() && spans >= min),
            // Known only when asked.
            Term::Limit(_) | Term::Composite(_) => Outlook::FALSE_NOW,
            Term::Not(ref term) => self.term(term, trace).inverted(),
            Term::All(ref terms) => self.all(terms, trace),
        }
    }
}
