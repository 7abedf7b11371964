//! The console itself in a terminal, under the flood: what it takes, what it writes, how soon keys
//! and lines are on the screen, and whether it counts every line.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::AWAY;
use crate::process;
use crate::report::{Report, Row};
use crate::server::{PODS, Server};
use crate::terminal::{FAR, Terminal};

/// A key that is answered later than this is a freeze.
const FREEZE: Duration = Duration::from_millis(250);
/// How long the rest may take to come after the last line was written.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the console is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// On a terminal of this machine.
    Local,
    /// Over SSH, by what the environment says: fewer frames.
    Far,
}

/// Follows the flood to its end: the first third undisturbed, the second with keys, the last with
/// this many restarts of the server.
pub fn run(mut server: Server, line: Line, cuts: u32, report: &mut Report) {
    let home = server.home();
    let flow = server.flow;
    let env = if line == Line::Far { &FAR[..] } else { &[] };
    let terminal = Terminal::console(&server, home.path(), env, None);
    let opens = Duration::try_from(flow.opens.duration_since(jiff::Timestamp::now())).expect("the flood begins later");
    std::thread::sleep(opens + Duration::from_secs(1));
    let third = Duration::from_secs_f64(flow.count as f64 / flow.rate as f64) / 3;
    let quiet = quiet(&terminal, third - Duration::from_secs(1));
    let mut keys = keys(&terminal, third);
    for _ in 0..cuts {
        std::thread::sleep(third.saturating_sub(AWAY * cuts) / (cuts + 1));
        server.restart(AWAY);
    }
    let lines = flow.count * PODS as u64;
    let counted = all_counted(&terminal, lines);
    let taken = process::taken(terminal.pid()).unwrap();
    keys.sort();
    let mut waits = terminal.with(|seen| std::mem::take(&mut seen.waits));
    waits.truncate(quiet.waits);
    waits.sort();
    let freezes = keys.iter().filter(|took| **took > FREEZE).count();
    let place = if line == Line::Far { "over SSH" } else { "local" };
    report.row(Row {
        what: format!("lastgood, the console, {place}, 80x24, server killed {cuts} times"),
        lines: counted,
        lost: Some(lines.saturating_sub(counted)),
        repeated: Some(counted.saturating_sub(lines)),
        cpu: Some(taken.cpu),
        peak: Some(taken.peak),
        bytes: Some(quiet.bytes),
        freezes: Some(freezes),
        last: Some(terminal.with(|seen| seen.newest) == Some(flow.count - 1)),
    });
    let millis = |time: Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
    report.raw(&json!({
        "part": "console", "line": place, "pods": PODS, "rate": flow.rate * PODS as u64, "lines": counted, "sent": lines,
        "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak, "bytes_per_second": quiet.bytes,
        "frames_per_second": quiet.frames, "writes_per_frame": quiet.writes,
        "keys_ms": keys.iter().map(|key| millis(*key)).collect::<Vec<_>>(),
        "lines_ms": waits.iter().map(|wait| millis(*wait)).collect::<Vec<_>>(),
    }));
    report.goal(&format!("lines lost, console {place}"), lines.abs_diff(counted) as f64, 0.0, "");
    report.goal(&format!("frames, {place}"), quiet.frames, if line == Line::Far { 10.5 } else { 31.0 }, "/s");
    report.goal(&format!("calls of write for a frame, {place}"), quiet.writes, 1.0, "");
    for share in [50, 99] {
        report.goal(&format!("key to screen, {place}, {share} %"), millis(percentile(&keys, share)), 50.0, "ms");
        report.goal(&format!("line to screen, {place}, {share} %"), millis(percentile(&waits, share)), 150.0, "ms");
    }
    if line == Line::Far {
        report.goal("to the terminal, over SSH", quiet.bytes / 1e3, 16.0, "KB/s");
    }
    report.goal(&format!("peak memory, console {place}"), taken.peak, 128.0, "MiB");
}

struct Quiet {
    bytes: f64,
    frames: f64,
    writes: f64,
    /// How many waits were measured.
    waits: usize,
}

/// Nobody touches it.
fn quiet(terminal: &Terminal, time: Duration) -> Quiet {
    let look = || terminal.with(|seen| (seen.bytes, seen.frames));
    terminal.with(|seen| seen.waits.clear());
    let (before, writes, begin) = (look(), process::writes(terminal.pid()), Instant::now());
    std::thread::sleep(time);
    let (after, written, took) = (look(), process::writes(terminal.pid()), begin.elapsed().as_secs_f64());
    let frames = (after.1 - before.1) as f64;
    let calls = process::calls_between(&writes, &written).map_or(f64::NAN, |calls| calls as f64);
    Quiet {
        bytes: (after.0 - before.0) as f64 / took,
        frames: frames / took,
        writes: (calls / frames * 100.0).round() / 100.0,
        waits: terminal.with(|seen| seen.waits.len()),
    }
}

/// Keys in no rhythm: dialogs, typing, panes, holding and scrolling. How long each took.
fn keys(terminal: &Terminal, time: Duration) -> Vec<Duration> {
    const DIALOG: &str = "Filter the log";
    const HELP: &str = "Help: Logs";
    let end = Instant::now() + time;
    let mut random = fastrand::Rng::with_seed(4711);
    let mut took = Vec::new();
    while Instant::now() < end {
        let mut pause = || std::thread::sleep(Duration::from_millis(random.u64(30..130)));
        took.push(terminal.press("f", "the filter's dialog", |screen| screen.contains(DIALOG)));
        let mut typed = String::from("› ");
        for letter in ["q", "x", "j", "v", "z"] {
            pause();
            typed.push_str(letter);
            took.push(terminal.press(letter, "the letter", |screen| screen.contains(&typed)));
        }
        pause();
        took.push(terminal.press("\x1b", "the log again", |screen| !screen.contains(DIALOG)));
        pause();
        took.push(terminal.press("?", "the help", |screen| screen.contains(HELP)));
        pause();
        took.push(terminal.press("\x1b", "the log again", |screen| !screen.contains(HELP)));
        pause();
        took.push(terminal.press("P", "the pods", |screen| screen.contains("[P Pods")));
        pause();
        took.push(terminal.press("L", "the log", |screen| screen.contains("[L Logs")));
        pause();
        took.push(terminal.press(" ", "the log held", |screen| screen.contains("\nheld")));
        pause();
        took.push(terminal.press(" ", "the log following", |screen| screen.contains("\nfollowing")));
        pause();
    }
    took
}

/// Lines kept and evicted, as the console shows them, once nothing more comes or all came.
fn all_counted(terminal: &Terminal, lines: u64) -> u64 {
    let begin = Instant::now();
    loop {
        let counted = counted(&terminal.screen());
        if counted >= lines || begin.elapsed() > PATIENCE {
            return counted;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The number before some words, or 0.
fn before(screen: &str, words: &str) -> u64 {
    let Some((before, _)) = screen.split_once(words) else { return 0 };
    before.split_whitespace().next_back().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Kept lines stand in the heading, evicted ones on the last line of the pane.
fn counted(screen: &str) -> u64 {
    assert!(screen.contains("dropped: 0"), "the counter of dropped lines is on the screen, and 0\n{screen}");
    before(screen, " lines ") + before(screen, " older lines")
}

fn percentile(sorted: &[Duration], share: usize) -> Duration {
    sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(Duration::MAX)
}

/// An hour's lines, delivered as fast as they are taken: memory must not grow.
pub fn hour(server: &Server, report: &mut Report) {
    let home = server.home();
    let terminal = Terminal::console(server, home.path(), &[], None);
    terminal.wait("the first lines", PATIENCE, |screen| screen.contains("dropped: "));
    let lines = server.flow.count * PODS as u64;
    let (begin, mut samples) = (Instant::now(), Vec::new());
    let mut last = (Instant::now(), 0);
    let counted = loop {
        let now = counted(&terminal.screen());
        samples.push((begin.elapsed().as_secs_f64(), now, process::resident(terminal.pid()).unwrap_or_default()));
        if now > last.1 {
            last = (Instant::now(), now);
        }
        if now >= lines || last.0.elapsed() > PATIENCE {
            break now;
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    let (took, taken) = (begin.elapsed(), process::taken(terminal.pid()).unwrap());
    report.row(Row {
        what: format!("lastgood, an hour of {} lines/s in {:.0} s", lines / 3_600, took.as_secs_f64()),
        lines: counted,
        lost: Some(lines.saturating_sub(counted)),
        repeated: Some(counted.saturating_sub(lines)),
        cpu: Some(taken.cpu),
        peak: Some(taken.peak),
        ..Row::default()
    });
    report.raw(&json!({
        "part": "hour", "lines": counted, "sent": lines, "seconds": took.as_secs_f64(),
        "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak, "samples": samples,
    }));
    report.goal("peak memory, an hour of 10,000 lines/s", taken.peak, 128.0, "MiB");
}
