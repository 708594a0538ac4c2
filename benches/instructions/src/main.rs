//! The program of `make bench-instructions`.
use std::process::ExitCode;

fn main() -> ExitCode {
    forebay_instructions::main()
}
