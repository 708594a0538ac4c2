//! `sending_queue`, `retry_on_failure` and `timeout`: the collector's names and defaults.

use forebay_config::{ByteSize, Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Payloads sent at the same time when there is no queue.
const DIRECT_CONCURRENCY: usize = 64;

/// How the three sections come together for one exporter.
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// `sending_queue`; none sends directly and acknowledges with the backend's answer.
    pub queue: Option<QueueConfig>,
    /// `retry_on_failure`.
    pub retry: RetryConfig,
    /// `timeout`: how long one attempt may take; zero for no bound.
    pub timeout: Duration,
}

/// What `queue_size` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Payloads, whatever their size.
    #[default]
    Requests,
    /// Spans.
    Items,
    /// Bytes on the wire.
    Bytes,
}

impl Sizer {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Items => "items",
            Self::Bytes => "bytes",
        }
    }
}

/// The section `sending_queue`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Whether there is a queue; without one the sender waits for the backend's answer.
    pub enabled: bool,
    /// Requests sent at the same time.
    pub num_consumers: usize,
    /// What fits, waiting and under way, in units of `sizer`.
    pub queue_size: u64,
    /// What `queue_size` counts.
    pub sizer: Sizer,
    /// Whether a full queue makes a pipeline's thread wait instead of refusing at once.
    pub block_on_overflow: bool,
    /// Whether a payload is acknowledged with the backend's answer instead of when it is queued.
    pub wait_for_result: bool,
    /// Forebay's own: bytes that fit, whatever `sizer` counts.
    pub max_bytes: ByteSize,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub storage: Unsupported,
    /// Not supported: [`Self::check`] says so.
    #[serde(skip_serializing)]
    pub batch: Unsupported,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            queue_size: 1000,
            sizer: Sizer::Requests,
            block_on_overflow: false,
            wait_for_result: false,
            max_bytes: ByteSize(512 << 20),
            storage: Unsupported::default(),
            batch: Unsupported::default(),
        }
    }
}

impl QueueConfig {
    /// What is wrong with the values; `section` is the exporter's node.
    pub fn check(&self, section: &Node) -> Diagnostics {
        let key = |key| ["sending_queue", key];
        let mut found = Diagnostics::default();
        let unsupported = [
            ("storage", "remove it: the queue is in memory"),
            ("batch", "use the `batch` processor in front of the exporter"),
        ];
        if let Some(queue) = section.get("sending_queue") {
            found.extend(refuse_unsupported(queue, &unsupported));
        }
        if self.num_consumers == 0 || self.num_consumers > 10_000 {
            found.push(section.error_at(&key("num_consumers"), "must be from 1 to 10000"));
        }
        if self.queue_size == 0 {
            found.push(section.error_at(&key("queue_size"), "must be 1 or more"));
        }
        if self.max_bytes.bytes() == 0 {
            found.push(section.error_at(&key("max_bytes"), "must be 1 byte or more"));
        }
        found
    }

    /// Without a queue: as many payloads as are being sent, each acknowledged with the backend's answer.
    pub(crate) fn direct() -> Self {
        Self {
            enabled: false,
            num_consumers: DIRECT_CONCURRENCY,
            queue_size: DIRECT_CONCURRENCY as u64,
            wait_for_result: true,
            ..Self::default()
        }
    }

    /// The queue to build: none when it is not enabled.
    pub fn if_enabled(&self) -> Option<Self> {
        self.enabled.then(|| self.clone())
    }
}

/// The section `retry_on_failure`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Whether retryable failures are tried again.
    pub enabled: bool,
    /// The wait after the first failure.
    pub initial_interval: GoDuration,
    /// By what share each wait is varied, up and down.
    pub randomization_factor: f64,
    /// By how much each wait is longer than the one before.
    pub multiplier: f64,
    /// The longest wait.
    pub max_interval: GoDuration,
    /// How long one payload is tried before it is dropped; zero for ever.
    pub max_elapsed_time: GoDuration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: GoDuration(Duration::from_secs(5)),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: GoDuration(Duration::from_secs(30)),
            max_elapsed_time: GoDuration(Duration::from_secs(300)),
        }
    }
}

impl RetryConfig {
    /// What is wrong with the values; `section` is the exporter's node.
    pub fn check(&self, section: &Node) -> Diagnostics {
        let mut found = Diagnostics::default();
        let mut wrong =
            |key: &str, message: &str| found.push(section.error_at(&["retry_on_failure", key], message));
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            wrong("randomization_factor", "must be from 0 to 1");
        }
        if !(self.multiplier >= 0.0 && self.multiplier.is_finite()) {
            wrong("multiplier", "must be 0 or more");
        }
        if self.max_elapsed_time.0 > Duration::ZERO {
            if self.max_elapsed_time.0 < self.initial_interval.0 {
                wrong("max_elapsed_time", "must not be less than `initial_interval`; 0 means for ever");
            } else if self.max_elapsed_time.0 < self.max_interval.0 {
                wrong("max_elapsed_time", "must not be less than `max_interval`; 0 means for ever");
            }
        }
        found
    }
}
