//! The entrance: whoever has a request reads it and takes it in.

use crate::shard::{Closed, Shard};
use forebay_component::{Ack, Consumer, Payload, Reason, Refusal, Refused};
use forebay_sampling::{PolicySet, Reader, Reading, SamplerConfig};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a refused sender is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Gives each request to the shards that own its traces, on the thread that brings it: its bytes have just been
/// checked, and are in that core's cache (docs/adr/0008).
pub(crate) struct Entrance {
    shards: Vec<Arc<Shard>>,
    readers: Readers,
}

impl Entrance {
    pub fn new(shards: Vec<Arc<Shard>>, readers: Readers) -> Self {
        Self { shards, readers }
    }

    /// Room is looked for in every shard first, so that a request is taken whole or not at all.
    fn take_in(&self, mut payload: Payload, deadline: Option<Instant>) -> Result<(), Refused> {
        let mut reader = self.readers.take();
        let reading = reader.read(&payload.body, payload.index.as_deref());
        let concerned =
            || self.shards.iter().filter(|shard| shard.part().is_none_or(|part| reading.concerns(part)));
        let taken = match concerned().find(|shard| !shard.has_room(payload.body.len(), deadline)) {
            Some(full) if !full.is_closed() => {
                let full = Refusal::retryable(Reason::QueueFull, "tail_sampling is full; try again later");
                Err(full.after(RETRY_AFTER))
            }
            Some(_) => Err(stopping()),
            None => give(concerned(), reading, &payload).map_err(|Closed| stopping()),
        };
        self.readers.give_back(reader);
        match taken {
            Ok(()) => {
                std::mem::replace(&mut payload.ack, Ack::none()).accept();
                Ok(())
            }
            Err(refusal) => Err(Refused::new(payload, refusal)),
        }
    }
}

/// Gives a request to shards; those that another thread is at come last.
fn give<'s>(
    shards: impl Iterator<Item = &'s Arc<Shard>>,
    reading: Reading<'_>,
    payload: &Payload,
) -> Result<(), Closed> {
    let mut busy = Vec::new();
    for shard in shards {
        match shard.try_take_in(reading, payload) {
            Some(taken) => taken?,
            None => busy.push(shard),
        }
    }
    busy.into_iter().try_for_each(|shard| shard.take_in(reading, payload))
}

fn stopping() -> Refusal {
    Refusal::retryable(Reason::ShuttingDown, "tail_sampling is stopping")
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

/// Readers that no thread uses at the moment: as many as ever read at once.
pub(crate) struct Readers {
    idle: Mutex<Vec<Reader>>,
    config: SamplerConfig,
    policies: Arc<PolicySet>,
    seed: u64,
}

impl Readers {
    pub fn new(config: SamplerConfig, policies: Arc<PolicySet>, seed: u64) -> Self {
        Self { idle: Mutex::new(Vec::new()), config, policies, seed }
    }

    /// One for a thread's own.
    pub fn make(&self) -> Reader {
        Reader::new(&self.config, Arc::clone(&self.policies), self.seed)
    }

    fn take(&self) -> Reader {
        let idle = self.idle.lock().pop();
        idle.unwrap_or_else(|| self.make())
    }

    fn give_back(&self, reader: Reader) {
        self.idle.lock().push(reader);
    }
}
