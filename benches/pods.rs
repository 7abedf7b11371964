//! Big clusters: how soon a workload's pods are on the screen, what they take of memory, and what
//! an untouched and a busy screen take of the processor: `cargo bench --bench pods`.
//!
//! The console runs in a pseudo-terminal of its own against a replayed API server in this process,
//! whose objects are as large as real ones: a pod of 7 KB, a third of it managed fields. What the
//! server takes to answer is part of the times; the processor time is the console's alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/kube_server.rs"]
mod kube_server;
#[allow(dead_code, reason = "the flood uses the rest")]
#[path = "../tests/support/process.rs"]
mod process;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../tests/support/pty.rs"]
mod pty;

use kube_server::KubeServer;
use pty::{Session, Start};

const NAMESPACE: &str = "llm";
const IMAGE: &str = "ghcr.io/berriai/litellm:v1.81.0";
/// Pods of a small workload, and how often it is opened.
const SMALL: usize = 3;
const STARTS: usize = 20;
/// Pods of the workload, and of the namespace.
const SIZES: [(usize, usize); 5] = [(20, 20), (20, 10_000), (1_000, 1_000), (1_000, 10_000), (10_000, 10_000)];
/// How long an untouched screen is watched.
const IDLE: Duration = Duration::from_secs(10);
/// How long pods change, and how many a second.
const BUSY: Duration = Duration::from_secs(5);
const CHANGES: u32 = 50;
/// How long the pods may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a pod of a namespace looks like after some weeks.
fn pod(app: &str, set: &str, number: usize) -> Value {
    let environment: Vec<Value> = (0..12)
        .map(|n| json!({"name": format!("SETTING_{n}"), "valueFrom": {"secretKeyRef": {"name": "gateway-env", "key": format!("setting-{n}")}}}))
        .collect();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-20T10:00:07Z"});
    let field = |n: usize| {
        (
            format!("k:{{\"name\":\"SETTING_{n}\"}}"),
            json!({".": {}, "f:name": {}, "f:valueFrom": {".": {}, "f:secretKeyRef": {}}}),
        )
    };
    let fields: serde_json::Map<String, Value> = (0..12).map(field).collect();
    json!({
        "metadata": {
            "name": format!("{app}-7f9c6d5b8-{number:05}"),
            "generateName": format!("{app}-7f9c6d5b8-"),
            "uid": format!("00000000-0000-4000-8000-{:012}", number + if app == "gateway" { 0 } else { 1_000_000 }),
            "labels": {"app": app, "pod-template-hash": "7f9c6d5b8", "app.kubernetes.io/instance": app},
            "annotations": {"checksum/config": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set, "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-11-20T10:00:00Z", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:metadata": {"f:labels": {}, "f:ownerReferences": {}}, "f:spec": {"f:containers": {"k:{\"name\":\"litellm\"}": {"f:env": fields}}}}},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-11-20T10:00:07Z", "fieldsType": "FieldsV1", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:conditions": {}, "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {}, "f:podIP": {}, "f:startTime": {}}}},
            ],
        },
        "spec": {
            "nodeName": format!("node-{:03}", number % 200),
            "serviceAccountName": "default", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "containers": [{
                "name": "litellm", "image": IMAGE, "env": environment, "imagePullPolicy": "IfNotPresent",
                "ports": [{"name": "http", "containerPort": 4000, "protocol": "TCP"}],
                "resources": {"limits": {"memory": "4Gi"}, "requests": {"cpu": "500m", "memory": "2Gi"}},
                "livenessProbe": {"httpGet": {"path": "/health/liveliness", "port": 4000, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3},
                "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": 4000, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/litellm"}, {"name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": "gateway-config", "defaultMode": 420}},
                {"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}]}},
            ],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "podIP": format!("10.1.{}.{}", number / 250, number % 250), "qosClass": "Burstable",
            "startTime": "2026-11-20T10:00:00Z",
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{
                "name": "litellm", "image": IMAGE, "ready": true, "started": true, "restartCount": 0,
                "imageID": "ghcr.io/berriai/litellm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "containerID": format!("containerd://{number:064}"),
                "state": {"running": {"startedAt": "2026-11-20T10:00:05Z"}}, "lastState": {},
            }],
        },
    })
}

/// A Deployment with its ReplicaSet and this many pods, among so many in the namespace.
fn fill(server: &KubeServer, own: usize, all: usize) {
    let template = json!({
        "metadata": {"labels": {"app": "gateway"}},
        "spec": {"containers": [{"name": "litellm", "image": IMAGE}]},
    });
    let deployment = json!({
        "metadata": {"name": "gateway", "uid": "gateway", "labels": {"app": "gateway"}, "annotations": {"deployment.kubernetes.io/revision": "1"}},
        "spec": {"replicas": own, "selector": {"matchLabels": {"app": "gateway"}}, "template": template},
        "status": {"observedGeneration": 1, "replicas": own, "readyReplicas": own, "updatedReplicas": own, "availableReplicas": own},
    });
    let set = json!({
        "metadata": {"name": "gateway-7f9c6d5b8", "uid": "gateway-7f9c6d5b8", "labels": {"app": "gateway", "pod-template-hash": "7f9c6d5b8"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway", "uid": "gateway", "controller": true}]},
        "spec": {"replicas": own, "selector": {"matchLabels": {"app": "gateway", "pod-template-hash": "7f9c6d5b8"}}, "template": template},
        "status": {"replicas": own, "readyReplicas": own},
    });
    server.fill("deployments", NAMESPACE, [deployment]);
    server.fill("replicasets", NAMESPACE, [set]);
    server.fill("pods", NAMESPACE, (0..own).map(|number| pod("gateway", "gateway-7f9c6d5b8", number)));
    for number in 0..own {
        server.log(&format!("gateway-7f9c6d5b8-{number:05}"), "litellm", false, |_| {});
    }
    server.fill("pods", NAMESPACE, (own..all).map(|number| pod("other", "other-7f9c6d5b8", number)));
}

fn configuration(folder: &Path, server: &KubeServer) {
    server.kubeconfig(folder, "admin");
    std::fs::rename(folder.join("admin.yaml"), folder.join("kubeconfig")).unwrap();
    let text =
        "[env.bench]\nkind = \"staging\"\ncontext = \"replay\"\nnamespace = \"llm\"\nworkloads = [\"gateway\"]\n";
    std::fs::write(folder.join("lastgood.toml"), text).unwrap();
}

/// A figure beside its goal.
struct Goal {
    what: String,
    found: f64,
    most: f64,
    unit: &'static str,
}

/// The console in front of one server.
struct Opened {
    session: Session,
    began: Instant,
    _home: tempfile::TempDir,
}

impl Opened {
    fn start(server: &KubeServer) -> Self {
        let home = tempfile::tempdir().unwrap();
        configuration(home.path(), server);
        let start = Start { size: (160, 46), ..Start::lastgood(home.path(), &[]) };
        let began = Instant::now();
        Self { session: start.open(), began, _home: home }
    }

    /// Milliseconds from the start until these words are on the screen.
    fn seen(&self, words: &str) -> f64 {
        self.session.wait_for(words, PATIENCE);
        self.began.elapsed().as_secs_f64() * 1e3
    }

    /// Processor time so far, in seconds.
    fn processor(&self) -> f64 {
        process::processor(self.session.process()).unwrap().as_secs_f64()
    }

    /// Share of a processor during a time, in per cent.
    async fn share(&self, time: Duration, during: impl AsyncFn()) -> f64 {
        let (before, begin) = (self.processor(), Instant::now());
        while begin.elapsed() < time {
            during().await;
        }
        (self.processor() - before) / begin.elapsed().as_secs_f64() * 100.0
    }
}

/// How soon the names of a small workload are there.
async fn small() -> Goal {
    let server = KubeServer::start().await;
    fill(&server, SMALL, SMALL);
    let start = || {
        tokio::task::block_in_place(|| {
            let opened = Opened::start(&server);
            (opened.seen("STAGING"), opened.seen("gateway-7f9"))
        })
    };
    let (mut painted, mut named): (Vec<f64>, Vec<f64>) = (0..STARTS).map(|_| start()).unzip();
    println!("a workload of {SMALL} pods, {STARTS} starts");
    for (what, times) in [("painted", &mut painted), ("pod names", &mut named)] {
        times.sort_by(f64::total_cmp);
        let (best, median, worst) = (times[0], times[STARTS / 2], times[STARTS - 1]);
        println!("{what:>10}: best {best:.0} ms, median {median:.0} ms, worst {worst:.0} ms");
    }
    println!();
    Goal { what: "pod names of a small workload, median".to_owned(), found: named[STARTS / 2], most: 30.0, unit: "ms" }
}

/// A workload of so many pods, in a namespace of so many.
async fn big(own: usize, all: usize) -> Vec<Goal> {
    let server = KubeServer::start().await;
    fill(&server, own, all);
    let opened = tokio::task::block_in_place(|| Opened::start(&server));
    let ready = format!("{own} of {own} ready");
    let (painted, first, last) =
        tokio::task::block_in_place(|| (opened.seen("STAGING"), opened.seen("gateway-7f9"), opened.seen(&ready)));
    let used = opened.processor() * 1e3;
    // What follows the list: logs, questions.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let process = opened.session.process();
    let (peak, now) = (process::taken(process).unwrap().peak, process::resident(process).unwrap());
    let requests = server.requests("GET", "").len() + server.requests("POST", "").len();
    let pods = server.requests("GET", "/pods?").len();
    let idle = opened.share(IDLE, async || tokio::time::sleep(Duration::from_millis(500)).await).await;
    let change = async || {
        let mut changed = pod("gateway", "gateway-7f9c6d5b8", fastrand::usize(..own));
        changed["status"]["containerStatuses"][0]["restartCount"] = json!(fastrand::u32(..100));
        server.put("pods", NAMESPACE, changed);
        tokio::time::sleep(Duration::from_secs(1) / CHANGES).await;
    };
    let busy = opened.share(BUSY, change).await;
    println!(
        "{own:>7} {all:>7}  {painted:>6.0} ms {first:>6.0} ms {last:>6.0} ms {used:>6.0} ms  {peak:>9.1} {now:>9.1}  {idle:>7.2} {busy:>12.1}  {requests:>9} {pods:>7}"
    );
    let goal = |what: &str, found, most, unit| Goal { what: format!("{own} pods of {all}: {what}"), found, most, unit };
    match (own, all) {
        (1_000, 1_000) => vec![
            goal("all listed", last, 200.0, "ms"),
            goal("resident", now, 40.0, "MiB"),
            goal("idle, of a core", idle, 0.5, "%"),
        ],
        (_, 10_000) => vec![goal("usable", last, 2_000.0, "ms"), goal("resident", now, 80.0, "MiB")],
        _ => Vec::new(),
    }
}

#[tokio::main]
async fn main() {
    let mut goals = vec![small().await];
    println!(
        "{:>7} {:>7}  {:>9} {:>9} {:>9} {:>9}  {:>9} {:>9}  {:>7} {:>12}  {:>9} {:>7}",
        "own",
        "all",
        "painted",
        "a pod",
        "all pods",
        "processor",
        "peak MiB",
        "now MiB",
        "idle %",
        "50 changes/s",
        "requests",
        "of pods"
    );
    for (own, all) in SIZES {
        goals.extend(big(own, all).await);
    }
    println!("\n| figure | found | goal | |\n|---|---|---|---|");
    for Goal { what, found, most, unit } in goals {
        let met = if found <= most { "met" } else { "NOT MET" };
        println!("| {what} | {found:.1} {unit} | {most} {unit} | {met} |");
    }
}
