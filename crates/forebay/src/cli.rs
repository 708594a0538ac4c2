//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// OpenTelemetry pipeline agent: keeps the traces that matter and fans them out.
#[derive(Parser)]
#[command(name = "forebay", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the configuration comes from.
#[derive(Args, Default)]
pub struct ConfigArgs {
    /// A configuration: a file, or file:PATH, env:NAME, yaml:TEXT. Give it several times to merge; later ones win.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<String>,
    /// The collector's feature gates to switch on, separated by commas; a leading `-` switches one off. Known:
    /// processor.tailsamplingprocessor.recordpolicy and .metricstatcountspanssampled (always on).
    #[arg(long, value_name = "GATES", allow_hyphen_values = true)]
    pub feature_gates: Vec<String>,
}

/// What to do; without a command the agent runs.
#[derive(Subcommand)]
pub enum Command {
    /// Run the agent.
    Run(ConfigArgs),
    /// Check a configuration and say everything that is wrong with it, without starting anything.
    Validate(ConfigArgs),
    /// Print the configuration as the agent sees it.
    PrintConfig(PrintArgs),
    /// List the component types of this build.
    Components,
    /// Ask a running agent why a trace was kept or dropped, or what it waits for.
    Explain(ExplainArgs),
    /// Send made-up agent-task traces to an OTLP endpoint, to see an agent work.
    Generate(GenerateArgs),
    /// Try the tail-sampling policies of a configuration on recorded traces: what would be kept, and what a change
    /// would change.
    Simulate(SimulateArgs),
}

/// What `print-config` prints.
#[derive(Args)]
pub struct PrintArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which view of the configuration.
    #[arg(long, value_enum, default_value_t = PrintMode::Redacted)]
    pub mode: PrintMode,
}

/// A view of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrintMode {
    /// Components with every default filled in, secrets redacted.
    Redacted,
    /// The merged and expanded YAML, secrets included.
    Unredacted,
}

/// Which trace to explain.
#[derive(Args)]
pub struct ExplainArgs {
    /// The trace's id: 32 hexadecimal digits.
    #[arg(value_name = "TRACE_ID")]
    pub trace_id: String,
    /// The agent's admin endpoint.
    #[arg(long, default_value = "http://127.0.0.1:8888", value_name = "URL")]
    pub endpoint: String,
    /// Print the agent's answer as it is.
    #[arg(long)]
    pub json: bool,
}

/// What to generate.
#[derive(Args)]
pub struct GenerateArgs {
    /// Where to send: the OTLP/gRPC address of an agent.
    #[arg(long, default_value = "127.0.0.1:4317", value_name = "HOST:PORT")]
    pub endpoint: String,
    /// Tasks started a second, on average.
    #[arg(long, default_value_t = 5.0, value_name = "TASKS")]
    pub rate: f64,
    /// When to stop starting tasks, such as 30s or 5m; without it, at Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = forebay_config::duration::parse)]
    pub duration: Option<Duration>,
    /// The same seed gives the same tasks.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many times shorter than life the tasks are (life: 1 s to 5 min).
    #[arg(long, default_value_t = 20.0, value_name = "TIMES")]
    pub compression: f64,
}

/// What to simulate.
#[derive(Args)]
pub struct SimulateArgs {
    /// The configuration to try. Give it several times to merge; later ones win.
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Vec<String>,
    /// The configuration to compare with.
    #[arg(long, value_name = "FILE")]
    pub against: Vec<String>,
    /// Which tail_sampling processor, where there are several.
    #[arg(long, value_name = "ID")]
    pub processor: Option<String>,
    /// Decide as the agent would have, on what had come when a trace was due, instead of on whole traces.
    #[arg(long)]
    pub as_configured: bool,
    /// Decide a trace this long after its first span in the recording's time, instead of at the end: for recordings
    /// that do not fit in memory.
    #[arg(long, value_name = "DURATION", value_parser = forebay_config::duration::parse, conflicts_with = "as_configured")]
    pub wait: Option<Duration>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Example traces to show for each policy and change [default: 3 with --against, else 0].
    #[arg(long, value_name = "N")]
    pub examples: Option<usize>,
    /// Recordings: OTLP in protobuf or JSON as `file` exporters write it, also compressed; - is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
}
