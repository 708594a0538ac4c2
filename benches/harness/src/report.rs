//! Medians, spreads and ratios, as a table and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::case::Measure;
use crate::cli::ReportArgs;
use crate::error::BenchError;
use crate::round::Round;

/// The results of `run`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub cases: Vec<CaseReport>,
}

/// What the figures were measured on.
#[derive(Debug, Deserialize, Serialize)]
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
#[derive(Debug, Deserialize, Serialize)]
pub struct CaseReport {
    pub case: String,
    /// The case that this is a step of, if it is the number of spans that grows.
    #[serde(default)]
    pub step_of: Option<String>,
    pub description: String,
    /// Spans sent to each agent in each round.
    pub spans: u64,
    pub spans_per_request: usize,
    pub measure: Measure,
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

/// A column: its title, how many digits, and what it shows of a round.
type Column = (&'static str, usize, fn(&Round) -> f64);

const CPU: Column = ("CPU-s per million spans", 2, |round| round.cpu_seconds_per_million);
const RATE: Column = ("spans/s", 0, |round| round.spans_per_second);
const PEAK: Column = ("peak MiB", 0, |round| round.peak_mib);
const RESIDENT: Column = ("resident MiB", 0, |round| round.resident_mib);

impl CaseReport {
    fn columns(&self) -> Vec<Column> {
        match self.measure {
            Measure::Delivered if self.rounds.iter().any(|round| round.rate.is_some()) => vec![
                CPU,
                RATE,
                ("ack p50 ms", 2, |round| round.load.ack_p50_ms),
                ("p99 ms", 2, |round| round.load.ack_p99_ms),
                ("p99.9 ms", 2, |round| round.load.ack_p999_ms),
            ],
            Measure::Delivered => vec![CPU, RATE, PEAK],
            Measure::Held => {
                vec![CPU, RATE, RESIDENT, ("resident / wire", 2, |round| round.resident_over_wire)]
            }
            Measure::Idle => vec![RESIDENT, ("CPU ms in 30 s", 0, |round| round.cpu_seconds * 1000.0)],
        }
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |spread: Option<Spread>, digits| spread.map_or("-".to_owned(), |spread| spread.show(digits));
        let columns = self.columns();
        let compared = self.measure != Measure::Idle;
        write!(f, "\n| {} |", self.case)?;
        columns.iter().try_for_each(|(title, ..)| write!(f, " {title} |"))?;
        let first = self.agents.first().map_or("", String::as_str);
        if compared {
            write!(f, " CPU / {first} |")?;
        }
        writeln!(f, "\n|---|{}", "---|".repeat(columns.len() + usize::from(compared)))?;
        for agent in &self.agents {
            write!(f, "| {agent} |")?;
            for (_, digits, value) in &columns {
                write!(f, " {} |", shown(self.spread(agent, value), *digits))?;
            }
            if compared {
                write!(f, " {} |", shown(self.ratio(agent), 1))?;
            }
            writeln!(f)?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "{failure}"))
    }
}

/// What the spans of each step cost beyond those of the step before, of the case that was measured last.
///
/// Starting costs the same in every step and is not in it.
pub struct Growth<'a>(pub &'a [CaseReport]);

impl fmt::Display for Growth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.0.last().and_then(|case| case.step_of.as_ref()) else {
            return Ok(());
        };
        let steps: Vec<&CaseReport> =
            self.0.iter().filter(|case| case.step_of.as_ref() == Some(name)).collect();
        let Some(agents) = steps.first().map(|step| &step.agents) else {
            return Ok(());
        };
        write!(f, "\n| {name}: CPU-s per million spans, from .. to spans |")?;
        agents.iter().try_for_each(|agent| write!(f, " {agent} |"))?;
        writeln!(f, "\n|---|{}", "---|".repeat(agents.len()))?;
        for pair in steps.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            write!(f, "| {} .. {} |", from.spans, to.spans)?;
            for agent in agents {
                let cpu = |step: &CaseReport| step.spread(agent, |round| round.cpu_seconds);
                match cpu(from).zip(cpu(to)) {
                    Some((less, more)) => {
                        let spans = to.spans.saturating_sub(from.spans) as f64;
                        write!(f, " {:.2} |", (more.median - less.median) * 1e6 / spans)?;
                    }
                    None => write!(f, " - |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

const BEGIN: &str = "<!-- results -->";
const END: &str = "<!-- /results -->";

/// `forebay-bench report`.
pub fn print(args: &ReportArgs) -> Result<(), BenchError> {
    let text = fs::read_to_string(&args.results).map_err(BenchError::file(&args.results))?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| BenchError::Case { path: args.results.clone(), message: error.to_string() })?;
    match &args.into {
        None => print!("{}", report.markdown()),
        Some(path) => replace(path, &report.markdown())?,
    }
    Ok(())
}

/// Puts the tables between the two marks of a file.
fn replace(path: &Path, tables: &str) -> Result<(), BenchError> {
    let text = fs::read_to_string(path).map_err(BenchError::file(path))?;
    let place = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = place else {
        return Err(BenchError::Usage(format!("{} has no lines {BEGIN} and {END}", path.display())));
    };
    fs::write(path, format!("{before}{BEGIN}\n{tables}\n{END}{after}")).map_err(BenchError::file(path))
}

impl Report {
    /// All tables, with what they were measured on.
    pub fn markdown(&self) -> String {
        let mut text = format!("Measured on {}.\n", self.machine);
        for (index, case) in self.cases.iter().enumerate() {
            let rounds = case.rounds.iter().map(|round| round.round).max().unwrap_or_default();
            text += &format!("\n**{}**: {}", case.case, case.description);
            if case.measure != Measure::Idle {
                text += &format!("; {} spans, {} a request", case.spans, case.spans_per_request);
            }
            text += &format!("; {rounds} rounds.\n{case}");
            if case.incorrect() > 0 {
                text += &format!("\n**{} of the rounds are WRONG.**\n", case.incorrect());
            }
            if self.cases.get(index + 1).is_none_or(|next| next.step_of != case.step_of) {
                text += &Growth(&self.cases[..=index]).to_string();
            }
        }
        text
    }
}
