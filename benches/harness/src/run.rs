//! `forebay-bench run`: every agent of a case in turn, several rounds, one table.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::{self, Case};
use crate::cli::{CorpusArgs, RunArgs};
use crate::error::BenchError;
use crate::report::{CaseReport, Machine, Report};
use crate::round::{self, Setup};

const CASES: &str = "benches/cases";
/// Spans of a run that only shows that everything works.
const QUICK_SPANS: usize = 200_000;

pub async fn run(args: RunArgs) -> Result<(), BenchError> {
    let folders = if args.cases.is_empty() { case::all(Path::new(CASES))? } else { args.cases.clone() };
    let mut report = Report { machine: Machine::read(), cases: Vec::new() };
    for folder in folders {
        let case = Case::read(&folder)?;
        // A number of spans that is asked for is the only step.
        for case in if args.spans.is_some() { vec![case] } else { case.steps() } {
            let measured = run_case(&case, &args).await?;
            print!("{measured}");
            report.cases.push(measured);
            // Written after each case: a long run that is interrupted keeps what it has.
            write(&report, &args.json)?;
        }
    }
    println!("\n{}; details in {}", report.machine, args.json.display());
    match report.cases.iter().map(CaseReport::incorrect).sum() {
        0 => Ok(()),
        incorrect => Err(BenchError::Incorrect(incorrect)),
    }
}

async fn run_case(case: &Case, args: &RunArgs) -> Result<CaseReport, BenchError> {
    let agents = agents(case, &args.agents)?;
    let spans = args.spans.unwrap_or(case.file.spans);
    let corpus_args = CorpusArgs {
        spans: if args.quick { spans.min(QUICK_SPANS) } else { spans },
        spans_per_request: args.spans_per_request.unwrap_or(case.file.spans_per_request),
        corpus_spans: 100_000,
        span_bytes: case.file.span_bytes,
        spans_per_trace: case.file.spans_per_trace,
        seed: 1,
    };
    let (corpus, replays) = corpus_args.build()?;
    let mut report = CaseReport {
        case: case.name.clone(),
        description: case.file.description.clone(),
        spans: corpus.spans() as u64 * u64::from(replays),
        spans_per_request: corpus_args.spans_per_request,
        measure: case.file.measure,
        rate: None,
        wire_bytes_per_span: corpus.wire_bytes() as f64 / corpus.spans() as f64,
        agents: agents.iter().map(|(agent, _)| agent.clone()).collect(),
        rounds: Vec::new(),
        failures: Vec::new(),
    };
    println!(
        "\n{}: {} ({} spans, {} a request)",
        case.name, report.description, report.spans, report.spans_per_request
    );
    let (rate, cpus) = (args.send.rate, args.agent_cpus.clone());
    let mut setup = Setup { case, corpus, replays, send: args.send.clone(), rate, cpus };
    if let Some(share) = case.file.share_of_maximum.filter(|_| rate.is_none()) {
        setup.rate = Some(share * lowest_maximum(&setup, &agents).await?);
        println!("  {:.0} spans/s, {share} of the slowest agent's maximum", setup.rate.unwrap_or_default());
    }
    report.rate = setup.rate;
    let rounds = if args.quick { 1 } else { args.rounds };
    for number in 1..=rounds {
        // Each round starts with another agent, so that drift of the machine touches all alike.
        for turn in 0..agents.len() {
            let (agent, binary) = &agents[(number - 1 + turn) % agents.len()];
            // One agent that fails leaves the others their figures.
            let measured = match round::run(&setup, agent, binary.clone(), number).await {
                Ok(measured) => measured,
                Err(error) => {
                    println!("  round {number} {agent}: FAILED: {error}");
                    report.failures.push(format!("round {number} {agent} failed: {error}"));
                    continue;
                }
            };
            println!(
                "  round {number} {agent}: {:.2} CPU-s/M, {:.0} spans/s, {:.0} MiB; {}{}{}",
                measured.cpu_seconds_per_million,
                measured.spans_per_second,
                measured.peak_mib,
                measured.counts,
                if measured.stopped_cleanly { "" } else { "; did not stop cleanly" },
                if measured.correct { "" } else { "  WRONG" },
            );
            report.rounds.push(measured);
        }
    }
    Ok(report)
}

/// The lowest of the agents' rates at full speed.
async fn lowest_maximum(setup: &Setup<'_>, agents: &[(String, PathBuf)]) -> Result<f64, BenchError> {
    let mut lowest = f64::INFINITY;
    for (agent, binary) in agents {
        let measured = round::run(setup, agent, binary.clone(), 0).await?;
        println!("  {agent} at full speed: {:.0} spans/s", measured.spans_per_second);
        lowest = lowest.min(measured.spans_per_second);
    }
    Ok(lowest)
}

/// The agents asked for, which must be there, or those of the case that are.
fn agents(case: &Case, asked: &[String]) -> Result<Vec<(String, PathBuf)>, BenchError> {
    let mut found = Vec::new();
    for agent in if asked.is_empty() { &case.agents } else { asked } {
        if !case.agents.contains(agent) {
            let message = format!("{} has no {agent}.yaml", case.folder.display());
            return Err(BenchError::agent(agent, message));
        }
        match case::binary(agent) {
            Some(binary) => found.push((agent.clone(), binary)),
            None if asked.is_empty() => println!("without {agent}: {}", case::how_to_get(agent)),
            None => return Err(BenchError::agent(agent, case::how_to_get(agent))),
        }
    }
    if found.is_empty() {
        return Err(BenchError::Usage(format!("no agent for {} is installed", case.name)));
    }
    Ok(found)
}

fn write(report: &Report, path: &Path) -> Result<(), BenchError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
    }
    let text = serde_json::to_string_pretty(report).map_err(|error| BenchError::Usage(error.to_string()))?;
    fs::write(path, text).map_err(BenchError::file(path))
}
