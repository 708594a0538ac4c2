//! What stages on threads of their own have in common: patient delivery.

use crate::consumer::Consumer;
use crate::payload::Payload;
use crate::refusal::{Reason, Refusal};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one attempt to deliver waits before the stage looks at its control lane again.
const ATTEMPT: Duration = Duration::from_millis(50);

/// The least time between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Hands `payload` to `next` and waits as long as it is full: the wait is felt upstream as a full stage.
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
