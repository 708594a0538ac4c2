//! How one stage hands data to the next.

use crate::payload::Payload;
use crate::refusal::Refusal;
use std::time::Duration;

/// A payload that was not taken, handed back with the reason. Its acknowledgement is still open: the caller
/// refuses it, tries again, or counts the drop.
#[derive(Debug)]
pub struct Refused {
    /// The payload, whole.
    pub payload: Box<Payload>,
    /// Why it was not taken.
    pub refusal: Refusal,
}

impl Refused {
    /// A refusal of `payload`.
    pub fn new(payload: Payload, refusal: Refusal) -> Self {
        Self { payload: Box::new(payload), refusal }
    }

    /// Refuses the payload's acknowledgement with the same reason.
    pub fn refuse(self) -> Refusal {
        self.payload.ack.refuse(self.refusal.clone());
        self.refusal
    }
}

/// The entrance of a stage.
pub trait Consumer: Send + Sync {
    /// Takes the payload, or hands it back at once; never waits. Once taken, the stage completes its
    /// acknowledgement.
    ///
    /// # Errors
    /// The payload, with a retryable refusal when there is no room now.
    fn consume(&self, payload: Payload) -> Result<(), Refused>;

    /// Like [`Self::consume`], but waits up to `timeout` for room. For stages on threads of their own, never from
    /// async code.
    ///
    /// # Errors
    /// The payload, when it still does not fit.
    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused>;

    /// Whether a fan-out must wait for this consumer when it is full, instead of letting it miss what the others
    /// take (`sending_queue.block_on_overflow`).
    fn holds_back(&self) -> bool {
        false
    }

    /// Whether payloads should come with an index of their spans: it costs little beside validation, and saves a stage
    /// that reads every span from walking them again.
    fn wants_index(&self) -> bool {
        false
    }
}
