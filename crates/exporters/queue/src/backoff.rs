//! Exponential backoff with jitter.

use crate::config::RetryConfig;
use std::time::Duration;

/// No wait is shorter: with `initial_interval: 0s` a refusing backend would be asked in a tight loop.
const SHORTEST: Duration = Duration::from_millis(10);

/// The waits between the attempts of one payload.
#[derive(Debug)]
pub(crate) struct Backoff<'a> {
    config: &'a RetryConfig,
    interval: Duration,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(config: &'a RetryConfig) -> Self {
        Self { config, interval: config.initial_interval.0 }
    }

    /// The next wait; `chance` in 0..1 places it within the jitter's span.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let factor = 1.0 + self.config.randomization_factor * (2.0 * chance - 1.0);
        let wait = scale(self.interval, factor).max(SHORTEST);
        self.interval = scale(self.interval, self.config.multiplier).min(self.config.max_interval.0);
        wait
    }
}

/// `duration` times `factor`, at most a day: no product of a user's numbers overflows.
fn scale(duration: Duration, factor: f64) -> Duration {
    let seconds = (duration.as_secs_f64() * factor).clamp(0.0, 86_400.0);
    Duration::from_secs_f64(seconds)
}
