//! What a real cluster says of the things that a template leans on.

use lastgood::domain::coupled::{ConfigFile, Coupled, Found, Leaning, Pull, ScalerKind};
use lastgood::domain::incident::Goal;
use lastgood::domain::name::Uid;
use lastgood::domain::salt::Verdict;
use lastgood::text::Gate;
use lastgood::world::Cluster as _;
use lastgood::world::kubernetes::Kubernetes;
use serde_json::{Value, json};

use super::cluster_contract::{Stage, connect, reference};

/// The salt keys of this stage: neither may come out anywhere.
const SALTS: [&str; 2] = ["salt-of-the-live-template", "salt-of-the-old-template"];

fn pod(app: &str, hash: &str, key: &str, checksum: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app, "pod-template-hash": hash}, "annotations": {"checksum/config": checksum}},
        "spec": {
            "containers": [{
                "name": "litellm", "image": "ghcr.io/berriai/litellm:main-stable", "imagePullPolicy": "Always",
                "args": ["--config", "/app/config.yaml"],
                "env": [
                    {"name": "LITELLM_SALT_KEY", "valueFrom": {"secretKeyRef": {"name": "coupled-salt", "key": key}}},
                    {"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "coupled-settings", "key": "region"}}},
                ],
                "envFrom": [{"secretRef": {"name": "coupled-gone", "optional": true}}],
                "volumeMounts": [{"name": "config", "mountPath": "/app/config.yaml", "subPath": "config.yaml"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": "coupled-config"}}],
        },
    })
}

async fn deploy(stage: &Stage, app: &str) -> Uid {
    let selector = json!({"matchLabels": {"app": app}});
    let mut live = pod(app, "new", "new", "bbb");
    live["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app},
        "spec": {"replicas": 2, "selector": selector, "template": live},
    });
    let made = stage.create("deployments", &deployment).await;
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": made["metadata"]["uid"], "controller": true}]);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{app}-old"), "labels": {"app": app}, "ownerReferences": owner,
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": app, "pod-template-hash": "old"}}, "template": pod(app, "old", "old", "aaa")},
    });
    stage.create("replicasets", &set).await["metadata"]["uid"].as_str().unwrap().parse().unwrap()
}

fn of<'a>(coupled: &'a Coupled, source: &str) -> &'a Leaning {
    let found = coupled.leanings.iter().find(|leaning| leaning.source.to_string() == source);
    found.unwrap_or_else(|| panic!("{source} is not in {coupled:#?}"))
}

const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000cc";

/// A pod of somebody else's under the same tag, and one under another.
async fn canary(stage: &Stage) {
    for (name, image) in [("coupled-canary", "ghcr.io/berriai/litellm:main-stable"), ("coupled-other", "other:1")] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "gateway", "image": image}]},
        });
        stage.create("pods", &pod).await;
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "gateway", "image": image, "imageID": format!("ghcr.io/berriai/litellm@{DIGEST}"),
            "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}},
        }]});
        stage.pod_status(name, status).await;
    }
}

/// Sources with their last writers, keys that are missing, autoscalers, tags, keys compared, and
/// the configuration file.
pub async fn coupled_items(stage: &Stage) {
    let app = "coupled";
    let config = "model_list: []\ngeneral_settings:\n  database_url: postgresql://u:hunter2-config@db/litellm\n";
    for map in [
        json!({"metadata": {"name": "coupled-config"}, "data": {"config.yaml": config}}),
        json!({"metadata": {"name": "coupled-settings"}, "data": {"zone": "a"}}),
    ] {
        stage.create("configmaps", &map).await;
    }
    let [live, old] = SALTS;
    let salt = json!({"metadata": {"name": "coupled-salt"}, "stringData": {"new": live, "old": old}});
    stage.create("secrets", &salt).await;
    let target = deploy(stage, app).await;
    let scaler = json!({
        "metadata": {"name": "coupled"},
        "spec": {"minReplicas": 3, "maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app}},
    });
    let scalers = "/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers";
    stage.send("POST", scalers, "application/json", &scaler).await;
    let edited = json!({"data": {"config.yaml": format!("{config}  store_model_in_db: true\n")}});
    stage.merge("/api/v1/namespaces/llm/configmaps/coupled-config?fieldManager=web-editor", &edited).await;

    canary(stage).await;
    let gate = Gate::default();
    let kubernetes = connect(stage.kubeconfig.clone(), gate.clone()).await;
    let coupled = kubernetes.coupled(&reference(app), Goal::Template(target.clone())).await.unwrap();
    let map = of(&coupled, "configmap/coupled-config");
    assert!(map.live_too && map.frozen() && !map.optional && map.lacks.is_empty(), "{map:#?}");
    assert!(matches!(&map.found, Found::There { by: Some(by), .. } if by.as_str() == "web-editor"), "{map:#?}");
    let settings = of(&coupled, "configmap/coupled-settings");
    assert_eq!(settings.lacks.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["region"]);
    let secret = of(&coupled, "secret/coupled-salt");
    assert!(matches!(secret.found, Found::There { .. }) && secret.lacks.is_empty(), "{secret:#?}");
    let gone = of(&coupled, "secret/coupled-gone");
    assert!(gone.optional && gone.found == Found::Gone, "{gone:#?}");
    assert_eq!(coupled.checksums.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["checksum/config"]);
    assert_eq!(coupled.pull, Some(Pull::Always));
    let leads = coupled.leads().unwrap_or_else(|| panic!("{:?}", coupled.pulled));
    assert_eq!((leads.pod.as_str(), leads.digest.as_str()), ("coupled-canary", DIGEST));
    let [scaler] = &coupled.scalers.as_ref().unwrap()[..] else { panic!("{:?}", coupled.scalers) };
    assert_eq!((scaler.kind, scaler.min, scaler.max), (ScalerKind::Horizontal, 3, 9));
    assert_eq!(coupled.salt.verdict, Verdict::Different);
    assert_eq!(coupled.salt.live.as_str(), "LITELLM_SALT_KEY from secret/coupled-salt key new");
    let ConfigFile::Mounted(file) = &coupled.config else { panic!("{:?}", coupled.config) };
    assert!(file.sub_path && file.config_map.as_str() == "coupled-config");
    assert_eq!(file.lines.len(), 4);
    assert_eq!(file.lines[3].as_str(), "  store_model_in_db: true");
    let told = format!("{coupled:?}");
    assert!(![live, old, "hunter2-config"].iter().any(|secret| told.contains(secret)), "{told}");
    assert_eq!(gate.scrub(old), "[masked]", "the gate learns a key before anybody holds it");

    let keys = kubernetes.salt_keys(&reference(app), Goal::Template(target.clone())).await.unwrap();
    assert_eq!(keys.target.known().map(|key| key.expose()), Some(old));
    denied(&connect(stage.viewer.clone(), Gate::default()).await, target).await;
}

/// Without permission everything is unknown, and nothing fails.
async fn denied(viewer: &Kubernetes, target: Uid) {
    let coupled = viewer.coupled(&reference("coupled"), Goal::Template(target)).await.unwrap();
    for source in ["configmap/coupled-config", "secret/coupled-salt"] {
        assert!(matches!(of(&coupled, source).found, Found::Unknown(_)), "{coupled:#?}");
    }
    assert!(coupled.scalers.is_err(), "{:?}", coupled.scalers);
    assert!(matches!(coupled.salt.verdict, Verdict::Unknown(_)), "{:?}", coupled.salt);
    assert!(matches!(coupled.config, ConfigFile::Unseen(_)), "{:?}", coupled.config);
}
