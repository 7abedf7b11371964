//! A workload of twenty pods that write, and its API server: a process of its own, so that it can be
//! killed, and so that what it takes of the processor is not counted to anybody else.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lastgood::domain::log::LogSource;
use serde_json::json;
use tempfile::TempDir;

use crate::kube_server::{Flow, KubeServer};

/// Pods that write.
pub const PODS: usize = 20;
/// The word that makes this program the server.
const SERVE: &str = "serve";
/// The namespace of the workload.
pub const NAMESPACE: &str = "llm";
/// The configuration of the console.
const CONFIGURATION: &str =
    "[env.flood]\nkind = \"staging\"\ncontext = \"flood\"\nnamespace = \"llm\"\nworkloads = [\"litellm\"]\n";

/// The server as a process, and what it serves.
pub struct Server {
    child: Child,
    /// The same after it was started again.
    pub port: u16,
    /// The log of each pod.
    pub flow: Flow,
}

impl Server {
    /// Starts it on any port, and waits until it listens.
    pub fn start(flow: Flow) -> Self {
        let (child, port) = spawn(0, flow);
        Self { child, port, flow }
    }

    /// Kills it, leaves it away for this long, and starts it again. When it listened again.
    pub fn restart(&mut self, away: Duration) -> Instant {
        let _ = self.child.kill();
        let _ = self.child.wait();
        std::thread::sleep(away);
        (self.child, self.port) = spawn(self.port, self.flow);
        Instant::now()
    }

    /// A home folder with a kubeconfig, and with a configuration of the console.
    pub fn home(&self) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        self.kubeconfig(home.path());
        std::fs::write(home.path().join("lastgood.toml"), CONFIGURATION).unwrap();
        home
    }

    /// A kubeconfig in this folder.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: flood\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             users: [{{name: u, user: {{token: admin-bearer-token}}}}]\n\
             contexts: [{{name: flood, context: {{cluster: c, user: u, namespace: llm}}}}]\n",
            self.port
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, flow: Flow) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(SERVE)
        .arg(port.to_string())
        .args([flow.begin.to_string(), flow.opens.to_string()])
        .args([flow.rate, flow.speed, flow.count, u64::from(flow.ends)].map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
    let port = told.trim().parse().expect("the server tells its port once it listens");
    (child, port)
}

fn pod(number: usize) -> String {
    // The last part of a name is what tells pods apart on a narrow screen.
    format!("litellm-proxy-7f9c6d5b8-p{number:04}")
}

/// The containers whose logs are served.
pub fn sources() -> Vec<LogSource> {
    let source = |number: usize| LogSource {
        uid: format!("uid-{}", pod(number)).parse().unwrap(),
        pod: pod(number).parse().unwrap(),
        container: "litellm".parse().unwrap(),
        previous: false,
    };
    (0..PODS).map(source).collect()
}

/// Whether this process was started to be the server. It is one until its standard input ends.
pub fn serves() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let serves = arguments.first().is_some_and(|first| first == SERVE);
    if serves {
        serve(&arguments[1..]);
    }
    serves
}

fn serve(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<u64>().unwrap();
    let time = |at: usize| arguments[at].parse::<Timestamp>().unwrap();
    let port = u16::try_from(number(0)).unwrap();
    let flow = Flow {
        begin: time(1),
        opens: time(2),
        rate: number(3),
        speed: number(4),
        count: number(5),
        ends: number(6) == 1,
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = KubeServer::start_on(port).await;
        server.open_to_anybody();
        fill(&server, flow);
        println!("{}", server.address.port());
        std::future::pending::<()>().await;
    });
}

/// One Deployment and its pods, all of which run.
fn fill(server: &KubeServer, flow: Flow) {
    const IMAGE: &str = "ghcr.io/berriai/litellm:v1.81.0";
    let labels = json!({"app": "litellm", "pod-template-hash": "7f9c6d5b8"});
    let spec = json!({"containers": [{"name": "litellm", "image": IMAGE, "ports": [{"containerPort": 4000}]}]});
    let status = json!({
        "observedGeneration": 1, "replicas": PODS, "updatedReplicas": PODS, "readyReplicas": PODS, "availableReplicas": PODS,
    });
    server.put(
        "deployments",
        NAMESPACE,
        json!({
            "metadata": {"name": "litellm", "uid": "uid-deployment", "labels": {"app": "litellm"}},
            "spec": {
                "replicas": PODS, "selector": {"matchLabels": {"app": "litellm"}},
                "template": {"metadata": {"labels": {"app": "litellm"}}, "spec": spec},
            },
            "status": status,
        }),
    );
    let owned = |kind: &str, name: &str, uid: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    server.put(
        "replicasets",
        NAMESPACE,
        json!({
            "metadata": {
                "name": "litellm-proxy-7f9c6d5b8", "uid": "uid-set", "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": owned("Deployment", "litellm", "uid-deployment"),
            },
            "spec": {
                "replicas": PODS, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
            "status": {"replicas": PODS, "readyReplicas": PODS},
        }),
    );
    for source in sources() {
        server.put(
            "pods",
            NAMESPACE,
            json!({
                "metadata": {
                    "name": source.pod.as_str(), "uid": source.uid.as_str(), "labels": labels,
                    "ownerReferences": owned("ReplicaSet", "litellm-proxy-7f9c6d5b8", "uid-set"),
                },
                "spec": spec,
                "status": {
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{
                        "name": "litellm", "image": IMAGE, "imageID": "", "ready": true, "restartCount": 0,
                        "containerID": format!("containerd://{}", source.pod),
                        "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}}, "lastState": {},
                    }],
                },
            }),
        );
        server.flow(source.pod.as_str(), "litellm", flow);
    }
}
