//! The table of results in `docs/parity.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::corpus::Scenario;
use crate::golden::Record;

const BEGIN: &str = "<!-- cases -->\n";
const END: &str = "<!-- end of cases -->\n";

/// The document that holds the table.
#[must_use]
pub fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity.md")
}

/// A line of the table: the case, what the collector keeps, and how Forebay differs.
#[must_use]
pub fn row(case: &Case, scenario: &Scenario, record: &Record) -> String {
    let result = match (&case.differs, &record.forebay) {
        _ if case.refused.is_some() => {
            format!("**refused**: {}", case.refused.as_deref().unwrap_or_default())
        }
        (Some(difference), Some(forebay)) => {
            let differing = forebay.differing(&record.collector, scenario).len();
            format!("**{differing} differ**: {}", difference.why)
        }
        _ if case.counts_only => "same counts".to_owned(),
        _ => "same".to_owned(),
    };
    let kept = match record.failure {
        Some(failure) => format!("it {failure} | "),
        None => format!("{} of {} | {}", record.traces, scenario.traces.len(), record.collector.spans),
    };
    format!("| `{}` | {} | {} | {kept} | {result} |\n", case.name, case.about, case.scenario)
}

/// The document with `rows` as its table.
///
/// # Errors
/// When the document has no place for the table.
pub fn with_table(document: &str, rows: &[String]) -> Result<String, String> {
    let begin =
        document.find(BEGIN).ok_or("docs/parity.md has no line for the table to begin")? + BEGIN.len();
    let end = document.find(END).ok_or("docs/parity.md has no line for the table to end")?;
    let mut table =
        "| case | what | scenario | traces kept | spans | here |\n|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        // Writing to a string does not fail.
        let _ = write!(table, "{row}");
    }
    Ok([&document[..begin], &table, &document[end..]].concat())
}
