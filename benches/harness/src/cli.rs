//! The command line, and the two commands that do one thing: `load` and `sink`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use forebay_generator::{Corpus, CorpusOptions};
use tokio::time::sleep;

use crate::error::BenchError;
use crate::load::{self, LoadOptions};
use crate::protocol::{Compression, Protocol};
use crate::sink::Sink;
use crate::tally::{Keep, Tally};

#[derive(Parser)]
#[command(about = "Measures trace agents: a loader, a checking sink, and a runner of cases")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Replays a corpus of agent-task traces to an OTLP receiver.
    Load(LoadArgs),
    /// Counts what an agent sends, and checks it against what `load` with the same corpus must lead to.
    Sink(SinkArgs),
    /// Takes requests and counts their spans, nothing else: what receiving alone costs with tonic. Stops at SIGTERM.
    Floor(FloorArgs),
    /// Prints the results of `run` as the tables of docs/performance.md.
    Report(ReportArgs),
    /// Runs cases: starts each agent in turn, loads it, checks what comes out, measures its CPU and memory.
    Run(RunArgs),
}

/// The corpus; `load` and `sink` must agree on it.
#[derive(Args, Clone, Debug)]
pub struct CorpusArgs {
    /// Spans to send in all; rounded up to whole replays of the corpus.
    #[arg(long, default_value_t = 2_000_000)]
    pub spans: usize,
    /// Spans in each request.
    #[arg(long, default_value_t = 100)]
    pub spans_per_request: usize,
    /// Spans of the corpus that is replayed.
    #[arg(long, default_value_t = 100_000)]
    pub corpus_spans: usize,
    /// Mean size of a span in bytes.
    #[arg(long, default_value_t = 340)]
    pub span_bytes: usize,
    /// Spans of each trace; 8 to 32 when not given.
    #[arg(long)]
    pub spans_per_trace: Option<usize>,
    /// Seed of the corpus.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl CorpusArgs {
    /// Builds the corpus and says how often to replay it.
    pub fn build(&self) -> Result<(Arc<Corpus>, u32), BenchError> {
        let usual = CorpusOptions::default();
        let corpus = Corpus::build(&CorpusOptions {
            spans_per_task: self.spans_per_trace.map_or(usual.spans_per_task.clone(), |spans| spans..=spans),
            seed: self.seed,
            spans: self.corpus_spans.min(self.spans),
            spans_per_request: self.spans_per_request,
            span_bytes: self.span_bytes,
            ..usual
        })
        .map_err(|error| BenchError::Usage(error.to_string()))?;
        let replays = u32::try_from(self.spans.div_ceil(corpus.spans()))
            .map_err(|_| BenchError::Usage("--spans is more than the ids can number".into()))?;
        Ok((Arc::new(corpus), replays))
    }
}

/// How the load is sent.
#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    /// TCP connections.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Requests awaiting their answer on each connection.
    #[arg(long, default_value_t = 4)]
    pub in_flight: usize,
    /// Spans per second; as fast as they are taken when not given.
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
}

#[derive(Args)]
pub struct LoadArgs {
    /// host:port of the receiver.
    #[arg(long, default_value = "127.0.0.1:4317")]
    endpoint: String,
    /// What to speak.
    #[arg(long, default_value = "grpc")]
    protocol: Protocol,
    /// How to compress.
    #[arg(long, default_value = "none")]
    compression: Compression,
    #[command(flatten)]
    corpus: CorpusArgs,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Args)]
pub struct SinkArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4327")]
    listen: SocketAddr,
    /// Which traces must arrive.
    #[arg(long, default_value = "all")]
    keep: Keep,
    #[command(flatten)]
    corpus: CorpusArgs,
}

#[derive(Args)]
pub struct FloorArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4317")]
    pub listen: SocketAddr,
}

#[derive(Args)]
pub struct RunArgs {
    /// The folder of a case; every folder below benches/cases when not given.
    #[arg(long = "case", value_name = "DIR")]
    pub cases: Vec<PathBuf>,
    /// How often each agent runs; the agents take turns.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Agents in the order of the table; ratios are to the first. Those of the case that are installed when not given.
    #[arg(long, value_delimiter = ',')]
    pub agents: Vec<String>,
    /// Overrides the case's number of spans.
    #[arg(long)]
    pub spans: Option<usize>,
    /// Overrides the case's spans per request.
    #[arg(long)]
    pub spans_per_request: Option<usize>,
    /// One round of 200,000 spans at most: whether everything works, no figures.
    #[arg(long)]
    pub quick: bool,
    /// The processors that the agents may run on, as `taskset -c` takes them; the loader has all.
    #[arg(long)]
    pub agent_cpus: Option<String>,
    #[command(flatten)]
    pub send: SendArgs,
    /// Where the results are written as JSON.
    #[arg(long, default_value = "target/bench/results.json")]
    pub json: PathBuf,
}

#[derive(Args)]
pub struct ReportArgs {
    /// What `run --json` wrote.
    #[arg(default_value = "target/bench/results.json")]
    pub results: PathBuf,
    /// A Markdown file whose lines between `<!-- results -->` and `<!-- /results -->` are replaced by the tables.
    #[arg(long)]
    pub into: Option<PathBuf>,
}

/// `forebay-bench load`.
pub async fn load(args: LoadArgs) -> Result<(), BenchError> {
    let (corpus, replays) = args.corpus.build()?;
    let options = LoadOptions {
        endpoint: args.endpoint,
        protocol: args.protocol,
        compression: args.compression,
        connections: args.send.connections,
        in_flight: args.send.in_flight,
        rate: args.send.rate,
        replays,
    };
    let report = load::load(corpus, options).await?;
    println!(
        "sent {} spans in {} requests in {:.2} s: {:.0} spans/s; {} refusals, {} spans rejected, {:.2} CPU-s of the loader; \
         acknowledged in p50 {:.2} p99 {:.2} p99.9 {:.2} ms",
        report.spans,
        report.requests,
        report.seconds,
        report.spans_per_second(),
        report.refused,
        report.rejected,
        report.harness_cpu_seconds,
        report.ack_p50_ms,
        report.ack_p99_ms,
        report.ack_p999_ms,
    );
    Ok(())
}

/// `forebay-bench sink`: runs until all that must arrive has arrived and a second more has passed, or until Ctrl-C.
pub async fn sink(args: SinkArgs) -> Result<(), BenchError> {
    let (corpus, replays) = args.corpus.build()?;
    let tally = Arc::new(Tally::new(&corpus, replays, args.keep));
    let sink = Sink::start(args.listen, Arc::clone(&tally)).await?;
    println!("listening on {}; expecting {} spans", sink.address, tally.expected());
    let complete = async {
        let mut printed = 0;
        loop {
            sleep(Duration::from_secs(1)).await;
            let arrived = tally.arrived();
            if arrived != printed {
                println!("{arrived} spans arrived");
            } else if arrived >= tally.expected() {
                return;
            }
            printed = arrived;
        }
    };
    tokio::select! {
        () = complete => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let counts = tally.counts();
    println!("{counts}");
    if counts.is_exact() { Ok(()) } else { Err(BenchError::Incorrect(1)) }
}

fn positive(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("must be above 0".into()) }
}
