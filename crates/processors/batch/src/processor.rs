//! The thread around the batching rules.

use crate::batcher::{Batcher, Trigger};
use crate::config::Config;
use crossbeam_channel::select;
use forebay_channel::{Limits, Receiver};
use forebay_component::{
    BuildError, Consumer, Context, Drained, Entrance, Payload, Processor, deliver, queue_depth,
};
use forebay_telemetry::{Counter, Histogram};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What may wait at the entrance: small, since a batch is quick to build; what is slow is behind it.
const ENTRANCE: Limits = Limits { items: 1024, bytes: 16 << 20 };

/// The running processor.
pub(crate) struct BatchProcessor {
    entrance: Arc<Entrance>,
    stop: crossbeam_channel::Sender<Instant>,
    thread: JoinHandle<Drained>,
}

impl BatchProcessor {
    pub fn start(config: &Config, context: &Context, next: Arc<dyn Consumer>) -> Result<Self, BuildError> {
        let (entrance, input) = Entrance::new(ENTRANCE);
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let depth = entrance.depth();
        context.status.queue(move || queue_depth(std::slice::from_ref(&depth)));
        let worker = Worker {
            batcher: Batcher::new(config.timeout.into(), config.send_batch_size, config.send_batch_max_size),
            input,
            stopped,
            deadline: None,
            next,
            metrics: Metrics::new(context),
            drained: Drained::default(),
        };
        let thread = std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| BuildError(format!("cannot start a thread: {error}")))?;
        context.status.ok();
        Ok(Self { entrance: Arc::new(entrance), stop, thread })
    }
}

impl Processor for BatchProcessor {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.entrance) as Arc<dyn Consumer>
    }

    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        // The thread ends by itself only after this message; a send to a dead thread changes nothing.
        let _ = self.stop.send(deadline);
        self.thread.join().unwrap_or_default()
    }
}

/// The collector's counters of this processor, and the drops it may come to when it has to stop.
struct Metrics {
    incoming: Counter,
    outgoing: Counter,
    by_size: Counter,
    by_timeout: Counter,
    send_size: Histogram,
    dropped: Counter,
}

impl Metrics {
    fn new(context: &Context) -> Self {
        let id = context.id.to_string();
        let labels = [("processor", id.as_str())];
        let items = [("processor", id.as_str()), ("otel_signal", "traces")];
        let metrics = &context.telemetry.metrics;
        let buckets =
            [10., 25., 50., 75., 100., 250., 500., 750., 1e3, 2e3, 3e3, 4e3, 5e3, 6e3, 7e3, 8e3, 9e3];
        let tail = [1e4, 2e4, 3e4, 5e4, 1e5];
        let made = Self {
            incoming: metrics.counter(
                "otelcol_processor_incoming_items",
                "Number of items passed to the processor.",
                &items,
            ),
            outgoing: metrics.counter(
                "otelcol_processor_outgoing_items",
                "Number of items emitted from the processor.",
                &items,
            ),
            by_size: metrics.counter(
                "otelcol_processor_batch_batch_size_trigger_send",
                "Number of times the batch was sent due to a size trigger.",
                &labels,
            ),
            by_timeout: metrics.counter(
                "otelcol_processor_batch_timeout_trigger_send",
                "Number of times the batch was sent due to a timeout trigger.",
                &labels,
            ),
            send_size: metrics.histogram(
                "otelcol_processor_batch_batch_send_size",
                "Number of units in the batch.",
                &[buckets.as_slice(), tail.as_slice()].concat(),
                &labels,
            ),
            dropped: metrics.counter(
                "forebay_processor_dropped_spans",
                "Number of spans that the processor had to give up.",
                &labels,
            ),
        };
        context.status.flow("incoming", &made.incoming);
        context.status.flow("outgoing", &made.outgoing);
        context.status.flow("dropped", &made.dropped);
        made
    }
}

struct Worker {
    batcher: Batcher,
    input: Receiver<Payload>,
    stopped: crossbeam_channel::Receiver<Instant>,
    /// When the stop must be over; none while running.
    deadline: Option<Instant>,
    next: Arc<dyn Consumer>,
    metrics: Metrics,
    drained: Drained,
}

/// How long to wait when nothing is due: any time, the channels wake us.
const IDLE: Duration = Duration::from_secs(3600);

impl Worker {
    fn run(mut self) -> Drained {
        while self.deadline.is_none() {
            let due = self.batcher.due().unwrap_or_else(|| Instant::now() + IDLE);
            if due <= Instant::now() {
                self.send(Trigger::Timeout);
                continue;
            }
            select! {
                recv(self.input.as_crossbeam()) -> payload => match payload {
                    Ok(payload) => { self.input.taken(&payload); self.add(payload) }
                    // Every sender is gone without a stop: nothing more can come.
                    Err(_) => self.deadline = Some(Instant::now()),
                },
                recv(self.stopped) -> deadline => self.deadline = Some(deadline.unwrap_or_else(|_| Instant::now())),
                default(due.saturating_duration_since(Instant::now())) => {}
            }
        }
        // Upstream stages have stopped: what is queued is all there is.
        while let Ok(payload) = self.input.try_recv() {
            self.add(payload);
        }
        self.send(Trigger::Stop);
        self.drained
    }

    fn add(&mut self, payload: Payload) {
        self.metrics.incoming.inc_by(payload.items as u64);
        if self.batcher.add(payload, Instant::now()) {
            self.send(Trigger::Size);
        }
    }

    fn send(&mut self, trigger: Trigger) {
        if self.batcher.items() == 0 {
            return;
        }
        match trigger {
            Trigger::Size => self.metrics.by_size.inc(),
            Trigger::Timeout => self.metrics.by_timeout.inc(),
            Trigger::Stop => {}
        }
        for payload in self.batcher.take() {
            let items = payload.items as u64;
            self.metrics.send_size.observe(items as f64);
            let (stopped, deadline) = (&self.stopped, &mut self.deadline);
            let delivered = deliver(&self.next, payload, || {
                // The stop's deadline also bounds a delivery that was under way when it came.
                if deadline.is_none() {
                    *deadline = stopped.try_recv().ok();
                }
                *deadline
            });
            match delivered {
                Ok(()) => {
                    self.metrics.outgoing.inc_by(items);
                    self.drained.sent += items;
                }
                Err((refusal, _)) => {
                    self.metrics.dropped.inc_by(items);
                    self.drained.dropped += items;
                    tracing::error!(
                        spans = items,
                        reason = refusal.reason.as_str(),
                        "batch: dropped: {refusal}"
                    );
                }
            }
        }
    }
}
