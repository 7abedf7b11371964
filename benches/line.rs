//! The screen on a far line, in a pane of 80x24: bytes and frames a second while logs pour in, and
//! how soon a key is answered over a line of 64 kB/s and 200 ms there and back, with twenty pods that
//! write 50,000 lines a second together and without: `cargo bench --bench line`.
//!
//! The console runs in a pseudo-terminal as it does over SSH, against an API server in a process of
//! its own. Between the two lies the line.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot be made ends here"
)]

#[path = "support/far.rs"]
mod far;
#[path = "../tests/support/kube_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod kube_server;
#[path = "../tests/support/pty.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod pty;
#[path = "support/server.rs"]
#[allow(dead_code, reason = "the flood uses the rest")]
mod server;
#[path = "support/terminal.rs"]
#[allow(dead_code, reason = "the flood uses the rest")]
mod terminal;

use std::time::{Duration, Instant};

use far::Shape;
use jiff::Timestamp;
use kube_server::Flow;
use server::{PODS, Server};
use terminal::{FAR, SIZE, Terminal};

/// Lines a second of all pods.
const RATES: [u64; 5] = [0, 20, 200, 2_000, 50_000];
/// How long each of them is watched.
const WATCHED: Duration = Duration::from_secs(10);
const LINE: Shape = Shape { rate: 64_000.0, half: Duration::from_millis(100) };
/// Keys that are measured for each gesture.
const KEYS: usize = 30;
/// Between two keys: as fast as one types.
const PAUSE: Duration = Duration::from_millis(130);
/// Twenty pods that write so many lines a second together from now on.
fn pods(rate: u64) -> Server {
    let each = rate / PODS as u64;
    let count = if each == 0 { 0 } else { u64::MAX };
    Server::start(Flow::live(Timestamp::now(), each.max(1), count))
}

/// The console on their log, which has been coming for a while.
fn console(server: &Server, env: &[(&str, &str)], line: Option<Shape>) -> (tempfile::TempDir, Terminal) {
    let home = server.home();
    let terminal = Terminal::console(server, home.path(), env, line);
    std::thread::sleep(Duration::from_secs(3));
    (home, terminal)
}

/// Bytes and frames while nobody touches it.
fn loads() {
    println!("Written while nobody touches it, {}x{}, the log in view:\n", SIZE.0, SIZE.1);
    println!("| lines/s | terminal | bytes/s | frames/s | bytes a frame |\n|---|---|---|---|---|");
    for rate in RATES {
        for (place, env) in [("local", &[][..]), ("over SSH", &FAR[..])] {
            let server = pods(rate);
            let (_home, terminal) = console(&server, env, None);
            let look = || terminal.with(|seen| (seen.bytes, seen.frames));
            let (before, begin) = (look(), Instant::now());
            std::thread::sleep(WATCHED);
            let (after, took) = (look(), begin.elapsed().as_secs_f64());
            let (bytes, frames) = (after.0 - before.0, after.1 - before.1);
            println!(
                "| {rate} | {place} | {:.0} | {:.1} | {:.0} |",
                bytes as f64 / took,
                frames as f64 / took,
                bytes as f64 / frames.max(1) as f64
            );
        }
    }
}

/// How soon the terminal shows what a key does, beyond the round trip; what is written meanwhile,
/// and how long it waits in front of the line.
fn gestures() {
    let (rate, trip) = (LINE.rate / 1e3, LINE.half * 2);
    println!("\nFrom the key to the screen over {rate} kB/s, beyond the {} ms of the line itself:\n", trip.as_millis());
    println!(
        "| lines/s | gesture | 50 % | 99 % | worst | bytes/s | before the line at most |\n|---|---|---|---|---|---|---|"
    );
    for rate in [0, 50_000] {
        let server = pods(rate);
        let (_home, terminal) = console(&server, &FAR, Some(LINE));
        let told = |gesture: &str, keys: &mut dyn FnMut(usize) -> Duration| {
            terminal.longest();
            let (bytes, begin) = (terminal.with(|seen| seen.bytes), Instant::now());
            let mut times: Vec<Duration> = (0..KEYS).map(|number| keys(number).saturating_sub(trip)).collect();
            let written = (terminal.with(|seen| seen.bytes) - bytes) as f64 / begin.elapsed().as_secs_f64();
            times.sort();
            let at = |share: usize| times[(KEYS * share / 100).min(KEYS - 1)].as_millis();
            println!(
                "| {rate} | {gesture} | {} ms | {} ms | {} ms | {written:.0} | {} ms |",
                at(50),
                at(99),
                at(100),
                terminal.longest().as_millis()
            );
        };
        let press = |keys: &str, what: &str, so: &dyn Fn(&str) -> bool| {
            let took = terminal.press(keys, what, so);
            std::thread::sleep(PAUSE);
            took
        };
        told("opening a dialog", &mut |_| {
            let took = press("?", "the help", &|screen| screen.contains("Help: Logs"));
            press("\x1b", "the log again", &|screen| !screen.contains("Help: Logs"));
            took
        });
        press("f", "the filter's dialog", &|screen| screen.contains("Filter the log"));
        let mut typed = String::new();
        told("typing in the filter", &mut |number| {
            let letter = char::from(b'a' + u8::try_from(number % 26).unwrap());
            typed.push(letter);
            let end = &typed[typed.len().saturating_sub(8)..];
            press(&letter.to_string(), "the letter", &|screen| screen.contains(end))
        });
        press("\x1b", "the log again", &|screen| !screen.contains("Filter the log"));
        told("another pane", &mut |number| {
            let (key, words) = [("P", "[P Pods"), ("L", "[L Logs")][number % 2];
            press(key, "the pane", &|screen| screen.contains(words))
        });
        if rate == 0 {
            continue;
        }
        told("holding, and going on", &mut |number| {
            let words = ["\nheld", "\nfollowing"][number % 2];
            press(" ", "the log held or going on", &|screen| screen.contains(words))
        });
        press(" ", "the log held", &|screen| screen.contains("\nheld"));
        for (gesture, key) in [("scrolling by a line", "k"), ("scrolling by a page", "\x1b[5~")] {
            told(gesture, &mut |_| {
                let before = lines(&terminal.screen());
                press(key, "the log to move", &|screen| lines(screen) != before)
            });
        }
    }
}

/// The part of the screen that shows the log.
fn lines(screen: &str) -> Vec<String> {
    screen.lines().filter(|line| line.contains('#')).map(ToOwned::to_owned).collect()
}

fn main() {
    if server::serves() {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    if wanted("loads") {
        loads();
    }
    if wanted("gestures") {
        gestures();
    }
}
