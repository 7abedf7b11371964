//! A panic, in whichever thread or task, gives the terminal back, says what happened without a
//! secret, and leaves a journal that `resume` takes up. This program is its own subject: with
//! arguments it is the console with a thread that panics on a signal.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/pty.rs"]
mod pty;

use std::process::ExitCode;

use pty::{SOON, Start};
use rustix::process::Signal;
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

const SECRET: &str = "sk-panicking-0123456789abcdef";

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "drill") {
        return console_that_panics();
    }
    // Listing is what test runners ask for first.
    if std::env::args().any(|argument| argument == "--list") {
        println!("a_panic_gives_the_terminal_back: test");
        return ExitCode::SUCCESS;
    }
    a_panic_gives_the_terminal_back();
    println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

fn console_that_panics() -> ExitCode {
    lastgood::cli::main(|start| {
        let mut signals = Signals::new([SIGUSR1])?;
        std::thread::spawn(move || {
            signals.forever().next();
            panic!("planted: Authorization: Bearer {SECRET}");
        });
        lastgood::cli::engine::run(start)
    })
}

fn a_panic_gives_the_terminal_back() {
    let home = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let mut start = Start::lastgood(home.path(), &["drill", "bad-image"]);
    start.program = own.to_str().unwrap();
    let mut session = start.open();
    session.wait_for("The new image does not start", SOON);
    session.send("\r1");
    session.wait_for("Emergency: what went out last?", SOON);
    session.signal(Signal::USR1);
    let (code, _) = session.wait_end(SOON);
    session.assert_restored();
    assert!(session.is_cooked(), "the terminal is still raw");
    assert_ne!(code, 0, "a panic is no success");
    let screen = session.screen();
    assert!(screen.contains("planted"), "the panic is not told\n{screen}");
    let raw = session.raw();
    assert!(pty::find(&raw, SECRET.as_bytes()).is_none(), "the secret was printed\n{screen}");

    let mut resumed = Start::lastgood(home.path(), &["resume"]).open();
    resumed.wait_for("Emergency: what went out last?", SOON);
    resumed.send("q");
    assert_eq!(resumed.wait_end(SOON).0, 0);
}
