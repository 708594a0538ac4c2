//! `forebay validate` on broken configurations: one message each, at the right place.
//!
//! A fixture's last line says what is expected: `# expect LINE:COLUMN WORDS`, where the column may be `*`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn validate(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay")).arg("validate").arg("--config").arg(file).output().unwrap()
}

#[test]
fn the_base_of_all_fixtures_is_valid() {
    let output = validate(&here("valid.yaml"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn each_broken_configuration_gives_one_message_at_its_place() {
    let mut failures = Vec::new();
    let mut fixtures: Vec<PathBuf> =
        std::fs::read_dir(here("broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    fixtures.sort();
    assert!(fixtures.len() >= 20, "only {} fixtures", fixtures.len());
    for fixture in &fixtures {
        let text = std::fs::read_to_string(fixture).unwrap();
        let expectation = text.lines().last().unwrap().strip_prefix("# expect ").expect("an expectation");
        let (place, words) = expectation.split_once(' ').unwrap();
        let output = validate(fixture);
        let said = String::from_utf8_lossy(&output.stderr);
        let at = format!("{}:{}", fixture.display(), place.trim_end_matches('*'));
        let errors = said.lines().filter(|line| line.contains(": error: ")).count();
        let right = errors == 1 && !output.status.success() && said.contains(&at) && said.contains(words);
        if !right {
            failures.push(format!("--- {at} {words} ({errors} errors)\n{said}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), fixtures.len(), failures.join("\n"));
}

fn with_gates(command: &str, gates: &str) -> Output {
    let mut forebay = Command::new(env!("CARGO_BIN_EXE_forebay"));
    forebay
        .arg(command)
        .arg("--config")
        .arg(here("valid.yaml"))
        .args(["--feature-gates", gates])
        .output()
        .unwrap()
}

#[test]
fn feature_gates_are_the_collectors() {
    const RECORD: &str = "processor.tailsamplingprocessor.recordpolicy";
    const ALWAYS: &str = "processor.tailsamplingprocessor.metricstatcountspanssampled";
    for (gates, expected) in [
        (RECORD.to_owned(), "record_policy: true"),
        (format!("+{ALWAYS},{RECORD}"), "record_policy: true"),
        (format!("{RECORD},-{RECORD}"), "record_policy: false"),
    ] {
        let output = with_gates("print-config", &gates);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains(expected), "{gates}: {printed}");
    }
    for (gates, words) in [
        (
            "processor.tailsamplingprocessor.recordpolice",
            "did you mean `processor.tailsamplingprocessor.recordpolicy`?",
        ),
        ("telemetry.newPipelineTelemetry", "known: processor.tailsamplingprocessor.recordpolicy, "),
        (&format!("-{ALWAYS}"), "always on"),
    ] {
        let output = with_gates("validate", gates);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{gates}: {said}");
    }
}

#[test]
fn every_example_is_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let output = validate(&path);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} examples");
}
