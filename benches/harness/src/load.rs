//! Replays a corpus over OTLP/gRPC, at full speed or at a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_generator::Corpus;
use forebay_generator::client::EXPORT_PATH;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::codec::{LoadCodec, Replayed};
use crate::error::BenchError;

/// First and longest pause after a refusal.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// A request refused for so long fails the load.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How to send.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `host:port` of an OTLP/gRPC receiver.
    pub endpoint: String,
    /// TCP connections; requests take turns.
    pub connections: usize,
    /// Requests awaiting their answer on each connection.
    pub in_flight: usize,
    /// Spans per second; None: as fast as they are taken.
    pub rate: Option<f64>,
    /// How often the corpus is sent, each time under other trace ids.
    pub replays: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LoadReport {
    /// Spans acknowledged.
    pub spans: u64,
    pub requests: u64,
    /// From the first request to the last acknowledgement.
    pub seconds: f64,
    /// Requests that were refused and sent again.
    pub refused: u64,
    /// Spans that the receiver rejected for good.
    pub rejected: u64,
    /// Time from when a request was due to its acknowledgement, in milliseconds.
    pub ack_p50_ms: f64,
    pub ack_p99_ms: f64,
    pub ack_p999_ms: f64,
}

impl LoadReport {
    pub fn spans_per_second(&self) -> f64 {
        self.spans as f64 / self.seconds
    }
}

struct Shared {
    corpus: Arc<Corpus>,
    options: LoadOptions,
    start: Instant,
    next: AtomicU64,
    spans: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
}

/// Sends all replays and waits for the last acknowledgement.
pub async fn load(corpus: Arc<Corpus>, options: LoadOptions) -> Result<LoadReport, BenchError> {
    let mut channels = Vec::new();
    for _ in 0..options.connections.max(1) {
        let endpoint = Endpoint::from_shared(format!("http://{}", options.endpoint))
            .map_err(|error| BenchError::Usage(format!("`{}` is no host:port: {error}", options.endpoint)))?;
        let channel = endpoint.tcp_nodelay(true).connect().await;
        channels.push(
            channel.map_err(|error| {
                BenchError::Load(format!("cannot connect to {}: {error}", options.endpoint))
            })?,
        );
    }
    let shared = Arc::new(Shared {
        corpus,
        start: Instant::now(),
        next: AtomicU64::new(0),
        spans: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        rejected: AtomicU64::new(0),
        options,
    });
    let mut workers = JoinSet::new();
    // One lane after another per connection, so that consecutive requests take different connections.
    for _ in 0..shared.options.in_flight.max(1) {
        for channel in &channels {
            workers.spawn(worker(Arc::clone(&shared), channel.clone()));
        }
    }
    let mut latencies = Vec::new();
    while let Some(done) = workers.join_next().await {
        latencies.extend(done.map_err(|error| BenchError::Load(error.to_string()))??);
    }
    let seconds = shared.start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    Ok(LoadReport {
        spans: shared.spans.load(Relaxed),
        requests: latencies.len() as u64,
        seconds,
        refused: shared.refused.load(Relaxed),
        rejected: shared.rejected.load(Relaxed),
        ack_p50_ms: percentile(0.5),
        ack_p99_ms: percentile(0.99),
        ack_p999_ms: percentile(0.999),
    })
}

/// Takes the next request until all are sent; returns the latency of each in microseconds.
async fn worker(shared: Arc<Shared>, channel: Channel) -> Result<Vec<u32>, BenchError> {
    let requests = shared.corpus.requests();
    let total = requests.len() as u64 * u64::from(shared.options.replays);
    let spans_per_request = shared.corpus.spans() as f64 / requests.len() as f64;
    let mut grpc = Grpc::new(channel);
    let mut latencies = Vec::new();
    loop {
        let number = shared.next.fetch_add(1, Relaxed);
        if number >= total {
            return Ok(latencies);
        }
        let due = match shared.options.rate {
            Some(rate) => {
                let due = shared.start + Duration::from_secs_f64(number as f64 * spans_per_request / rate);
                sleep_until(due).await;
                due
            }
            // No timer: one that is due at once still waits for its next tick, a millisecond.
            None => Instant::now(),
        };
        let request = (number % requests.len() as u64) as usize;
        let replay = (number / requests.len() as u64) as u32;
        let item = Replayed { corpus: Arc::clone(&shared.corpus), request, replay };
        let rejected = send(&shared, &mut grpc, item).await?;
        let spans = requests[request].spans() as u64;
        shared.spans.fetch_add(spans.saturating_sub(rejected), Relaxed);
        shared.rejected.fetch_add(rejected, Relaxed);
        latencies.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Sends one request until it is taken; returns the number of rejected spans.
async fn send(shared: &Shared, grpc: &mut Grpc<Channel>, item: Replayed) -> Result<u64, BenchError> {
    let (first, mut pause) = (Instant::now(), BACKOFF.0);
    loop {
        let status = match attempt(grpc, item.clone()).await {
            Ok(rejected) => return Ok(rejected),
            Err(status) => status,
        };
        let retryable = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
        if !retryable || first.elapsed() > GIVE_UP_AFTER {
            return Err(BenchError::Load(format!("{:?}: {}", status.code(), status.message())));
        }
        shared.refused.fetch_add(1, Relaxed);
        sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

async fn attempt(grpc: &mut Grpc<Channel>, item: Replayed) -> Result<u64, Status> {
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(EXPORT_PATH);
    let response = grpc.unary(tonic::Request::new(item), path, LoadCodec).await?.into_inner();
    Ok(response.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)))
}
