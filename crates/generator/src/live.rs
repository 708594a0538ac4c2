//! Sending tasks to an OTLP/gRPC endpoint as they happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Code, Status};

use crate::client::ExportClient;
use crate::generator::{Generator, Task};
use crate::options::{Options, OptionsError, Priority};

/// Requests on their way at once; beyond that the generator waits, as a client would.
const IN_FLIGHT: usize = 64;
/// First and longest pause before a request is sent again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a request is retried before it is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// How long to wait at the end for requests on their way.
const FAREWELL: Duration = Duration::from_secs(2);
/// Trouble is over when a request is taken and none was refused for so long; until then it is not said again.
const CALM: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Where to send, and how much.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// An OTLP/gRPC receiver: `host:port` or `http://host:port`.
    pub endpoint: String,
    /// Tasks started per second, on average.
    pub rate: f64,
    /// When to stop starting tasks; the ones under way are finished. None: never.
    pub duration: Option<Duration>,
    /// The same seed gives the same tasks (their times excepted); None: a different run each time.
    pub seed: Option<u64>,
    /// Durations of tasks (1 s to 5 min) are divided by this.
    pub compression: f64,
}

impl Default for LiveOptions {
    /// Five tasks a second to the local agent, each 50 ms to 15 s long.
    fn default() -> Self {
        Self { endpoint: "127.0.0.1:4317".into(), rate: 5.0, duration: None, seed: None, compression: 20.0 }
    }
}

/// Why no task could be sent.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Not an endpoint.
    #[error("`{endpoint}` is not an OTLP/gRPC endpoint: {source}; give host:port or http://host:port")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// Why it is none.
        source: tonic::transport::Error,
    },
    /// The rate or the compression.
    #[error(transparent)]
    Options(#[from] OptionsError),
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Finished tasks of each priority, in the order of [`Priority::ALL`].
    pub tasks: [u64; 4],
    /// Finished tasks whose root span is an error.
    pub failed: u64,
    /// Spans the receiver took.
    pub spans: u64,
    /// Spans it rejected, or that were given up.
    pub lost: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks (", self.tasks.iter().sum::<u64>())?;
        for (priority, count) in Priority::ALL.into_iter().zip(self.tasks) {
            write!(f, "{priority} {count}, ")?;
        }
        write!(f, "failed {}), {} spans", self.failed, self.spans)?;
        if self.lost > 0 {
            write!(f, ", {} spans lost", self.lost)?;
        }
        Ok(())
    }
}

/// Sends tasks until `stop` completes, or until `options.duration` is over and the tasks under way are finished.
///
/// Prints a line on standard output every few seconds: what was sent so far, by priority. An endpoint that cannot
/// be reached or refuses is retried quietly; that it happens, and that it is over, is said once each time.
///
/// # Errors
/// When the options make no sense; never because of the network.
pub async fn run(options: LiveOptions, stop: impl Future<Output = ()>) -> Result<Summary, LiveError> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let generator = Generator::new(Options {
        seed: options.seed.unwrap_or(clock.as_nanos() as u64),
        tasks_per_second: options.rate,
        compression: options.compression,
        export_interval: Duration::from_millis(200),
        ..Options::default()
    })?;
    let client = ExportClient::connect_lazy(&options.endpoint)
        .map_err(|source| LiveError::Endpoint { endpoint: options.endpoint.clone(), source })?;
    let sender = Arc::new(Sender::new(client, options.endpoint));
    let mut driver = Driver::new(generator, sender, options.duration);
    tokio::select! {
        biased;
        () = stop => {}
        () = driver.drive() => {}
    }
    Ok(driver.finish().await)
}

/// A request waiting for its time; ordered by that.
struct Due {
    at: Instant,
    number: u64,
    spans: u64,
    /// Set on a task's last request.
    finishes: Option<(Priority, bool)>,
    bytes: Bytes,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct Driver {
    generator: Generator,
    sender: Arc<Sender>,
    due: BinaryHeap<Reverse<Due>>,
    number: u64,
    next_task: Option<Instant>,
    last_start: Option<Instant>,
    next_report: Instant,
    in_flight: Arc<Semaphore>,
    sends: JoinSet<()>,
    summary: Summary,
}

impl Driver {
    fn new(generator: Generator, sender: Arc<Sender>, duration: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            generator,
            sender,
            due: BinaryHeap::new(),
            number: 0,
            next_task: Some(now),
            last_start: duration.and_then(|duration| now.checked_add(duration)),
            next_report: now + REPORT_EVERY,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            sends: JoinSet::new(),
            summary: Summary::default(),
        }
    }

    /// Runs until no task is to be started and none is under way.
    async fn drive(&mut self) {
        loop {
            let request = self.due.peek().map(|Reverse(due)| due.at);
            let Some(next) = [request, self.next_task].into_iter().flatten().min() else { return };
            sleep_until(next.min(self.next_report)).await;
            let now = Instant::now();
            if now >= self.next_report {
                self.report();
                self.next_report = now + REPORT_EVERY;
            }
            if let Some(start) = self.next_task.filter(|start| *start <= now) {
                self.start_task(start);
            }
            while self.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
                let Ok(permit) = Arc::clone(&self.in_flight).acquire_owned().await else { return };
                let Some(Reverse(due)) = self.due.pop() else { break };
                if let Some((priority, failed)) = due.finishes {
                    self.summary.tasks[priority as usize] += 1;
                    self.summary.failed += u64::from(failed);
                }
                let sender = Arc::clone(&self.sender);
                self.sends.spawn(async move {
                    sender.send(due.bytes, due.spans).await;
                    drop(permit);
                });
            }
            while self.sends.try_join_next().is_some() {}
        }
    }

    fn start_task(&mut self, start: Instant) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Task { priority, failed, requests, .. } = self.generator.task(wall.as_nanos() as u64);
        let count = requests.len();
        for (index, request) in requests.into_iter().enumerate() {
            self.number += 1;
            self.due.push(Reverse(Due {
                at: start + request.after,
                number: self.number,
                spans: request.spans as u64,
                finishes: (index + 1 == count).then_some((priority, failed)),
                bytes: request.encode().into(),
            }));
        }
        let next = start + self.generator.next_gap();
        self.next_task = Some(next).filter(|next| self.last_start.is_none_or(|last| *next < last));
    }

    fn report(&mut self) {
        let summary = self.so_far();
        // A closed standard output is no reason to stop sending.
        let _ = writeln!(std::io::stdout(), "generate: sent {summary}");
    }

    fn so_far(&self) -> Summary {
        let spans = self.sender.spans.load(Ordering::Relaxed);
        Summary { spans, lost: self.sender.lost.load(Ordering::Relaxed), ..self.summary }
    }

    async fn finish(mut self) -> Summary {
        let rest = async { while self.sends.join_next().await.is_some() {} };
        // What is still under way after that is dropped with the set.
        let _ = timeout(FAREWELL, rest).await;
        self.report();
        self.so_far()
    }
}

struct Sender {
    client: ExportClient,
    endpoint: String,
    spans: AtomicU64,
    lost: AtomicU64,
    /// When a request was refused last, since the trouble was said; None: no trouble.
    trouble: Mutex<Option<Instant>>,
}

impl Sender {
    fn new(client: ExportClient, endpoint: String) -> Self {
        let (spans, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { client, endpoint, spans, lost, trouble: Mutex::new(None) }
    }

    async fn send(&self, bytes: Bytes, spans: u64) {
        let started = Instant::now();
        let mut pause = BACKOFF.0;
        loop {
            match self.client.export(bytes.clone()).await {
                Ok(rejected) => {
                    self.spans.fetch_add(spans.saturating_sub(rejected), Ordering::Relaxed);
                    self.lost.fetch_add(rejected.min(spans), Ordering::Relaxed);
                    if self.is_newly_calm() {
                        self.say("takes tasks again");
                    }
                    return;
                }
                Err(status) => {
                    let retryable = is_retryable(&status);
                    if self.is_new_trouble() {
                        let next = if retryable { "retrying" } else { "dropping what it refuses" };
                        self.say(&format!("does not take tasks ({}); {next}", reason(&status)));
                    }
                    if !retryable || started.elapsed() > GIVE_UP_AFTER {
                        self.lost.fetch_add(spans, Ordering::Relaxed);
                        return;
                    }
                }
            }
            sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn is_new_trouble(&self) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.replace(Instant::now()).is_none()
    }

    fn is_newly_calm(&self) -> bool {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take_if(|refused| refused.elapsed() > CALM).is_some()
    }

    fn say(&self, what: &str) {
        let _ = writeln!(std::io::stdout(), "generate: {} {what}", self.endpoint);
    }
}

/// The OTLP specification's table of gRPC codes that a client retries.
fn is_retryable(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

/// The innermost cause: `connection refused` says more than `transport error`.
fn reason(status: &Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}
