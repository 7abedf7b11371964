//! The command line: arguments in, a typed command out, and what needs no engine to answer.

mod args;
pub mod command;
pub mod config_file;
pub mod exit;
pub mod output;
pub mod secret;

use std::ffi::OsString;
use std::io;

use crate::cli::command::Invocation;
use crate::cli::exit::Exit;
use crate::text::Gate;

/// Reads the command line. `Err` when there is nothing left to do: help was printed, or what is
/// wrong with the line.
///
/// # Errors
/// The exit code to end with: [`Exit::Reached`] for help, [`Exit::Usage`] for a bad line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, gate: &Gate) -> Result<Invocation, Exit> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    args::parse(arguments, no_color, gate).map_err(|error| {
        if error.use_stderr() {
            // It repeats what was typed, and what was typed may be a secret in the wrong place.
            eprint!("{}", gate.scrub(&error.render().to_string()));
            Exit::Usage
        } else {
            // Help is our own text; a reader that went away has had enough of it.
            let _ = error.print();
            Exit::Reached
        }
    })
}

/// The completions script for a shell.
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::definition(), "lastgood", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program, or of the command that these words name; `None` when there is
/// no such command.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn manual(of: &[String]) -> io::Result<Option<String>> {
    let mut definition = args::definition();
    definition.build();
    let mut command = &definition;
    for word in of {
        match command.find_subcommand(word) {
            Some(found) => command = found,
            None => return Ok(None),
        }
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(Some(String::from_utf8_lossy(&page).into_owned()))
}
