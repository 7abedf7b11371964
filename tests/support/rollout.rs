//! The least of a Deployment controller over the replayed API server: what is asked for is rolled
//! out at once. Pods whose image is tagged `bad` crash, all others are ready.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kube_server::KubeServer;

pub const NAMESPACE: &str = "llm";
pub const WORKLOAD: &str = "litellm";
pub const OLD: &str = "ghcr.io/berriai/litellm:v1.81.0";
pub const BAD: &str = "ghcr.io/berriai/litellm:v1.81.9-bad";
/// Stands in every template.
pub const SALT: &str = "pl4nted-salt-0123456789";

/// A cluster with one Deployment: revision 1 serves, revision 2 crashes and replaces it.
pub struct Cluster {
    pub server: Arc<KubeServer>,
    pub controller: tokio::task::JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Cluster {
    pub async fn start() -> Self {
        let server = Arc::new(KubeServer::start().await);
        let api = Api::of(&server);
        let deployment = json!({
            "metadata": {"name": WORKLOAD, "labels": {"app": WORKLOAD}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": WORKLOAD}}, "template": template(OLD)},
        });
        server.put("deployments", NAMESPACE, deployment);
        api.roll_out().await;
        let bad = json!({"spec": {"template": template(BAD)}});
        api.send("PATCH", "apis/apps/v1", &format!("deployments/{WORKLOAD}"), Some(&bad)).await;
        api.roll_out().await;
        let controller = tokio::spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
            loop {
                tick.tick().await;
                api.roll_out().await;
            }
        });
        Self { server, controller }
    }

    /// The live Deployment's first container.
    pub async fn container(&self) -> Value {
        let path = format!("deployments/{WORKLOAD}");
        let live = Api::of(&self.server).send("GET", "apis/apps/v1", &path, None).await;
        live["spec"]["template"]["spec"]["containers"][0].clone()
    }
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": WORKLOAD}},
        "spec": {"containers": [{
            "name": "litellm", "image": image, "ports": [{"containerPort": 4000}],
            "env": [{"name": "LITELLM_SALT_KEY", "value": SALT}],
        }]},
    })
}

/// The server's interface, with all rights.
struct Api {
    server: Arc<KubeServer>,
    base: String,
    client: reqwest::Client,
}

impl Api {
    fn of(server: &Arc<KubeServer>) -> Self {
        lastgood::world::tls::install_provider();
        let base = format!("http://{}", server.address);
        Self { server: Arc::clone(server), base, client: reqwest::Client::new() }
    }

    async fn send(&self, method: &str, group: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/{group}/namespaces/{NAMESPACE}/{path}", self.base);
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let mut request = self
            .client
            .request(method.parse().unwrap(), &url)
            .bearer_auth("admin-bearer-token")
            .header("content-type", kind);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {url}: {}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn items(&self, group: &str, path: &str) -> Vec<Value> {
        self.send("GET", group, path, None).await["items"].as_array().unwrap().clone()
    }

    /// One turn of the controller.
    async fn roll_out(&self) {
        let (apps, path) = ("apis/apps/v1", format!("deployments/{WORKLOAD}"));
        let live = self.send("GET", apps, &path, None).await;
        let generation = &live["metadata"]["generation"];
        if live["status"]["observedGeneration"] == *generation {
            return;
        }
        let crashes = live["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with("bad");
        let set = self.replica_set(&live).await;
        // The one before goes on serving beside pods that crash.
        let pods = self.items("api/v1", "pods").await;
        for pod in pods.iter().filter(|pod| !crashes || pod["metadata"]["labels"]["bad"] == "yes") {
            self.send("DELETE", "api/v1", &format!("pods/{}", pod["metadata"]["name"].as_str().unwrap()), None).await;
        }
        let count = if crashes { 1 } else { 2 };
        for number in 1..=count {
            let pod = pod(&set, crashes, number, generation);
            self.server.log(pod["metadata"]["name"].as_str().unwrap(), "litellm", false, |log| {
                log.lines.push((jiff::Timestamp::now(), "INFO: Application startup complete.".to_owned()));
            });
            self.send("POST", "api/v1", "pods", Some(&pod)).await;
        }
        let (replicas, ready) = if crashes { (3, 0) } else { (2, 2) };
        let status = json!({"status": {
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": count, "readyReplicas": 2,
            "availableReplicas": 2, "unavailableReplicas": replicas - 2,
        }});
        let own = json!({"spec": {"replicas": count}, "status": {"replicas": count, "readyReplicas": ready}});
        let name = set["metadata"]["name"].as_str().unwrap();
        self.send("PATCH", apps, &format!("replicasets/{name}/status"), Some(&own)).await;
        self.send("PATCH", apps, &format!("{path}/status"), Some(&status)).await;
    }

    /// The ReplicaSet of the live template, which gets the next number.
    async fn replica_set(&self, live: &Value) -> Value {
        let sets = self.items("apis/apps/v1", "replicasets").await;
        let number = sets.len() + 1;
        let hash = format!("hash{number}");
        let mut template = live["spec"]["template"].clone();
        template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
        for set in &sets {
            let idle = json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "readyReplicas": 0}});
            let path = format!("replicasets/{}", set["metadata"]["name"].as_str().unwrap());
            self.send("PATCH", "apis/apps/v1", &path, Some(&idle)).await;
        }
        let set = json!({
            "metadata": {
                "name": format!("{WORKLOAD}-{hash}"),
                "labels": {"app": WORKLOAD, "pod-template-hash": hash},
                "annotations": {"deployment.kubernetes.io/revision": number.to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKLOAD, "uid": live["metadata"]["uid"], "controller": true}],
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": WORKLOAD, "pod-template-hash": hash}}, "template": template},
        });
        self.send("POST", "apis/apps/v1", "replicasets", Some(&set)).await
    }
}

fn pod(set: &Value, crashes: bool, number: u32, generation: &Value) -> Value {
    let (template, uid) = (&set["spec"]["template"], &set["metadata"]["uid"]);
    let name = match (crashes, generation.as_i64()) {
        (true, _) => format!("{WORKLOAD}-bad-{number}"),
        (false, Some(1)) => format!("{WORKLOAD}-old-{number}"),
        (false, _) => format!("{WORKLOAD}-{generation}-{number}"),
    };
    let mut labels = template["metadata"]["labels"].clone();
    labels["bad"] = json!(if crashes { "yes" } else { "no" });
    let now = jiff::Timestamp::now();
    let state = if crashes {
        json!({"waiting": {"reason": "CrashLoopBackOff"}})
    } else {
        json!({"running": {"startedAt": format!("{now:.0}")}})
    };
    json!({
        "metadata": {
            "name": name, "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set["metadata"]["name"], "uid": uid, "controller": true}],
        },
        "spec": template["spec"],
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": if crashes { "False" } else { "True" }}],
            "containerStatuses": [{
                "name": "litellm", "image": template["spec"]["containers"][0]["image"], "imageID": "",
                "ready": !crashes, "restartCount": if crashes { 4 } else { 0 }, "state": state, "lastState": {},
            }],
        },
    })
}
