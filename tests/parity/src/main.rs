//! Plays every case to the Go collector and to Forebay, side by side, and compares what comes out.
//!
//! `OTELCOL_BIN` names the collector's binary. With `--record` its answers go to `golden/`, and the table to
//! `docs/parity.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use forebay_parity::agent::{self, AgentError, Place};
use forebay_parity::case::{self, Case};
use forebay_parity::content;
use forebay_parity::corpus::{SCENARIOS, Scenario, span_numbers};
use forebay_parity::generate;
use forebay_parity::golden::{self, Record};
use forebay_parity::replay::Kept;
use forebay_parity::report;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Attempts at a case while the machine is too busy for its times.
const ATTEMPTS: usize = 3;

#[derive(Parser)]
#[command(about = "Decision parity with the Go collector's tail_sampling processor")]
struct Args {
    /// Only cases whose name contains one of these.
    cases: Vec<String>,
    /// Forebay's binary.
    #[arg(long, default_value = "target/debug/forebay")]
    forebay: PathBuf,
    /// Cases at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Where configurations and logs go.
    #[arg(long, default_value = "target/parity")]
    folder: PathBuf,
    /// Play so many more generated configurations, whose answers are not recorded.
    #[arg(long, default_value_t = 0)]
    more: u64,
    /// Write the collector's answers to the golden files, and the table to the documentation.
    #[arg(long)]
    record: bool,
}

/// What came of a case.
struct Outcome {
    record: Record,
    result: Result<usize, String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("forebay-parity: {message}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<bool, String> {
    let collector = std::env::var_os("OTELCOL_BIN").ok_or("set OTELCOL_BIN to the collector's binary")?;
    let binaries = Arc::new((PathBuf::from(collector), args.forebay.clone()));
    let all = case::all()?;
    let chosen =
        |case: &&Case| args.cases.is_empty() || args.cases.iter().any(|part| case.name.contains(part));
    let scenarios: BTreeMap<&str, Arc<Scenario>> =
        SCENARIOS.iter().filter_map(|name| Some((*name, Arc::new(Scenario::named(name)?)))).collect();
    let slots = Arc::new(Semaphore::new(args.jobs.max(1)));
    let mut jobs = JoinSet::new();
    let more = case::generated(generate::COUNT..generate::COUNT + args.more)?;
    for case in all.iter().chain(&more).filter(chosen).cloned() {
        let (slots, binaries) = (Arc::clone(&slots), Arc::clone(&binaries));
        let scenario = Arc::clone(&scenarios[case.scenario.as_str()]);
        let folder = args.folder.join(&case.name);
        jobs.spawn(async move {
            let _permit = slots.acquire().await;
            let outcome = compare(&case, &scenario, &binaries, &folder).await;
            (case.name, outcome)
        });
    }
    let (mut outcomes, mut good) = (BTreeMap::new(), true);
    while let Some(done) = jobs.join_next().await {
        let (name, outcome) = done.map_err(|error| error.to_string())?;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("{name}: NOT COMPARED: {error}");
                good = false;
                continue;
            }
        };
        let (traces, spans) = (outcome.record.traces, outcome.record.collector.spans);
        if let Some(failure) = outcome.record.failure {
            eprintln!("{name}: the collector {failure}");
        }
        match &outcome.result {
            Ok(0) => eprintln!("{name}: {traces} traces, {spans} spans: same"),
            Ok(differing) => {
                eprintln!("{name}: {traces} traces, {spans} spans: {differing} differ, as meant")
            }
            Err(wrong) => {
                eprintln!("{name}: {traces} traces, {spans} spans: DIFFERENT: {wrong}");
                good = false;
            }
        }
        outcomes.insert(name, outcome);
    }
    eprintln!("{} cases compared", outcomes.len());
    if args.record {
        record(&all, &scenarios, &outcomes)?;
    }
    Ok(good)
}

/// Plays one case to both.
async fn compare(
    case: &Case,
    scenario: &Scenario,
    binaries: &(PathBuf, PathBuf),
    folder: &Path,
) -> Result<Outcome, String> {
    let otelcol = Place { binary: &binaries.0, folder, name: "otelcol" };
    let forebay = Place { binary: &binaries.1, folder, name: "forebay" };
    let mut attempt = 0;
    let (theirs, ours) = loop {
        attempt += 1;
        let ours = async {
            match case.refused {
                Some(_) => Ok(Vec::new()),
                None => agent::play(case, scenario, &forebay).await,
            }
        };
        match tokio::join!(agent::play(case, scenario, &otelcol), ours) {
            (Ok(theirs), Ok(ours)) => break (theirs, ours),
            (Err(error), Ok(ours)) if error.failure().is_some() && !is_strict(case) => {
                let forebay = case.differs.as_ref().map(|_| kept(scenario, &ours)).transpose()?;
                let failed = Record::failed(scenario, error.failure().unwrap_or_default());
                return Ok(Outcome { record: Record { forebay, ..failed }, result: Ok(0) });
            }
            (Err(AgentError::Late(_)), _) | (_, Err(AgentError::Late(_))) if attempt < ATTEMPTS => {
                eprintln!("{}: the machine was too busy; again", case.name);
            }
            (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        }
    };
    let mut record = Record::new(scenario, kept(scenario, &theirs)?);
    if case.refused.is_some() {
        return Ok(Outcome { record, result: Ok(0) });
    }
    let kept = kept(scenario, &ours)?;
    let mut result = golden::compare(case, scenario, &record, &kept);
    if case.differs.is_some() {
        record.forebay = Some(kept);
    }
    if result.is_ok()
        && let Some(wrong) = content::difference(&theirs, &ours)?
    {
        result = Err(wrong);
    }
    Ok(Outcome { record, result })
}

fn is_strict(case: &Case) -> bool {
    case.refused.is_none() && case.differs.is_none()
}

fn kept(scenario: &Scenario, requests: &[Bytes]) -> Result<Kept, String> {
    let mut kept = Kept::new(scenario.spans);
    for request in requests {
        kept.add(&span_numbers(request)?);
    }
    Ok(kept)
}

/// Writes golden files and the table: new outcomes, and what was recorded of the cases that were not played.
fn record(
    all: &[Case],
    scenarios: &BTreeMap<&str, Arc<Scenario>>,
    outcomes: &BTreeMap<String, Outcome>,
) -> Result<(), String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut rows = Vec::new();
    for case in all {
        let scenario = &scenarios[case.scenario.as_str()];
        let record = match outcomes.get(&case.name) {
            Some(outcome) => outcome.record.clone(),
            None => match golden::record(case, scenario) {
                Ok(record) => record,
                Err(_) => continue,
            },
        };
        let file = files.entry(&case.group).or_default();
        *file += &golden::line(case, &record);
        file.push('\n');
        rows.push(report::row(case, scenario, &record));
    }
    let io = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for (group, text) in files {
        let path = golden::folder().join(group).with_extension("txt");
        std::fs::write(&path, text).map_err(|error| io(&path, error))?;
    }
    let path = report::document();
    let document = std::fs::read_to_string(&path).map_err(|error| io(&path, error))?;
    let document = report::with_table(&document, &rows)?;
    std::fs::write(&path, document).map_err(|error| io(&path, error))
}
