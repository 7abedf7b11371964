//! What every cluster must do, whether it is replayed or real: one set of promises for both.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use lastgood::domain::catalog::Catalog;
use lastgood::domain::change::{Change, ChangeKind, Cleared, Preview, clear};
use lastgood::domain::cluster::{Ask, Phase, Pod, PodsItem, WorkloadRef};
use lastgood::domain::forecast::{Facts, Newest};
use lastgood::domain::name::Uid;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::domain::workload::{Owner, RevisionStatus, Workload};
use lastgood::text::Gate;
use lastgood::world::kubernetes::{ConnectOptions, Kubernetes};
use lastgood::world::{Cluster as _, Feed, Workloads as _};
use serde_json::{Value, json};

pub const OLD: &str = "ghcr.io/berriai/litellm:v1.81.0";
pub const NEW: &str = "ghcr.io/berriai/litellm:v1.83.10";

/// A cluster to try the promises on.
pub struct Stage {
    /// Everything may be done with it.
    pub admin: Client,
    /// Kubeconfig of somebody who may do everything.
    pub kubeconfig: PathBuf,
    /// Kubeconfig of somebody who may read and change nothing.
    pub viewer: PathBuf,
}

impl Stage {
    pub async fn connect(&self) -> Kubernetes {
        connect(self.kubeconfig.clone(), Gate::default()).await
    }

    /// One request with all rights.
    pub async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Value {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        let text = self.admin.request_text(request).await.unwrap_or_else(|why| panic!("{method} {path}: {why}"));
        serde_json::from_str(&text).unwrap()
    }

    pub async fn create(&self, resource: &str, object: &Value) -> Value {
        self.send("POST", &of(resource), "application/json", object).await
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Value {
        self.send("PATCH", path, "application/merge-patch+json", patch).await
    }

    pub async fn delete(&self, resource: &str, name: &str) {
        // No garbage collector runs here, so nothing may wait for one.
        let now = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        self.send("DELETE", &format!("{}/{name}", of(resource)), "application/json", &now).await;
    }

    /// A Deployment `name` on [`NEW`] with a ReplicaSet for it and one for [`OLD`]; the UIDs of
    /// the Deployment, the old and the new ReplicaSet.
    pub async fn deploy(&self, name: &str, extra: &Value) -> [Uid; 3] {
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app": name, "app.kubernetes.io/instance": name}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template(name, NEW, None)},
        });
        json_patch::merge(&mut deployment, extra);
        let made = self.create("deployments", &deployment).await;
        let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
        let old = self.replica_set(name, &uid, "old", OLD, 1).await;
        let new = self.replica_set(name, &uid, "new", NEW, 2).await;
        [uid, old, new].map(|uid| uid.parse().unwrap())
    }

    async fn replica_set(&self, name: &str, owner: &str, hash: &str, image: &str, number: u32) -> String {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{name}-{hash}"),
                "labels": {"app": name, "pod-template-hash": hash},
                "annotations": {"deployment.kubernetes.io/revision": number.to_string(), "kubernetes.io/change-cause": format!("to {image}")},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": owner, "controller": true}],
            },
            "spec": {
                "replicas": if hash == "new" { 2 } else { 0 },
                "selector": {"matchLabels": {"app": name, "pod-template-hash": hash}},
                "template": template(name, image, Some(hash)),
            },
        });
        self.create("replicasets", &set).await["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    pub async fn pod(&self, name: &str, app: &str, owner: Option<(&str, &str, &Uid)>) -> Value {
        let owners: Vec<Value> = owner
            .into_iter()
            .map(|(version, kind, uid)| json!({"apiVersion": version, "kind": kind, "name": "owner", "uid": uid.as_str(), "controller": true}))
            .collect();
        let mut labels = json!({"app": app});
        if name.contains("-new-") {
            labels["pod-template-hash"] = json!("new");
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "litellm", "image": NEW, "ports": [{"name": "http", "containerPort": 4000}]}]},
        });
        self.create("pods", &pod).await
    }

    pub async fn pod_status(&self, name: &str, status: Value) {
        self.merge(&format!("{}/{name}/status", of("pods")), &json!({"status": status})).await;
    }
}

pub async fn connect(kubeconfig: PathBuf, gate: Gate) -> Kubernetes {
    let options = ConnectOptions { kubeconfig: Some(kubeconfig), ..ConnectOptions::default() };
    Kubernetes::connect(options, gate).await.unwrap()
}

pub fn of(resource: &str) -> String {
    let group = match resource {
        "deployments" | "replicasets" => "/apis/apps/v1",
        "jobs" => "/apis/batch/v1",
        _ => "/api/v1",
    };
    format!("{group}/namespaces/llm/{resource}")
}

pub fn reference(name: &str) -> WorkloadRef {
    WorkloadRef { namespace: "llm".parse().unwrap(), name: name.parse().unwrap() }
}

fn template(app: &str, image: &str, hash: Option<&str>) -> Value {
    let mut labels = json!({"app": app});
    if let Some(hash) = hash {
        labels["pod-template-hash"] = json!(hash);
    }
    json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{
            "name": "litellm",
            "image": image,
            "args": ["--config", "/app/config.yaml"],
            "env": [
                {"name": "LITELLM_SALT_KEY", "value": "salt-that-nobody-may-see"},
                {"name": "STORE_MODEL_IN_DB", "value": "True"},
            ],
        }]},
    })
}

/// The next item of a feed that `holds`, within ten seconds; the others are skipped.
pub async fn next_that<T: std::fmt::Debug>(feed: &mut Feed<T>, what: &str, holds: impl Fn(&T) -> bool) -> T {
    let mut last = String::from("nothing");
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let item = feed.next().await.expect("a feed does not end");
            if holds(&item) {
                return item;
            }
            last = format!("{item:?}");
        }
    });
    match found.await {
        Ok(item) => item,
        Err(_) => panic!("waited for {what}; last came {last}"),
    }
}

async fn workload_now(kubernetes: &Kubernetes, name: &str) -> Workload {
    let mut feed = kubernetes.workload(&reference(name));
    *next_that(&mut feed, "the workload", Result::is_ok).await.unwrap()
}

fn revert(workload: &Workload, to: &Uid, protect: bool) -> Change {
    let revision = workload.revision(to).map_or(0, |revision| revision.number);
    Change::on(workload, ChangeKind::Revert { to: to.clone(), revision }, protect)
}

fn cleared(preview: &Preview) -> Cleared {
    clear(preview, &Facts::without_database(Newest::Known(NEW.parse().unwrap()), &Catalog::default()), None)
        .unwrap_or_else(|why| panic!("{why:?}"))
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, Trouble>) -> TroubleKind {
    outcome.unwrap_err().kind
}

/// Who and where; what is allowed and what is not.
pub async fn identity_and_permissions(stage: &Stage) {
    let kubernetes = stage.connect().await;
    let identity = kubernetes.identity().await.unwrap();
    assert_eq!(identity.user.as_str(), "admin");
    assert!(identity.version.as_str().starts_with("v1."), "{}", identity.version);
    assert!(identity.cluster_uid.is_some());
    assert_eq!(identity.context.as_ref().map(ToString::to_string).as_deref(), Some("replay"));
    assert_eq!(kubernetes.namespace().as_str(), "llm");
    let all = kubernetes.permissions(Ask::ALL.to_vec()).await.unwrap();
    assert_eq!(all.iter().map(|permission| permission.ask).collect::<Vec<_>>(), Ask::ALL);
    assert!(all.iter().all(|permission| permission.allowed == Some(true)), "{all:?}");
    let viewer = connect(stage.viewer.clone(), Gate::default()).await;
    let few = viewer.permissions(vec![Ask::PatchDeployment, Ask::ListPods]).await.unwrap();
    assert_eq!(few.iter().map(|permission| permission.allowed).collect::<Vec<_>>(), [Some(false), Some(true)]);
}

/// The Deployment, its revisions and its Jobs, and every change of them.
pub async fn workload_feed(stage: &Stage) {
    let [uid, old, new] = stage.deploy("feed", &json!({})).await;
    let kubernetes = stage.connect().await;
    let found = kubernetes.discover().await.unwrap();
    assert!(
        found.iter().any(|one| one.reference == reference("feed") && one.because.as_str().contains(NEW)),
        "{found:?}"
    );
    let mut feed = kubernetes.workload(&reference("feed"));
    let first = *next_that(&mut feed, "the first look", Result::is_ok).await.unwrap();
    assert_eq!(first.uid, uid);
    assert_eq!(first.owner, Owner::Nobody);
    assert_eq!(first.jobs, Some(vec![]));
    assert_eq!(first.revisions.iter().map(|revision| &revision.uid).collect::<Vec<_>>(), [&new, &old]);
    assert_eq!(first.revisions[1].change_cause.as_ref().map(ToString::to_string), Some(format!("to {OLD}")));
    assert_eq!(first.revisions[1].status, RevisionStatus::Superseded);
    assert!(matches!(first.revisions[0].status, RevisionStatus::Rolling(_)), "{:?}", first.revisions[0].status);
    assert!(!serde_json::to_string(&first).unwrap().contains("nobody-may-see"));
    let diff = first.template.diff(&first.revisions[1].template);
    assert_eq!(
        diff.iter().map(|change| change.path.to_string()).collect::<Vec<_>>(),
        ["spec.containers[litellm].image"]
    );

    let status = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2});
    stage.merge(&format!("{}/feed/status", of("deployments")), &json!({"status": status})).await;
    next_that(&mut feed, "the rollout to be done", |item| {
        item.as_ref().is_ok_and(|workload| workload.current().is_some_and(|now| now.status == RevisionStatus::Live))
    })
    .await
    .unwrap();

    stage.create("jobs", &job("feed-migrations", "feed")).await;
    stage.create("jobs", &job("feed-report", "elsewhere")).await;
    let active = next_that(&mut feed, "the migration Job", |item| {
        item.as_ref().is_ok_and(|workload| workload.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty()))
    })
    .await
    .unwrap();
    let names: Vec<_> = active.jobs.iter().flatten().map(|job| (job.name.to_string(), job.active)).collect();
    assert_eq!(names, [("feed-migrations".to_owned(), true)]);
    stage.delete("jobs", "feed-migrations").await;
    next_that(&mut feed, "the Job to go", |item| item.as_ref().is_ok_and(|w| w.jobs == Some(vec![]))).await.unwrap();

    let pod = stage.pod("feed-new-1", "feed", Some(("apps/v1", "ReplicaSet", &new))).await;
    assert!(pod["metadata"]["uid"].is_string());
    let digest = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";
    stage.pod_status("feed-new-1", running(digest)).await;
    stage
        .merge(
            &format!("{}/feed-new/status", of("replicasets")),
            &json!({"status": {"replicas": 2, "readyReplicas": 1}}),
        )
        .await;
    next_that(&mut feed, "the digest", |item| {
        let shown = |w: &Workload| w.current().and_then(|now| now.digest.clone()).map(|digest| digest.to_string());
        item.as_ref().is_ok_and(|workload| shown(workload).as_deref() == Some(digest))
    })
    .await
    .unwrap();

    let gone = kubernetes.workload(&reference("nowhere")).next().await.unwrap();
    assert_eq!(gone.unwrap_err().kind, TroubleKind::NotFound);
}

fn job(name: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": instance}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "prisma-migrations", "image": if instance == "feed" { NEW } else { "report:1" }}]}}},
    })
}

pub fn running(digest: &str) -> Value {
    json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "litellm", "image": NEW, "imageID": format!("ghcr.io/berriai/litellm@{digest}"),
            "ready": true, "restartCount": 3,
            "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }],
    })
}

/// The pods of one Deployment, and no others, by UID.
pub async fn pods_feed(stage: &Stage) {
    let [_, old, new] = stage.deploy("pods", &json!({})).await;
    let job: Uid = "0000-a-job".parse().unwrap();
    stage.pod("pods-new-1", "pods", Some(("apps/v1", "ReplicaSet", &new))).await;
    stage.pod("pods-old-1", "pods", Some(("apps/v1", "ReplicaSet", &old))).await;
    stage.pod("pods-migrations-1", "pods", Some(("batch/v1", "Job", &job))).await;
    stage.pod("stranger", "other", None).await;
    let kubernetes = stage.connect().await;
    let mut feed = kubernetes.pods(&reference("pods"));
    let mut known: Vec<std::sync::Arc<Pod>> = Vec::new();
    while known.len() != 2 || known.iter().any(|pod| pod.revision.is_none()) {
        match next_that(&mut feed, "two pods with their revisions", |_| true).await.unwrap() {
            PodsItem::Listing(_) => {}
            PodsItem::Listed(pods) => known = pods,
            PodsItem::Changed(pod) => {
                known.retain(|before| before.uid != pod.uid);
                known.push(pod);
            }
            PodsItem::Gone(uid) => known.retain(|before| before.uid != uid),
        }
    }
    known.sort_by_key(|pod| pod.revision);
    let shown: Vec<_> = known.iter().map(|pod| (pod.name.to_string(), pod.revision)).collect();
    assert_eq!(shown, [("pods-old-1".to_owned(), Some(1)), ("pods-new-1".to_owned(), Some(2))]);

    let digest = "sha256:00000000000000000000000000000000000000000000000000000000000000bb";
    stage.pod_status("pods-new-1", running(digest)).await;
    let item = next_that(
        &mut feed,
        "the pod to run",
        |item| matches!(item, Ok(PodsItem::Changed(pod)) if pod.phase == Phase::Running),
    )
    .await;
    let Ok(PodsItem::Changed(pod)) = item else { unreachable!() };
    let container = &pod.containers[0];
    assert_eq!((pod.ready(), pod.restarts(), pod.revision), (true, 3, Some(2)));
    assert_eq!(container.digest.as_ref().map(ToString::to_string).as_deref(), Some(digest));
    assert_eq!(container.last_exit.as_ref().map(ToString::to_string).as_deref(), Some("OOMKilled, exit code 137"));
    stage.pod("pods-new-2", "pods", Some(("apps/v1", "ReplicaSet", &new))).await;
    next_that(&mut feed, "a new pod", |item| {
        matches!(item, Ok(PodsItem::Changed(pod)) if pod.name.as_str() == "pods-new-2" && pod.revision == Some(2))
    })
    .await
    .unwrap();
    stage.delete("pods", "pods-new-1").await;
    next_that(&mut feed, "the pod to go", |item| matches!(item, Ok(PodsItem::Gone(uid)) if *uid == pod.uid))
        .await
        .unwrap();
}

/// A revert shows what it would do, does exactly that, and nothing when anything is different.
pub async fn revert_contract(stage: &Stage) {
    // kubectl's undo replaces all annotations of the Deployment by those of the old ReplicaSet.
    let noted = json!({"metadata": {"annotations": {"team.example/locked-by": "oncall"}}});
    let [_, old, new] = stage.deploy("back", &noted).await;
    let kubernetes = stage.connect().await;
    let before = workload_now(&kubernetes, "back").await;

    let plain = kubernetes.preview(revert(&before, &old, false)).await.unwrap();
    assert_eq!(plain.diff.len(), 1, "{:?}", plain.diff);
    assert!(
        clear(&plain, &Facts::without_database(Newest::Known(NEW.parse().unwrap()), &Catalog::default()), None)
            .is_err(),
        "an older image needs protection"
    );
    let preview = kubernetes.preview(revert(&before, &old, true)).await.unwrap();
    let paths: Vec<_> = preview.diff.iter().map(|change| change.path.to_string()).collect();
    assert!(paths.contains(&"spec.containers[litellm].image".to_owned()), "{paths:?}");
    assert!(paths.contains(&"spec.containers[litellm].env[DISABLE_SCHEMA_UPDATE].value".to_owned()), "{paths:?}");
    assert_eq!(preview.jobs, Some(vec![]));
    assert_eq!(workload_now(&kubernetes, "back").await, before, "a preview changes nothing");

    let cleared = cleared(&preview);
    let applied = kubernetes.apply(cleared.clone()).await.unwrap();
    assert_eq!(applied.generation, before.numbers.generation + 1, "{applied:?}");
    let after = workload_now(&kubernetes, "back").await;
    assert_eq!(after.template.main().unwrap().image.as_str(), OLD);
    assert_eq!(&after.template, cleared.template());
    assert_eq!(after.numbers.generation, before.numbers.generation + 1);
    let live = stage
        .admin
        .request_text(http::Request::get(format!("{}/back", of("deployments"))).body(vec![]).unwrap())
        .await
        .unwrap();
    let live: Value = serde_json::from_str(&live).unwrap();
    let cause = live["metadata"]["annotations"]["kubernetes.io/change-cause"].as_str().unwrap_or_default();
    assert!(cause.starts_with("lastgood: revert deployment/back to revision 1"), "{cause}");
    assert_eq!(live["metadata"]["annotations"]["team.example/locked-by"], "oncall", "what others noted stays");
    let salt = &live["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(salt["value"], "salt-that-nobody-may-see", "hidden values are sent as they are");

    assert_eq!(kind(kubernetes.apply(cleared).await), TroubleKind::Changed, "twice is once too often");
    assert_eq!(kind(kubernetes.preview(revert(&before, &new, false)).await), TroubleKind::Changed, "a stale plan");
    let nothing = Change::on(
        &after,
        ChangeKind::SetImage { container: "litellm".parse().unwrap(), image: OLD.parse().unwrap() },
        true,
    );
    assert_eq!(kind(kubernetes.preview(nothing).await), TroubleKind::Refused, "nothing to do");
    let vanished: Uid = "0000-gone".parse().unwrap();
    assert_eq!(kind(kubernetes.preview(revert(&after, &vanished, true)).await), TroubleKind::NotFound);
    let viewer = connect(stage.viewer.clone(), Gate::default()).await;
    assert_eq!(kind(viewer.preview(revert(&after, &new, true)).await), TroubleKind::Forbidden);
}

/// The other changes, and the Deployments that are left alone.
pub async fn other_changes(stage: &Stage) {
    stage.deploy("other", &json!({})).await;
    let kubernetes = stage.connect().await;
    let at = "2026-11-20T12:00:00Z".parse().unwrap();
    let name = "LITELLM_LOG".parse().unwrap();
    let value = Some(lastgood::text::Secret::new("DEBUG"));
    let container: lastgood::domain::name::Name = "litellm".parse().unwrap();
    let kinds = [
        (ChangeKind::Restart { at }, "metadata.annotations.kubectl.kubernetes.io/restartedAt", "2026-11-20T12:00:00Z"),
        (
            ChangeKind::SetVariable { container, name, value },
            "spec.containers[litellm].env[LITELLM_LOG].value",
            "DEBUG",
        ),
    ];
    for (kind, path, value) in kinds {
        let now = workload_now(&kubernetes, "other").await;
        let preview = kubernetes.preview(Change::on(&now, kind, false)).await.unwrap();
        let change = preview
            .diff
            .iter()
            .find(|change| change.path.as_str() == path)
            .unwrap_or_else(|| panic!("{:?}", preview.diff));
        assert_eq!(change.after.as_ref().map(ToString::to_string).as_deref(), Some(value));
        kubernetes.apply(cleared(&preview)).await.unwrap();
    }
    let helm = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "gw"}}});
    for (name, extra) in [("owned", helm), ("paused", json!({"spec": {"paused": true}}))] {
        let [_, old, _] = stage.deploy(name, &extra).await;
        let now = workload_now(&kubernetes, name).await;
        assert_eq!(kind(kubernetes.preview(revert(&now, &old, true)).await), TroubleKind::Refused, "{name}");
    }
}

/// A value of a Secret is read, and masked everywhere from then on.
pub async fn secrets(stage: &Stage) {
    stage.create("secrets", &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"master": "c2VjcmV0LW9mLXRoZS1jbHVzdGVyCg=="}})).await;
    let gate = Gate::default();
    let kubernetes = connect(stage.kubeconfig.clone(), gate.clone()).await;
    let name = "keys".parse().unwrap();
    assert_eq!(kubernetes.secret(&name, "master").await.unwrap().expose(), "secret-of-the-cluster");
    assert_eq!(gate.scrub("it is secret-of-the-cluster"), "it is [masked]");
    assert_eq!(gate.scrub("sent admin-bearer-token"), "sent [masked]", "the kubeconfig's token is known too");
    assert_eq!(kind(kubernetes.secret(&name, "other").await), TroubleKind::NotFound);
    assert_eq!(kind(kubernetes.secret(&"none".parse().unwrap(), "x").await), TroubleKind::NotFound);
}
