//! The Forebay agent: `forebay --config FILE` runs it.

mod cli;
mod components;
mod edges;
mod explain;
mod gates;
mod generate;
mod inspect;
mod run;
mod simulate;

use clap::Parser;
use std::process::ExitCode;

/// Returns to the system what bursts leave behind; the system's own allocator keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let outcome = match cli.command {
        None => run::run(&cli.config),
        Some(cli::Command::Run(args)) => run::run(&both(cli.config, args)),
        Some(cli::Command::Validate(args)) => inspect::validate(&both(cli.config, args)),
        Some(cli::Command::PrintConfig(args)) => {
            inspect::print_config(&both(cli.config, args.config), args.mode)
        }
        Some(cli::Command::Components) => inspect::components(),
        Some(cli::Command::Explain(args)) => explain::explain(&args),
        Some(cli::Command::Generate(args)) => generate::generate(args),
        Some(cli::Command::Simulate(args)) => simulate::simulate(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// `--config` and `--feature-gates` are accepted before and after the command.
fn both(mut before: cli::ConfigArgs, after: cli::ConfigArgs) -> cli::ConfigArgs {
    before.config.extend(after.config);
    before.feature_gates.extend(after.feature_gates);
    before
}
