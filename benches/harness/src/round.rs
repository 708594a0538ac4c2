//! One agent, loaded once: what it took, what it cost, whether what came out is right.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay_generator::Corpus;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, AgentSpec};
use crate::case::Case;
use crate::cli::SendArgs;
use crate::error::BenchError;
use crate::load::{LoadOptions, LoadReport, load};
use crate::sink::Sink;
use crate::tally::{Counts, Keep, Tally};

/// How long nothing may arrive before the rest counts as lost.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// How long after the last expected span doubled or unwanted ones are still waited for.
const SETTLE: Duration = Duration::from_secs(1);

/// What is the same in each round of a case.
pub struct Setup<'a> {
    pub case: &'a Case,
    pub corpus: Arc<Corpus>,
    pub replays: u32,
    pub keep: Keep,
    pub send: SendArgs,
}

/// What one round measured.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    pub agent: String,
    pub round: usize,
    /// The agent's CPU from the first request until all is delivered, per million spans received.
    pub cpu_seconds_per_million: f64,
    pub cpu_seconds: f64,
    /// Spans acknowledged per second while loaded.
    pub spans_per_second: f64,
    /// From the first request until the last expected span has arrived.
    pub delivered_seconds: f64,
    /// The process's largest resident size.
    pub peak_mib: f64,
    pub load: LoadReport,
    pub counts: Counts,
    /// Whether the agent ended by itself, without an error, when asked to stop.
    pub stopped_cleanly: bool,
    /// Whether exactly the expected spans came out and the agent stopped cleanly.
    pub correct: bool,
}

/// Starts the agent, loads it, waits for what must come out, stops it.
pub async fn run(setup: &Setup<'_>, agent: &str, binary: PathBuf, round: usize) -> Result<Round, BenchError> {
    let tally = Arc::new(Tally::new(&setup.corpus, setup.replays, setup.keep));
    let sink = Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Arc::clone(&tally)).await?;
    let config = setup.case.config(agent);
    let log = PathBuf::from(format!("target/bench/{}/{agent}-{round}.log", setup.case.name));
    let spec = AgentSpec { name: agent, binary: &binary, config: &config, sink: sink.address, log };
    let process = Agent::start(spec).await?;
    let cpu_before = process.cpu_seconds()?;
    let start = Instant::now();
    let options = LoadOptions {
        endpoint: process.endpoint.clone(),
        connections: setup.send.connections,
        in_flight: setup.send.in_flight,
        rate: setup.send.rate,
        replays: setup.replays,
    };
    let loaded = load(Arc::clone(&setup.corpus), options).await?;
    let delivered = delivered(&tally).await;
    sleep(SETTLE).await;
    let cpu_seconds = process.cpu_seconds()? - cpu_before;
    let peak_mib = process.peak_bytes()? as f64 / (1024.0 * 1024.0);
    let stopped_cleanly = process.stop().await?.success();
    let counts = tally.counts();
    Ok(Round {
        agent: agent.to_owned(),
        round,
        cpu_seconds_per_million: cpu_seconds * 1e6 / loaded.spans as f64,
        cpu_seconds,
        spans_per_second: loaded.spans_per_second(),
        delivered_seconds: (delivered - start).as_secs_f64(),
        peak_mib,
        stopped_cleanly,
        correct: counts.is_exact() && loaded.rejected == 0 && stopped_cleanly,
        load: loaded,
        counts,
    })
}

/// Waits until as many spans have arrived as must, or none has for long; returns when the last one did.
async fn delivered(tally: &Tally) -> Instant {
    let (expected, mut arrived, mut last) = (tally.expected(), tally.arrived(), Instant::now());
    while arrived < expected && last.elapsed() < STALLED_AFTER {
        sleep(Duration::from_millis(10)).await;
        let now = tally.arrived();
        if now != arrived {
            (arrived, last) = (now, Instant::now());
        }
    }
    last
}
