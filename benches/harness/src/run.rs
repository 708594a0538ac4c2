//! `forebay-bench run`: every agent of a case in turn, several rounds, one table.

use std::fs;
use std::path::Path;

use crate::case::{self, Case, MaximumOf, OURS};
use crate::cli::{CorpusArgs, RunArgs};
use crate::error::BenchError;
use crate::report::{CaseReport, Growth, Machine, Report};
use crate::round::{self, Contender, Setup};

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
        print!("{}", Growth(&report.cases));
    }
    println!("\n{}; details in {}", report.machine, args.json.display());
    match report.cases.iter().map(CaseReport::incorrect).sum() {
        0 => Ok(()),
        incorrect => Err(BenchError::Incorrect(incorrect)),
    }
}

async fn run_case(case: &Case, args: &RunArgs) -> Result<CaseReport, BenchError> {
    let mut agents = agents(case, args)?;
    let spans = args.spans.unwrap_or(case.file.spans);
    if case.file.peers_up_to.is_some_and(|most| spans > most) {
        agents.retain(|agent| agent.name == OURS);
    }
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
        step_of: case.step_of.clone(),
        description: case.file.description.clone(),
        spans: corpus.spans() as u64 * u64::from(replays),
        spans_per_request: corpus_args.spans_per_request,
        measure: case.file.measure,
        wire_bytes_per_span: corpus.wire_bytes() as f64 / corpus.spans() as f64,
        agents: agents.iter().map(|agent| agent.name.clone()).collect(),
        rounds: Vec::new(),
        failures: Vec::new(),
    };
    println!(
        "\n{}: {} ({} spans, {} a request)",
        case.name, report.description, report.spans, report.spans_per_request
    );
    let setup = Setup { case, corpus, replays, send: args.send.clone(), cpus: args.agent_cpus.clone() };
    if let Some(share) = case.file.share_of_maximum.filter(|_| args.send.rate.is_none()) {
        pace(&setup, &mut agents, share).await?;
    }
    let rounds = if args.quick { 1 } else { args.rounds };
    for number in 1..=rounds {
        // Each round starts with another agent, so that drift of the machine touches all alike.
        for turn in 0..agents.len() {
            let contender = &agents[(number - 1 + turn) % agents.len()];
            let agent = &contender.name;
            // One agent that fails leaves the others their figures.
            let measured = match round::run(&setup, contender, number).await {
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

/// Gives the agents the rate that is `share` of the maximum, which each shows first at full speed.
async fn pace(setup: &Setup<'_>, agents: &mut [Contender], share: f64) -> Result<(), BenchError> {
    for agent in agents.iter_mut() {
        let measured = round::run(setup, agent, 0).await?;
        println!("  {} at full speed: {:.0} spans/s", agent.name, measured.spans_per_second);
        agent.rate = Some(share * measured.spans_per_second);
    }
    if setup.case.file.maximum_of == MaximumOf::Slowest {
        let slowest = agents.iter().filter_map(|agent| agent.rate).min_by(f64::total_cmp);
        agents.iter_mut().for_each(|agent| agent.rate = slowest);
    }
    Ok(())
}

/// The agents asked for, which must be there, or those of the case that are.
fn agents(case: &Case, args: &RunArgs) -> Result<Vec<Contender>, BenchError> {
    let asked = &args.agents;
    let mut found = Vec::new();
    for agent in if asked.is_empty() { &case.agents } else { asked } {
        if !case.agents.contains(agent) {
            let message = format!("{} has no {agent}.yaml", case.folder.display());
            return Err(BenchError::agent(agent, message));
        }
        match case::binary(agent) {
            Some(binary) => {
                found.push(Contender { name: agent.clone(), binary, rate: args.send.rate.or(case.file.rate) })
            }
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
