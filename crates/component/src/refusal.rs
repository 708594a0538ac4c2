//! Why something was not taken, and whether trying again helps.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The named cause of a refusal or a drop; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// A bounded queue or channel has no room.
    QueueFull,
    /// A byte budget is spent.
    MemoryLimit,
    /// The agent is stopping.
    ShuttingDown,
    /// A stage failed to do its work; our mistake or a broken peer.
    Internal,
    /// The backend cannot be reached or answers that it is overloaded.
    Unavailable,
    /// The backend did not answer in time.
    Timeout,
    /// The backend refuses this data for good.
    Rejected,
    /// The backend asks for other credentials.
    Unauthenticated,
    /// Retries went on for longer than `max_elapsed_time`.
    RetriesExhausted,
    /// The data cannot be expressed in the backend's format, or is malformed.
    Invalid,
}

impl Reason {
    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::MemoryLimit => "memory_limit",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Unauthenticated => "unauthenticated",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Invalid => "invalid",
        }
    }
}

/// A refusal: retryable or permanent, with its cause and words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the same data may be taken later.
    pub retryable: bool,
    /// The named cause.
    pub reason: Reason,
    /// What happened and, where there is something, what to do about it.
    pub message: Cow<'static, str>,
    /// How long to wait before trying again, if known; only for retryable refusals.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal that may pass.
    pub fn retryable(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: true, reason, message: message.into(), retry_after: None }
    }

    /// A refusal for good: sending the same data again cannot help.
    pub fn permanent(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: false, reason, message: message.into(), retry_after: None }
    }

    /// The same refusal with the time to wait.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
