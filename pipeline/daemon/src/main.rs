//! The binary `tidegauge`; see the library beside it.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tidegauge::run::run(&tidegauge::cli::Cli::parse())
}
