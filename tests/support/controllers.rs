//! What makes pods of Deployments and Jobs on a real API server: the real controllers, where their
//! program is installed, and the least of a kubelet.
//!
//! A pod runs and is ready, unless its image says `bad`: then it crashes, and a Job's fails. One
//! whose image says `slow` takes its time.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::envtest::Envtest;

/// How long a slow image takes to be ready.
pub const SLOW: Duration = Duration::from_secs(8);

/// The controllers and the kubelet; they end with the value.
pub struct Controllers {
    manager: Child,
    kubelet: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.kubelet.abort();
        let _ = self.manager.kill();
        let _ = self.manager.wait();
    }
}

/// Whether kube-controller-manager lies beside the API server's program.
pub fn installed(programs: &Path) -> bool {
    programs.join("kube-controller-manager").is_file()
}

impl Controllers {
    pub async fn start(programs: &Path, server: &Envtest) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = server.kubeconfig(folder.path(), "admin", "default");
        let only = "deployment-controller,replicaset-controller,job-controller,garbage-collector-controller,\
                    ttl-after-finished-controller";
        let manager = Command::new(programs.join("kube-controller-manager"))
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", "0"])
            .args(["--controllers", only])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = server.client().await;
        let kubelet = tokio::spawn(poll_pods(client));
        Self { manager, kubelet, _folder: folder }
    }
}

/// The kubelet's loop: looks at every pod, again and again.
async fn poll_pods(client: kube::Client) {
    let began = Instant::now();
    let mut first_seen = std::collections::BTreeMap::new();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for pod in pods(&client).await {
            let uid = pod["metadata"]["uid"].to_string();
            let since = *first_seen.entry(uid).or_insert_with(|| began.elapsed());
            // A pod that goes in the middle is gone the next time.
            let _ = turn(&client, &pod, began.elapsed() - since).await;
        }
    }
}

async fn pods(client: &kube::Client) -> Vec<Value> {
    let request = http::Request::get("/api/v1/pods").body(Vec::new()).unwrap();
    let list: Result<Value, _> = client.request(request).await;
    list.ok().and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
}

async fn send(client: &kube::Client, method: &str, path: &str, kind: &str, body: &Value) -> Result<(), kube::Error> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
    client.request_text(request.body(body.to_string().into_bytes()).unwrap()).await.map(drop)
}

/// One turn of the kubelet for one pod.
async fn turn(client: &kube::Client, pod: &Value, age: Duration) -> Result<(), kube::Error> {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let [namespace, name] = [&metadata["namespace"], &metadata["name"]].map(|text| text.as_str().unwrap());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    if metadata["deletionTimestamp"].is_string() {
        return send(client, "DELETE", &path, "application/json", &json!({"gracePeriodSeconds": 0})).await;
    }
    if spec["nodeName"].is_null() {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"}});
        return send(client, "POST", &format!("{path}/binding"), "application/json", &binding).await;
    }
    let containers = spec["containers"].as_array().unwrap();
    let says = |word: &str| containers.iter().any(|one| one["image"].as_str().unwrap_or_default().contains(word));
    if says("slow") && age < SLOW {
        return Ok(());
    }
    let job = metadata["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["kind"] == "Job");
    let phase = match (job, says("bad")) {
        (true, true) => "Failed",
        (true, false) => "Succeeded",
        (false, _) => "Running",
    };
    if status["phase"] == phase {
        return Ok(());
    }
    let ready = phase == "Running" && !says("bad");
    let now = format!("{:.0}", jiff::Timestamp::now());
    let state = match (job, ready) {
        (true, _) => {
            let code = i32::from(says("bad"));
            json!({"terminated": {"exitCode": code, "reason": "Ended", "startedAt": now, "finishedAt": now}})
        }
        (false, true) => json!({"running": {"startedAt": now}}),
        (false, false) => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
    };
    let statuses = containers.iter().map(|one| {
        json!({"name": one["name"], "image": one["image"], "imageID": "", "ready": ready, "started": ready,
            "restartCount": 0, "state": state, "lastState": {}})
    });
    let word = if ready { "True" } else { "False" };
    let conditions =
        ["Ready", "ContainersReady"].map(|of| json!({"type": of, "status": word, "lastTransitionTime": now}));
    let status = json!({"status": {"phase": phase, "startTime": now, "conditions": conditions,
        "containerStatuses": statuses.collect::<Vec<_>>()}});
    send(client, "PATCH", &format!("{path}/status"), "application/strategic-merge-patch+json", &status).await
}
