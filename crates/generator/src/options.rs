use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// How much a task matters: the value of `task.priority` on its root span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// A person waits, or money is at stake.
    Critical,
    /// Must be seen when it goes wrong.
    High,
    /// The bulk of the work.
    Normal,
    /// Background work.
    Low,
}

impl Priority {
    /// Every priority, most important first.
    pub const ALL: [Priority; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The attribute's value: `critical`, `high`, `normal` or `low`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Whether the product's usual policy (`task.priority` in critical, high) keeps a task of this priority.
    pub fn is_important(self) -> bool {
        matches!(self, Self::Critical | Self::High)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The relative shares of the priorities; they need not add up to anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorityWeights {
    /// Share of critical tasks.
    pub critical: f64,
    /// Share of high tasks.
    pub high: f64,
    /// Share of normal tasks.
    pub normal: f64,
    /// Share of low tasks.
    pub low: f64,
}

impl Default for PriorityWeights {
    /// 3 % critical and 12 % high: the usual policy keeps 15 % of the tasks.
    fn default() -> Self {
        Self { critical: 3.0, high: 12.0, normal: 60.0, low: 25.0 }
    }
}

impl PriorityWeights {
    fn shares(&self) -> [f64; 4] {
        [self.critical, self.high, self.normal, self.low]
    }

    fn is_valid(&self) -> bool {
        let shares = self.shares();
        shares.iter().all(|share| share.is_finite() && *share >= 0.0) && shares.iter().sum::<f64>() > 0.0
    }

    pub(crate) fn pick(&self, rng: &mut Xoshiro256PlusPlus) -> Priority {
        let shares = self.shares();
        let mut point = rng.random::<f64>() * shares.iter().sum::<f64>();
        for (priority, share) in Priority::ALL.into_iter().zip(shares) {
            if point < share {
                return priority;
            }
            point -= share;
        }
        Priority::Normal
    }
}

/// What a [`Generator`](crate::Generator) plans.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed gives the same tasks.
    pub seed: u64,
    /// Mean rate at which tasks start; their gaps are exponentially distributed.
    pub tasks_per_second: f64,
    /// How often each priority comes up.
    pub priorities: PriorityWeights,
    /// The share of tasks that fail, 0 to 1.
    pub error_rate: f64,
    /// Spans of one task, root included; at least 4.
    pub spans_per_task: RangeInclusive<usize>,
    /// How long a task takes before compression; short ones are the more frequent.
    pub task_duration: RangeInclusive<Duration>,
    /// Durations are divided by this: 10 turns a five-minute task into thirty seconds.
    pub compression: f64,
    /// How often each service exports the spans that have ended (not compressed).
    pub export_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            tasks_per_second: 5.0,
            priorities: PriorityWeights::default(),
            error_rate: 0.04,
            spans_per_task: 8..=40,
            task_duration: Duration::from_secs(1)..=Duration::from_secs(300),
            compression: 1.0,
            export_interval: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// Checks the ranges; [`Generator::new`](crate::Generator::new) does the same.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if !(self.tasks_per_second.is_finite() && self.tasks_per_second > 0.0) {
            return Err(OptionsError::Rate(self.tasks_per_second));
        }
        if !self.priorities.is_valid() {
            return Err(OptionsError::Weights);
        }
        if !(0.0..=1.0).contains(&self.error_rate) {
            return Err(OptionsError::ErrorRate(self.error_rate));
        }
        if self.spans_per_task.is_empty() || *self.spans_per_task.start() < 4 {
            return Err(OptionsError::SpansPerTask);
        }
        if self.task_duration.is_empty() || self.task_duration.start().is_zero() {
            return Err(OptionsError::TaskDuration);
        }
        if !(self.compression.is_finite() && self.compression > 0.0) {
            return Err(OptionsError::Compression(self.compression));
        }
        if self.export_interval.is_zero() {
            return Err(OptionsError::ExportInterval);
        }
        Ok(())
    }
}

/// Options that cannot be met, with what would be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// The rate is not a positive number.
    #[error("tasks per second is {0}; give a number above 0")]
    Rate(f64),
    /// No priority can come up.
    #[error("priority weights must be 0 or more, and at least one above 0")]
    Weights,
    /// Not a share.
    #[error("error rate is {0}; give a share between 0 and 1")]
    ErrorRate(f64),
    /// Too few spans for a task.
    #[error("spans per task must be a range that starts at 4 or more")]
    SpansPerTask,
    /// No duration.
    #[error("task duration must be a range that starts above 0")]
    TaskDuration,
    /// The compression is not a positive number.
    #[error("compression is {0}; give a number above 0 (1 leaves durations as they are)")]
    Compression(f64),
    /// No interval.
    #[error("export interval must be above 0")]
    ExportInterval,
    /// A corpus whose trace would not fit the replay ids.
    #[error(
        "a corpus needs 1 to 60 spans a task, 1 span a request, 1 task at a time and 4 spans in all, or more"
    )]
    Corpus,
}
