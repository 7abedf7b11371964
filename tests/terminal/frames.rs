//! What is written to the terminal, and when: whole frames, few of them, and nothing for nothing.

use std::time::Instant;

use super::pty::{SOON, Session, Start, find, wait_until};
use super::{drill, home, opened};

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// The frames in these bytes, without their marks; fails on a byte between two of them.
fn frames(raw: &[u8]) -> Vec<&[u8]> {
    let mut rest = &raw[find(raw, BEGIN).unwrap()..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let inside = rest.strip_prefix(BEGIN);
        let inside = inside.unwrap_or_else(|| panic!("between two frames: {:?}", String::from_utf8_lossy(rest)));
        // The last one is still on its way.
        let Some(end) = find(inside, END) else { break };
        assert!(find(&inside[..end], BEGIN).is_none(), "a frame within a frame");
        frames.push(&inside[..end]);
        rest = &inside[end + END.len()..];
    }
    frames
}

/// Calls of `write` and bytes written by the thread of this name, wakes of other threads (eight
/// bytes to an eventfd) left out. `None` where the kernel does not count.
fn written(session: &Session, thread: &str, bytes: u64) -> Option<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", session.process())).unwrap();
    let folder = tasks
        .flatten()
        .map(|task| task.path())
        .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread));
    let io = std::fs::read_to_string(folder.expect("the thread").join("io")).ok()?;
    let of = |what: &str| io.lines().find_map(|line| line.strip_prefix(what)?.trim().parse::<u64>().ok());
    Some(of("syscw:")? - (of("wchar:")?.saturating_sub(bytes)) / 8)
}

#[test]
fn a_frame_is_one_write_in_one_bracket() {
    let home = home();
    let mut session = drill(home.path());
    for pane in ["V", "M", "P", "L", "R", "T", "C"].repeat(3) {
        session.send(pane);
    }
    session.wait_until("many frames", SOON, |_, raw| frames(raw).len() > 10);
    let raw = session.raw();
    if written(&session, "terminal", raw.len() as u64).is_none() {
        return eprintln!("SKIPPED: this kernel does not count the calls of a thread");
    }
    // The modes of the terminal are the one write that is no frame.
    wait_until("as many writes as frames", SOON, || {
        let raw = session.raw();
        written(&session, "terminal", raw.len() as u64) == Some(frames(&raw).len() as u64 + 1)
    });
}

/// The clock of the banner is all that moves.
#[test]
fn an_idle_screen_writes_the_cells_of_its_clock() {
    const SECONDS: usize = 5;
    let home = home();
    let text = "[env.live]\nkind = 'staging'\ndatabase = { env = 'DB' }\n";
    std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
    let env = [("DB", "postgresql://u:hunter22@127.0.0.1:1/d")];
    let session = Start { size: (80, 24), env: &env, ..Start::lastgood(home.path(), &[]) }.open();
    session.wait_for("STAGING  live", SOON);
    session.wait_for("0:03", SOON);
    let before = session.raw().len();
    let ticks = |raw: &[u8]| frames(&[BEGIN, END, &raw[before..]].concat()).len();
    session.wait_until("the clock", SOON, |_, raw| ticks(raw) > SECONDS);
    let raw = session.raw();
    let idle = String::from_utf8_lossy(&raw[before..]);
    assert!(idle.len() <= 40 * SECONDS, "{} bytes in {SECONDS} s: {idle:?}", idle.len());
}

/// Types for a while as fast as nobody can, and counts the frames.
fn frames_of_typing(env: &[(&str, &str)]) -> (usize, f64) {
    const KEYS: usize = 300;
    let home = home();
    let mut session = opened(Start { env, ..Start::lastgood(home.path(), &["drill", "bad-image"]) });
    let before = frames(&session.raw()).len();
    let begin = Instant::now();
    for key in ["V", "M"].repeat(KEYS / 2) {
        session.send(key);
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    session.send("?");
    session.wait_for("Everywhere", SOON);
    (frames(&session.raw()).len() - before, begin.elapsed().as_secs_f64())
}

#[test]
fn over_ssh_ten_frames_a_second_are_enough_and_thirty_elsewhere() {
    for (env, most) in [(&[("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")][..], 10.0), (&[][..], 30.0)] {
        let (count, seconds) = frames_of_typing(env);
        assert!(count > 2, "the test sees no frames");
        let limit = most * seconds + 2.0;
        assert!(count as f64 <= limit, "{count} frames in {seconds:.1} s, more than {limit:.0}");
    }
}
