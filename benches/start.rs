//! How soon a drill and an environment are on the screen, and how much is written to the terminal then and while
//! nobody touches it; and how long the catalog takes to be read: `cargo bench --bench start`.
//!
//! The program runs in a pseudo-terminal of its own, with an empty home folder. A frame is what
//! stands between the marks of a synchronized update; the program writes each with one call.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::io::Read as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lastgood::domain::catalog::Catalog;
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// Marks of a synchronized update (DEC private mode 2026).
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// Starts that are measured.
const STARTS: usize = 20;
/// How long an untouched screen is watched.
const IDLE: Duration = Duration::from_secs(10);
/// How long a first frame may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is opened.
#[derive(Clone, Copy, Debug)]
enum Opens {
    /// The first drill.
    Drill,
    /// An environment whose parts do not answer, with or without a refreshed catalog.
    Environment { refreshed: bool },
}

impl Opens {
    const ALL: [Self; 3] = [Self::Drill, Self::Environment { refreshed: false }, Self::Environment { refreshed: true }];

    fn word(self) -> &'static str {
        match self {
            Self::Drill => "drill",
            Self::Environment { refreshed: false } => "live",
            Self::Environment { refreshed: true } => "refreshed",
        }
    }
}

/// The program in a terminal of its own.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    output: mpsc::Receiver<(Instant, Vec<u8>)>,
    spawned: Instant,
    _master: Box<dyn portable_pty::MasterPty + Send>,
    _home: tempfile::TempDir,
}

impl Session {
    fn start((cols, rows): (u16, u16), opens: Opens) -> Self {
        let home = tempfile::tempdir().unwrap();
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_lastgood"));
        match opens {
            Opens::Drill => command.arg("drill"),
            Opens::Environment { refreshed } => {
                // Nobody listens there: the first screen waits for no answer.
                std::fs::write(home.path().join("db.url"), "postgresql://u@127.0.0.1:1/litellm").unwrap();
                let text = "[env.bench]\nkind = \"staging\"\ndatabase = { file = \"db.url\" }\n";
                std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
                if refreshed {
                    let file = home.path().join("data/lastgood/catalog.json.gz");
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    let newer = Catalog::embedded().as_ref().clone().on("2999-01-01".parse().unwrap(), Vec::new());
                    std::fs::write(file, newer.to_bytes().unwrap()).unwrap();
                }
            }
        }
        command.cwd(home.path());
        command.env_clear();
        command.env("HOME", home.path());
        command.env("XDG_DATA_HOME", home.path().join("data"));
        command.env("TERM", "xterm-256color");
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = mpsc::channel();
        let spawned = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send((Instant::now(), buffer[..read].to_vec())).is_err() {
                    break;
                }
            }
        });
        Self { child, output, spawned, _master: pair.master, _home: home }
    }

    /// Reads until the first frame is complete: how long after the start, and its bytes.
    fn first_frame(&self) -> (Duration, usize) {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, bytes) = self.output.recv_timeout(left).expect("a first frame within ten seconds");
            seen.extend(bytes);
            if let Some(end) = position(&seen, END) {
                let begin = position(&seen, BEGIN).unwrap();
                return (at - self.spawned, end + END.len() - begin);
            }
        }
    }

    /// Reads for a while: bytes and frames.
    fn watch(&self, time: Duration) -> (usize, usize) {
        let mut seen = Vec::new();
        let deadline = Instant::now() + time;
        while let Ok((_, bytes)) = self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            seen.extend(bytes);
        }
        (seen.len(), seen.windows(BEGIN.len()).filter(|window| *window == BEGIN).count())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn position(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}

/// How long the embedded catalog takes from bytes to answers.
fn catalog() {
    let bytes = Catalog::embedded().to_bytes().unwrap();
    let read = || {
        let began = Instant::now();
        let catalog = Catalog::from_bytes(&bytes).unwrap();
        let read = began.elapsed();
        assert!(catalog.packages().next_back().is_some_and(|newest| newest.schema.objects().count() > 1_000));
        (read, began.elapsed() - read)
    };
    let mut times: Vec<_> = (0..STARTS).map(|_| read()).collect();
    times.sort();
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let (best, median) = (times[0], times[STARTS / 2]);
    println!(
        "the catalog: {} bytes, read within {} (median {}), and the schema of one version within {}\n",
        bytes.len(),
        milliseconds(best.0),
        milliseconds(median.0),
        milliseconds(best.1)
    );
}

fn main() {
    catalog();
    println!("the first screen, {STARTS} starts for each; a drill of each size untouched for {} s", IDLE.as_secs());
    println!(
        "{:>10} {:>8}  {:>10} {:>10} {:>10}  {:>12}  {:>16} {:>12}",
        "opens", "size", "best", "median", "worst", "first frame", "untouched, bytes", "frames"
    );
    for size in [(80, 24), (120, 36), (200, 50)] {
        for opens in Opens::ALL {
            measured(size, opens);
        }
    }
}

fn measured(size: (u16, u16), opens: Opens) {
    let mut starts: Vec<_> = (0..STARTS).map(|_| Session::start(size, opens).first_frame()).collect();
    starts.sort();
    let milliseconds = |at: usize| format!("{:.1} ms", starts[at].0.as_secs_f64() * 1e3);
    let bytes = starts[0].1;
    let untouched = matches!(opens, Opens::Drill).then(|| {
        let session = Session::start(size, opens);
        session.first_frame();
        session.watch(IDLE)
    });
    let (idle, frames) =
        untouched.map_or(("-".to_owned(), "-".to_owned()), |(idle, frames)| (idle.to_string(), frames.to_string()));
    println!(
        "{:>10} {:>8}  {:>10} {:>10} {:>10}  {:>10} B  {idle:>16} {frames:>12}",
        opens.word(),
        format!("{}x{}", size.0, size.1),
        milliseconds(0),
        milliseconds(STARTS / 2),
        milliseconds(STARTS - 1),
        bytes,
    );
}
