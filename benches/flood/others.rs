//! Other programs on the same flood, where they are installed. The server is left alone, because most
//! of them do not come back.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use crate::kube_server::Flow;
use crate::process::{self, Taken};
use crate::report::{Report, Row};
use crate::server::{NAMESPACE, PODS, Server};
use crate::terminal::Terminal;
use crate::{HEAD_START, RATE};

/// How long the rest may take to come after the last line was written.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who takes no processor for this long has nothing left to do.
const STILL: Duration = Duration::from_secs(1);
/// How long a program may take until it is where its keys mean something.
const READY: Duration = Duration::from_secs(20);

/// A program that writes what it follows to its output.
#[derive(Clone, Copy, Debug)]
pub struct Tailer {
    pub program: &'static str,
    arguments: &'static [&'static str],
}

/// `kubectl logs -f` of all pods.
pub const KUBECTL: Tailer = Tailer {
    program: "kubectl",
    arguments: &["logs", "-f", "-l", "app=litellm", "--tail=-1", "--max-log-requests=20"],
};
/// stern, without the colours and prefixes that kubectl does not write either.
pub const STERN: Tailer = Tailer {
    program: "stern",
    arguments: &["-l", "app=litellm", "--tail=-1", "--max-log-requests=20", "--output=raw", "--color=never"],
};

/// A program with a screen, and what it is told until it follows all pods.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    pub program: &'static str,
    arguments: &'static [&'static str],
    /// What it shows, and what is typed then.
    keys: &'static [(&'static str, &'static str)],
    /// How many lines it says that it has.
    lines: fn(&str) -> Option<u64>,
}

/// kubetui, with a query for all pods.
pub const KUBETUI: Viewer = Viewer {
    program: "kubetui",
    arguments: &["-n", NAMESPACE],
    keys: &[("p0000", "\t"), ("+ Log Query", "label:app=litellm"), ("label:app=litellm", "\r")],
    lines: |screen| screen.split_once("Log [")?.1.split_once(']')?.0.split_once('/')?.1.parse().ok(),
};
/// kdash, with the log of all pods of the Deployment.
pub const KDASH: Viewer = Viewer {
    program: "kdash",
    arguments: &["-n", NAMESPACE],
    keys: &[("Pods [20]", "7"), ("20/20", "L")],
    lines: |_| None,
};

impl Tailer {
    /// Lets it follow to nowhere, until nothing is left to follow.
    pub fn run(self, seconds: u64, report: &mut Report) {
        let Some(path) = installed(self.program, report) else { return };
        let server = flood(seconds);
        let home = server.home();
        let mut child = Command::new(path)
            .args(self.arguments)
            .env("KUBECONFIG", home.path().join("kubeconfig"))
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(left(server.flow));
        let (begin, mut still, mut taken) = (Instant::now(), Instant::now(), Taken::default());
        while still.elapsed() < STILL && begin.elapsed() < PATIENCE {
            assert!(child.try_wait().unwrap().is_none(), "{} ended by itself", self.program);
            let now = process::taken(child.id()).unwrap();
            if now.cpu > taken.cpu {
                still = Instant::now();
            }
            taken = now;
            std::thread::sleep(Duration::from_millis(20));
        }
        // Less than a tenth of a microsecond a line: it followed nothing.
        let lines = server.flow.count * PODS as u64;
        assert!(taken.cpu.as_micros() > u128::from(lines) / 10, "{} took no lines: {taken:?}", self.program);
        let _ = child.kill();
        let _ = child.wait();
        report.raw(&json!({
            "part": self.program, "lines": lines, "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak,
        }));
        report.row(Row {
            what: format!("{} {}, to /dev/null", self.program, self.arguments.join(" ")),
            lines,
            cpu: Some(taken.cpu),
            peak: Some(taken.peak),
            ..Row::default()
        });
    }
}

impl Viewer {
    /// Lets it show the flood on its screen, until it shows the last line or no new one any more.
    pub fn run(self, seconds: u64, report: &mut Report) {
        let Some(path) = installed(self.program, report) else { return };
        let server = flood(seconds);
        let home = server.home();
        let terminal = Terminal::other(path.to_str().unwrap(), self.arguments, home.path(), server.flow);
        for (shown, keys) in self.keys {
            terminal.comes(READY, |screen| screen.contains(shown));
            terminal.send(keys);
        }
        std::thread::sleep(opens(server.flow));
        let (bytes, begin) = (terminal.with(|seen| seen.bytes), Instant::now());
        std::thread::sleep(left(server.flow));
        let bytes = (terminal.with(|seen| seen.bytes) - bytes) as f64 / begin.elapsed().as_secs_f64();
        if terminal.with(|seen| seen.newest).is_none() {
            eprintln!("\n{} SHOWS NO LINE AND IS NOT MEASURED\n{}", self.program, terminal.screen());
            return report.absent(self.program);
        }
        let last = server.flow.count - 1;
        let (mut news, mut newest) = (Instant::now(), None);
        while newest != Some(last) && news.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
            let now = terminal.with(|seen| seen.newest);
            if now > newest {
                (news, newest) = (Instant::now(), now);
            }
        }
        let taken = process::taken(terminal.pid()).expect("it runs until it is ended");
        let lines = server.flow.count * PODS as u64;
        let has = (self.lines)(&terminal.screen());
        report.raw(&json!({
            "part": self.program, "lines": lines, "has": has, "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak,
            "bytes_per_second": bytes, "last": last, "newest": newest, "screen": terminal.screen(),
        }));
        report.row(Row {
            what: format!("{}, its screen, local, 80x24", self.program),
            lines,
            lost: has.map(|has| lines.saturating_sub(has)),
            cpu: Some(taken.cpu),
            peak: Some(taken.peak),
            bytes: Some(bytes),
            last: Some(newest == Some(last)),
            ..Row::default()
        });
    }
}

/// Where a program is. One that is not installed is not passed over in silence.
fn installed(program: &str, report: &mut Report) -> Option<PathBuf> {
    let found = which::which(program).ok();
    if found.is_none() {
        eprintln!("\n{program} IS NOT ON THE PATH AND IS NOT MEASURED\n");
        report.absent(program);
    }
    found
}

fn flood(seconds: u64) -> Server {
    // Programs with a screen need keys until they follow.
    Server::start(Flow::live(Timestamp::now() + HEAD_START * 2, RATE, RATE * seconds))
}

/// How long until the first line is written.
fn opens(flow: Flow) -> Duration {
    Duration::try_from(flow.opens.duration_since(Timestamp::now())).unwrap_or_default()
}

/// How long until the last line is written.
fn left(flow: Flow) -> Duration {
    let ends = flow.at(flow.count);
    Duration::try_from(ends.duration_since(Timestamp::now())).unwrap_or_default()
}
