//! Predicates on one attribute or status, compiled so that a span is walked once for all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use regex::bytes::Regex;

use crate::condition::Conditions;
use crate::leaf_set::LeafSet;
use crate::trace_state::{self, TraceStateTest};

/// An attribute value, as far as policies care.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Str(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Other,
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Str(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Other => Ok(()),
        }
    }
}

/// Where an attribute stands: the collector treats empty strings differently in the two places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Resource,
    Span,
}

/// Regular expressions of one policy; any of them may match.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    pub(crate) sources: Vec<String>,
    pub(crate) regexes: Vec<Regex>,
    pub(crate) cache_size: usize,
    /// Which of the sampler's caches is this one's.
    pub(crate) cache: usize,
}

/// Values of one policy to match exactly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Few(Vec<Box<[u8]>>),
    Many(HashSet<Box<[u8]>, FixedState>),
}

/// Values compared one by one up to this count, hashed beyond.
const FEW: usize = 8;

impl Values {
    pub(crate) fn new(values: &[String]) -> Self {
        let mut values: Vec<Box<[u8]>> =
            values.iter().filter(|value| !value.is_empty()).map(|value| value.as_bytes().into()).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() <= FEW { Self::Few(values) } else { Self::Many(values.into_iter().collect()) }
    }

    fn contains(&self, text: &[u8]) -> bool {
        match self {
            Self::Few(values) => values.iter().any(|value| **value == *text),
            Self::Many(values) => values.contains(text),
        }
    }
}

/// What one attribute must be.
#[derive(Clone, Debug)]
pub(crate) enum AttributeTest {
    StringIn(Values),
    StringMatches(Patterns),
    /// Inclusive bounds.
    Number {
        min: Option<i64>,
        max: Option<i64>,
    },
    Boolean(bool),
}

impl AttributeTest {
    fn matches(&self, value: Value<'_>, place: Place, caches: &mut [MatchCache]) -> bool {
        match (self, value) {
            (Self::StringIn(values), Value::Str(text)) => values.contains(text),
            (Self::StringMatches(patterns), value) => {
                let text = match value {
                    Value::Str(text) => text,
                    _ => &[],
                };
                // The collector matches an empty or non-string resource attribute as "", but no such span attribute.
                if text.is_empty() && place == Place::Span {
                    return false;
                }
                match caches.get_mut(patterns.cache) {
                    Some(cache) => cache.is_match(patterns, text),
                    None => patterns.is_match(text),
                }
            }
            (Self::Number { min, max }, Value::Int(value)) => {
                min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
            }
            (Self::Number { min, max }, Value::Double(value)) => {
                !value.is_nan()
                    && min.is_none_or(|min| at_least(value, min))
                    && max.is_none_or(|max| at_least(-value, -i128::from(max)))
            }
            (Self::Boolean(expected), Value::Bool(value)) => *expected == value,
            _ => false,
        }
    }

    /// Equal tests share one predicate, whatever policies they come from.
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::StringIn(a), Self::StringIn(b)) => a == b,
            (Self::StringMatches(a), Self::StringMatches(b)) => {
                a.sources == b.sources && a.cache_size == b.cache_size
            }
            (Self::Number { min, max }, Self::Number { min: other_min, max: other_max }) => {
                min == other_min && max == other_max
            }
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            _ => false,
        }
    }
}

/// `value >= bound` without the rounding that a conversion of a large bound to a double would do.
fn at_least(value: f64, bound: impl Into<i128>) -> bool {
    let bound = bound.into();
    // The integer part of a finite double beyond i128 saturates, which compares rightly with any i64.
    let floor = value.floor();
    if value.is_infinite() { value > 0.0 } else { floor as i128 >= bound }
}

impl Patterns {
    fn is_match(&self, text: &[u8]) -> bool {
        self.regexes.iter().any(|regex| regex.is_match(text))
    }
}

/// Remembers which values matched a list of patterns; the oldest is forgotten first.
#[derive(Debug)]
pub(crate) struct MatchCache {
    known: HashMap<Arc<[u8]>, bool, FixedState>,
    order: VecDeque<Arc<[u8]>>,
    capacity: usize,
}

impl MatchCache {
    /// Longer values are matched every time: they are rarely seen twice, and would make the cache's memory unbounded.
    const MAX_LEN: usize = 1024;

    pub(crate) fn new(capacity: usize, seed: u64) -> Self {
        Self { known: HashMap::with_hasher(FixedState::with_seed(seed)), order: VecDeque::new(), capacity }
    }

    fn is_match(&mut self, patterns: &Patterns, text: &[u8]) -> bool {
        if let Some(&matched) = self.known.get(text) {
            return matched;
        }
        let matched = patterns.is_match(text);
        if text.len() <= Self::MAX_LEN {
            if self.order.len() >= self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            let key: Arc<[u8]> = text.into();
            self.order.push_back(Arc::clone(&key));
            self.known.insert(key, matched);
        }
        matched
    }
}

/// One predicate over a trace's spans: matched once any span or resource matches.
#[derive(Clone, Debug)]
pub(crate) enum Predicate {
    /// An attribute, by number in [`Predicates::keys`].
    Attribute { key: usize, test: AttributeTest },
    /// A set of status codes: bit n for code n (0 unset, 1 ok, 2 error).
    Status(u8),
    /// The W3C sampled flag.
    SampledFlag,
    /// A list-member of the W3C trace state.
    TraceState(TraceStateTest),
    /// Conditions on spans and their events.
    Conditions(Arc<Conditions>),
    /// The conditions before it could not be evaluated.
    Failure,
}

/// Whether a span's flags have the W3C sampled flag.
pub(crate) fn is_sampled(flags: u32) -> bool {
    flags & 1 != 0
}

impl Predicate {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Status(a), Self::Status(b)) => a == b,
            (Self::SampledFlag, Self::SampledFlag) => true,
            (Self::TraceState(a), Self::TraceState(b)) => a == b,
            (Self::Conditions(a), Self::Conditions(b)) => a.same_as(b),
            (Self::Attribute { key, test }, Self::Attribute { key: other_key, test: other_test }) => {
                key == other_key && test.same_as(other_test)
            }
            _ => false,
        }
    }
}

/// An attribute key that policies name, and the predicates on it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) leaves: Vec<usize>,
}

/// All distinct predicates of a policy set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Predicates {
    pub(crate) leaves: Vec<Predicate>,
    pub(crate) keys: Vec<Key>,
    /// Key numbers by the key's length; the last bucket holds all longer ones.
    by_len: Vec<Vec<usize>>,
    /// The buckets that hold any: nearly every attribute ends its look-up here.
    pub(crate) lens: u64,
    /// What a span of status code n matches.
    by_status: [LeafSet; 3],
    /// What a span with the sampled flag matches.
    by_sampled_flag: LeafSet,
    /// The predicates on the trace state.
    trace_states: Vec<usize>,
    /// The conditions, each with the predicate that it failed where that counts.
    pub(crate) conditions: Vec<(usize, Option<usize>)>,
    /// Sizes of the caches that [`Predicates::caches`] makes.
    cache_sizes: Vec<usize>,
}

/// By length, and one for all longer ones: as many as `SpanFields::skip_others` tells apart.
pub(crate) const LEN_BUCKETS: usize = 64;

impl Predicates {
    pub(crate) fn attribute(&mut self, key: &str, mut test: AttributeTest) -> usize {
        let key = self.key(key);
        if let AttributeTest::StringMatches(patterns) = &mut test {
            patterns.cache = self.cache_sizes.len();
        }
        let cache_size = match &test {
            AttributeTest::StringMatches(patterns) => Some(patterns.cache_size),
            _ => None,
        };
        let before = self.leaves.len();
        let leaf = self.add(Predicate::Attribute { key, test });
        if leaf == before {
            self.keys[key].leaves.push(leaf);
            self.cache_sizes.extend(cache_size);
        }
        leaf
    }

    pub(crate) fn status(&mut self, codes: u8) -> usize {
        let leaf = self.add(Predicate::Status(codes));
        for (code, set) in self.by_status.iter_mut().enumerate() {
            if codes & (1 << code) != 0 {
                set.insert(leaf);
            }
        }
        leaf
    }

    pub(crate) fn sampled_flag(&mut self) -> usize {
        let leaf = self.add(Predicate::SampledFlag);
        self.by_sampled_flag.insert(leaf);
        leaf
    }

    pub(crate) fn trace_state(&mut self, test: TraceStateTest) -> usize {
        let leaf = self.add(Predicate::TraceState(test));
        if !self.trace_states.contains(&leaf) {
            self.trace_states.push(leaf);
        }
        leaf
    }

    /// One cache per list of regular expressions, for one owner.
    pub(crate) fn caches(&self, seed: u64) -> Vec<MatchCache> {
        self.cache_sizes.iter().map(|&size| MatchCache::new(size, seed)).collect()
    }

    /// The number of a key that some policy names.
    #[inline]
    pub(crate) fn find_key(&self, name: &[u8]) -> Option<usize> {
        let len = name.len().min(LEN_BUCKETS - 1);
        if self.lens >> len & 1 == 0 {
            return None;
        }
        let bucket = self.by_len.get(len)?;
        bucket.iter().copied().find(|&key| self.keys[key].name.as_bytes() == name)
    }

    /// Adds to `matched` the predicates on `key` that `value` satisfies.
    pub(crate) fn eval(
        &self,
        key: usize,
        value: Value<'_>,
        place: Place,
        caches: &mut [MatchCache],
        matched: &mut LeafSet,
    ) {
        for &leaf in &self.keys[key].leaves {
            if self.leaf_matches(leaf, value, place, caches) {
                matched.insert(leaf);
            }
        }
    }

    pub(crate) fn leaf_matches(
        &self,
        leaf: usize,
        value: Value<'_>,
        place: Place,
        caches: &mut [MatchCache],
    ) -> bool {
        match &self.leaves[leaf] {
            Predicate::Attribute { test, .. } => test.matches(value, place, caches),
            _ => false,
        }
    }

    /// Adds to `matched` the predicates that a span's status code satisfies.
    #[inline]
    pub(crate) fn eval_status(&self, code: i64, matched: &mut LeafSet) {
        if let Some(set) = usize::try_from(code).ok().and_then(|code| self.by_status.get(code)) {
            matched.union(set);
        }
    }

    /// Adds to `matched` the predicates that a span's flags and trace state satisfy.
    #[inline]
    pub(crate) fn eval_context(&self, flags: u32, trace_state: &str, matched: &mut LeafSet) {
        if is_sampled(flags) {
            matched.union(&self.by_sampled_flag);
        }
        if self.trace_states.is_empty() || trace_state.is_empty() {
            return;
        }
        self.eval_trace_state(trace_state, matched);
    }

    #[inline(never)]
    fn eval_trace_state(&self, trace_state: &str, matched: &mut LeafSet) {
        let Some(members) = trace_state::parse(trace_state) else { return };
        for &leaf in &self.trace_states {
            if let Some(Predicate::TraceState(test)) = self.leaves.get(leaf)
                && test.find(&members).is_some()
            {
                matched.insert(leaf);
            }
        }
    }

    fn key(&mut self, name: &str) -> usize {
        if let Some(key) = self.find_key(name.as_bytes()) {
            return key;
        }
        self.by_len.resize(LEN_BUCKETS, Vec::new());
        let key = self.keys.len();
        self.keys.push(Key { name: name.into(), leaves: Vec::new() });
        let len = name.len().min(LEN_BUCKETS - 1);
        self.by_len[len].push(key);
        self.lens |= 1 << len;
        key
    }

    pub(crate) fn add(&mut self, predicate: Predicate) -> usize {
        if let Some(leaf) = self.leaves.iter().position(|known| known.same_as(&predicate)) {
            return leaf;
        }
        self.leaves.push(predicate);
        self.leaves.len() - 1
    }
}
