//! From a message's bytes to the next stage and back: validation, the acknowledgement, the counters.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_component::{
    Ack, AckFuture, Consumer, Origin, Outcome, Payload, Reason, Refusal, Refused, Signal,
};
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

/// What came of a request: its spans that were left out, if any.
pub(crate) type Taking = Result<Option<Rejected>, Failure>;

/// A request that was offered to the next stage.
pub(crate) enum Taken {
    /// Most have their answer at once.
    Now(Taking),
    /// The next stage is full, or acknowledges later.
    Later(Pin<Box<dyn Future<Output = Taking> + Send>>),
}

impl Taken {
    /// Waits for the answer.
    pub(crate) async fn outcome(self) -> Taking {
        match self {
            Self::Now(outcome) => outcome,
            Self::Later(outcome) => outcome.await,
        }
    }
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
    pub(crate) fn take(self: &Arc<Self>, message: Bytes, origin: Origin, share: Share) -> Taken {
        let (stats, index) = match self.validate(&message) {
            Ok(valid) => valid,
            Err(error) => {
                let why = format!("the message is not a valid ExportTraceServiceRequest: {error}");
                return Taken::Now(Err(Failure::Malformed(why)));
            }
        };
        let invalid = stats.invalid.total();
        let spans = stats.spans - invalid;
        let rejected = (invalid > 0).then(|| {
            self.metrics.rejected(stats.invalid);
            Rejected { spans: i64::try_from(invalid).unwrap_or(i64::MAX), message: stats.invalid.message() }
        });
        if spans == 0 {
            return Taken::Now(Ok(rejected));
        }
        let (body, index) = match invalid {
            0 => (message, index),
            _ => (without_invalid_spans(&message).into(), None),
        };
        let (ack, mut outcome) = Ack::channel();
        let payload =
            Payload { signal: Signal::Traces, body, items: spans, index, origin: Arc::new(origin), ack };
        let done = |outcome: Outcome| outcome.map(|()| rejected).map_err(Failure::Refused);
        match self.next.consume(payload) {
            Ok(()) => {
                drop(share);
                if let Some(outcome) = outcome.now() {
                    count(&self.metrics, spans, &outcome);
                    return Taken::Now(done(outcome));
                }
                let awaited = Awaited::new(self, outcome, spans);
                Taken::Later(Box::pin(async move { done(awaited.outcome().await) }))
            }
            Err(refused) => {
                let intake = Arc::clone(self);
                Taken::Later(Box::pin(async move {
                    intake.offer_again(refused).await.map_err(Failure::Refused)?;
                    drop(share);
                    done(Awaited::new(&intake, outcome, spans).outcome().await)
                }))
            }
        }
    }

    fn validate(&self, message: &[u8]) -> Result<(RequestStats, Option<Arc<SpanIndex>>), WireError> {
        if self.wants_index && u32::try_from(message.len()).is_ok() {
            let (stats, index) = validate_and_index(message)?;
            return Ok((stats, index.map(Arc::new)));
        }
        Ok((validate(message)?, None))
    }

    /// Gives the next stage some time to make room if it is full: a client that is refused waits longer than that, and
    /// then sends it all again.
    async fn offer_again(&self, mut refused: Refused) -> Result<(), Refusal> {
        let mut waiting = Waiting { metrics: &self.metrics, spans: refused.payload.items };
        let mut pause = PAUSES.0;
        loop {
            let may_pass = refused.refusal.retryable && refused.refusal.reason == Reason::QueueFull;
            if !may_pass || pause > PAUSES.1 {
                let refusal = refused.refuse();
                self.metrics.refused(std::mem::take(&mut waiting.spans), &refusal);
                return Err(refusal);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            match self.next.consume(*refused.payload) {
                Ok(()) => {
                    waiting.spans = 0;
                    return Ok(());
                }
                Err(again) => refused = again,
            }
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

    async fn outcome(mut self) -> Outcome {
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
        let Some(outcome) = self.outcome.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (intake, spans) = (Arc::clone(&self.intake), self.spans);
        runtime.spawn(async move { count(&intake.metrics, spans, &outcome.await) });
    }
}

fn count(metrics: &TransportMetrics, spans: usize, outcome: &Outcome) {
    match outcome {
        Ok(()) => metrics.accepted(spans),
        Err(refusal) => metrics.refused(spans, refusal),
    }
}
