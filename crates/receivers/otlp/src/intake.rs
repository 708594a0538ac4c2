//! From a message's bytes to the next stage and back: validation, the acknowledgement, the counters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_component::{Ack, AckFuture, Consumer, Origin, Payload, Reason, Refusal, Signal};
use forebay_otlp::WireError;
use forebay_otlp::traces::{RequestStats, SpanIndex, validate, validate_and_index, without_invalid_spans};

use crate::answer::{Failure, Rejected};
use crate::budget::Share;
use crate::metrics::TransportMetrics;

/// How long a request is held at first, and then twice as long each time, while the next stage is full; 127 ms in all.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(64));

/// What both transports put requests into.
pub(crate) struct Intake {
    next: Arc<dyn Consumer>,
    wants_index: bool,
    metrics: TransportMetrics,
}

impl Intake {
    pub(crate) fn new(next: Arc<dyn Consumer>, metrics: TransportMetrics) -> Self {
        Self { wants_index: next.wants_index(), next, metrics }
    }

    pub(crate) fn metrics(&self) -> &TransportMetrics {
        &self.metrics
    }

    /// Takes an `ExportTraceServiceRequest` and answers when the next stage has taken its good spans: with the bad
    /// ones, if any. `share` is what the message holds of the budget; the next stage accounts for it from then on.
    pub(crate) async fn take(
        self: Arc<Self>,
        message: Bytes,
        origin: Origin,
        share: Share,
    ) -> Result<Option<Rejected>, Failure> {
        let (stats, index) = self.validate(&message).map_err(|error| {
            Failure::Malformed(format!("the message is not a valid ExportTraceServiceRequest: {error}"))
        })?;
        let invalid = stats.invalid.total();
        let spans = stats.spans - invalid;
        let rejected = (invalid > 0).then(|| {
            self.metrics.rejected(stats.invalid);
            Rejected { spans: i64::try_from(invalid).unwrap_or(i64::MAX), message: stats.invalid.message() }
        });
        if spans == 0 {
            return Ok(rejected);
        }
        let (body, index) = match invalid {
            0 => (message, index),
            _ => (without_invalid_spans(&message).into(), None),
        };
        let (ack, outcome) = Ack::channel();
        let payload =
            Payload { signal: Signal::Traces, body, items: spans, index, origin: Arc::new(origin), ack };
        self.offer(payload).await.map_err(Failure::Refused)?;
        drop(share);
        match Awaited::new(&self, outcome, spans).outcome().await {
            Ok(()) => Ok(rejected),
            Err(refusal) => Err(Failure::Refused(refusal)),
        }
    }
}

impl Intake {
    fn validate(&self, message: &[u8]) -> Result<(RequestStats, Option<Arc<SpanIndex>>), WireError> {
        if self.wants_index && u32::try_from(message.len()).is_ok() {
            let (stats, index) = validate_and_index(message)?;
            return Ok((stats, index.map(Arc::new)));
        }
        Ok((validate(message)?, None))
    }

    /// Offers a payload to the next stage. One that is full is given some time to make room: a client that is
    /// refused waits longer than that, and then sends it all again.
    async fn offer(&self, mut payload: Payload) -> Result<(), Refusal> {
        let mut waiting = Waiting { metrics: &self.metrics, spans: payload.items };
        let mut pause = PAUSES.0;
        loop {
            let Err(refused) = self.next.consume(payload) else {
                waiting.spans = 0;
                return Ok(());
            };
            let may_pass = refused.refusal.retryable && refused.refusal.reason == Reason::QueueFull;
            if !may_pass || pause > PAUSES.1 {
                let refusal = refused.refuse();
                self.metrics.refused(std::mem::take(&mut waiting.spans), &refusal);
                return Err(refusal);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            payload = *refused.payload;
        }
    }
}

/// Spans on offer: refused if the client goes before they are taken.
struct Waiting<'a> {
    metrics: &'a TransportMetrics,
    spans: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.spans > 0 {
            let refusal = Refusal::retryable(Reason::QueueFull, "the client went before there was room");
            self.metrics.refused(self.spans, &refusal);
        }
    }
}

/// Waits for an acknowledgement, and counts it even when the client has gone and nobody waits any more.
struct Awaited {
    intake: Arc<Intake>,
    outcome: Option<AckFuture>,
    spans: usize,
}

impl Awaited {
    fn new(intake: &Arc<Intake>, outcome: AckFuture, spans: usize) -> Self {
        Self { intake: Arc::clone(intake), outcome: Some(outcome), spans }
    }

    async fn outcome(mut self) -> forebay_component::Outcome {
        // Taken out only once it has answered: until then a drop of this future must find it.
        let outcome = match self.outcome.as_mut() {
            Some(outcome) => outcome.await,
            None => Ok(()),
        };
        self.outcome = None;
        count(&self.intake.metrics, self.spans, &outcome);
        outcome
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let (Some(outcome), Ok(runtime)) = (self.outcome.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (intake, spans) = (Arc::clone(&self.intake), self.spans);
        runtime.spawn(async move { count(&intake.metrics, spans, &outcome.await) });
    }
}

fn count(metrics: &TransportMetrics, spans: usize, outcome: &forebay_component::Outcome) {
    match outcome {
        Ok(()) => metrics.accepted(spans),
        Err(refusal) => metrics.refused(spans, refusal),
    }
}
