//! What policies know of a trace: kept up to date span by span, so a decision reads no span again.

use std::time::Duration;

use crate::leaf_set::LeafSet;
use crate::policy::PolicySet;

/// All that the trace's id, attributes and times say. In this order: what every run of spans changes lies together.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Facts {
    /// Earliest start of the spans that have one, and their latest end, in Unix nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) matched: LeafSet,
    /// Which of the first 64 shares keep the trace: hashed once.
    pub(crate) shares: u64,
}

/// A trace as policies see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) id: &'a [u8; 16],
    pub(crate) facts: &'a Facts,
    pub(crate) spans: u64,
    /// Its encoded size, counted when some policy limits bytes.
    pub(crate) bytes: u64,
    /// Its class's place in the order of priorities.
    pub(crate) rank: usize,
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

    /// Earliest start and latest end in Unix nanoseconds; none when no span had a start time.
    pub(crate) fn times(&self) -> Option<(u64, u64)> {
        (self.start != 0).then_some((self.start, self.end))
    }

    /// Takes in a span's times; a span without a start time says nothing about the duration.
    #[inline]
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
