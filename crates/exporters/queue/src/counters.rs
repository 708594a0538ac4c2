//! What an exporter counts, under the collector's names where it has one.

use forebay_component::{Context, Reason};
use forebay_telemetry::{Counter, Gauge};
use std::sync::atomic::{AtomicU64, Ordering};

/// Every reason for which an exporter gives data up: the series exist from the start, at zero.
const REASONS: [Reason; 8] = [
    Reason::Unavailable,
    Reason::Timeout,
    Reason::Rejected,
    Reason::Unauthenticated,
    Reason::RetriesExhausted,
    Reason::Invalid,
    Reason::Internal,
    Reason::ShuttingDown,
];

pub(crate) struct Counters {
    sent: Counter,
    failed: Counter,
    /// What this exporter's full queue missed while another took it; counted by the fan-out in front of it.
    missed: Counter,
    pub(crate) retries: Counter,
    pub(crate) in_flight: Gauge,
    dropped: Vec<(Reason, Counter)>,
    total_sent: AtomicU64,
    total_dropped: AtomicU64,
}

impl Counters {
    pub(crate) fn new(context: &Context) -> Self {
        let id = context.id.to_string();
        let labels: &[(&'static str, &str)] = &[("exporter", &id)];
        let metrics = &context.telemetry.metrics;
        let counters = Self {
            sent: metrics.counter("otelcol_exporter_sent_spans", "Spans that the backend took.", labels),
            failed: metrics.counter(
                "otelcol_exporter_send_failed_spans",
                "Spans given up after a permanent failure or the last retry, or rejected by the backend.",
                labels,
            ),
            missed: metrics.counter(
                "otelcol_exporter_enqueue_failed_spans",
                "Number of spans failed to be added to the sending queue.",
                labels,
            ),
            retries: metrics.counter("forebay_exporter_retries", "Requests that were sent again.", labels),
            in_flight: metrics.gauge(
                "otelcol_exporter_in_flight_requests",
                "Payloads being sent, those that wait for a retry included.",
                &[("exporter", &id), ("data_type", "traces")],
            ),
            dropped: REASONS
                .iter()
                .map(|reason| {
                    let labels = [("exporter", id.as_str()), ("reason", reason.as_str())];
                    let help = "Spans that the exporter gave up, by reason.";
                    (*reason, metrics.counter("forebay_exporter_dropped_spans", help, &labels))
                })
                .collect(),
            total_sent: AtomicU64::new(0),
            total_dropped: AtomicU64::new(0),
        };
        context.status.flow("sent", &counters.sent);
        context.status.flow("failed", &counters.failed);
        context.status.flow("missed", &counters.missed);
        for (_, counter) in &counters.dropped {
            context.status.flow("dropped", counter);
        }
        counters
    }

    pub(crate) fn sent(&self, items: u64) {
        self.sent.inc_by(items);
        self.total_sent.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items given up while running.
    pub(crate) fn dropped(&self, reason: Reason, items: u64) {
        self.total_dropped.fetch_add(items, Ordering::Relaxed);
        self.count_dropped(reason, items);
    }

    /// Counts items still held when the time to stop ran out.
    pub(crate) fn left(&self, items: u64) {
        self.count_dropped(Reason::ShuttingDown, items);
    }

    fn count_dropped(&self, reason: Reason, items: u64) {
        self.failed.inc_by(items);
        let known = self.dropped.iter().find(|known| known.0 == reason);
        // A reason added to the enum and not here counts as internal rather than not at all.
        let counter = known.or_else(|| self.dropped.iter().find(|known| known.0 == Reason::Internal));
        if let Some((_, counter)) = counter {
            counter.inc_by(items);
        }
    }

    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.total_sent.load(Ordering::Relaxed), self.total_dropped.load(Ordering::Relaxed))
    }
}
