//! The screen on a far line, in a pane of 80x24: bytes and frames a second while logs pour in, and
//! how soon a key is answered over a line of 64 kB/s and 200 ms there and back:
//! `cargo bench --bench line`.
//!
//! The console runs in a pseudo-terminal as it does over SSH, against a replayed API server in this
//! process. Between the two and a terminal lies a line: it lets so many bytes a second through, each
//! arrives after half the round trip, and up to a megabyte waits in front of it, as in the buffers of
//! a connection that never drops anything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portable_pty::{Child, MasterPty};
use serde_json::json;

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/kube_server.rs"]
mod kube_server;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/pty.rs"]
mod pty;

use kube_server::{Flow, KubeServer};
use pty::Start;

const SIZE: (u16, u16) = (80, 24);
const PODS: usize = 20;
/// How long each kind of load is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// Bytes a second, and half a round trip.
const LINE: (f64, Duration) = (64_000.0, Duration::from_millis(100));
/// What waits in front of the line at most.
const BUFFER: usize = 1 << 20;
/// Keys that are measured for each gesture.
const KEYS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(30);
const BEGIN: &[u8] = b"\x1b[?2026h";

/// What arrived at the terminal.
struct Seen {
    parser: vt100::Parser,
    bytes: usize,
    frames: usize,
    tail: Vec<u8>,
}

/// Bytes on their way.
#[derive(Default)]
struct Way {
    under: Mutex<Under>,
    /// Something came, arrived or ended.
    moved: Condvar,
}

#[derive(Default)]
struct Under {
    /// With the time at which each piece arrives.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that have not arrived.
    waiting: usize,
    over: bool,
}

impl Way {
    /// Puts bytes on their way, when there is room for them.
    fn put(&self, at: impl FnOnce() -> Instant, bytes: &[u8]) {
        let full = |under: &mut Under| under.waiting > BUFFER && !under.over;
        let mut under = self.moved.wait_while(self.under.lock().unwrap(), full).unwrap();
        under.waiting += bytes.len();
        under.queue.push_back((at(), bytes.to_vec()));
        self.moved.notify_all();
    }

    /// The bytes that arrive next, at the time at which they do; `None` at the end.
    fn take(&self) -> Option<Vec<u8>> {
        let empty = |under: &mut Under| under.queue.is_empty() && !under.over;
        let next = self.moved.wait_while(self.under.lock().unwrap(), empty).unwrap().queue.pop_front();
        let (at, bytes) = next?;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        self.under.lock().unwrap().waiting -= bytes.len();
        self.moved.notify_all();
        Some(bytes)
    }

    fn end(&self) {
        self.under.lock().unwrap().over = true;
        self.moved.notify_all();
    }
}

/// The console behind a line.
struct Far {
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    keys: std::sync::mpsc::Sender<(Instant, String)>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    way: Arc<Way>,
}

impl Far {
    /// Starts it; without a line, bytes arrive as they are written.
    fn start(home: &Path, ssh: bool, line: Option<(f64, Duration)>) -> Self {
        let far = [("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")];
        let env = if ssh { &far[..] } else { &[] };
        let (child, master) = Start { size: SIZE, env, ..Start::lastgood(home, &[]) }.spawn();
        let (rate, half) = line.unwrap_or((f64::INFINITY, Duration::ZERO));
        let (mut reader, mut writer) = (master.try_clone_reader().unwrap(), master.take_writer().unwrap());
        let way = Arc::new(Way::default());
        let into = Arc::clone(&way);
        std::thread::spawn(move || {
            let mut free = Instant::now();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let arrives = || {
                    free = free.max(Instant::now()) + Duration::from_secs_f64(count as f64 / rate);
                    free + half
                };
                into.put(arrives, &bytes[..count]);
            }
            into.end();
        });
        let parser = vt100::Parser::new(SIZE.1, SIZE.0, 0);
        let seen = Arc::new((Mutex::new(Seen { parser, bytes: 0, frames: 0, tail: Vec::new() }), Condvar::new()));
        let (out, to) = (Arc::clone(&way), Arc::clone(&seen));
        std::thread::spawn(move || {
            while let Some(bytes) = out.take() {
                to.0.lock().unwrap().take(&bytes);
                to.1.notify_all();
            }
        });
        let (keys, typed) = std::sync::mpsc::channel::<(Instant, String)>();
        std::thread::spawn(move || {
            while let Ok((at, text)) = typed.recv() {
                std::thread::sleep((at + half).saturating_duration_since(Instant::now()));
                writer.write_all(text.as_bytes()).unwrap();
                writer.flush().unwrap();
            }
        });
        Self { child, _master: master, keys, seen, way }
    }

    fn send(&self, text: &str) {
        self.keys.send((Instant::now(), text.to_owned())).unwrap();
    }

    /// Waits until the terminal shows this: how long that took.
    fn wait(&self, what: &str, so: impl Fn(&vt100::Screen) -> bool) -> Duration {
        let begin = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        while !so(seen.parser.screen()) {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(!left.is_zero(), "waited in vain for {what}\n{}", seen.parser.screen().contents());
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
        begin.elapsed()
    }

    fn wait_for(&self, words: &str) -> Duration {
        self.wait(words, |screen| screen.contents().contains(words))
    }

    fn counts(&self) -> (usize, usize) {
        let seen = self.seen.0.lock().unwrap();
        (seen.bytes, seen.frames)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.way.end();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
        self.frames += self.tail.windows(BEGIN.len()).filter(|part| *part == BEGIN).count();
        // A mark may lie across two pieces; none is counted twice.
        let keep = self.tail.len().min(BEGIN.len() - 1);
        self.tail.drain(..self.tail.len() - keep);
    }
}

/// A workload of pods that write so many lines a second together.
async fn cluster(rate: u64) -> KubeServer {
    let server = KubeServer::start().await;
    let labels = json!({"app": "gateway"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "litellm", "image": "ghcr.io/berriai/litellm:v1.81.0"}]}});
    server.put("deployments", "llm", json!({
        "metadata": {"name": "gateway", "uid": "gateway", "labels": labels},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
        "status": {"observedGeneration": 1, "replicas": PODS, "readyReplicas": PODS, "updatedReplicas": PODS, "availableReplicas": PODS},
    }));
    server.put("replicasets", "llm", json!({
        "metadata": {"name": "gateway-7f9c6d5b8", "uid": "set", "labels": labels, "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway", "uid": "gateway", "controller": true}]},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
    }));
    for number in 0..PODS {
        let name = format!("gateway-7f9c6d5b8-{number:05}");
        server.put("pods", "llm", json!({
            "metadata": {"name": name, "labels": labels, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gateway-7f9c6d5b8", "uid": "set", "controller": true}]},
            "spec": {"containers": [{"name": "litellm", "image": "ghcr.io/berriai/litellm:v1.81.0"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{
                "name": "litellm", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-20T10:00:05Z"}}}]},
        }));
        // A pod that writes less than once a second is one of few that write.
        let own = (rate / PODS as u64).max(u64::from(number as u64 <= rate));
        match if rate < PODS as u64 && number as u64 >= rate { 0 } else { own } {
            0 => server.log(&name, "litellm", false, |_| {}),
            own => server.flow(&name, "litellm", Flow::live(Timestamp::now(), own, u64::MAX)),
        }
    }
    server
}

fn place(server: &KubeServer) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    server.kubeconfig(home.path(), "admin");
    std::fs::rename(home.path().join("admin.yaml"), home.path().join("kubeconfig")).unwrap();
    let text = "[env.line]\nkind = \"staging\"\ncontext = \"replay\"\nnamespace = \"llm\"\nworkloads = [\"gateway\"]\n";
    std::fs::write(home.path().join("lastgood.toml"), text).unwrap();
    home
}

/// Bytes and frames while nobody touches it.
async fn loads() {
    println!("written while nobody touches it, {}x{}, the log in view", SIZE.0, SIZE.1);
    println!("{:>9} {:>8}  {:>9} {:>9} {:>9}", "lines/s", "line", "bytes/s", "frames/s", "B/frame");
    for rate in [0, 1, 10, 100, 1_000, 50_000] {
        for ssh in [false, true] {
            let server = cluster(rate).await;
            let home = place(&server);
            let (bytes, frames, time) = tokio::task::block_in_place(|| {
                let far = Far::start(home.path(), ssh, None);
                far.wait_for("STAGING");
                far.send("L");
                far.wait_for("following 20 of 20");
                std::thread::sleep(Duration::from_secs(3));
                let (before, begin) = (far.counts(), Instant::now());
                std::thread::sleep(WATCHED);
                let after = far.counts();
                (after.0 - before.0, after.1 - before.1, begin.elapsed().as_secs_f64())
            });
            let each = bytes as f64 / frames.max(1) as f64;
            let line = if ssh { "SSH" } else { "local" };
            println!("{rate:>9} {line:>8}  {:>9.0} {:>9.1} {each:>9.0}", bytes as f64 / time, frames as f64 / time);
        }
    }
}

/// How soon the terminal shows what a key does, round trip included.
async fn gestures() {
    println!("\nkey to screen over {} kB/s and {} ms there and back, in ms", LINE.0 / 1e3, LINE.1.as_millis() * 2);
    println!("{:>9}  {:<22} {:>6} {:>6} {:>6}", "lines/s", "gesture", "p50", "p99", "worst");
    for rate in [0, 50_000] {
        let server = cluster(rate).await;
        let home = place(&server);
        tokio::task::block_in_place(|| {
            let far = Far::start(home.path(), true, Some(LINE));
            far.wait_for("STAGING");
            far.send("L");
            far.wait_for("following 20 of 20");
            std::thread::sleep(Duration::from_secs(3));
            let told = |gesture: &str, mut times: Vec<Duration>| {
                times.sort();
                let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
                println!("{rate:>9}  {gesture:<22} {:>6} {:>6} {:>6}", at(50), at(99), at(100));
            };
            let pause = || std::thread::sleep(Duration::from_millis(173));
            let dialogs = (0..KEYS).map(|_| {
                far.send("?");
                let opened = far.wait_for("Help:");
                far.send("\x1b");
                far.wait("the dialog to close", |screen| !screen.contents().contains("Help:"));
                pause();
                opened
            });
            told("opening a dialog", dialogs.collect());
            far.send("/");
            far.wait("the filter", |screen| !screen.hide_cursor());
            let mut typed = String::new();
            let letters = (0..KEYS).map(|number| {
                let letter = char::from(b'a' + u8::try_from(number % 26).unwrap());
                typed.push(letter);
                far.send(&letter.to_string());
                let shown = far.wait_for(&typed[typed.len().saturating_sub(8)..]);
                pause();
                shown
            });
            told("typing in the filter", letters.collect());
            far.send("\x1b");
            far.wait("the filter to close", vt100::Screen::hide_cursor);
            let panes = (0..KEYS).map(|number| {
                let (key, words) = [("P", "[P Pods"), ("L", "[L Logs")][number % 2];
                far.send(key);
                let shown = far.wait_for(words);
                pause();
                shown
            });
            told("another pane", panes.collect());
            if rate == 0 {
                return;
            }
            far.send("k");
            far.wait_for("held");
            let scrolls = (0..KEYS).map(|_| {
                let before = far.seen.0.lock().unwrap().parser.screen().contents_between(4, 0, 20, 80);
                far.send("k");
                let moved = far.wait("the log to move", |screen| screen.contents_between(4, 0, 20, 80) != before);
                pause();
                moved
            });
            told("scrolling by a line", scrolls.collect());
        });
    }
}

#[tokio::main]
async fn main() {
    loads().await;
    gestures().await;
}
