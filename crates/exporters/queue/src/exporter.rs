//! A transport made an exporter.

use crate::config::{QueueConfig, SendConfig};
use crate::delivery::Delivery;
use crate::queue::{Full, Limits, Queue};
use crate::transport::Transport;
use async_trait::async_trait;
use forebay_component::{Ack, Consumer, Context, Drained, Exporter, Payload, Reason, Refusal, Refused};
use forebay_telemetry::{ComponentHandle, MetricKind, QueueDepth};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// An exporter with a queue and workers of its own, so that nothing it waits for delays another.
pub struct QueuedExporter {
    entrance: Arc<Entrance>,
    workers: JoinSet<()>,
    drain: watch::Sender<bool>,
    status: ComponentHandle,
}

/// How payloads come in.
struct Entrance {
    queue: Arc<Queue>,
    delivery: Arc<Delivery>,
    /// Accept when queued, or only when the backend has.
    accept_at_once: bool,
    /// Whether a full queue holds the pipeline back instead of missing what others take.
    block_on_overflow: bool,
}

impl QueuedExporter {
    /// Starts the workers on the context's runtime and registers the metrics.
    pub fn new(context: &Context, config: SendConfig, transport: Arc<dyn Transport>) -> Self {
        let queued = config.queue.is_some();
        let queue_config = config.queue.unwrap_or_else(QueueConfig::direct);
        let queue = Queue::new(Limits {
            size: queue_config.queue_size,
            sizer: queue_config.sizer,
            bytes: queue_config.max_bytes.bytes(),
        });
        if queued {
            observe(context, &queue);
        }
        let (drain, draining) = watch::channel(false);
        let delivery = Arc::new(Delivery::new(context, transport, config.retry, config.timeout, draining));
        let mut workers = JoinSet::new();
        for _ in 0..queue_config.num_consumers {
            let (queue, delivery) = (Arc::clone(&queue), Arc::clone(&delivery));
            let work = async move {
                while let Some(held) = queue.pop().await {
                    delivery.deliver_guarded(held).await;
                }
            };
            workers.spawn_on(work, &context.runtime);
        }
        context.status.ok();
        let entrance = Entrance {
            queue,
            delivery,
            accept_at_once: !queue_config.wait_for_result,
            block_on_overflow: queue_config.block_on_overflow,
        };
        Self { entrance: Arc::new(entrance), workers, drain, status: context.status.clone() }
    }
}

fn observe(context: &Context, queue: &Arc<Queue>) {
    let id = context.id.to_string();
    let labels: &[(&'static str, &str)] = &[("exporter", &id), ("data_type", "traces")];
    let metrics = &context.telemetry.metrics;
    let limits = queue.limits();
    let depth = Arc::clone(queue);
    metrics.observe(
        "otelcol_exporter_queue_size",
        "What the sending queue holds, waiting and under way, in units of its sizer.",
        MetricKind::Gauge,
        labels,
        move || depth.held().0 as f64,
    );
    metrics.observe(
        "otelcol_exporter_queue_capacity",
        "What the sending queue may hold, in units of its sizer.",
        MetricKind::Gauge,
        labels,
        move || limits.size as f64,
    );
    let depth = Arc::clone(queue);
    context.status.queue(move || {
        let (used, bytes) = depth.held();
        QueueDepth { used, capacity: limits.size, unit: limits.sizer.as_str(), bytes }
    });
}

impl Entrance {
    fn enter(&self, mut payload: Payload, wait: Option<Duration>) -> Result<(), Refused> {
        // The acknowledgement stays outside: it is completed once the payload is in, or goes back with it.
        let open = self.accept_at_once.then(|| std::mem::replace(&mut payload.ack, Ack::none()));
        let pushed = match wait {
            Some(timeout) => self.queue.push_wait(payload, timeout),
            None => self.queue.push(payload),
        };
        let (mut payload, refusal) = match pushed {
            Ok(()) => {
                if let Some(ack) = open {
                    ack.accept();
                }
                return Ok(());
            }
            // Not a loss yet: whoever goes on without us counts it (`forebay_component::FanOut`).
            Err(Full::NoRoom(payload)) => {
                (payload, Refusal::retryable(Reason::QueueFull, "the exporter's sending queue is full"))
            }
            Err(Full::Closed(payload)) => {
                (payload, Refusal::retryable(Reason::ShuttingDown, "the exporter is shutting down"))
            }
        };
        if let Some(ack) = open {
            payload.ack = ack;
        }
        Err(Refused::new(payload, refusal))
    }
}

impl Consumer for Entrance {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.enter(payload, None)
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        self.enter(payload, Some(timeout))
    }

    fn holds_back(&self) -> bool {
        self.block_on_overflow
    }
}

#[async_trait]
impl Exporter for QueuedExporter {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.entrance) as Arc<dyn Consumer>
    }

    async fn shutdown(mut self: Box<Self>, deadline: Instant) -> Drained {
        let queue = &self.entrance.queue;
        queue.close();
        self.drain.send_replace(true);
        let finished = async { while self.workers.join_next().await.is_some() {} };
        // Late or not, what is left is counted below.
        let _ = tokio::time::timeout_at(deadline.into(), finished).await;
        self.workers.shutdown().await;
        queue.clear();
        let counters = &self.entrance.delivery.counters;
        let (sent, dropped) = counters.totals();
        let left = queue.entered().saturating_sub(sent + dropped);
        counters.left(left);
        self.status.stopped();
        Drained { sent, dropped, left }
    }
}
