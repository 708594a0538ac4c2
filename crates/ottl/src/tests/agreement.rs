//! The same conditions on the same spans as the collector's `pkg/ottl` v0.158, whose answers are in `collector/`:
//! a line per condition, a letter per span (1, 0, or e for an evaluation error), or `refused`.

use std::path::{Path, PathBuf};

use super::fixture::{request, scope, span};
use super::properties;
use crate::{Condition, ContextKind};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/collector")
}

fn lines(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn answers(condition: &str, requests: &[Vec<u8>]) -> String {
    let Ok(condition) = Condition::compile(condition, ContextKind::Span) else { return "refused".to_owned() };
    let letter = |request: &Vec<u8>| match condition.matches(&scope(request)) {
        Ok(true) => '1',
        Ok(false) => '0',
        Err(_) => 'e',
    };
    requests.iter().map(letter).collect()
}

#[test]
fn the_collector_agrees() {
    let hex =
        |line: &String| (0..line.len() / 2).map(|at| u8::from_str_radix(&line[2 * at..][..2], 16)).collect();
    let requests: Vec<Vec<u8>> = lines("spans.hex").iter().map(hex).collect::<Result<_, _>>().unwrap();
    let (conditions, expected) = (lines("conditions.txt"), lines("answers.txt"));
    assert_eq!(conditions.len(), expected.len());
    let differs = |(condition, theirs): (&String, &String)| {
        let ours = answers(condition, &requests);
        (ours != *theirs).then(|| format!("{condition}\n  ours   {ours}\n  theirs {theirs}"))
    };
    let found = conditions.iter().zip(&expected).filter_map(differs).collect::<Vec<_>>().join("\n");
    if let Ok(file) = std::env::var("WRITE_DIFFERENCES") {
        std::fs::write(file, format!("{found}\n")).unwrap();
    }
    // What the README lists: refused when compiled, or a cut through a character.
    assert_eq!(found, lines("differences.txt").join("\n"), "not the known differences");
}

/// Writes spans and random conditions for the collector to answer; `written.txt` holds the conditions written by hand.
/// Then `main.go` there writes `answers.txt`, and the test above with `WRITE_DIFFERENCES=file` the differences to judge.
#[test]
#[ignore = "writes the corpus anew: the collector's answers have to follow"]
fn write_corpus() {
    let mut requests = vec![request(span())];
    requests.extend(properties::samples(properties::span(), 39).into_iter().map(|mut span| {
        // The collector refuses ids of other lengths.
        span.trace_id.resize(16, 7);
        span.span_id.resize(8, 7);
        span.parent_span_id.resize(if span.kind == 1 { 0 } else { 8 }, 7);
        request(span)
    }));
    let hex = |request: &Vec<u8>| request.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let spans: Vec<_> = requests.iter().map(hex).collect();
    std::fs::write(folder().join("spans.hex"), spans.join("\n") + "\n").unwrap();
    let mut conditions = lines("written.txt");
    let count = std::env::var("CONDITIONS").ok().and_then(|count| count.parse().ok());
    conditions.extend(properties::samples(properties::condition(), count.unwrap_or(1200)));
    std::fs::write(folder().join("conditions.txt"), conditions.join("\n") + "\n").unwrap();
}
