//! Which messages of a second are printed.

use std::time::{Duration, Instant};

/// The first `initial` messages of each second, then every `thereafter`th.
#[derive(Debug)]
pub(crate) struct Sampler {
    initial: u64,
    thereafter: u64,
    second: Option<Instant>,
    seen: u64,
}

impl Sampler {
    pub(crate) fn new(initial: u64, thereafter: u64) -> Self {
        Self { initial, thereafter, second: None, seen: 0 }
    }

    /// Whether the message that comes `now` is printed.
    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.seen = 0;
        }
        self.seen += 1;
        let after = self.seen.saturating_sub(self.initial);
        after == 0 || (self.thereafter > 0 && after.is_multiple_of(self.thereafter))
    }
}
