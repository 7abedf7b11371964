//! Starts the program: parse, dispatch, exit code.

use std::process::ExitCode;

use lastgood::cli::command::{Command, Place};
use lastgood::cli::exit::Exit;
use lastgood::cli::{Start, config_file, init};

fn main() -> ExitCode {
    lastgood::cli::main(|Start { invocation, gate, .. }| match &invocation.command {
        Command::Init(to) => {
            let Place { context, namespace, .. } = &invocation.place;
            let current = |config| config_file::current(&config, context.as_ref(), namespace.as_ref());
            let cluster = config_file::kubeconfig(&gate).and_then(current).ok();
            match init::init(to, &init::Found { cluster, workloads: Vec::new() }, &gate) {
                Ok(()) => Ok(Exit::Reached),
                Err(trouble) => {
                    eprintln!("lastgood: {}", trouble.sentence());
                    Ok(trouble.kind.into())
                }
            }
        }
        _ => {
            eprintln!("lastgood: this command is not available in this build; use a later one");
            Ok(Exit::Usage)
        }
    })
}
