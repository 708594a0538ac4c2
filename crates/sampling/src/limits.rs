//! Policies that let through so much a second: what they have let through so far, on the sampler's clock.
//!
//! Several shards share a rate evenly, without talking to each other. A trace that fits the whole limit but not one
//! shard's part of it still passes when the part is untouched; the shard then lets nothing through until that is
//! made good. With one shard this is the collector's rule exactly.

use std::sync::Arc;

use crate::policy::{PolicySet, Term};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Spans,
    Bytes,
}

/// A token bucket: `per_second` flow in, `burst` fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) unit: Unit,
    pub(crate) per_second: u64,
    pub(crate) burst: u64,
}

/// A compiled `composite` policy.
#[derive(Debug)]
pub(crate) struct Composite {
    /// In the order they are asked.
    pub(crate) parts: Vec<Part>,
}

/// A sub-policy of a `composite` policy.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: Arc<str>,
    pub(crate) term: Term,
    /// The most spans it keeps of each second.
    pub(crate) per_second: u64,
}

/// One shard's part of all limits.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// The sampler's time, in nanoseconds.
    pub(crate) now: u64,
    /// The last `composite` policy that let a trace through, and by which of its parts.
    pub(crate) part: Option<(usize, usize)>,
    buckets: Vec<Bucket>,
    composites: Vec<Windows>,
    /// Which part of a burst each class has to leave to those above it, by place in the order.
    left_free: Vec<f64>,
}

impl Meters {
    /// `classes` is the number of classes that yield to those above them.
    pub(crate) fn new(policies: &PolicySet, shards: usize, classes: usize) -> Self {
        let shards = shards.max(1) as f64;
        Self {
            left_free: (0..classes).map(|class| class as f64 / classes as f64).collect(),
            now: 0,
            part: None,
            buckets: policies.limits.iter().map(|limit| Bucket::new(limit, shards)).collect(),
            composites: policies.composites.iter().map(|composite| Windows::new(composite, shards)).collect(),
        }
    }

    /// Takes `amount` from a limit's bucket for a trace of the class at `rank`, all or nothing.
    pub(crate) fn take(&mut self, limit: usize, amount: u64, rank: usize) -> bool {
        let now = self.now;
        let left_free = self.left_free.get(rank).copied().unwrap_or(0.0);
        self.buckets.get_mut(limit).is_some_and(|bucket| bucket.take(amount, left_free, now))
    }

    /// Takes `spans` from this second's part of a `composite` policy's sub-policy, all or nothing.
    pub(crate) fn take_part(&mut self, composite: usize, part: usize, spans: u64) -> bool {
        let second = self.now / 1_000_000_000;
        let taken =
            self.composites.get_mut(composite).is_some_and(|windows| windows.take(part, spans, second));
        if taken {
            self.part = Some((composite, part));
        }
        taken
    }
}

/// What the sub-policies of a `composite` policy have kept in the current second.
#[derive(Debug)]
struct Windows {
    second: u64,
    parts: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    /// This shard's part, and the whole, which bounds one trace.
    capacity: f64,
    largest: u64,
    taken: f64,
}

impl Windows {
    fn new(composite: &Composite, shards: f64) -> Self {
        let window = |part: &Part| Window {
            capacity: part.per_second as f64 / shards,
            largest: part.per_second,
            taken: 0.0,
        };
        Self { second: 0, parts: composite.parts.iter().map(window).collect() }
    }

    fn take(&mut self, part: usize, spans: u64, second: u64) -> bool {
        let passed = second.saturating_sub(self.second) as f64;
        self.second = second;
        for window in &mut self.parts {
            // With one shard nothing is ever above the capacity, so that every second starts at nothing.
            window.taken =
                if passed > 0.0 { (window.taken - passed * window.capacity).max(0.0) } else { window.taken };
        }
        let Some(window) = self.parts.get_mut(part) else { return false };
        let taken = window.taken + spans as f64;
        let passes = spans <= window.largest && (taken <= window.capacity || window.taken == 0.0);
        if passes {
            window.taken = taken;
        }
        passes
    }
}

#[derive(Debug)]
struct Bucket {
    /// Tokens a second.
    rate: f64,
    capacity: f64,
    /// More than this never passes.
    largest: u64,
    tokens: f64,
    /// When `tokens` was true, in nanoseconds.
    at: u64,
}

impl Bucket {
    /// A full one.
    fn new(limit: &Limit, shards: f64) -> Self {
        let capacity = limit.burst as f64 / shards;
        Self {
            rate: limit.per_second as f64 / shards,
            capacity,
            largest: limit.burst,
            tokens: capacity,
            at: 0,
        }
    }

    fn take(&mut self, amount: u64, left_free: f64, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.at) as f64 / 1e9;
        let tokens = (self.tokens + elapsed * self.rate).min(self.capacity);
        let wanted = amount as f64;
        // A part smaller than the trace must be full. What flows in within a nanosecond may be missing.
        let missing = wanted.min(self.capacity) + left_free * self.capacity - tokens;
        if amount > self.largest || missing / self.rate * 1e9 >= 1.0 {
            return false;
        }
        self.tokens = tokens - wanted;
        self.at = now;
        true
    }
}
