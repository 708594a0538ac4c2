//! What stages on threads of their own have in common: a bounded entrance and patient delivery.

use crate::consumer::{Consumer, Refused};
use crate::payload::Payload;
use crate::refusal::{Reason, Refusal};
use forebay_channel::{Depth, Limits, Receiver, SendError, Sender, bounded};
use forebay_telemetry::QueueDepth;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a refused sender is asked to wait: long enough to drain a full channel, short against a task.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long one attempt to deliver waits before the stage looks at its control lane again.
const ATTEMPT: Duration = Duration::from_millis(50);

/// The least time between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// The entrance of a stage: a bounded channel that acknowledges what it has room for.
///
/// In memory, room in the channel's budget is what taking responsibility means: the stage behind it never gives
/// data up without counting it.
#[derive(Debug)]
pub struct Entrance {
    sender: Sender<Payload>,
}

impl Entrance {
    /// An entrance of `limits` and the end from which the stage reads.
    pub fn new(limits: Limits) -> (Self, Receiver<Payload>) {
        let (sender, receiver) = bounded(limits);
        (Self { sender }, receiver)
    }

    /// How full it is.
    pub fn depth(&self) -> Depth {
        self.sender.depth()
    }

    fn taken(sent: Result<(), SendError<Payload>>, ack: crate::Ack) -> Result<(), Refused> {
        match sent {
            Ok(()) => {
                ack.accept();
                Ok(())
            }
            Err(SendError::Full(payload)) => {
                let refusal = Refusal::retryable(Reason::QueueFull, "the pipeline is full; try again later");
                Err(Refused::new(payload.with_ack(ack), refusal.after(RETRY_AFTER)))
            }
            Err(SendError::Closed(payload)) => {
                let refusal = Refusal::retryable(Reason::ShuttingDown, "the pipeline is stopping");
                Err(Refused::new(payload.with_ack(ack), refusal))
            }
        }
    }
}

impl Consumer for Entrance {
    fn consume(&self, mut payload: Payload) -> Result<(), Refused> {
        let ack = std::mem::replace(&mut payload.ack, crate::Ack::none());
        Self::taken(self.sender.try_send(payload), ack)
    }

    fn consume_wait(&self, mut payload: Payload, timeout: Duration) -> Result<(), Refused> {
        let ack = std::mem::replace(&mut payload.ack, crate::Ack::none());
        Self::taken(self.sender.send_timeout(payload, timeout), ack)
    }
}

/// Shows channels on the status board as one queue in bytes.
pub fn queue_depth(depths: &[Depth]) -> QueueDepth {
    let bytes = depths.iter().map(Depth::bytes).sum::<usize>() as u64;
    let capacity = depths.iter().map(|depth| depth.limits().bytes).sum::<usize>() as u64;
    QueueDepth { used: bytes, capacity, unit: "bytes", bytes }
}

/// Hands `payload` to `next` and waits as long as it is full: the wait is felt upstream as a full channel.
///
/// # Errors
/// The refusal and the items given up: for good when `next` refuses permanently, or once `give_up` (asked between
/// attempts) names a moment that has passed.
pub fn deliver(
    next: &Arc<dyn Consumer>,
    mut payload: Payload,
    mut give_up: impl FnMut() -> Option<Instant>,
) -> Result<(), (Refusal, usize)> {
    loop {
        let wait = give_up().map_or(ATTEMPT, |at| at.saturating_duration_since(Instant::now()).min(ATTEMPT));
        let begun = Instant::now();
        match next.consume_wait(payload, wait) {
            Ok(()) => return Ok(()),
            Err(refused) => {
                let over = give_up().is_some_and(|at| at <= Instant::now());
                // A stage that stops while we still have time has stopped for good: order of stops is ours.
                if !refused.refusal.retryable || refused.refusal.reason == Reason::ShuttingDown || over {
                    let items = refused.payload.items;
                    return Err((refused.refuse(), items));
                }
                payload = *refused.payload;
                // A consumer that hands back at once would have us spin.
                if begun.elapsed() < PAUSE {
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}
