//! A case: a folder with `case.yaml` and one `<agent>.yaml` or `<agent>.sh` per agent.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::protocol::{Compression, Protocol};
use crate::tally::Keep;

/// The peers' order in tables; agents that are not named here follow in alphabetical order, the floor comes last.
const KNOWN_AGENTS: [&str; 2] = [OURS, "otelcol"];
/// The agent that is ours.
pub const OURS: &str = "forebay";
/// What receiving alone costs: `forebay-bench floor`, which sends nothing on.
pub const FLOOR: &str = "floor";
/// Agents whose program has another name.
const PROGRAMS: [(&str, &str); 1] = [("otap", "df_engine")];
/// Where `cargo build --release` puts the agent.
const OUR_BINARY: &str = "target/release/forebay";

/// `case.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// One line for the report.
    pub description: String,
    /// Spans sent to each agent in each round.
    pub spans: usize,
    /// Spans in each request.
    pub spans_per_request: usize,
    /// Which traces must come out.
    pub keep: Keep,
    /// What the loader speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// How the loader compresses.
    #[serde(default)]
    pub compression: Compression,
    /// Where the agent sends; each must get all that must come out.
    #[serde(default = "one_otlp")]
    pub sinks: Vec<SinkKind>,
    /// What is measured.
    #[serde(default)]
    pub measure: Measure,
    /// Spans per second to send; unless given, as fast as they are taken.
    pub rate: Option<f64>,
    /// The share of the maximum rate at which to send; the maximum is measured first.
    pub share_of_maximum: Option<f64>,
    /// Whose maximum that is.
    #[serde(default)]
    pub maximum_of: MaximumOf,
    /// Measure at each of these, as a case of its own.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// How long traces wait for their decision, for configs that ask for `BENCH_WAIT`.
    pub wait: Option<String>,
    /// The most spans that peers are measured with: more may take all the memory there is.
    pub peers_up_to: Option<usize>,
    /// Spans of each trace, when all shall have the same.
    pub spans_per_trace: Option<usize>,
    /// Mean size of a span in bytes.
    #[serde(default = "usual_span")]
    pub span_bytes: usize,
}

/// What is different in a step of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Spans sent.
    pub spans: usize,
    /// How long traces wait, when that is what grows.
    pub wait: Option<String>,
}

/// Where an agent sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// OTLP/gRPC.
    Otlp,
    /// Zipkin v2 JSON.
    Zipkin,
}

/// Whose maximum rate a share is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaximumOf {
    /// The slowest agent's, the same rate for all.
    #[default]
    Slowest,
    /// Each agent's own.
    Each,
}

/// What a case measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// CPU from the first request until all is delivered.
    #[default]
    Delivered,
    /// CPU and memory while everything is held undecided; what must come out is checked after the stop.
    Held,
    /// CPU and memory without any load.
    Idle,
}

fn one_otlp() -> Vec<SinkKind> {
    vec![SinkKind::Otlp]
}

fn usual_span() -> usize {
    340
}

/// A case and the agents it has configs for.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// The case that this is a step of, if it is the number of spans that grows.
    pub step_of: Option<String>,
    pub folder: PathBuf,
    pub file: CaseFile,
    /// Names of agents, ours first.
    pub agents: Vec<String>,
}

impl Case {
    pub fn read(folder: &Path) -> Result<Self, BenchError> {
        let path = folder.join("case.yaml");
        let text = fs::read_to_string(&path).map_err(BenchError::file(&path))?;
        let file = serde_yaml::from_str(&text)
            .map_err(|error| BenchError::Case { path: path.clone(), message: error.to_string() })?;
        let mut agents = Vec::new();
        for entry in fs::read_dir(folder).map_err(BenchError::file(folder))? {
            let name = entry.map_err(BenchError::file(folder))?.file_name();
            let name = name.to_str();
            let agent = name.and_then(|name| name.strip_suffix(".yaml").or(name.strip_suffix(".sh")));
            agents.extend(agent.filter(|agent| *agent != "case").map(str::to_owned));
        }
        let rank = |agent: &String| match KNOWN_AGENTS.iter().position(|known| known == agent) {
            Some(known) => known,
            None if agent == FLOOR => usize::MAX,
            None => KNOWN_AGENTS.len(),
        };
        agents.sort_by_key(|agent| (rank(agent), agent.clone()));
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, step_of: None, folder: folder.to_owned(), file, agents })
    }

    /// The case at each of its steps, or as it is.
    pub fn steps(self) -> Vec<Self> {
        if self.file.steps.is_empty() {
            return vec![self];
        }
        let at = |Step { spans, wait }: &Step| {
            let (step, step_of) = match wait {
                Some(wait) => (wait.clone(), None),
                None => (spans.to_string(), Some(self.name.clone())),
            };
            let wait = wait.clone().or_else(|| self.file.wait.clone());
            let file = CaseFile { spans: *spans, wait, ..self.file.clone() };
            Self { name: format!("{}_{step}", self.name), step_of, file, ..self.clone() }
        };
        self.file.steps.iter().map(at).collect()
    }

    /// The agent's config file, or the script that starts it.
    pub fn config(&self, agent: &str) -> PathBuf {
        let config = self.folder.join(format!("{agent}.yaml"));
        if config.is_file() { config } else { self.folder.join(format!("{agent}.sh")) }
    }
}

/// Every folder below `folder` that holds a `case.yaml`, in alphabetical order.
pub fn all(folder: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(BenchError::file(folder))? {
        let path = entry.map_err(BenchError::file(folder))?.path();
        if path.join("case.yaml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// An agent's program: `<AGENT>_BIN`, or our own release build, or one on PATH.
///
/// What follows a dot in an agent's name tells configs of one program apart.
pub fn binary(agent: &str) -> Option<PathBuf> {
    let agent = program(agent);
    if agent == FLOOR {
        return env::current_exe().ok();
    }
    let variable = variable(agent);
    if let Some(path) = env::var_os(&variable) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    if agent == OURS {
        return Some(PathBuf::from(OUR_BINARY)).filter(|path| path.is_file());
    }
    let program = PROGRAMS.iter().find(|(known, _)| *known == agent).map_or(agent, |(_, program)| program);
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// An agent's name without what tells its configs apart.
pub fn program(agent: &str) -> &str {
    agent.split_once('.').map_or(agent, |(program, _)| program)
}

fn variable(program: &str) -> String {
    format!("{}_BIN", program.to_uppercase().replace('-', "_"))
}

/// What to do when [`binary`] finds none.
pub fn how_to_get(agent: &str) -> String {
    match program(agent) {
        OURS => format!("no {OUR_BINARY}: run `cargo build --release -p forebay`, or set FOREBAY_BIN"),
        program => format!("not on PATH: install it, or set {}", variable(program)),
    }
}
