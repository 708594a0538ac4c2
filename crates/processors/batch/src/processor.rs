//! The running processor: callers gather and pass on themselves, a thread does what has to wait.

use crate::batcher::Batcher;
use crate::config::Config;
use crate::gathering::{Gathering, LIMIT};
use crate::metrics::Metrics;
use forebay_component::{BuildError, Consumer, Context, Drained, Processor};
use forebay_telemetry::QueueDepth;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// The running processor.
pub(crate) struct BatchProcessor {
    gathering: Arc<Gathering>,
    thread: JoinHandle<Drained>,
}

impl BatchProcessor {
    pub fn start(config: &Config, context: &Context, next: Arc<dyn Consumer>) -> Result<Self, BuildError> {
        let batcher = Batcher::new(config.timeout.into(), config.send_batch_size, config.send_batch_max_size);
        let gathering = Arc::new(Gathering::new(batcher, next, Metrics::new(context)));
        let shown = Arc::clone(&gathering);
        context.status.queue(move || {
            let bytes = shown.held_bytes() as u64;
            QueueDepth { used: bytes, capacity: LIMIT as u64, unit: "bytes", bytes }
        });
        let worker = Arc::clone(&gathering);
        let thread = std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| BuildError(format!("cannot start a thread: {error}")))?;
        context.status.ok();
        Ok(Self { gathering, thread })
    }
}

impl Processor for BatchProcessor {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.gathering) as Arc<dyn Consumer>
    }

    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        self.gathering.stop(deadline);
        self.thread.join().unwrap_or_default()
    }
}
