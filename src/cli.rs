//! The command line: arguments in, a typed command out, and what needs no engine to answer.

mod args;
pub mod catalog_file;
pub mod command;
pub mod config_file;
pub mod engine;
pub mod exit;
pub mod init;
pub mod output;
pub mod secret;
pub mod session;
pub mod taste;
pub mod terminal;
pub mod wiring;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use color_eyre::eyre;

use crate::cli::command::{Command, Invocation};
use crate::cli::config_file::{Choice, Chosen, ConfigError};
use crate::cli::exit::Exit;
use crate::domain::catalog::Consulted;
use crate::text::{Clean, Gate};

/// What the engine starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// What was asked for.
    pub invocation: Invocation,
    /// The environment, for every command that [wants one](Command::wants_environment).
    pub chosen: Option<Chosen>,
    /// The gate that knows every secret so far.
    pub gate: Gate,
}

/// The whole program: parse, dispatch, exit code. `engine` carries out what needs more than the
/// command line's own files.
pub fn main(engine: impl FnOnce(Start) -> eyre::Result<Exit>) -> ExitCode {
    let gate = Gate::default();
    let exit = install_hooks(&gate).and_then(|()| match parse(std::env::args_os(), &gate) {
        Ok(invocation) => {
            read_ahead(&invocation.command, &gate);
            dispatch(invocation, &gate, engine)
        }
        Err(exit) => Ok(exit),
    });
    match exit {
        Ok(exit) => exit.into(),
        Err(report) => {
            complain(&gate.clean(&format!("{report:?}")));
            report.downcast_ref::<ConfigError>().map_or(Exit::NotReached, ConfigError::exit).into()
        }
    }
}

/// Begins to read the catalog beside the start of a command that goes by it. A drill goes by the
/// embedded one.
fn read_ahead(command: &Command, gate: &Gate) {
    let real = command.wants_environment() || matches!(command, Command::Resume(_));
    if real || matches!(command, Command::Drill(_)) {
        let gate = gate.clone();
        std::thread::spawn(move || {
            let catalog = if real { catalog_file::current(&gate).catalog } else { Consulted::Embedded };
            // Whoever needs it before it is there waits for the rest.
            catalog.releases().len()
        });
    }
}

/// Replaces the printing of panics, which would show raw text, by one that passes the gate.
/// Whoever enters a screen restores the terminal before this prints.
fn install_hooks(gate: &Gate) -> eyre::Result<()> {
    let (panics, errors) = color_eyre::config::HookBuilder::default().display_env_section(false).into_hooks();
    errors.install()?;
    let gate = gate.clone();
    std::panic::set_hook(Box::new(move |panic| {
        complain(&gate.clean(&panics.panic_report(panic).to_string()));
    }));
    Ok(())
}

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
            complain(&gate.clean(error.render().to_string().trim_end()));
            Exit::Usage
        } else {
            // Help is our own text; a reader that went away has had enough of it.
            let _ = error.print();
            Exit::Reached
        }
    })
}

/// Answers what needs no engine, finds the environment for what does, and hands over.
fn dispatch(
    invocation: Invocation,
    gate: &Gate,
    engine: impl FnOnce(Start) -> eyre::Result<Exit>,
) -> eyre::Result<Exit> {
    match &invocation.command {
        Command::Completions(shell) => {
            output::print(&completions(*shell))?;
            Ok(Exit::Reached)
        }
        Command::Man(of) => match manual(of)? {
            Some(page) => {
                output::print(&page)?;
                Ok(Exit::Reached)
            }
            None => {
                complain(&say!(
                    "lastgood: there is no command {}; `lastgood --help` names them",
                    gate.clean(&of.join(" "))
                ));
                Ok(Exit::Usage)
            }
        },
        command if command.wants_environment() => match environment(&invocation, gate) {
            Ok(Some(chosen)) => engine(Start { invocation, chosen: Some(chosen), gate: gate.clone() }),
            Ok(None) => Ok(Exit::NotReached),
            Err(error) => {
                // Faults begin with file and line, which editors jump to.
                let prefix = if matches!(error, ConfigError::Faults(_)) { "" } else { "lastgood: " };
                complain(&say!("{}{}", prefix, gate.clean(&error.to_string())));
                Ok(error.exit())
            }
        },
        _ => engine(Start { invocation, chosen: None, gate: gate.clone() }),
    }
}

/// The environment to work in. The console asks on the plain terminal where several fit; a
/// command without a screen wants to be told. `None`: the operator named none.
fn environment(invocation: &Invocation, gate: &Gate) -> Result<Option<Chosen>, ConfigError> {
    let several = match config_file::open(&invocation.place, invocation.command.arm(), gate)? {
        Choice::One(chosen) => return Ok(Some(*chosen)),
        Choice::Several(several) => several,
    };
    let asks = invocation.command == Command::Console && io::stdin().is_terminal() && io::stderr().is_terminal();
    if !asks {
        return Err(config_file::which(&several).into());
    }
    // A terminal that goes away in the middle of a question has not answered it.
    Ok(config_file::ask(several, &mut io::stdin().lock(), &mut io::stderr()).unwrap_or(None))
}

/// Says on standard error what is wrong. A closed standard error changes nothing.
pub(crate) fn complain(words: &Clean) {
    let _ = output::write_to(&mut io::stderr().lock(), &format!("{words}\n"));
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
