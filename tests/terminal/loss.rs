//! A terminal that goes away, or takes nothing any more.

use rustix::process::Signal;

use super::process::processor;
use super::pty::{SOON, Session, Start, wait_until};
use super::{QUESTION, drill, home, only_drill, opened};

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let home = home();
    let mut session = drill(home.path());
    session.hang_up();
    session.wait_end(SOON);
    let again = Start::lastgood(home.path(), &["resume"]).open();
    again.wait_for(QUESTION, SOON);
}

/// The signal went to the shell, or nobody sends one: `env` starts the console with it blocked.
#[test]
fn a_terminal_that_goes_away_without_a_word_ends_it_and_what_runs_is_on_record() {
    let home = home();
    let blocked = ["--block-signal=HUP", env!("CARGO_BIN_EXE_lastgood"), "drill", "bad-image"];
    let mut session = opened(Start { program: "/usr/bin/env", ..Start::lastgood(home.path(), &blocked) });
    session.send("A");
    session.wait_for("Type the environment's name", SOON);
    session.send("drill-bad-image\r");
    session.wait_for(" ARMED ", SOON);
    session.send("Pr");
    session.wait_for("Restart: review what will be sent", SOON);
    let folder = only_drill(home.path());
    let journal = || std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    session.send("y");
    wait_until("the restart on record", SOON, || journal().contains("\"started\""));
    let took = gone_without_a_word(&mut session);
    assert!(took < LOST, "{took:?}");
    let journal = journal();
    let count = |word: &str| journal.matches(word).count();
    assert_eq!(count("\"started\""), count("\"finished\""), "{journal}");
}

/// How long a console may take to see that its terminal is gone, and to end.
const LOST: std::time::Duration = std::time::Duration::from_secs(5);

/// The terminal goes away and no signal comes. A loop that spins takes all of a processor; this must
/// end in a fraction of that. How long it took.
fn gone_without_a_word(session: &mut Session) -> std::time::Duration {
    let before = processor(session.process()).unwrap();
    session.hang_up();
    let mut last = before;
    let begin = std::time::Instant::now();
    wait_until("the end", SOON, || match processor(session.process()) {
        Some(now) if !is_over(session) => {
            last = now;
            false
        }
        _ => true,
    });
    let took = begin.elapsed();
    session.wait_end(SOON);
    let (used, allowed) = ((last - before).as_secs_f64(), 0.7 + took.as_secs_f64() / 2.0);
    assert!(used <= allowed, "{used:.2} of {took:.2?} of processor");
    took
}

/// A dump takes minutes: it does not go on without anybody who could stop it, and leaves no half file.
#[test]
fn a_backup_whose_terminal_goes_away_is_cancelled_and_on_record() {
    let home = home();
    let blocked = ["--block-signal=HUP", env!("CARGO_BIN_EXE_lastgood"), "drill", "bad-image"];
    let mut session = opened(Start { program: "/usr/bin/env", ..Start::lastgood(home.path(), &blocked) });
    session.send("B");
    session.wait_for("with or without the spend log", SOON);
    let folder = only_drill(home.path());
    let journal = || std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    session.send("\r");
    wait_until("the backup on record", SOON, || journal().contains("\"started\""));
    let took = gone_without_a_word(&mut session);
    assert!(took < LOST, "{took:?}");
    let journal = journal();
    assert_eq!(journal.matches("\"finished\"").count(), 1, "{journal}");
    assert!(journal.contains("cancelled"), "{journal}");
    let again = Start::lastgood(home.path(), &["resume"]).open();
    again.wait_for(QUESTION, SOON);
}

/// Ended, and not waited for yet.
fn is_over(session: &Session) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", session.process())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Fills what lies between the console and a terminal that takes nothing: each key draws all of the
/// screen again.
fn fill(session: &mut Session) {
    session.hold(true);
    let mut looks = 0;
    wait_until("the terminal to be full", SOON, || {
        looks = if writes(session) { looks + 1 } else { 0 };
        if looks == 0 {
            session.send("\x0c");
        }
        looks > 20
    });
}

/// A thread is in the middle of a write to standard output (`write` is call 1 on x86-64 and 64 on
/// AArch64).
fn writes(session: &Session) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", session.process())).unwrap();
    tasks.flatten().any(|task| {
        let of = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let call = of("syscall");
        of("comm").trim_end() == "terminal" && (call.starts_with("1 0x1 ") || call.starts_with("64 0x1 "))
    })
}

#[test]
fn a_terminal_that_takes_nothing_holds_nobody_up() {
    for end in ["key", "signal"] {
        let home = home();
        let start = Start::lastgood(home.path(), &["drill", "bad-image"]);
        let mut session = opened(Start { size: (200, 50), ..start });
        fill(&mut session);
        match end {
            "key" => session.send("q"),
            _ => session.signal(Signal::TERM),
        }
        wait_until("the end", SOON, || is_over(&session));
        session.hold(false);
        assert_eq!(session.wait_end(SOON).0, 0, "by {end}");
        assert!(session.is_cooked());
    }
}

/// Frames that nobody took are not kept: what comes first afterwards is how it stands.
#[test]
fn a_terminal_that_takes_bytes_again_gets_the_present() {
    let home = home();
    let start = Start::lastgood(home.path(), &["drill", "bad-image"]);
    let mut session = opened(Start { size: (200, 50), ..start });
    fill(&mut session);
    let before = session.raw().len();
    // Two seconds of frames that nobody takes.
    for _ in 0..200 {
        session.send("\x0c");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    session.send("?");
    session.hold(false);
    session.wait_for("Everywhere", SOON);
    let late = session.raw().len() - before;
    assert!(late < 100_000, "{late} bytes of old frames came first");
}
