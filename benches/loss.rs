//! How soon it ends without its terminal, and is back after `kill -9`; and how large the program is:
//! `cargo bench --bench loss`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/pty.rs"]
mod pty;

use pty::{SOON, Start, find, wait_until};

/// The end of a synchronized update (DEC private mode 2026), which is the end of a frame.
const END: &[u8] = b"\x1b[?2026l";
/// Times that each is measured.
const TIMES: usize = 20;
/// How long either may take.
const GOAL: Duration = Duration::from_secs(1);
/// How large the program may be, in bytes.
const SIZE: u64 = 25_000_000;

/// Bytes of what `cargo build --release` makes, as this bench was built with it.
fn size() -> u64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_lastgood")).unwrap().len()
}

/// From the loss of the terminal to the end of the program.
fn lost(home: &Path) -> Duration {
    let (mut child, master) = Start::lastgood(home, &["drill"]).spawn();
    let mut reader = master.try_clone_reader().unwrap();
    let (mut seen, mut bytes) = (Vec::new(), [0; 65_536]);
    while find(&seen, END).is_none() {
        let count = reader.read(&mut bytes).unwrap();
        seen.extend_from_slice(&bytes[..count]);
    }
    let began = Instant::now();
    drop((reader, master));
    child.wait().unwrap();
    began.elapsed()
}

/// From the start of `lastgood resume` after `kill -9` to the incident on the screen.
fn killed(home: &Path) -> Duration {
    let question = "Is this a production emergency?";
    let mut session = Start::lastgood(home, &["drill", "bad-image"]).open();
    session.wait_for("DRILL", SOON);
    // What is on the screen is not always on the disk yet; only acts wait for it.
    let drills = home.join(".local/state/lastgood/drills");
    wait_until("the first entry of the journal", SOON, || {
        let journals = std::fs::read_dir(&drills).into_iter().flatten().flatten();
        let mut sizes = journals.filter_map(|drill| std::fs::metadata(drill.path().join("journal.jsonl")).ok());
        sizes.any(|file| file.len() > 0)
    });
    session.signal(Signal::KILL);
    session.wait_end(SOON);
    let began = Instant::now();
    Start::lastgood(home, &["resume"]).open().wait_for(question, SOON);
    began.elapsed()
}

/// The longest of all times, each in a home folder of its own.
fn worst(measure: impl Fn(&Path) -> Duration) -> Duration {
    let once = |_| measure(tempfile::tempdir().unwrap().path());
    (0..TIMES).map(once).max().unwrap()
}

fn main() {
    let met = |met: bool| if met { "met" } else { "NOT MET" };
    println!("| figure, the worst of {TIMES} | found | goal | |\n|---|---|---|---|");
    for (what, took) in
        [("terminal lost: ended within", worst(lost)), ("kill -9: `resume` shows the incident within", worst(killed))]
    {
        println!("| {what} | {} ms | {} ms | {} |", took.as_millis(), GOAL.as_millis(), met(took <= GOAL));
    }
    let size = size();
    println!("| the program | {:.1} MB | {:.1} MB | {} |", size as f64 / 1e6, SIZE as f64 / 1e6, met(size <= SIZE));
}
