//! What can be asked of a decision and of a sampler: each policy's vote, and how a trace stands now.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Trigger, Verdict};
use crate::facts::Candidate;
use crate::index::Place;
use crate::leaf_set::LeafSet;
use crate::outlook::Answer;
use crate::policy::{Policy, PolicySet};
use crate::sampler::Sampler;
use crate::traces::Trace;

/// What one policy said of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vote {
    /// It matched: to keep the trace or, for a drop policy, to drop it.
    Matched,
    /// It did not match.
    NotMatched,
    /// It could not be evaluated, and had no say (`error_mode: propagate`).
    Failed,
    /// A policy before it had settled the verdict, or none was needed.
    NotAsked,
}

impl Vote {
    /// Such as `not_matched`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::NotMatched => "not_matched",
            Self::Failed => "failed",
            Self::NotAsked => "not_asked",
        }
    }
}

/// Every policy's vote in one decision: three bits for each, on the heap only beyond 64 policies. With `span_ingest`
/// a policy matched when it matched any batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Votes {
    asked: LeafSet,
    matched: LeafSet,
    failed: LeafSet,
}

impl Votes {
    /// The vote of a policy by its place in [`PolicySet::names`].
    #[must_use]
    pub fn of(&self, policy: usize) -> Vote {
        let votes =
            [(&self.matched, Vote::Matched), (&self.failed, Vote::Failed), (&self.asked, Vote::NotMatched)];
        votes.iter().find(|(set, _)| set.contains(policy)).map_or(Vote::NotAsked, |(_, vote)| *vote)
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.asked.heap_bytes() + self.matched.heap_bytes() + self.failed.heap_bytes()
    }

    pub(crate) fn cast(&mut self, policy: usize, answer: Answer) {
        let set = match answer {
            Answer::Yes => &mut self.matched,
            Answer::No => &mut self.asked,
            Answer::Failed => &mut self.failed,
        };
        set.insert(policy);
    }
}

/// What a sampler knows of one trace.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// It is undecided.
    Held(Box<Held>),
    /// It was dropped, and is held for a while because late spans may turn the verdict.
    Retained(Box<Retained>),
    /// Its verdict is remembered for late spans.
    Decided {
        /// Kept or dropped.
        verdict: Verdict,
        /// The policy that decided, if one did.
        policy: Option<Arc<str>>,
        /// When, on the sampler's clock.
        decided_at: Duration,
    },
    /// Nothing: it was never seen, or has been forgotten.
    Nothing,
}

/// An undecided trace. Times are on the sampler's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// When the first span came.
    pub first_seen: Duration,
    /// When the last span came.
    pub last_seen: Duration,
    /// When it is decided at the latest: earlier if a policy settles it or room is short.
    pub due: Duration,
    /// What will decide it then.
    pub due_by: Trigger,
    /// Spans so far.
    pub spans: u64,
    /// Their encoded size.
    pub bytes: u64,
    /// The earliest start and the latest end of its spans in Unix nanoseconds; none when no span has a start time.
    pub times: Option<(u64, u64)>,
    /// The root span's name, if it came.
    pub root_name: Option<Arc<str>>,
    /// `service.name` of the root span's resource, else of the first span's.
    pub service_name: Option<Arc<str>>,
    /// The highest priority seen.
    pub priority: Option<Arc<str>>,
    /// Some of the spans that others name as their parent and that have not come. Looked at once the root is there,
    /// when traces are decided by `idle_timeout`.
    pub missing_parents: Vec<[u8; 8]>,
    /// How each policy stands, in the order of [`PolicySet::names`].
    pub standings: Vec<Standing>,
}

/// A dropped trace that is retained. Times are on the sampler's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Retained {
    /// When it was dropped.
    pub decided_at: Duration,
    /// When it is let go at the latest: earlier if room is short.
    pub until: Duration,
    /// Spans so far, those that came after the verdict included.
    pub spans: u64,
    /// Their encoded size.
    pub bytes: u64,
    /// When the last span came.
    pub last_seen: Duration,
    /// How each policy stands, in the order of [`PolicySet::names`].
    pub standings: Vec<Standing>,
}

/// How a policy stands on a trace that is still undecided, or retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It matches what is there; spans still to come may change that.
    Matches,
    /// It matches whatever still comes.
    MatchesForGood,
    /// It does not match what is there; spans still to come may change that.
    NoMatch,
    /// It does not match whatever still comes.
    NeverMatches,
    /// It cannot be evaluated, whatever still comes.
    Failed,
    /// Its vote depends on the traces decided before, so it is asked only when this one is decided.
    AskedWhenDecided,
}

impl Standing {
    /// Such as `matches_for_good`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::MatchesForGood => "matches_for_good",
            Self::NoMatch => "no_match",
            Self::NeverMatches => "never_matches",
            Self::Failed => "failed",
            Self::AskedWhenDecided => "asked_when_decided",
        }
    }
}

impl PolicySet {
    /// The policies in the order of evaluation: each one's name, and whether it is a drop policy.
    pub fn outline(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.policies.iter().map(|policy| (&policy.name, policy.drops))
    }

    fn standing(&self, policy: &Policy, trace: Candidate<'_>) -> Standing {
        if policy.limited {
            return Standing::AskedWhenDecided;
        }
        let outlook = self.all(&policy.terms, trace);
        match outlook.now {
            Answer::Yes if outlook.holds_for_good() => Standing::MatchesForGood,
            Answer::Yes => Standing::Matches,
            Answer::No | Answer::Failed if outlook.may_hold() => Standing::NoMatch,
            Answer::No => Standing::NeverMatches,
            Answer::Failed => Standing::Failed,
        }
    }
}

impl Sampler {
    /// What is known of a trace. It changes nothing and does not count as a use of a remembered verdict.
    #[must_use]
    pub fn explain(&self, trace_id: &[u8; 16]) -> Known {
        let (verdict, remembered) = match self.find(self.index.hash(trace_id), trace_id) {
            None => return Known::Nothing,
            Some(Place::Held(at)) => {
                return self.traces.get(at).map_or(Known::Nothing, |trace| match trace.retained {
                    true => Known::Retained(Box::new(self.retained(trace))),
                    false => Known::Held(Box::new(self.held(at, trace))),
                });
            }
            Some(Place::Kept(at)) => (Verdict::Kept, self.kept.peek(at)),
            Some(Place::Dropped(at)) => (Verdict::Dropped, self.dropped.peek(at)),
        };
        let policy = self.policies.policies.get(remembered.policy as usize);
        Known::Decided {
            verdict,
            policy: policy.map(|policy| Arc::clone(&policy.name)),
            decided_at: Duration::from_nanos(remembered.decided_at),
        }
    }

    fn standings(&self, trace: &Trace) -> Vec<Standing> {
        let refused = |index| trace.extra.as_ref().is_some_and(|extra| extra.refused.contains(index));
        let standing = |(index, policy): (usize, &Policy)| match trace.batch() {
            // A limit kept it from matching, and it is not asked again.
            _ if trace.retained && refused(index) => Standing::NeverMatches,
            // What a batch matched it matched for good; what the whole trace would match is not asked.
            Some(batch) if batch.cast.of(index) == Vote::Matched => Standing::MatchesForGood,
            Some(_) => Standing::NoMatch,
            None => self.policies.standing(policy, trace.candidate()),
        };
        self.policies.policies.iter().enumerate().map(standing).collect()
    }

    fn retained(&self, trace: &Trace) -> Retained {
        let decided_at = Duration::from_nanos(trace.extra.as_ref().map_or(0, |extra| extra.decided_at));
        let time = self.config.retain_dropped.map_or(Duration::ZERO, |retain| retain.time);
        Retained {
            decided_at,
            until: decided_at.saturating_add(time),
            spans: u64::from(trace.spans),
            bytes: trace.bytes,
            last_seen: Duration::from_nanos(trace.last_seen),
            standings: self.standings(trace),
        }
    }

    fn held(&self, at: u32, trace: &Trace) -> Held {
        let (due, due_by) = self.due_of(at, trace);
        Held {
            first_seen: Duration::from_nanos(trace.first_seen),
            last_seen: Duration::from_nanos(trace.last_seen),
            due: Duration::from_nanos(due),
            due_by,
            spans: u64::from(trace.spans),
            bytes: trace.bytes,
            times: trace.facts.times(),
            root_name: self.traces.root_name(trace),
            service_name: self.service_name(trace),
            priority: self.priority(trace),
            missing_parents: missing_parents(trace),
            standings: self.standings(trace),
        }
    }
}

/// More are not shown.
const MOST_MISSING: usize = 16;

fn missing_parents(trace: &Trace) -> Vec<[u8; 8]> {
    let open = trace.extra.as_ref().map_or(&[][..], |extra| &extra.open_parents);
    open.iter().take(MOST_MISSING).copied().collect()
}
