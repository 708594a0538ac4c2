//! Tests, one module for each part.

mod expand;
mod parse;
mod properties;
mod read;
mod spec;
mod values;

use crate::{Diagnostic, Diagnostics};

/// `line:column: path: message` of each problem.
fn brief<'a>(problems: impl IntoIterator<Item = &'a Diagnostic>) -> Vec<String> {
    let line =
        |d: &Diagnostic| format!("{}:{}: {}: {}", d.location.line, d.location.column, d.path, d.message);
    problems.into_iter().map(line).collect()
}

fn errors<T: std::fmt::Debug>(result: Result<T, Diagnostics>) -> Vec<String> {
    brief(&result.expect_err("a refusal").0)
}
