//! One payload's way to the backend: encode, send, wait, send again, give up.

use crate::backoff::Backoff;
use crate::config::RetryConfig;
use crate::counters::Counters;
use crate::log_limit::LogLimit;
use crate::queue::Held;
use crate::transport::{Delivered, Request, SendFailure, Transport};
use forebay_component::{Outcome, Payload, Reason, Refusal};
use forebay_config::ComponentId;
use forebay_telemetry::{ComponentHandle, State};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Larger bodies are encoded (compressed, converted) on a blocking thread: milliseconds of work would hold up
/// every other task of the runtime's thread.
const ENCODE_INLINE: usize = 128 << 10;
/// The longest wait between attempts once the exporter drains, unless the backend asked for more.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);
/// One message per kind and exporter in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the workers of one exporter share.
pub(crate) struct Delivery {
    id: ComponentId,
    transport: Arc<dyn Transport>,
    retry: RetryConfig,
    timeout: Duration,
    status: ComponentHandle,
    pub(crate) counters: Counters,
    draining: watch::Receiver<bool>,
    retry_log: LogLimit,
    drop_log: LogLimit,
    reject_log: LogLimit,
}

impl Delivery {
    pub(crate) fn new(
        context: &forebay_component::Context,
        transport: Arc<dyn Transport>,
        retry: RetryConfig,
        timeout: Duration,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self {
            id: context.id.clone(),
            transport,
            retry,
            timeout,
            status: context.status.clone(),
            counters: Counters::new(context),
            draining,
            retry_log: LogLimit::new(LOG_INTERVAL),
            drop_log: LogLimit::new(LOG_INTERVAL),
            reject_log: LogLimit::new(LOG_INTERVAL),
        }
    }

    /// Delivers or gives up. A mistake of ours in between costs the payload, never the worker.
    pub(crate) async fn deliver_guarded(&self, held: Held) {
        let items = held.payload.items as u64;
        if AssertUnwindSafe(self.deliver(held)).catch_unwind().await.is_err() {
            let message = "sending failed inside the agent; this is a bug, please report it";
            self.give_up(items, &Refusal::permanent(Reason::Internal, message));
        }
    }

    /// Delivers or gives up, and completes the acknowledgement if it is still open.
    async fn deliver(&self, held: Held) {
        let Held { payload, room } = held;
        self.counters.in_flight.inc();
        let _in_flight = InFlight(&self.counters);
        let outcome = self.run(&payload).await;
        // Before the acknowledgement: whoever waits for it finds room.
        drop(room);
        match outcome {
            Ok(()) => payload.ack.accept(),
            Err(refusal) => payload.ack.refuse(refusal),
        }
    }

    async fn run(&self, payload: &Payload) -> Outcome {
        let requests = match self.encode(payload).await {
            Ok(requests) => requests,
            Err(refusal) => {
                self.give_up(payload.items as u64, &refusal);
                return Err(refusal);
            }
        };
        let started = Instant::now();
        let mut outcome = Ok(());
        for request in &requests {
            if let Err(refusal) = self.send(request, started).await {
                outcome = Err(refusal);
            }
        }
        outcome
    }

    async fn encode(&self, payload: &Payload) -> Result<Vec<Request>, Refusal> {
        let (body, items) = (payload.body.clone(), payload.items);
        if body.len() <= ENCODE_INLINE {
            return self.transport.encode(body, items);
        }
        let transport = Arc::clone(&self.transport);
        match tokio::task::spawn_blocking(move || transport.encode(body, items)).await {
            Ok(encoded) => encoded,
            Err(error) => {
                Err(Refusal::permanent(Reason::Internal, format!("encoding the request failed: {error}")))
            }
        }
    }

    /// Sends one request until it is taken or given up; `started` is when its payload was first tried.
    async fn send(&self, request: &Request, started: Instant) -> Result<(), Refusal> {
        let mut backoff = Backoff::new(&self.retry);
        loop {
            let failure = match self.attempt(request).await {
                Ok(delivered) => {
                    self.delivered(request, delivered);
                    return Ok(());
                }
                Err(failure) => failure.refusal,
            };
            let wait = backoff.next(rand::random());
            let wait = failure.retry_after.map_or(wait, |asked| wait.max(asked));
            let refusal = if !failure.retryable || !self.retry.enabled {
                failure
            } else if !self.may_wait(started, wait) {
                let limit = self.retry.max_elapsed_time;
                let message = format!("gave up after {limit} of retries (max_elapsed_time): {failure}");
                Refusal::retryable(Reason::RetriesExhausted, message)
            } else {
                self.report_retry(request, &failure, wait);
                self.wait(wait, failure.retry_after.unwrap_or_default()).await;
                self.counters.retries.inc();
                continue;
            };
            self.give_up(request.items as u64, &refusal);
            return Err(refusal);
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Delivered, SendFailure> {
        let send = self.transport.send(request);
        if self.timeout.is_zero() {
            return send.await;
        }
        tokio::time::timeout(self.timeout, send).await.unwrap_or_else(|_| {
            let message = format!("the backend did not answer within the timeout of {:?}", self.timeout);
            Err(SendFailure::retryable(Reason::Timeout, message))
        })
    }

    fn may_wait(&self, started: Instant, wait: Duration) -> bool {
        let limit = self.retry.max_elapsed_time.0;
        limit.is_zero() || started.elapsed() + wait <= limit
    }

    /// Waits, or less once the exporter drains: then a retry within the deadline is all that can still help. What
    /// the backend asked for (`asked`) is waited out in any case.
    async fn wait(&self, wait: Duration, asked: Duration) {
        let start = Instant::now();
        let mut draining = self.draining.clone();
        if !*draining.borrow() {
            let drain = draining.wait_for(|draining| *draining);
            if tokio::time::timeout(wait, drain).await.is_err() {
                return;
            }
            tokio::time::sleep_until(start + asked).await;
            return;
        }
        tokio::time::sleep(wait.min(DRAIN_INTERVAL).max(asked)).await;
    }

    fn delivered(&self, request: &Request, delivered: Delivered) {
        let items = request.items as u64;
        let rejected = delivered.rejected.min(items);
        self.counters.sent(items - rejected);
        self.status.ok();
        if rejected > 0 {
            self.counters.dropped(Reason::Rejected, rejected);
        }
        if (rejected > 0 || !delivered.message.is_empty())
            && let Some(held_back) = self.reject_log.pass(Instant::now())
        {
            tracing::warn!(
                exporter = %self.id, spans = items, rejected, held_back, message = %delivered.message,
                "the backend took the request in part; what it rejected is not sent again"
            );
        }
    }

    fn report_retry(&self, request: &Request, failure: &Refusal, wait: Duration) {
        self.status.failed(State::RecoverableError, failure.message.clone());
        if let Some(held_back) = self.retry_log.pass(Instant::now()) {
            tracing::warn!(
                exporter = %self.id, spans = request.items, reason = failure.reason.as_str(), ?wait, held_back,
                error = %failure, "sending failed and will be tried again"
            );
        }
    }

    fn give_up(&self, items: u64, refusal: &Refusal) {
        self.counters.dropped(refusal.reason, items);
        let state = match refusal.reason {
            Reason::Unauthenticated => State::PermanentError,
            _ => State::RecoverableError,
        };
        self.status.failed(state, refusal.message.clone());
        if let Some(held_back) = self.drop_log.pass(Instant::now()) {
            tracing::error!(
                exporter = %self.id, spans = items, reason = refusal.reason.as_str(), held_back, error = %refusal,
                "spans are dropped"
            );
        }
    }
}

/// Keeps the gauge right even when the worker is stopped in the middle.
struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}
