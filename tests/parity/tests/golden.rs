//! Every case, played to the sampler on virtual time, against the collector's recorded answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use forebay_parity::case::{self, Case};
use forebay_parity::corpus::{SCENARIOS, Scenario};
use forebay_parity::golden::{self, Record};
use forebay_parity::{report, virtual_time};

fn scenarios() -> BTreeMap<&'static str, Scenario> {
    SCENARIOS.iter().filter_map(|name| Some((*name, Scenario::named(name)?))).collect()
}

#[test]
fn every_case_keeps_what_the_collector_keeps() {
    let (cases, scenarios) = (case::all().unwrap(), scenarios());
    assert!(cases.len() >= 60);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut wrong = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scenario = &scenarios[case.scenario.as_str()];
            let checked = golden::record(case, scenario).and_then(|record| check(case, scenario, &record));
            wrong.extend(checked.err().map(|error| format!("{}: {error}", case.name)));
        }
        wrong
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn check(case: &Case, scenario: &Scenario, record: &Record) -> Result<(), String> {
    let kept = match (virtual_time::play(case, scenario), &case.refused) {
        (Err(_), Some(_)) => return Ok(()),
        (Ok(_), Some(_)) => return Err("it is to be refused, and is not".to_owned()),
        (kept, None) => kept?,
    };
    golden::compare(case, scenario, record, &kept)?;
    match &record.forebay {
        Some(recorded) if *recorded != kept => Err("Forebay's answer is not the recorded one".to_owned()),
        _ => Ok(()),
    }
}

#[test]
fn the_table_in_the_documentation_is_the_record() {
    let (cases, scenarios) = (case::all().unwrap(), scenarios());
    let row = |case: &Case| {
        let scenario = &scenarios[case.scenario.as_str()];
        report::row(case, scenario, &golden::record(case, scenario).unwrap())
    };
    let rows: Vec<String> = cases.iter().map(row).collect();
    let document = std::fs::read_to_string(report::document()).unwrap();
    assert_eq!(report::with_table(&document, &rows).unwrap(), document, "run the comparison with --record");
}

/// The golden files hold for these requests only: after a change here, record them anew.
#[test]
fn the_corpus_is_the_one_that_was_recorded() {
    let sent: Vec<_> = SCENARIOS
        .iter()
        .map(|name| {
            let scenario = Scenario::named(name).unwrap();
            let (requests, bytes) = scenario.volume();
            (
                *name,
                scenario.traces.len(),
                scenario.spans,
                requests,
                bytes,
                format!("{:016x}", scenario.digest()),
            )
        })
        .collect();
    let recorded = [
        ("tasks", 400, 4400, 122, 437_277, "202dcc0c937d8b80"),
        ("quirks", 52, 78, 52, 8611, "bccb6484af7e115e"),
        ("rates", 8, 104, 8, 8333, "cf66ffbfaaca6db5"),
        ("crowd", 12, 60, 1, 4549, "db973578e7973185"),
        ("spaced", 10, 50, 20, 5155, "160d1e19fe522a57"),
        ("overflow", 12, 31, 19, 3621, "6ee2f46e0a9680c3"),
    ];
    assert_eq!(sent, recorded.map(|(a, b, c, d, e, digest)| (a, b, c, d, e, digest.to_owned())));
}
