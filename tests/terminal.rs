//! The real program in a real terminal: it starts, draws, gives the terminal back whatever ends
//! it, and loses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "terminal/copies.rs"]
mod copies;
#[path = "terminal/frames.rs"]
mod frames;
#[path = "terminal/kinds.rs"]
mod kinds;
#[path = "terminal/loss.rs"]
mod loss;
#[allow(dead_code, reason = "benches use the rest")]
#[path = "support/process.rs"]
mod process;
#[path = "support/pty.rs"]
mod pty;
#[path = "terminal/start.rs"]
mod start;

use std::path::{Path, PathBuf};

use pty::{SOON, Session, Start, find};
use rustix::process::Signal;

const QUESTION: &str = "Is this a production emergency?";
const NEXT: &str = "Emergency: what went out last?";

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A drill past its briefing.
fn drill(home: &Path) -> Session {
    opened(Start::lastgood(home, &["drill", "bad-image"]))
}

fn opened(start: Start<'_>) -> Session {
    let mut session = start.open();
    session.wait_for("The new image does not start", SOON);
    session.send("\r");
    session.wait_until("the briefing to close", SOON, |screen, _| {
        let shown = screen.contents();
        shown.contains(QUESTION) && !shown.contains("The new image does not start")
    });
    session
}

fn incidents(home: &Path) -> Vec<String> {
    let folder = home.join(".local/state/lastgood/drills");
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The folder of the only drill.
fn only_drill(home: &Path) -> PathBuf {
    home.join(".local/state/lastgood/drills").join(incidents(home).remove(0))
}

/// How many answers are in the journal of the only drill.
fn chosen(home: &Path) -> usize {
    std::fs::read_to_string(only_drill(home).join("journal.jsonl")).unwrap().matches("\"chose\"").count()
}

#[test]
fn it_starts_draws_answers_and_gives_the_terminal_back() {
    let home = home();
    let mut session = Start::lastgood(home.path(), &["drill", "bad-image"]).open();
    session.wait_for("The new image does not start", SOON);
    session.wait_for("DRILL  drill-bad-image", SOON);
    assert!(session.with(vt100::Screen::alternate_screen));
    assert!(session.with(vt100::Screen::bracketed_paste));
    assert!(!session.is_cooked());
    session.send("\r1");
    session.wait_for(NEXT, SOON);
    session.send("A");
    session.wait_for("Type the environment's name", SOON);
    session.paste("drill-bad-image\r\n");
    session.send("\r");
    session.wait_for("ARMED", SOON);
    session.send("q");
    let (code, _) = session.wait_end(SOON);
    assert_eq!(code, 0);
    session.assert_restored();
    assert!(session.is_cooked());
    assert!(session.screen().contains("lastgood resume"), "{}", session.screen());
}

#[test]
fn a_resize_draws_the_layout_of_that_size() {
    let home = home();
    let session = drill(home.path());
    session.wait_for("V Rev", SOON);
    session.resize(80, 24);
    session.wait_for("[R Run]", SOON);
    session.resize(30, 8);
    session.wait_for("too small", SOON);
    session.resize(200, 50);
    session.wait_for("CrashLoopBackOff", SOON);
}

/// The parameters of every SGR sequence.
fn sgr(raw: &[u8]) -> Vec<Vec<u16>> {
    let text = String::from_utf8_lossy(raw);
    let sequences = text.split("\x1b[").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
        rest[end..].starts_with('m').then(|| rest[..end].to_owned())
    });
    sequences.map(|numbers| numbers.split(';').map(|number| number.parse().unwrap_or(0)).collect()).collect()
}

fn is_colour(number: u16) -> bool {
    matches!(number, 30..=38 | 40..=48 | 90..=97 | 100..=107)
}

/// The words of the banner are drawn in reverse or bold.
fn banner_stands_out(session: &Session, word: &str) -> bool {
    session.with(|screen| {
        let row = screen.contents_between(0, 0, 0, u16::MAX);
        let at = row.chars().take_while(|c| *c != word.chars().next().unwrap()).count();
        let cell = screen.cell(0, u16::try_from(at).unwrap()).unwrap();
        assert_eq!(cell.contents(), &word[..1], "{row}");
        cell.inverse() || cell.bold()
    })
}

#[test]
fn without_colour_weight_and_reverse_carry_the_meaning() {
    let home = home();
    let mut session =
        opened(Start { env: &[("NO_COLOR", "1")], ..Start::lastgood(home.path(), &["drill", "bad-image"]) });
    assert!(banner_stands_out(&session, "DRILL"));
    session.send("V");
    session.wait_for("Revisions 3", SOON);
    let attributes = session.with(|screen| {
        let (rows, cols) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
        cells.filter(|(row, col)| *row > 1 && screen.cell(*row, *col).unwrap().inverse()).count()
    });
    assert!(attributes > 10, "the selected line is not to be seen: {attributes} cells in reverse");
    let numbers: Vec<u16> = sgr(&session.raw()).into_iter().flatten().collect();
    assert!(!numbers.is_empty());
    assert!(!numbers.iter().any(|number| is_colour(*number)), "{numbers:?}");

    let coloured = opened(Start::lastgood(home.path(), &["drill", "bad-image"]));
    assert!(sgr(&coloured.raw()).into_iter().flatten().any(is_colour), "the test can see colours");
}

#[test]
fn production_is_not_mistaken_without_colours_either() {
    let home = home();
    let text = "[env.live]\nkind = 'production'\ndatabase = { env = 'DB' }\n";
    std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
    let env = [("NO_COLOR", "1"), ("DB", "postgresql://u:hunter22@127.0.0.1:1/d")];
    let mut session = Start { env: &env, ..Start::lastgood(home.path(), &[]) }.open();
    session.wait_for("PRODUCTION  live", SOON);
    assert!(banner_stands_out(&session, "PRODUCTION"));
    session.send("M");
    session.wait_until("the database's trouble", SOON, |screen, _| screen.contents().contains("127.0.0.1"));
    assert!(find(&session.raw(), b"hunter22").is_none());
    session.send("q");
    assert_eq!(session.wait_end(SOON).0, 0);
    session.assert_restored();
}

#[test]
fn suspending_gives_the_terminal_back_and_takes_it_again() {
    let home = home();
    let mut session = drill(home.path());
    for stop in ["key", "signal"] {
        match stop {
            "key" => session.send("\x1a"),
            _ => session.signal(Signal::TSTP),
        }
        session.wait_until_process_is('T');
        session.wait_until("the primary screen", SOON, |screen, _| !screen.alternate_screen());
        session.assert_restored();
        assert!(session.is_cooked(), "stopped by {stop}");
        session.signal(Signal::CONT);
        session.wait_until("the screen to be drawn again", SOON, |screen, _| {
            screen.alternate_screen()
                && screen.hide_cursor()
                && screen.bracketed_paste()
                && screen.contents().contains(QUESTION)
        });
        assert!(!session.is_cooked());
    }
    session.send("1");
    session.wait_for(NEXT, SOON);
}

#[test]
fn signals_end_it_cleanly() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let home = home();
        let mut session = drill(home.path());
        session.signal(signal);
        let (code, _) = session.wait_end(SOON);
        assert_eq!(code, 0, "{signal:?}: {}", session.screen());
        session.assert_restored();
        assert!(session.is_cooked());
    }
}

#[test]
fn what_was_killed_goes_on_where_it_was() {
    let home = home();
    let mut session = drill(home.path());
    session.send("1");
    session.wait_for(NEXT, SOON);
    session.send("2");
    // What is on the screen is not always on the disk yet; only acts wait for it.
    session.wait_until("both answers in the journal", SOON, |screen, _| {
        screen.contents().contains("Back the database up first") && chosen(home.path()) == 2
    });
    session.signal(Signal::KILL);
    session.wait_end(SOON);
    let mut again = Start::lastgood(home.path(), &["resume"]).open();
    again.wait_for("Back the database up first", SOON);
    again.send("T");
    again.wait_for("taken up again after", SOON);
    assert_eq!(incidents(home.path()).len(), 1);
}

#[test]
fn a_second_console_on_the_same_incident_is_refused() {
    let home = home();
    let first = drill(home.path());
    let id = incidents(home.path()).remove(0);
    let mut second = Start::lastgood(home.path(), &["resume", &id]).open();
    let (code, _) = second.wait_end(SOON);
    assert_eq!(code, 3, "{}", second.screen());
    assert!(second.screen().contains("another console works on"), "{}", second.screen());
    assert!(find(&second.raw(), b"\x1b[?1049h").is_none(), "the screen is not entered for a refusal");
    first.wait_for(QUESTION, SOON);
}

/// A limit on the size of files is a disk that is full: the write itself fails.
#[test]
fn a_full_disk_stops_every_change_and_says_so() {
    let home = home();
    let program = env!("CARGO_BIN_EXE_lastgood");
    let limited = ["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" drill bad-image", program];
    let mut session = opened(Start { program: "/bin/sh", ..Start::lastgood(home.path(), &limited) });
    session.send("A");
    session.wait_for("Type the environment's name", SOON);
    session.send("drill-bad-image\r");
    session.wait_for(" ARMED ", SOON);
    let note = "the disk is filling up ".repeat(40);
    for _ in 0..20 {
        session.send("n");
        session.wait_for("Note for the journal", SOON);
        session.paste(&note);
        session.send("\r");
        if session.screen().contains("JOURNAL BROKEN") {
            break;
        }
        session
            .wait_until("the note to be taken", SOON, |screen, _| !screen.contents().contains("Note for the journal"));
    }
    session.wait_for("JOURNAL BROKEN: no changes", SOON);
    session.send("n");
    session.wait_for("Note for the journal", SOON);
    session.send("too late\r");
    session.wait_for("not noted: the journal cannot be written", SOON);
    session.send("Pr");
    session.wait_for("restart the pods: the journal cannot be written", SOON);
    session.send("q");
    session.wait_end(SOON);
    session.assert_restored();
    let folder = only_drill(home.path());
    let world = std::fs::read_to_string(folder.join("world.jsonl")).unwrap();
    assert_eq!(world.lines().count(), 1, "{world}");
}

/// The announcement is the entry that the disk has no room for: the act must not start.
#[test]
fn an_act_that_cannot_be_announced_does_not_start() {
    const LIMIT: usize = 16 * 512;
    let home = home();
    let limited = ["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" drill bad-image", env!("CARGO_BIN_EXE_lastgood")];
    let mut session = opened(Start { program: "/bin/sh", ..Start::lastgood(home.path(), &limited) });
    session.send("A");
    session.wait_for("Type the environment's name", SOON);
    session.send("drill-bad-image\r");
    session.wait_for(" ARMED ", SOON);
    // These are written by themselves, and come first.
    session.wait_for("✓ ticked    Cache", SOON);
    session.wait_for("✗ failed    Admin UI", SOON);
    let folder = only_drill(home.path());
    let journal = || std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    let mut note = |words: &str, mark: &str| {
        session.send("n");
        session.wait_for("Note for the journal", SOON);
        session.paste(words);
        session.send("\r");
        pty::wait_until("the note on disk", SOON, || journal().contains(mark));
    };
    note("first", "first");
    // Of that line alone: the console writes others by itself.
    let overhead = journal().lines().find(|line| line.contains("first")).unwrap().len() + 1 - "first".len();
    let room = LIMIT - journal().len() - overhead - 100;
    note(&format!("{}last", "x".repeat(room - "last".len())), "xlast");
    session.send("Pr");
    session.wait_for("Restart: review what will be sent", SOON);
    session.send("y");
    session.wait_for("JOURNAL BROKEN: no changes", SOON);
    session.wait_for("not started", SOON);
    assert!(!journal().contains("restart deployment/litellm\",\"command"), "the announcement fits after all");
    let world = std::fs::read_to_string(folder.join("world.jsonl")).unwrap();
    assert_eq!(world.lines().count(), 1, "it happened without being on record: {world}");
}

#[test]
fn without_a_terminal_it_says_so_and_touches_nothing() {
    let home = home();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lastgood"))
        .args(["drill", "bad-image"])
        .env_clear()
        .env("HOME", home.path())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(find(&output.stdout, b"\x1b[").is_none(), "{:?}", output.stdout);
    assert!(errors.contains("terminal"), "{errors}");
}
