//! Starts the program: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    lastgood::cli::main(lastgood::cli::engine::run)
}
