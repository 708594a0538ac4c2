//! Counts the instructions that the hot paths take (callgrind), and compares them with a recorded baseline: a figure
//! that neither a busy machine nor a faster one changes. See benches/README.md.

#![allow(clippy::print_stdout)] // printing results is what this crate does

mod baseline;
mod corpus;
mod error;
mod hot_paths;
mod measure;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::baseline::{Baseline, Change};
use crate::corpus::Requests;
use crate::error::InstructionsError;
use crate::hot_paths::{HOT_PATHS, HotPath};

#[derive(Parser)]
#[command(about = "Counts the instructions of the hot paths, and compares them with a baseline")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts each path's instructions under callgrind and fails when one has grown too much.
    Check(CheckArgs),
    /// Runs one path once, uncounted; what `check` starts under callgrind.
    Run {
        /// The path's name.
        path: String,
        /// The file of requests that `check` wrote.
        #[arg(long)]
        corpus: PathBuf,
    },
}

#[derive(clap::Args)]
struct CheckArgs {
    /// The recorded counts.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json"))]
    baseline: PathBuf,
    /// The growth in percent at which the check fails.
    #[arg(long, default_value_t = 5.0)]
    tolerance: f64,
    /// Writes what was counted into the baseline instead of comparing.
    #[arg(long)]
    record: bool,
    /// Paths to count; all when not given.
    #[arg(long, value_delimiter = ',')]
    paths: Vec<String>,
    /// Where the corpus and callgrind's files go; `callgrind_annotate` reads the latter.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/instructions"))]
    out: PathBuf,
}

/// The program: `check` compares, `run` is what `check` starts under callgrind.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => check(&args),
        Command::Run { path, corpus } => run(&path, &corpus),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, corpus: &Path) -> Result<(), InstructionsError> {
    let work = hot_path(name)?.prepare(Requests::read(corpus)?)?;
    // Printed so that the optimizer cannot drop the work.
    println!("{name}: {}", measure::forebay_measured(work));
    Ok(())
}

fn check(args: &CheckArgs) -> Result<(), InstructionsError> {
    let paths = match args.paths.as_slice() {
        [] => HOT_PATHS.iter().collect(),
        names => names.iter().map(|name| hot_path(name)).collect::<Result<Vec<_>, _>>()?,
    };
    let mut baseline = Baseline::read(&args.baseline)?;
    let corpus = Requests::generate()?;
    let spans = corpus.spans() as u64;
    let corpus = corpus.write(&args.out)?;
    println!("{:<10} {:>13} {:>10} {:>10} {:>9}", "path", "instructions", "per span", "baseline", "change");
    let mut grown = Vec::new();
    let mut shrunk = false;
    for path in paths {
        let counted = measure::count(path.name, &corpus, &args.out)?;
        let per_span = |count: u64| count as f64 * path.one_of as f64 / spans as f64;
        let change = baseline.compare(path.name, counted, args.tolerance);
        let (before, percent) = match change {
            Change::New => ("-".to_owned(), "new".to_owned()),
            Change::Within { before, percent }
            | Change::Grown { before, percent }
            | Change::Shrunk { before, percent } => {
                (format!("{:.0}", per_span(before)), format!("{percent:+.2} %"))
            }
        };
        println!("{:<10} {counted:>13} {:>10.0} {before:>10} {percent:>9}", path.name, per_span(counted));
        match change {
            Change::Grown { .. } | Change::New => grown.push(path.name),
            Change::Shrunk { .. } => shrunk = true,
            Change::Within { .. } => {}
        }
        baseline.set(path.name, counted);
    }
    if args.record {
        baseline.write(&args.baseline)?;
        println!("recorded in {}", args.baseline.display());
        return Ok(());
    }
    if shrunk {
        println!("a path takes fewer instructions: hold on to it with `make bench-instructions RECORD=1`");
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(InstructionsError::Grown { paths: grown.join(", "), tolerance: args.tolerance })
}

fn hot_path(name: &str) -> Result<&'static HotPath, InstructionsError> {
    HOT_PATHS.iter().find(|path| path.name == name).ok_or_else(|| InstructionsError::NoSuchPath {
        name: name.to_owned(),
        known: HOT_PATHS.iter().map(|path| path.name).collect::<Vec<_>>().join(", "),
    })
}
