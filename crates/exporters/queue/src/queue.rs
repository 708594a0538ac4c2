//! The bounded queue between pipeline threads and workers.

use crate::config::Sizer;
use forebay_component::Payload;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A payload was not queued.
pub(crate) enum Full {
    /// No room.
    NoRoom(Payload),
    /// The exporter is stopping.
    Closed(Payload),
}

/// What may be held, waiting and under way, as the collector counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) size: u64,
    pub(crate) sizer: Sizer,
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Held>,
    size: u64,
    bytes: u64,
    /// Items ever taken.
    entered: u64,
    closed: bool,
}

/// The queue. Room is taken when a payload enters and given back when its [`Held`] is dropped, delivered or not.
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    filled: Notify,
    room: Condvar,
}

/// A payload and its place in the queue's budget.
pub(crate) struct Held {
    pub(crate) payload: Payload,
    /// Gives the room back on its drop.
    pub(crate) room: Room,
}

pub(crate) struct Room {
    queue: Arc<Queue>,
    size: u64,
    bytes: u64,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), filled: Notify::new(), room: Condvar::new() })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Size (in units of the sizer) and bytes held, waiting and under way.
    pub(crate) fn held(&self) -> (u64, u64) {
        let state = self.lock();
        (state.size, state.bytes)
    }

    /// Items ever taken.
    pub(crate) fn entered(&self) -> u64 {
        self.lock().entered
    }

    /// Queues the payload or hands it back; never waits.
    pub(crate) fn push(self: &Arc<Self>, payload: Payload) -> Result<(), Full> {
        self.insert(self.lock(), payload).map_err(|(_, full)| full)
    }

    /// Queues the payload, waiting up to `timeout` for room; blocks the thread.
    pub(crate) fn push_wait(self: &Arc<Self>, mut payload: Payload, timeout: Duration) -> Result<(), Full> {
        let deadline = Instant::now() + timeout;
        let mut guard = self.lock();
        loop {
            let (state, full) = match self.insert(guard, payload) {
                Ok(()) => return Ok(()),
                Err(full) => full,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            payload = match full {
                Full::NoRoom(payload) if !left.is_zero() => payload,
                full => return Err(full),
            };
            guard = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn insert<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        payload: Payload,
    ) -> Result<(), (MutexGuard<'a, State>, Full)> {
        if state.closed {
            return Err((state, Full::Closed(payload)));
        }
        let (bytes, items) = (payload.body.len() as u64, payload.items as u64);
        let size = match self.limits.sizer {
            Sizer::Requests => 1,
            Sizer::Items => items,
            Sizer::Bytes => bytes,
        };
        // A payload larger than the whole queue passes when it is alone: a limit makes nothing undeliverable.
        let fits = state.size == 0
            || (state.size.saturating_add(size) <= self.limits.size
                && state.bytes.saturating_add(bytes) <= self.limits.bytes);
        if !fits {
            return Err((state, Full::NoRoom(payload)));
        }
        state.size += size;
        state.bytes += bytes;
        state.entered += items;
        let room = Room { queue: Arc::clone(self), size, bytes };
        state.waiting.push_back(Held { payload, room });
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The next payload; none once the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<Held> {
        loop {
            let mut filled = std::pin::pin!(self.filled.notified());
            filled.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(held) = state.waiting.pop_front() {
                    // One wake-up may stand for several payloads: pass it on.
                    if !state.waiting.is_empty() {
                        self.filled.notify_one();
                    }
                    return Some(held);
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Takes no more. Workers still get what waits.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_waiters();
        self.room.notify_all();
    }

    /// Drops what waits, which refuses its acknowledgements.
    pub(crate) fn clear(&self) {
        let left = std::mem::take(&mut self.lock().waiting);
        // Outside the lock: each drop gives its room back.
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.size -= self.size;
        state.bytes -= self.bytes;
        drop(state);
        self.queue.room.notify_all();
    }
}
