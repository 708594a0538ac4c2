//! A backend that does as told.

use crate::{
    Delivered, QueueConfig, QueuedExporter, Request, RetryConfig, SendConfig, SendFailure, Transport,
};
use async_trait::async_trait;
use forebay_component::{Context, Payload, Reason};
use forebay_config::{ComponentId, GoDuration};
use forebay_telemetry::{Kind, Telemetry};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// What the backend does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Ok,
    Partial(u64),
    Fail(SendFailure),
    /// Answers after this long.
    Slow(Duration),
    Panic,
}

/// Plays its answers in order, then repeats the last one.
pub(super) struct Script {
    answers: Mutex<VecDeque<Answer>>,
    last: Answer,
    /// When each attempt came, in time since the start, and with what.
    pub(super) seen: Mutex<Vec<(Duration, Request)>>,
    start: Instant,
}

impl Script {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>, last: Answer) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, last, seen: Mutex::default(), start: Instant::now() })
    }

    pub(super) fn times(&self) -> Vec<Duration> {
        self.seen.lock().unwrap().iter().map(|seen| seen.0).collect()
    }

    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().iter().map(|seen| seen.1.body.to_vec()).collect()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        self.seen.lock().unwrap().push((self.start.elapsed(), request.clone()));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| self.last.clone());
        match answer {
            Answer::Ok => Ok(Delivered::default()),
            Answer::Partial(rejected) => Ok(Delivered { rejected, message: "some".to_owned() }),
            Answer::Fail(failure) => Err(failure),
            Answer::Slow(wait) => {
                tokio::time::sleep(wait).await;
                Ok(Delivered::default())
            }
            Answer::Panic => panic!("scripted"),
        }
    }
}

pub(super) fn down() -> Answer {
    Answer::Fail(SendFailure::retryable(Reason::Unavailable, "down"))
}

pub(super) fn no() -> Answer {
    Answer::Fail(SendFailure::permanent(Reason::Rejected, "no"))
}

pub(super) fn context(telemetry: &Telemetry, name: &str) -> Context {
    Context {
        id: ComponentId::new("otlp", Some(name)),
        pipeline: None,
        telemetry: telemetry.clone(),
        status: telemetry.board.register(Kind::Exporter, &format!("otlp/{name}"), None),
        runtime: tokio::runtime::Handle::current(),
        edges: std::sync::Arc::default(),
    }
}

/// One worker, no jitter: 1 s, 2 s, 4 s, 4 s, ... for at most a minute.
pub(super) fn send_config() -> SendConfig {
    let seconds = |seconds| GoDuration(Duration::from_secs(seconds));
    SendConfig {
        queue: Some(QueueConfig { num_consumers: 1, queue_size: 3, ..QueueConfig::default() }),
        retry: RetryConfig {
            initial_interval: seconds(1),
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: seconds(4),
            max_elapsed_time: seconds(60),
            ..RetryConfig::default()
        },
        timeout: Duration::from_secs(5),
    }
}

pub(super) fn exporter(
    telemetry: &Telemetry,
    config: SendConfig,
    script: &Arc<Script>,
) -> Box<QueuedExporter> {
    let transport = Arc::clone(script) as Arc<dyn Transport>;
    Box::new(QueuedExporter::new(&context(telemetry, "test"), config, transport))
}

pub(super) fn payload(number: u8) -> Payload {
    Payload::traces(vec![number; 10], 2)
}

/// The value of a series that starts with `name` and has all of `labels`.
pub(super) fn metric(telemetry: &Telemetry, name: &str, labels: &str) -> f64 {
    let text = telemetry.metrics.render();
    let series = text
        .lines()
        .find(|line| line.starts_with(name) && labels.split(',').all(|label| line.contains(label)));
    series.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

pub(super) fn in_seconds(seconds: u64) -> std::time::Instant {
    (Instant::now() + Duration::from_secs(seconds)).into_std()
}
