//! The benchmark harness: a loader that replays agent-task traces, a sink that counts and checks what comes out, and
//! a runner that measures the CPU and memory of each agent in between. See benches/README.md.

#![allow(clippy::print_stdout)] // printing results is what this program does

mod agent;
mod case;
mod cli;
mod codec;
mod error;
mod floor;
mod load;
mod memory;
mod protocol;
mod report;
mod round;
mod run;
mod scan;
mod sink;
mod tally;
mod zipkin_sink;

#[cfg(test)]
mod tests;

use clap::Parser;

use crate::cli::{Cli, Command};

#[tokio::main(worker_threads = 2)]
async fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Load(args) => cli::load(args).await,
        Command::Sink(args) => cli::sink(args).await,
        Command::Floor(args) => floor::floor(args).await,
        Command::Report(args) => report::print(&args),
        Command::Run(args) => run::run(args).await,
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forebay-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
