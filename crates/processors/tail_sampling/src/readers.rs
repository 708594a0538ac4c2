//! Readers, and requests that were read.

use bytes::Bytes;
use forebay_component::Payload;
use forebay_sampling::{PolicySet, Reader, Reading, SamplerConfig, Shard as Part};
use parking_lot::Mutex;
use std::sync::Arc;

/// Readers that nobody uses at the moment: as many as were ever used at once.
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

    /// Reads a request, with one that is idle or a new one.
    pub fn read(self: &Arc<Self>, payload: &Payload) -> Read {
        let idle = self.idle.lock().pop();
        let new = || Reader::new(&self.config, Arc::clone(&self.policies), self.seed);
        let mut reader = idle.unwrap_or_else(new);
        reader.read(&payload.body, payload.index.as_deref());
        Read {
            reader: Some(reader),
            body: payload.body.clone(),
            items: payload.items,
            readers: Arc::clone(self),
        }
    }
}

/// A request that was read; its reader is free again when it is gone.
pub(crate) struct Read {
    reader: Option<Reader>,
    pub body: Bytes,
    pub items: usize,
    readers: Arc<Readers>,
}

impl Read {
    /// Whether it has spans of one of a shard's traces.
    pub fn concerns(&self, part: Part) -> bool {
        self.reading().is_some_and(|reading| reading.concerns(part))
    }

    /// What was read: none once it is gone.
    pub fn reading(&self) -> Option<Reading<'_>> {
        self.reader.as_ref().map(|reader| reader.reading(&self.body))
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            reader.forget();
            self.readers.idle.lock().push(reader);
        }
    }
}
