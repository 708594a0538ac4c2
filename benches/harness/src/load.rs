//! Replays a corpus over OTLP, at full speed or at a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_generator::Corpus;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::cpu_seconds_of;
use crate::error::BenchError;
use crate::protocol::{Compression, Connection, Failure, Outgoing, Protocol};

/// First and longest pause after a refusal.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// A request refused for so long fails the load.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How to send.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `host:port` of an OTLP receiver.
    pub endpoint: String,
    pub protocol: Protocol,
    pub compression: Compression,
    /// TCP connections over gRPC; requests take turns. Over HTTP each request under way has one of its own.
    pub connections: usize,
    /// Requests awaiting their answer on each connection.
    pub in_flight: usize,
    /// Spans per second; None: as fast as they are taken.
    pub rate: Option<f64>,
    /// How often the corpus is sent, each time under other trace ids.
    pub replays: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct LoadReport {
    /// Spans acknowledged.
    pub spans: u64,
    pub requests: u64,
    /// From the first request to the last acknowledgement.
    pub seconds: f64,
    /// CPU of this process meanwhile, loader and sink together.
    pub harness_cpu_seconds: f64,
    /// Requests that were refused and sent again.
    pub refused: u64,
    /// Spans that the receiver rejected for good.
    pub rejected: u64,
    /// Time from when a request was sent, or was due if that was earlier because earlier answers took so long, to its
    /// acknowledgement, in milliseconds.
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
    outgoing: Outgoing,
    options: LoadOptions,
    start: Instant,
    next: AtomicU64,
    spans: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
}

/// Sends all replays and waits for the last acknowledgement.
pub async fn load(corpus: Arc<Corpus>, options: LoadOptions) -> Result<LoadReport, BenchError> {
    let outgoing = Outgoing::new(&corpus, options.replays, options.protocol, options.compression)?;
    let mut connections = Vec::new();
    for _ in 0..options.connections.max(1) {
        connections.push(Connection::open(&options.endpoint, options.protocol).await?);
    }
    let cpu_before = cpu_seconds_of(Pid::this()).unwrap_or_default();
    let shared = Arc::new(Shared {
        corpus,
        outgoing,
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
        for connection in &connections {
            let lane = connection.another(shared.options.protocol).await?;
            workers.spawn(worker(Arc::clone(&shared), lane));
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
        harness_cpu_seconds: cpu_seconds_of(Pid::this()).unwrap_or_default() - cpu_before,
        refused: shared.refused.load(Relaxed),
        rejected: shared.rejected.load(Relaxed),
        ack_p50_ms: percentile(0.5),
        ack_p99_ms: percentile(0.99),
        ack_p999_ms: percentile(0.999),
    })
}

/// Takes the next request until all are sent; returns the latency of each in microseconds.
async fn worker(shared: Arc<Shared>, mut connection: Connection) -> Result<Vec<u32>, BenchError> {
    let requests = shared.corpus.requests();
    let total = requests.len() as u64 * u64::from(shared.options.replays);
    let spans_per_request = shared.corpus.spans() as f64 / requests.len() as f64;
    let mut latencies = Vec::new();
    loop {
        let number = shared.next.fetch_add(1, Relaxed);
        if number >= total {
            return Ok(latencies);
        }
        let start = match shared.options.rate {
            Some(rate) => {
                let due = shared.start + Duration::from_secs_f64(number as f64 * spans_per_request / rate);
                // Who waits for the moment is woken up to some milliseconds late, which is not the agent's doing;
                // who comes too late for it, because the answers before took long, counts from then.
                if Instant::now() < due {
                    sleep_until(due).await;
                    Instant::now()
                } else {
                    due
                }
            }
            // No timer: one that is due at once still waits for its next tick, a millisecond.
            None => Instant::now(),
        };
        let request = (number % requests.len() as u64) as usize;
        let replay = (number / requests.len() as u64) as u32;
        let rejected = send(&shared, &mut connection, request, replay).await?;
        let spans = requests[request].spans() as u64;
        shared.spans.fetch_add(spans.saturating_sub(rejected), Relaxed);
        shared.rejected.fetch_add(rejected, Relaxed);
        latencies.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// Sends one request until it is taken; returns the number of rejected spans.
async fn send(
    shared: &Shared,
    connection: &mut Connection,
    request: usize,
    replay: u32,
) -> Result<u64, BenchError> {
    let (first, mut pause) = (Instant::now(), BACKOFF.0);
    loop {
        match connection.send(&shared.outgoing, &shared.corpus, request, replay).await {
            Ok(rejected) => return Ok(rejected),
            Err(Failure::Refused(_)) if first.elapsed() < GIVE_UP_AFTER => {}
            Err(Failure::Refused(message) | Failure::Failed(message)) => {
                return Err(BenchError::Load(message));
            }
        }
        shared.refused.fetch_add(1, Relaxed);
        sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}
