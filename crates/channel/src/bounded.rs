//! The channel itself: crossbeam's queue for the items, one counter for the bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a queued item costs.
pub trait Weigh {
    /// The item's size in bytes, as counted against [`Limits::bytes`].
    fn weight(&self) -> usize;
}

/// How much a channel may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most items queued at once; at least 1.
    pub items: usize,
    /// Most bytes queued at once. One item larger than this still passes when the channel is empty, so that
    /// a limit never makes a valid item undeliverable.
    pub bytes: usize,
}

/// Why an item was not queued; the item comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<T> {
    /// The channel is full.
    Full(T),
    /// The receiving end is gone.
    Closed(T),
}

impl<T> SendError<T> {
    /// The item that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

/// Shared accounting of one channel.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    bytes: AtomicUsize,
    items: AtomicUsize,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    room: Condvar,
}

impl Shared {
    /// Takes `weight` bytes and one item from the budget, or nothing.
    fn reserve(&self, weight: usize) -> bool {
        let items = self.items.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
            (held < self.limits.items).then_some(held + 1)
        });
        if items.is_err() {
            return false;
        }
        let bytes = self.bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
            let total = held.saturating_add(weight);
            (held == 0 || total <= self.limits.bytes).then_some(total)
        });
        if bytes.is_err() {
            self.items.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        true
    }

    fn release(&self, weight: usize) {
        self.bytes.fetch_sub(weight, Ordering::SeqCst);
        self.items.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // The lock orders this wake-up after a sender's last look at the budget.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.room.notify_all();
        }
    }
}

/// A view of how full a channel is; cheap to clone, for metrics and the status page.
#[derive(Clone, Debug)]
pub struct Depth(Arc<Shared>);

impl Depth {
    /// Items queued now.
    pub fn items(&self) -> usize {
        self.0.items.load(Ordering::Relaxed)
    }

    /// Bytes queued now.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// What the channel may hold.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// The sending end; clone it for several producers. The channel closes when the last sender is dropped.
#[derive(Debug)]
pub struct Sender<T> {
    queue: crossbeam_channel::Sender<T>,
    shared: Arc<Shared>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<T: Weigh> Sender<T> {
    /// Queues the item if there is room; never waits.
    ///
    /// # Errors
    /// Hands the item back when the channel is full or closed.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        let weight = item.weight();
        if !self.shared.reserve(weight) {
            return Err(SendError::Full(item));
        }
        self.queue.send(item).map_err(|closed| {
            self.shared.release(weight);
            SendError::Closed(closed.0)
        })
    }

    /// Queues the item, waiting up to `timeout` for room. Not for async code: it blocks the thread.
    ///
    /// # Errors
    /// Hands the item back when there was no room in time or the channel is closed.
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<(), SendError<T>> {
        let deadline = Instant::now() + timeout;
        let mut item = match self.try_send(item) {
            Err(SendError::Full(item)) => item,
            done => return done,
        };
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = loop {
            item = match self.try_send(item) {
                Err(SendError::Full(item)) => item,
                done => break done,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Err(SendError::Full(item));
            }
            guard = self.shared.room.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(guard);
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// Whether an item of this weight would fit now; another sender may still be faster.
    pub fn has_room(&self, weight: usize) -> bool {
        let bytes = self.shared.bytes.load(Ordering::SeqCst);
        self.shared.items.load(Ordering::SeqCst) < self.shared.limits.items
            && (bytes == 0 || bytes.saturating_add(weight) <= self.shared.limits.bytes)
    }

    /// Waits up to `timeout` until an item of this weight would fit. It blocks the thread.
    pub fn wait_for_room(&self, weight: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.has_room(weight) || left.is_zero() {
                break self.has_room(weight);
            }
            guard = self.shared.room.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(guard);
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
        fits
    }

    /// Queues the item whether it fits or not. For data that goes to several channels at once: look for room in all
    /// of them first, then send to all; the bound is exceeded by at most one item for each concurrent sender.
    ///
    /// # Errors
    /// Hands the item back when the channel is closed.
    pub fn send_beyond(&self, item: T) -> Result<(), SendError<T>> {
        let weight = item.weight();
        self.shared.items.fetch_add(1, Ordering::SeqCst);
        self.shared.bytes.fetch_add(weight, Ordering::SeqCst);
        self.queue.send(item).map_err(|closed| {
            self.shared.release(weight);
            SendError::Closed(closed.0)
        })
    }

    /// How full the channel is.
    pub fn depth(&self) -> Depth {
        Depth(Arc::clone(&self.shared))
    }
}

/// The receiving end. Items left when it is dropped are dropped with it.
#[derive(Debug)]
pub struct Receiver<T> {
    queue: crossbeam_channel::Receiver<T>,
    shared: Arc<Shared>,
}

impl<T: Weigh> Receiver<T> {
    /// The crossbeam end, to select it with other channels; give each item taken from it to [`Self::taken`].
    pub fn as_crossbeam(&self) -> &crossbeam_channel::Receiver<T> {
        &self.queue
    }

    /// Frees the room of an item taken through [`Self::as_crossbeam`].
    pub fn taken(&self, item: &T) {
        self.shared.release(item.weight());
    }

    /// The next item, if one is queued.
    ///
    /// # Errors
    /// `Empty`, or `Disconnected` once every sender is gone and the channel is drained.
    pub fn try_recv(&self) -> Result<T, crossbeam_channel::TryRecvError> {
        let item = self.queue.try_recv()?;
        self.taken(&item);
        Ok(item)
    }

    /// The next item, waiting until `deadline`.
    ///
    /// # Errors
    /// `Timeout`, or `Disconnected` once every sender is gone and the channel is drained.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, crossbeam_channel::RecvTimeoutError> {
        let item = self.queue.recv_deadline(deadline)?;
        self.taken(&item);
        Ok(item)
    }

    /// How full the channel is.
    pub fn depth(&self) -> Depth {
        Depth(Arc::clone(&self.shared))
    }
}

/// A channel that holds at most `limits`.
pub fn bounded<T: Weigh>(limits: Limits) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        limits: Limits { items: limits.items.max(1), bytes: limits.bytes },
        bytes: AtomicUsize::new(0),
        items: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        lock: Mutex::new(()),
        room: Condvar::new(),
    });
    // Unbounded underneath: the reservation is the bound, so a reserved send never waits.
    let (sender, receiver) = crossbeam_channel::unbounded();
    (Sender { queue: sender, shared: Arc::clone(&shared) }, Receiver { queue: receiver, shared })
}
