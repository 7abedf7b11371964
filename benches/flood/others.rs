//! Other programs on the same flood, where they are installed.

use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::kube_server::Flow;
use crate::process::{self, Taken};
use crate::report::{Report, Row};
use crate::server::{PODS, Server};
use crate::{HEAD_START, RATE};

/// `kubectl logs -f` of all pods, to nowhere, until the flood ends; the server is left alone, because
/// kubectl does not come back.
pub fn kubectl(seconds: u64, report: &mut Report) {
    let Ok(program) = which::which("kubectl") else {
        eprintln!("kubectl: not installed, not measured");
        return;
    };
    let flow = Flow { ends: true, ..Flow::live(Timestamp::now() + HEAD_START, RATE, RATE * seconds) };
    let server = Server::start(flow);
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(program)
        .args(["logs", "-f", "-l", "app=litellm", "--tail=-1"])
        .arg(format!("--max-log-requests={PODS}"))
        .env("KUBECONFIG", server.kubeconfig(home.path()))
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // What it took can be read as long as it runs.
    let mut taken = Taken::default();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => taken = process::taken(child.id()).unwrap_or(taken),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "kubectl failed: {status}");
    let lines = flow.count * PODS as u64;
    report.raw(&json!({
        "part": "kubectl", "lines": lines, "cpu_seconds": taken.cpu.as_secs_f64(), "peak_mib": taken.peak,
    }));
    report.row(Row {
        what: "kubectl logs -f, to /dev/null, server left alone".to_owned(),
        lines,
        lost: None,
        repeated: None,
        cpu: Some(taken.cpu),
        peak: Some(taken.peak),
        bytes: None,
        freezes: None,
    });
}
