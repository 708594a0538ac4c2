//! What is counted, once for each transport.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use forebay_component::{Context, Reason, Refusal};
use forebay_otlp::traces::InvalidSpans;
use forebay_telemetry::{Counter, Metrics};

use crate::answer::Failure;

/// The shortest time between two log lines about bad requests.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// The counters of one transport, `grpc` or `http`.
pub(crate) struct TransportMetrics {
    transport: &'static str,
    receiver: String,
    accepted: Counter,
    refused: Counter,
    failed: Counter,
    bad_trace_id: Counter,
    bad_span_id: Counter,
    bad_parent_span_id: Counter,
    metrics: Metrics,
    log: Mutex<LogGate>,
}

#[derive(Default)]
struct LogGate {
    last: Option<Instant>,
    /// Bad requests that were not logged since.
    silent: u64,
}

impl TransportMetrics {
    pub(crate) fn new(context: &Context, transport: &'static str) -> Self {
        let receiver = context.id.to_string();
        let metrics = context.telemetry.metrics.clone();
        let labels = [("receiver", receiver.as_str()), ("transport", transport)];
        let accepted = metrics.counter(
            "otelcol_receiver_accepted_spans",
            "Spans that the next stage has taken.",
            &labels,
        );
        let refused = metrics.counter(
            "otelcol_receiver_refused_spans",
            "Spans that the next stage did not take.",
            &labels,
        );
        let failed = metrics.counter(
            "otelcol_receiver_failed_spans",
            "Spans that were lost to a fault of the agent itself.",
            &labels,
        );
        let rejected = |reason| {
            let [receiver, transport] = labels;
            metrics.counter(
                "forebay_receiver_rejected_spans",
                "Spans with bad ids, left out of requests that were accepted.",
                &[receiver, transport, ("reason", reason)],
            )
        };
        let (bad_trace_id, bad_span_id) = (rejected("trace_id"), rejected("span_id"));
        let bad_parent_span_id = rejected("parent_span_id");
        context.status.flow("accepted", &accepted);
        context.status.flow("refused", &refused);
        context.status.flow("failed", &failed);
        for counter in [&bad_trace_id, &bad_span_id, &bad_parent_span_id] {
            context.status.flow("rejected", counter);
        }
        Self {
            transport,
            receiver: receiver.clone(),
            accepted,
            refused,
            failed,
            bad_trace_id,
            bad_span_id,
            bad_parent_span_id,
            metrics,
            log: Mutex::default(),
        }
    }

    pub(crate) fn accepted(&self, spans: usize) {
        self.accepted.inc_by(spans as u64);
    }

    /// Counts spans that were not taken: an internal fault as failed, everything else as refused, as the
    /// collector's `receiverhelper.newReceiverMetrics` has it.
    pub(crate) fn refused(&self, spans: usize, refusal: &Refusal) {
        let counter = if refusal.reason == Reason::Internal { &self.failed } else { &self.refused };
        counter.inc_by(spans as u64);
    }

    pub(crate) fn rejected(&self, invalid: InvalidSpans) {
        self.bad_trace_id.inc_by(invalid.trace_id as u64);
        self.bad_span_id.inc_by(invalid.span_id as u64);
        self.bad_parent_span_id.inc_by(invalid.parent_span_id as u64);
    }

    /// Counts a request that failed by the client's mistake, and logs some of them.
    pub(crate) fn failure(&self, failure: &Failure, peer: SocketAddr) {
        let Some(reason) = failure.bad_request() else { return };
        let labels =
            [("receiver", self.receiver.as_str()), ("transport", self.transport), ("reason", reason)];
        self.metrics
            .counter(
                "forebay_receiver_bad_requests",
                "Requests refused for a mistake of the client.",
                &labels,
            )
            .inc();
        let mut gate = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.last.is_some_and(|last| last.elapsed() < LOG_EVERY) {
            gate.silent += 1;
            return;
        }
        let silent = std::mem::take(&mut gate.silent);
        gate.last = Some(Instant::now());
        drop(gate);
        tracing::warn!(
            receiver = self.receiver,
            transport = self.transport,
            %peer,
            reason,
            not_logged_before = silent,
            "a bad request was refused: {failure}"
        );
    }
}
