//! An exporter without a queue: done on the caller's thread.

use crate::sink::Printer;
use async_trait::async_trait;
use forebay_component::{Consumer, Context, Drained, Exporter, Payload, Reason, Refusal, Refused};
use forebay_telemetry::{ComponentHandle, Counter, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Prints (or only counts) each payload as it comes.
pub(crate) struct Direct(Arc<Entrance>);

struct Entrance {
    printer: Option<Printer>,
    status: ComponentHandle,
    sent: Counter,
    failed: Counter,
    totals: [AtomicU64; 2],
    closed: AtomicBool,
}

impl Direct {
    pub(crate) fn new(context: &Context, printer: Option<Printer>) -> Self {
        let id = context.id.to_string();
        let labels: &[(&'static str, &str)] = &[("exporter", &id)];
        let counter = |name, help| context.telemetry.metrics.counter(name, help, labels);
        let entrance = Entrance {
            printer,
            status: context.status.clone(),
            sent: counter("otelcol_exporter_sent_spans", "Spans that the backend took."),
            failed: counter(
                "otelcol_exporter_send_failed_spans",
                "Spans given up after a permanent failure or the last retry, or rejected by the backend.",
            ),
            totals: Default::default(),
            closed: AtomicBool::new(false),
        };
        context.status.flow("sent", &entrance.sent);
        context.status.flow("failed", &entrance.failed);
        context.status.ok();
        Self(Arc::new(entrance))
    }
}

impl Consumer for Entrance {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        if self.closed.load(Ordering::Relaxed) {
            let refusal = Refusal::retryable(Reason::ShuttingDown, "the exporter is shutting down");
            return Err(Refused::new(payload, refusal));
        }
        let items = payload.items as u64;
        let printed = self.printer.as_ref().map_or(Ok(()), |to| to.print(&payload.body, payload.items));
        match printed {
            Ok(()) => {
                self.sent.inc_by(items);
                self.totals[0].fetch_add(items, Ordering::Relaxed);
                self.status.ok();
                payload.ack.accept();
            }
            Err(error) => {
                self.failed.inc_by(items);
                self.totals[1].fetch_add(items, Ordering::Relaxed);
                let message = format!("cannot write the output: {error}");
                self.status.failed(State::RecoverableError, message.clone());
                payload.ack.refuse(Refusal::permanent(Reason::Unavailable, message));
            }
        }
        Ok(())
    }

    fn consume_wait(&self, payload: Payload, _: Duration) -> Result<(), Refused> {
        self.consume(payload)
    }
}

#[async_trait]
impl Exporter for Direct {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(&self.0) as Arc<dyn Consumer>
    }

    async fn shutdown(self: Box<Self>, _: Instant) -> Drained {
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.status.stopped();
        let [sent, dropped] = &self.0.totals;
        Drained { sent: sent.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed), left: 0 }
    }
}
