//! The entrance: whoever has a request reads it and takes it in.

use crate::readers::Readers;
use crate::shard::Shard;
use forebay_component::{Ack, Consumer, Payload, Reason, Refusal, Refused};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a refused sender is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Gives each request to the shards that own its traces, on the thread that brings it: its bytes have just been
/// checked, and are in that core's cache (docs/adr/0008).
pub(crate) struct Entrance {
    shards: Vec<Arc<Shard>>,
    readers: Arc<Readers>,
    /// Read by who gives a request to shards, so that a stop finds it in all of them or in none.
    closed: RwLock<bool>,
}

impl Entrance {
    pub fn new(shards: Vec<Arc<Shard>>, readers: Arc<Readers>) -> Self {
        Self { shards, readers, closed: RwLock::new(false) }
    }

    /// Takes nothing more from now on.
    pub fn close(&self) {
        *self.closed.write() = true;
    }

    /// Room is looked for in every shard first, so that a request is taken whole or not at all.
    fn take_in(&self, mut payload: Payload, deadline: Option<Instant>) -> Result<(), Refused> {
        let len = payload.body.len();
        let full = || {
            Refusal::retryable(Reason::QueueFull, "tail_sampling is full; try again later").after(RETRY_AFTER)
        };
        // What no shard has room for need not be read.
        if deadline.is_none() && self.shards.iter().all(|shard| !shard.has_room(len, None)) {
            return Err(Refused::new(payload, full()));
        }
        let read = self.readers.read(&payload);
        let concerned =
            || self.shards.iter().filter(|shard| shard.part().is_none_or(|part| read.concerns(part)));
        if !concerned().all(|shard| shard.has_room(len, deadline)) {
            return Err(Refused::new(payload, full()));
        }
        let closed = self.closed.read();
        if *closed {
            let refusal = Refusal::retryable(Reason::ShuttingDown, "tail_sampling is stopping");
            return Err(Refused::new(payload, refusal));
        }
        // Nobody waits for a shard that another thread is at: that thread gets the request.
        let busy: Vec<_> = concerned().filter(|shard| !shard.try_take_in(&read)).collect();
        if !busy.is_empty() {
            let read = Arc::new(read);
            busy.into_iter().for_each(|shard| shard.hand_over(Arc::clone(&read)));
        }
        drop(closed);
        std::mem::replace(&mut payload.ack, Ack::none()).accept();
        Ok(())
    }
}

impl Consumer for Entrance {
    fn wants_index(&self) -> bool {
        true
    }

    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.take_in(payload, None)
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        self.take_in(payload, Some(Instant::now() + timeout))
    }
}
