//! Medians, spreads and ratios, as a table and as JSON.

use std::fmt;
use std::fs;

use serde::Serialize;

use crate::round::Round;

/// The results of `run`.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub cases: Vec<CaseReport>,
}

/// What the figures were measured on.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

impl Machine {
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: model.map_or("unknown CPU", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores of {}, Linux {}", self.cores, self.cpu, self.kernel)
    }
}

/// All rounds of a case.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    pub case: String,
    pub description: String,
    /// Spans sent to each agent in each round.
    pub spans: u64,
    pub spans_per_request: usize,
    /// Size of the requests over number of spans, resources and scopes included.
    pub wire_bytes_per_span: f64,
    /// In the order of the table; ratios are to the first.
    pub agents: Vec<String>,
    pub rounds: Vec<Round>,
    /// Rounds that gave no figures: who, when, why.
    pub failures: Vec<String>,
}

/// The median of some values and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None when there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: lower.midpoint(upper), least, most })
    }

    fn show(self, digits: usize) -> String {
        let Self { median, least, most } = self;
        format!("{median:.digits$} ({least:.digits$} .. {most:.digits$})")
    }
}

impl CaseReport {
    /// How many rounds lost, doubled or changed spans, or failed altogether.
    pub fn incorrect(&self) -> usize {
        self.rounds.iter().filter(|round| !round.correct).count() + self.failures.len()
    }

    fn spread(&self, agent: &str, value: impl Fn(&Round) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter(|round| round.agent == agent).map(value))
    }

    /// An agent's CPU over that of the first agent in the same round.
    fn ratio(&self, agent: &str) -> Option<Spread> {
        let first = self.agents.first()?;
        let cpu_of = |agent: &str, number: usize| {
            let round = self.rounds.iter().find(|round| round.agent == agent && round.round == number)?;
            Some(round.cpu_seconds_per_million)
        };
        let numbers = self.rounds.iter().filter(|round| round.agent == agent).map(|round| round.round);
        Spread::of(numbers.filter_map(|number| Some(cpu_of(agent, number)? / cpu_of(first, number)?)))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |spread: Option<Spread>, digits| spread.map_or("-".to_owned(), |spread| spread.show(digits));
        let first = self.agents.first().map_or("", String::as_str);
        writeln!(f, "\n| {} | CPU-s per million spans | spans/s | peak MiB | CPU / {first} |", self.case)?;
        writeln!(f, "|---|---|---|---|---|")?;
        for agent in &self.agents {
            writeln!(
                f,
                "| {agent} | {} | {} | {} | {} |",
                shown(self.spread(agent, |round| round.cpu_seconds_per_million), 2),
                shown(self.spread(agent, |round| round.spans_per_second), 0),
                shown(self.spread(agent, |round| round.peak_mib), 0),
                shown(self.ratio(agent), 1),
            )?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "{failure}"))
    }
}
