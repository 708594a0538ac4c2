//! One agent, loaded once: what it took, what it cost, whether what came out is right.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forebay_generator::Corpus;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, AgentSpec, stopped_cleanly};
use crate::case::{Case, FLOOR, Measure, SinkKind, program};
use crate::cli::SendArgs;
use crate::error::BenchError;
use crate::load::{LoadOptions, LoadReport, load};
use crate::memory::{LEAST, Memory};
use crate::sink::Sink;
use crate::tally::{Counts, Keep, Tally};
use crate::zipkin_sink::ZipkinSink;

/// How long nothing may arrive before the rest counts as lost.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// How long an idle agent is watched, and how long it may take to come to rest before.
const IDLE: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_secs(3);
/// How long after the last expected span doubled or unwanted ones are still waited for.
const SETTLE: Duration = Duration::from_secs(1);

/// What is the same in each round of a case.
pub struct Setup<'a> {
    pub case: &'a Case,
    pub corpus: Arc<Corpus>,
    pub replays: u32,
    pub send: SendArgs,
    pub cpus: Option<String>,
}

/// One of the agents that are measured.
pub struct Contender {
    pub name: String,
    pub binary: PathBuf,
    /// Spans per second; None: as fast as they are taken.
    pub rate: Option<f64>,
}

/// What one round measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Round {
    pub agent: String,
    pub round: usize,
    /// Spans per second that were sent; None: as fast as they were taken.
    pub rate: Option<f64>,
    /// The agent's CPU from the first request until all is delivered, per million spans received.
    pub cpu_seconds_per_million: f64,
    pub cpu_seconds: f64,
    /// Spans acknowledged per second while loaded.
    pub spans_per_second: f64,
    /// From the first request until the last expected span has arrived.
    pub delivered_seconds: f64,
    /// The process's largest resident size.
    pub peak_mib: f64,
    /// Its resident size at the end of what is measured.
    pub resident_mib: f64,
    /// That over the size of the requests sent.
    pub resident_over_wire: f64,
    pub load: LoadReport,
    /// Of the first sink, or of one that got something wrong.
    pub counts: Counts,
    /// Whether the agent ended by itself, without an error, when asked to stop.
    pub stopped_cleanly: bool,
    /// Whether exactly the expected spans came out and the agent stopped cleanly.
    pub correct: bool,
}

/// The sinks of a run, each with a tally of its own.
#[derive(Default)]
struct Sinks {
    tallies: Vec<Arc<Tally>>,
    ports: Vec<(&'static str, SocketAddr)>,
    otlp: Vec<Sink>,
    zipkin: Vec<ZipkinSink>,
}

impl Sinks {
    async fn start(setup: &Setup<'_>, keep: Keep) -> Result<Self, BenchError> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sinks = Self::default();
        for kind in &setup.case.file.sinks {
            let tally = Arc::new(Tally::new(&setup.corpus, setup.replays, keep));
            sinks.tallies.push(Arc::clone(&tally));
            match kind {
                SinkKind::Otlp => {
                    let name = if sinks.otlp.is_empty() { "BENCH_SINK_PORT" } else { "BENCH_SINK2_PORT" };
                    let sink = Sink::start(any_port, tally).await?;
                    sinks.ports.push((name, sink.address));
                    sinks.otlp.push(sink);
                }
                SinkKind::Zipkin => {
                    let sink = ZipkinSink::start(any_port, tally).await?;
                    sinks.ports.push(("BENCH_ZIPKIN_PORT", sink.address));
                    sinks.zipkin.push(sink);
                }
            }
        }
        Ok(sinks)
    }

    /// Waits until each has got as many spans as it must, or none comes for long; returns when the last one did.
    async fn delivered(&self) -> Instant {
        let mut last = Instant::now();
        for tally in &self.tallies {
            last = last.max(delivered(tally).await);
        }
        last
    }
}

/// Starts the agent, loads it, waits for what must come out, stops it.
pub async fn run(setup: &Setup<'_>, contender: &Contender, round: usize) -> Result<Round, BenchError> {
    let file = &setup.case.file;
    let (agent, binary) = (contender.name.as_str(), contender.binary.as_path());
    let keep = if program(agent) == FLOOR { Keep::Nothing } else { file.keep };
    let sinks = Sinks::start(setup, keep).await?;
    let config = setup.case.config(agent);
    let log = PathBuf::from(format!("target/bench/{}/{agent}-{round}.log", setup.case.name));
    let cpus = setup.cpus.as_deref();
    let wait = file.wait.as_deref();
    let spec = AgentSpec { name: agent, binary, config: &config, sinks: &sinks.ports, wait, cpus, log };
    let wire_bytes = setup.corpus.wire_bytes() as u64 * u64::from(setup.replays);
    // An agent holds what it was sent and more; an idle one takes nothing worth mentioning.
    let touched = if file.measure == Measure::Idle { 0 } else { LEAST.max(2 * wire_bytes) };
    let mut memory = Memory::touch(touched);
    let process = Agent::start(spec).await?;
    if file.measure == Measure::Idle {
        sleep(REST).await;
    }
    let cpu_before = process.cpu_seconds()?;
    let start = Instant::now();
    let (loaded, delivered) = if file.measure == Measure::Idle {
        sleep(IDLE).await;
        (LoadReport::default(), start)
    } else {
        let options = LoadOptions {
            endpoint: process.endpoint.clone(),
            protocol: file.protocol,
            compression: file.compression,
            connections: setup.send.connections,
            in_flight: setup.send.in_flight,
            rate: contender.rate,
            replays: setup.replays,
        };
        let loading = async {
            let loaded = load(Arc::clone(&setup.corpus), options).await?;
            let held = file.measure == Measure::Held;
            let delivered = if held { Instant::now() } else { sinks.delivered().await };
            sleep(SETTLE).await;
            Ok::<_, BenchError>((loaded, delivered))
        };
        tokio::select! {
            done = loading => done?,
            never = memory.keep_ahead_of(&process) => match never {},
        }
    };
    drop(memory);
    let cpu_seconds = process.cpu_seconds()? - cpu_before;
    let (peak, resident) = (process.peak_bytes()?, process.resident_bytes()?);
    let stopped = process.stop().await?;
    let all: Vec<Counts> = sinks.tallies.iter().map(|tally| tally.counts()).collect();
    // Without a load nothing is expected.
    let exact = file.measure == Measure::Idle || all.iter().all(Counts::is_exact);
    let stopped_cleanly = stopped_cleanly(stopped, exact && file.measure == Measure::Delivered);
    let worst = all.iter().find(|counts| !counts.is_exact()).or(all.first()).copied().unwrap_or_default();
    Ok(Round {
        agent: agent.to_owned(),
        round,
        rate: contender.rate,
        cpu_seconds_per_million: cpu_seconds * 1e6 / (loaded.spans as f64).max(1.0),
        cpu_seconds,
        spans_per_second: if loaded.spans == 0 { 0.0 } else { loaded.spans_per_second() },
        delivered_seconds: (delivered - start).as_secs_f64(),
        peak_mib: mib(peak),
        resident_mib: mib(resident),
        resident_over_wire: resident as f64 / wire_bytes as f64,
        stopped_cleanly,
        correct: exact && loaded.rejected == 0 && stopped_cleanly,
        load: loaded,
        counts: worst,
    })
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
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
