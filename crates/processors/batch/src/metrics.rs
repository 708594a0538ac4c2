//! What the processor counts.

use forebay_component::Context;
use forebay_telemetry::{Counter, Histogram};

/// The collector's counters of this processor, and the drops it may come to when it has to stop.
pub(crate) struct Metrics {
    pub(crate) incoming: Counter,
    pub(crate) outgoing: Counter,
    pub(crate) by_size: Counter,
    pub(crate) by_timeout: Counter,
    pub(crate) send_size: Histogram,
    pub(crate) dropped: Counter,
}

impl Metrics {
    pub(crate) fn new(context: &Context) -> Self {
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
