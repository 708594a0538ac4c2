//! Policies that let through so much a second: what they have let through so far, on the sampler's clock.
//!
//! Several shards share a rate evenly, without talking to each other. A trace that fits the whole limit but not one
//! shard's part of it still passes when the part is untouched; the shard then lets nothing through until that is
//! made good. With one shard this is the collector's rule exactly.

use crate::policy::PolicySet;

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

/// One shard's part of all limits.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// The sampler's time, in nanoseconds.
    pub(crate) now: u64,
    buckets: Vec<Bucket>,
}

impl Meters {
    pub(crate) fn new(policies: &PolicySet, shards: usize) -> Self {
        let shards = shards.max(1) as f64;
        Self { now: 0, buckets: policies.limits.iter().map(|limit| Bucket::new(limit, shards)).collect() }
    }

    /// Takes `amount` from a limit's bucket, all or nothing.
    pub(crate) fn take(&mut self, limit: usize, amount: u64) -> bool {
        let now = self.now;
        self.buckets.get_mut(limit).is_some_and(|bucket| bucket.take(amount, now))
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

    fn take(&mut self, amount: u64, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.at) as f64 / 1e9;
        let tokens = (self.tokens + elapsed * self.rate).min(self.capacity);
        let wanted = amount as f64;
        // A part smaller than the trace must be full. What flows in within a nanosecond may be missing.
        let missing = wanted.min(self.capacity) - tokens;
        if amount > self.largest || missing / self.rate * 1e9 >= 1.0 {
            return false;
        }
        self.tokens = tokens - wanted;
        self.at = now;
        true
    }
}
