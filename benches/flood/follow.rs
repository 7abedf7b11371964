//! The engine without a screen: every line of every pod is accounted for by its number, while the
//! server is killed and started again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use lastgood::app::logs::ring::Ring;
use lastgood::domain::log::{LogItem, LogSource, Segment};
use lastgood::domain::signature::Signatures;
use lastgood::text::Gate;
use lastgood::world::Cluster as _;
use lastgood::world::kubernetes::{ConnectOptions, Kubernetes};
use serde_json::json;
use tokio::sync::mpsc;

use crate::AWAY;
use crate::process::{self, Taken};
use crate::report::{Report, Row};
use crate::server::{PODS, Server, sources};
use crate::terminal::number_in;

/// How long the rest may take to come after the last line was written.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that wait before the feeds are held up, as in the console.
const QUEUE: usize = 16;

/// What came of one pod.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// The number that comes next.
    next: u64,
    lost: u64,
    repeated: u64,
    /// Marks of the console between the lines.
    marks: u64,
    /// When the last new line came.
    newest: Option<Instant>,
}

impl Account {
    fn take(&mut self, lines: &Segment, now: Instant) {
        for line in lines.iter() {
            if line.ours.is_some() {
                self.marks += 1;
                continue;
            }
            let number = number_in(line.text.as_str()).expect("every line has a number");
            if number < self.next {
                self.repeated += 1;
            } else {
                self.lost += number - self.next;
                self.next = number + 1;
                self.newest = Some(now);
            }
        }
    }
}

/// Follows the flood to its end, with this many restarts of the server in the middle.
pub fn run(mut server: Server, cuts: u32, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(folder.path());
    let flow = server.flow;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = process::taken(std::process::id()).unwrap_or_default();
    let (told, restarts) = std::sync::mpsc::channel();
    let restarter = std::thread::spawn(move || {
        let length = Duration::from_secs_f64(flow.count as f64 / flow.rate as f64);
        let opens = Duration::try_from(flow.opens.duration_since(jiff::Timestamp::now())).unwrap_or_default();
        let start = Instant::now() + opens;
        for cut in 1..=cuts {
            let at = start + length * cut / (cuts + 1);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let _ = told.send(server.restart(AWAY));
        }
        server
    });
    let (accounts, resumed) = runtime.block_on(follow(kubeconfig, flow.count, &restarts));
    let after = process::taken(std::process::id()).unwrap_or_default();
    drop(restarter.join());
    let taken = Taken { cpu: after.cpu - before.cpu, peak: after.peak };
    let lines: u64 = accounts.iter().map(|account| account.next - account.lost).sum();
    let missing: u64 = accounts.iter().map(|account| flow.count - account.next + account.lost).sum();
    let repeated: u64 = accounts.iter().map(|account| account.repeated).sum();
    let marks: u64 = accounts.iter().map(|account| account.marks).sum();
    let slowest = resumed.iter().max().copied();
    report.row(Row {
        what: format!("lastgood, its engine without a screen, server killed {cuts} times"),
        lines,
        lost: Some(missing),
        repeated: Some(repeated),
        cpu: Some(taken.cpu),
        peak: Some(taken.peak),
        ..Row::default()
    });
    report.raw(&json!({
        "part": "follow", "pods": PODS, "rate": flow.rate * PODS as u64, "lines": lines, "lost": missing, "repeated": repeated,
        "marks": marks, "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak,
        "resumed_seconds": resumed.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(),
    }));
    if let Some(slowest) = slowest {
        report.goal("server gone and back: all pods go on within", slowest.as_secs_f64(), 2.0, "s");
    }
    report.goal("lines lost by the engine", missing as f64, 0.0, "");
    report.goal("lines repeated by the engine", repeated as f64, 0.0, "");
}

type Batch = (usize, Segment);

/// Follows until every pod has brought all of its lines, or none comes any more. How long each
/// restart kept the last pod from its next new line, from the moment the server listened again.
async fn follow(
    kubeconfig: PathBuf,
    count: u64,
    restarts: &std::sync::mpsc::Receiver<Instant>,
) -> ([Account; PODS], Vec<Duration>) {
    let options = ConnectOptions { kubeconfig: Some(kubeconfig), ..ConnectOptions::default() };
    let kubernetes = Kubernetes::connect(options, Gate::default()).await.expect("the kubeconfig is ours");
    let signatures = Arc::new(Signatures::bundled());
    let (sender, mut batches) = mpsc::channel(QUEUE);
    for (pod, source) in sources().into_iter().enumerate() {
        tokio::spawn(feed(kubernetes.clone(), source, pod, Arc::clone(&signatures), sender.clone()));
    }
    drop(sender);
    let mut accounts = [Account::default(); PODS];
    let mut ring = Ring::default();
    let mut resumed: Vec<Duration> = Vec::new();
    let mut since: Option<Instant> = None;
    while accounts.iter().any(|account| account.next < count) {
        let Ok(Some((pod, lines))) = tokio::time::timeout(PATIENCE, batches.recv()).await else { break };
        let now = Instant::now();
        accounts[pod].take(&lines, now);
        ring.push(lines);
        if let Ok(back) = restarts.try_recv() {
            since = Some(back);
        }
        if let Some(back) = since
            && accounts.iter().all(|account| account.newest.is_some_and(|newest| newest > back))
        {
            resumed.push(now - back);
            since = None;
        }
    }
    (accounts, resumed)
}

async fn feed(
    kubernetes: Kubernetes,
    source: LogSource,
    pod: usize,
    signatures: Arc<Signatures>,
    sender: mpsc::Sender<Batch>,
) {
    let mut items = kubernetes.logs(&source, u32::MAX);
    while let Some(item) = items.next().await {
        if let LogItem::Lines(lines) = item
            && sender.send((pod, lines.matched(&signatures))).await.is_err()
        {
            return;
        }
    }
}
