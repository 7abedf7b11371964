//! How soon a drill and an environment are on the screen, and how much is written to the terminal then and while
//! nobody touches it; and how long the catalog takes to be read: `cargo bench --bench start`.
//!
//! The program runs in a pseudo-terminal of its own, with an empty home folder. A frame is what
//! stands between the marks of a synchronized update; the program writes each with one call.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lastgood::domain::catalog::Catalog;

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/pty.rs"]
mod pty;

use pty::{Session, Start, find};

/// Marks of a synchronized update (DEC private mode 2026).
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// Starts that are measured.
const STARTS: usize = 20;
/// How long the median first screen may take.
const GOAL: Duration = Duration::from_millis(20);
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

/// The program in a terminal and a home folder of its own.
struct Opened {
    session: Session,
    began: Instant,
    _home: tempfile::TempDir,
    /// An API server that takes connections and never says a word.
    _silent: TcpListener,
}

impl Opened {
    fn start(size: (u16, u16), opens: Opens) -> Self {
        let home = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let data = home.path().join("data");
        if let Opens::Environment { refreshed } = opens {
            let kubeconfig = format!(
                "apiVersion: v1\nkind: Config\n\
                 clusters: [{{name: c, cluster: {{server: 'https://{}'}}}}]\n\
                 users: [{{name: u, user: {{token: t}}}}]\n\
                 contexts: [{{name: silent, context: {{cluster: c, user: u, namespace: llm}}}}]\n",
                silent.local_addr().unwrap()
            );
            std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
            std::fs::write(home.path().join("db.url"), "postgresql://u@127.0.0.1:1/litellm").unwrap();
            let text = "[env.bench]\nkind = \"staging\"\ncontext = \"silent\"\nnamespace = \"llm\"\n\
                        workloads = [\"gateway\"]\ndatabase = { file = \"db.url\" }\n";
            std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
            if refreshed {
                let file = data.join("lastgood/catalog.json.gz");
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                let newer = Catalog::embedded().as_ref().clone().on("2999-01-01".parse().unwrap(), Vec::new());
                std::fs::write(file, newer.to_bytes().unwrap()).unwrap();
            }
        }
        let arguments: &[&str] = if matches!(opens, Opens::Drill) { &["drill"] } else { &[] };
        let env = [("XDG_DATA_HOME", data.to_str().unwrap())];
        let start = Start { size, env: &env, ..Start::lastgood(home.path(), arguments) };
        let began = Instant::now();
        Self { session: start.open(), began, _home: home, _silent: silent }
    }

    /// Waits until the first frame is complete: how long after the start, and its bytes.
    fn first_frame(&self) -> (Duration, usize) {
        self.session.wait_until("a first frame", PATIENCE, |_, raw| find(raw, END).is_some());
        let took = self.began.elapsed();
        let raw = self.session.raw();
        (took, find(&raw, END).unwrap() + END.len() - find(&raw, BEGIN).unwrap())
    }

    /// What is written within a time: bytes and frames.
    fn watch(&self, time: Duration) -> (usize, usize) {
        let before = self.session.raw().len();
        std::thread::sleep(time);
        let written = &self.session.raw()[before..];
        (written.len(), written.windows(BEGIN.len()).filter(|window| *window == BEGIN).count())
    }
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
    let mut medians = Vec::new();
    for size in [(80, 24), (120, 36), (200, 50)] {
        for opens in Opens::ALL {
            medians.push((opens, size, measured(size, opens)));
        }
    }
    println!("\n| first screen | found | goal | |\n|---|---|---|---|");
    for (opens, (cols, rows), median) in medians {
        let met = if median <= GOAL { "met" } else { "NOT MET" };
        println!("| {}, {cols}x{rows} | {} | {} | {met} |", opens.word(), milliseconds(median), milliseconds(GOAL));
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Prints what was found, and answers with the median.
fn measured(size: (u16, u16), opens: Opens) -> Duration {
    let mut starts: Vec<_> = (0..STARTS).map(|_| Opened::start(size, opens).first_frame()).collect();
    starts.sort();
    let (best, bytes) = starts[0];
    let (median, worst) = (starts[STARTS / 2].0, starts[STARTS - 1].0);
    let untouched = matches!(opens, Opens::Drill).then(|| {
        let opened = Opened::start(size, opens);
        opened.first_frame();
        opened.watch(IDLE)
    });
    let (idle, frames) =
        untouched.map_or(("-".to_owned(), "-".to_owned()), |(idle, frames)| (idle.to_string(), frames.to_string()));
    println!(
        "{:>10} {:>8}  {:>10} {:>10} {:>10}  {bytes:>10} B  {idle:>16} {frames:>12}",
        opens.word(),
        format!("{}x{}", size.0, size.1),
        milliseconds(best),
        milliseconds(median),
        milliseconds(worst),
    );
    median
}
