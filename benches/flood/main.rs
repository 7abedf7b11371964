//! The flood: twenty pods that write 50,000 lines a second together, on a server of our own that is
//! killed and started again in the middle: `cargo bench --bench flood`.
//!
//! ```text
//! cargo bench --bench flood -- [--seconds 60] [--raw FILE] [PART…]
//! ```
//!
//! `follow` accounts for every line by its number, in the engine without a screen. `kubectl`, `stern`,
//! `kubetui` and `kdash` follow the same flood where they are on the PATH. `console` and `far` are the
//! program itself in a terminal, here and as over SSH. `hour` delivers an hour of 10,000 lines/s as
//! fast as they are taken. The server is this same program, in a process of its own.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot be made ends here"
)]

mod console;
#[path = "../support/far.rs"]
#[allow(dead_code, reason = "the bench of the line uses the rest")]
mod far;
mod follow;
#[path = "../../tests/support/kube_server.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod kube_server;
mod others;
#[path = "../../tests/support/process.rs"]
mod process;
#[path = "../../tests/support/pty.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod pty;
mod report;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/terminal.rs"]
#[allow(dead_code, reason = "the bench of the line uses the rest")]
mod terminal;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube_server::Flow;
use report::Report;
use server::{PODS, Server};

/// Lines a second of each pod: 50,000 of all.
const RATE: u64 = 2_500;
/// How long the server is away each time.
const AWAY: Duration = Duration::from_secs(1);
/// How often it is killed.
const CUTS: u32 = 3;
/// How long after its server a flood begins, so that everybody follows from the first line on.
const HEAD_START: SignedDuration = SignedDuration::from_secs(4);
/// An hour of 10,000 lines a second.
const HOUR: Flow = Flow {
    begin: Timestamp::UNIX_EPOCH,
    rate: 500,
    opens: Timestamp::UNIX_EPOCH,
    speed: 400,
    count: 3_600 * 500,
    ends: false,
};
const PARTS: [&str; 8] = ["follow", "kubectl", "stern", "kubetui", "kdash", "console", "far", "hour"];

/// A server whose flood begins soon.
fn flood(seconds: u64) -> Server {
    Server::start(Flow::live(Timestamp::now() + HEAD_START, RATE, RATE * seconds))
}

fn main() {
    if server::serves() {
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option =
        |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].as_str());
    let seconds = option("--seconds").map_or(60, |seconds| seconds.parse().unwrap());
    let mut report = Report::new(option("--raw"));
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let all = !PARTS.iter().any(|part| named(part));
    let wanted = |part: &str| all || named(part);
    eprintln!("{PODS} pods, {} lines/s in sum, {seconds} s; {}", RATE * PODS as u64, process::machine());
    if wanted("follow") {
        follow::run(flood(seconds), CUTS, &mut report);
    }
    for other in [others::KUBECTL, others::STERN] {
        if wanted(other.program) {
            other.run(seconds, &mut report);
        }
    }
    for other in [others::KUBETUI, others::KDASH] {
        if wanted(other.program) {
            other.run(seconds, &mut report);
        }
    }
    if wanted("console") {
        console::run(flood(seconds), console::Line::Local, CUTS, &mut report);
    }
    if wanted("far") {
        console::run(flood(seconds), console::Line::Far, CUTS, &mut report);
    }
    if wanted("hour") {
        let now = Timestamp::now();
        let hour = Flow { begin: now - SignedDuration::from_hours(1), opens: now + HEAD_START, ..HOUR };
        console::hour(&Server::start(hour), &mut report);
    }
    report.ratio();
    report.print();
}
