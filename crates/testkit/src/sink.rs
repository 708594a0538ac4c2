//! A consumer for tests.

use bytes::Bytes;
use forebay_component::{Consumer, Payload, Reason, Refusal, Refused};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keeps what it takes; refuses as told.
#[derive(Debug, Default)]
pub struct Sink {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: Vec<Bytes>,
    items: usize,
    refusal: Option<Refusal>,
    /// Refuses this many more payloads, then takes again.
    refuse_next: usize,
    attempts: usize,
    holds_back: bool,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a fan-out wait for this sink when it is full.
    pub fn hold_back(&self) {
        self.lock().holds_back = true;
    }

    /// Refuses everything retryably, as a full queue does, until [`Self::open`].
    pub fn close(&self) {
        self.refuse(Refusal::retryable(Reason::QueueFull, "the sink is full"));
    }

    /// Refuses everything with `refusal` until [`Self::open`].
    pub fn refuse(&self, refusal: Refusal) {
        self.lock().refusal = Some(refusal);
    }

    /// Refuses the next `count` payloads retryably.
    pub fn refuse_next(&self, count: usize) {
        self.lock().refuse_next = count;
    }

    /// Takes payloads again.
    pub fn open(&self) {
        self.lock().refusal = None;
        self.changed.notify_all();
    }

    /// The bodies taken so far.
    pub fn taken(&self) -> Vec<Bytes> {
        self.lock().taken.clone()
    }

    /// Items taken so far.
    pub fn items(&self) -> usize {
        self.lock().items
    }

    /// Waits until `items` items were taken.
    ///
    /// # Panics
    /// When they were not within a minute.
    #[allow(clippy::panic, reason = "fails the test that waits")]
    pub fn wait_for(&self, items: usize) {
        self.wait(|state| state.items >= items, &format!("{items} items"));
    }

    /// Waits until something has been offered and refused.
    ///
    /// # Panics
    /// When nothing was within a minute.
    pub fn wait_for_attempt(&self) {
        self.wait(|state| state.attempts > 0, "an attempt");
    }

    #[allow(clippy::panic, reason = "fails the test that waits")]
    fn wait(&self, done: impl Fn(&State) -> bool, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut state = self.lock();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}, have {} items", state.items);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Consumer for Sink {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.consume_wait(payload, Duration::ZERO)
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let refusal = if state.refuse_next > 0 {
                state.refuse_next -= 1;
                Some(Refusal::retryable(Reason::QueueFull, "refused once"))
            } else {
                state.refusal.clone()
            };
            let Some(refusal) = refusal else { break };
            state.attempts += 1;
            self.changed.notify_all();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !refusal.retryable {
                return Err(Refused::new(payload, refusal));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.items += payload.items;
        state.taken.push(payload.body);
        drop(state);
        self.changed.notify_all();
        payload.ack.accept();
        Ok(())
    }

    fn holds_back(&self) -> bool {
        self.lock().holds_back
    }
}
