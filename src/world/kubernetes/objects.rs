//! Kubernetes objects, turned into the domain's nouns through the gate.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;
use kube::core::{DynamicObject, ObjectMeta, Selector};
use serde_json::Value;

use super::template::{Reader, image, normalized};
use crate::domain::cluster::{ContainerStatus, Phase, Pod, WorkloadRef};
use crate::domain::name::{Name, Uid};
use crate::domain::workload::{MigrationJob, Owner, RolloutNumbers, Template};
use crate::text::{Clean, Gate};

/// The label by which Helm charts tell one installation from another.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// The annotation by which the Deployment controller numbers revisions.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Where people and tools write why a revision came about.
pub(super) const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// A Deployment as it stands.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) uid: Uid,
    pub(super) paused: bool,
    pub(super) owner: Owner,
    pub(super) numbers: RolloutNumbers,
    /// Normalized, as JSON: what patches and comparisons work on.
    pub(super) raw: Value,
    pub(super) template: Template,
    /// The label selector in the form that requests take.
    pub(super) selector: String,
    pub(super) instance: Option<String>,
    /// It has annotations, so that one can be added beside them.
    pub(super) annotated: bool,
    pub(super) conditions: Vec<Clean>,
}

/// A ReplicaSet as it stands.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pub(super) uid: Uid,
    pub(super) name: Name,
    /// UID of the controlling object.
    pub(super) owner: Option<String>,
    pub(super) number: u64,
    pub(super) created: Timestamp,
    pub(super) change_cause: Option<Clean>,
    pub(super) wanted: u32,
    pub(super) ready: u32,
    /// The label value that its pods carry.
    pub(super) hash: Option<String>,
    pub(super) raw: Value,
    pub(super) template: Template,
}

/// What makes an object unusable for us, as a sentence.
pub(super) type Unusable = Clean;

/// Reads a Deployment.
pub(super) fn deployment(reader: &Reader, object: &DynamicObject) -> Result<Deployed, Unusable> {
    let uid = uid(&object.metadata).ok_or(Clean::ours("it has no readable UID"))?;
    let spec = &object.data["spec"];
    let selector: LabelSelector =
        serde_json::from_value(spec["selector"].clone()).map_err(|_| Clean::ours("its selector cannot be read"))?;
    let selector = Selector::try_from(selector).map_err(|_| Clean::ours("its selector cannot be read"))?;
    let raw = normalized(spec["template"].clone());
    Ok(Deployed {
        uid,
        paused: spec["paused"].as_bool().unwrap_or_default(),
        owner: owner(&reader.gate, &object.metadata),
        numbers: numbers(object),
        template: reader.template(&raw),
        raw,
        selector: selector.to_string(),
        instance: object.labels().get(INSTANCE).cloned(),
        annotated: object.metadata.annotations.is_some(),
        conditions: conditions(&reader.gate, &object.data["status"]),
    })
}

/// Reads a ReplicaSet. `None` when it has no readable name or UID.
pub(super) fn replica_set(reader: &Reader, object: &DynamicObject) -> Option<Replicas> {
    let gate = &reader.gate;
    let raw = normalized(object.data["spec"]["template"].clone());
    let status = &object.data["status"];
    Some(Replicas {
        uid: uid(&object.metadata)?,
        name: object.metadata.name.as_deref()?.parse().ok()?,
        owner: controller(&object.metadata).map(|owner| owner.uid.clone()),
        number: object.annotations().get(REVISION).and_then(|number| number.parse().ok()).unwrap_or_default(),
        created: created(&object.metadata),
        change_cause: object.annotations().get(CHANGE_CAUSE).map(|cause| gate.clean(cause)),
        wanted: count(&object.data["spec"]["replicas"]),
        ready: count(&status["readyReplicas"]),
        hash: object.labels().get("pod-template-hash").cloned(),
        template: reader.template(&raw),
        raw,
    })
}

fn numbers(object: &DynamicObject) -> RolloutNumbers {
    let status = &object.data["status"];
    let deadline_exceeded = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded");
    RolloutNumbers {
        generation: object.metadata.generation.unwrap_or_default(),
        observed: status["observedGeneration"].as_i64().unwrap_or_default(),
        wanted: object.data["spec"]["replicas"].as_u64().and_then(|n| u32::try_from(n).ok()),
        updated: count(&status["updatedReplicas"]),
        total: count(&status["replicas"]),
        available: count(&status["availableReplicas"]),
        deadline_exceeded,
    }
}

fn count(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
}

fn conditions(gate: &Gate, status: &Value) -> Vec<Clean> {
    let bad = |condition: &&Value| {
        matches!(
            (condition["type"].as_str(), condition["status"].as_str()),
            (Some("ReplicaFailure"), Some("True")) | (Some("Available" | "Progressing"), Some("False"))
        )
    };
    let text = |value: &Value| gate.clean(value.as_str().unwrap_or_default());
    let all = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .filter(bad)
        .map(|one| say!("{} ({}): {}", text(&one["type"]), text(&one["reason"]), text(&one["message"])))
        .collect()
}

/// Who would undo or break what is patched behind its back. GitOps tools come first, because a
/// Helm release that Flux or Argo CD applies is theirs; then any controller; then Helm itself.
/// Argo CD marks by annotation or label (resource tracking, Argo CD documentation), Flux by
/// label, Helm by annotation.
pub(super) fn owner(gate: &Gate, metadata: &ObjectMeta) -> Owner {
    let empty = BTreeMap::new();
    let labels = metadata.labels.as_ref().unwrap_or(&empty);
    let annotations = metadata.annotations.as_ref().unwrap_or(&empty);
    if let Some(tracking) = annotations.get("argocd.argoproj.io/tracking-id") {
        let application = tracking.split(':').next().unwrap_or(tracking);
        return Owner::ArgoCd { application: gate.clean(application) };
    }
    if let Some(application) = labels.get("argocd.argoproj.io/instance") {
        return Owner::ArgoCd { application: gate.clean(application) };
    }
    let flux = ["helm.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/name"];
    if let Some(name) = flux.iter().find_map(|label| labels.get(*label)) {
        return Owner::Flux { name: gate.clean(name) };
    }
    if let Some(owner) = controller(metadata) {
        return Owner::Controller { what: gate.clean(&format!("{}/{}", owner.kind, owner.name)) };
    }
    let release = annotations.get("meta.helm.sh/release-name");
    if release.is_some() || labels.get("app.kubernetes.io/managed-by").is_some_and(|by| by == "Helm") {
        let release = release.or_else(|| labels.get(INSTANCE));
        let release = release.map_or(Clean::ours("(unknown release)"), |release| gate.clean(release));
        return Owner::Helm { release };
    }
    Owner::Nobody
}

fn controller(metadata: &ObjectMeta) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn uid(metadata: &ObjectMeta) -> Option<Uid> {
    metadata.uid.as_deref()?.parse().ok()
}

fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// A pod of a Deployment's selector. `None` for pods that a Job started, which carry the same
/// labels in LiteLLM's chart, and for pods without a readable name.
pub(super) fn pod(gate: &Gate, workload: &WorkloadRef, pod: &core::Pod) -> Option<Pod> {
    let owner = controller(&pod.metadata);
    if owner.is_some_and(|owner| owner.kind == "Job") {
        return None;
    }
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Unknown,
    };
    Some(Pod {
        uid: uid(&pod.metadata)?,
        name: pod.metadata.name.as_deref()?.parse().ok()?,
        workload: workload.clone(),
        phase,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        created: created(&pod.metadata),
        replica_set: owner.filter(|owner| owner.kind == "ReplicaSet").and_then(|owner| owner.uid.parse().ok()),
        revision: None,
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()).map(|node| gate.clean(node)),
        containers: containers(gate, pod),
        reason: pod_reason(gate, status),
    })
}

pub(super) fn containers(gate: &Gate, pod: &core::Pod) -> Vec<ContainerStatus> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let of = |statuses: Option<&Vec<core::ContainerStatus>>, name: &str| {
        statuses.into_iter().flatten().find(|status| status.name == name).cloned()
    };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let status = of(status.and_then(|status| status.init_container_statuses.as_ref()), &container.name);
        container_status(gate, container, status, true)
    });
    let ordinary = spec.containers.iter().map(|container| {
        let status = of(status.and_then(|status| status.container_statuses.as_ref()), &container.name);
        container_status(gate, container, status, false)
    });
    init.chain(ordinary).flatten().collect()
}

fn container_status(
    gate: &Gate,
    container: &core::Container,
    status: Option<core::ContainerStatus>,
    init: bool,
) -> Option<ContainerStatus> {
    let status = status.unwrap_or_default();
    let state = status.state.unwrap_or_default();
    let exit = state.terminated.as_ref().or(status.last_state.as_ref().and_then(|state| state.terminated.as_ref()));
    Some(ContainerStatus {
        name: container.name.parse().ok()?,
        image: image(container.image.as_deref().unwrap_or_default()),
        digest: digest(gate, &status.image_id),
        ready: status.ready,
        restarts: u32::try_from(status.restart_count).unwrap_or_default(),
        waiting: state.waiting.as_ref().and_then(|waiting| waiting.reason.as_ref()).map(|why| gate.clean(why)),
        last_exit: exit.map(|exit| {
            let reason = gate.clean(exit.reason.as_deref().unwrap_or("ended"));
            say!("{}, exit code {}", reason, exit.exit_code)
        }),
        started: state.running.as_ref().and_then(|run| run.started_at.as_ref()).map(|time| time.0),
        terminated: state.terminated.is_some(),
        init,
    })
}

/// The digest in an `imageID`, which runtimes spell with and without the repository.
pub(super) fn digest(gate: &Gate, image_id: &str) -> Option<Clean> {
    let at = image_id.find("sha256:")?;
    let digest = &image_id[at..];
    let hex = digest.strip_prefix("sha256:")?;
    (!hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| gate.clean(digest))
}

fn pod_reason(gate: &Gate, status: Option<&core::PodStatus>) -> Option<Clean> {
    let status = status?;
    if let Some(reason) = &status.reason {
        return Some(gate.clean(reason));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let reason = gate.clean(unscheduled.reason.as_deref().unwrap_or("not scheduled"));
    Some(match &unscheduled.message {
        Some(message) => say!("{}: {}", reason, gate.clean(message)),
        None => reason,
    })
}

/// A Job that migrates the database of this Deployment's release, else `None`.
///
/// LiteLLM's chart names it `<fullname>-migrations`, with a container `prisma-migrations`, and
/// gives it the release's instance label. A Job that migrates and carries no label at all counts
/// too; one of another release does only when it runs a LiteLLM image.
pub(super) fn migration_job(instance: Option<&str>, job: &Job) -> Option<MigrationJob> {
    let spec = job.spec.as_ref()?;
    let pod = spec.template.spec.as_ref();
    let containers = || pod.into_iter().flat_map(|pod| pod.init_containers.iter().flatten().chain(&pod.containers));
    let says = |container: &core::Container, word: &str| {
        container.command.iter().chain(&container.args).flatten().any(|said| said.contains(word))
    };
    let migrates = job.name_any().ends_with("-migrations")
        || containers().any(|container| {
            container.name == "prisma-migrations"
                || ["prisma_migration", "prisma migrate", "prisma db push"].iter().any(|word| says(container, word))
        });
    let gateway = containers().find(|container| image(container.image.as_deref().unwrap_or_default()).is_litellm());
    let theirs = job.labels().get(INSTANCE).map(String::as_str);
    let same_release = theirs.is_some() && theirs == instance;
    let other_release = theirs.is_some() && instance.is_some() && !same_release;
    let counts = match (same_release, other_release) {
        (true, _) => migrates || gateway.is_some(),
        (_, true) => migrates && gateway.is_some(),
        _ => migrates,
    };
    if !counts {
        return None;
    }
    let main = gateway.or_else(|| containers().next());
    Some(MigrationJob {
        name: job.metadata.name.as_deref()?.parse().ok()?,
        image: main.and_then(|container| container.image.as_deref()).map(image),
        active: is_active(job),
    })
}

/// It has pods running or may start some: neither finished nor suspended.
fn is_active(job: &Job) -> bool {
    let finished = job.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed" | "SuccessCriteriaMet" | "FailureTarget")
            && condition.status == "True"
    });
    let running = job.status.as_ref().and_then(|status| status.active).unwrap_or_default() > 0;
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default();
    running || !(finished || suspended)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(labels: Value, annotations: Value, owners: Value) -> ObjectMeta {
        serde_json::from_value(json!({"labels": labels, "annotations": annotations, "ownerReferences": owners}))
            .unwrap()
    }

    #[test]
    fn the_strongest_owner_is_found() {
        let helm = json!({"meta.helm.sh/release-name": "gateway"});
        let operator =
            json!([{"apiVersion": "v1", "kind": "LiteLLMInstance", "name": "a", "uid": "u", "controller": true}]);
        let rows = [
            (json!({}), json!({}), json!([]), "nobody", ""),
            (json!({}), helm.clone(), json!([]), "helm", "gateway"),
            (json!({"app.kubernetes.io/managed-by": "Helm", INSTANCE: "gw"}), json!({}), json!([]), "helm", "gw"),
            (json!({"helm.toolkit.fluxcd.io/name": "llm"}), helm.clone(), json!([]), "flux", "llm"),
            (json!({"kustomize.toolkit.fluxcd.io/name": "apps"}), json!({}), json!([]), "flux", "apps"),
            (json!({"argocd.argoproj.io/instance": "app"}), helm.clone(), json!([]), "argo-cd", "app"),
            (
                json!({}),
                json!({"argocd.argoproj.io/tracking-id": "llm:apps/Deployment:ns/litellm"}),
                json!([]),
                "argo-cd",
                "llm",
            ),
            (json!({}), helm, operator, "controller", "LiteLLMInstance/a"),
        ];
        for (labels, annotations, owners, by, name) in rows {
            let found = serde_json::to_value(owner(&Gate::default(), &metadata(labels, annotations, owners))).unwrap();
            assert_eq!(found["by"], by);
            assert!(found.to_string().contains(name), "{found}");
        }
    }

    fn job(name: &str, labels: Value, container: &str, image: &str, spec: Value, status: Value) -> Job {
        let mut object = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}},
            "status": status,
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn migration_jobs_are_told_from_other_jobs() {
        const LITELLM: &str = "ghcr.io/berriai/litellm:v1.83.10";
        let ours = json!({INSTANCE: "gw"});
        let other = json!({INSTANCE: "shop"});
        let rows = [
            ("gw-litellm-migrations", ours.clone(), "x", "alpine:3", true),
            ("gw-whatever", ours.clone(), "x", LITELLM, true),
            ("gw-report", ours, "x", "alpine:3", false),
            ("one-off", json!({}), "prisma-migrations", LITELLM, true),
            ("by-hand-migrations", json!({}), "x", "alpine:3", true),
            ("report", json!({}), "x", LITELLM, false),
            ("shop-migrations", other.clone(), "x", "shop:1", false),
            ("shop-litellm-migrations", other, "prisma-migrations", LITELLM, true),
        ];
        for (name, labels, container, image, expected) in rows {
            let job = job(name, labels, container, image, json!({}), json!({}));
            assert_eq!(migration_job(Some("gw"), &job).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn a_job_is_active_until_it_ends_or_is_suspended() {
        let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let rows = [
            (json!({}), json!({}), true),
            (json!({}), json!({"active": 1}), true),
            (json!({}), done, false),
            (json!({"suspend": true}), json!({}), false),
            (json!({"suspend": true}), json!({"active": 1}), true),
            (json!({}), json!({"conditions": [{"type": "Failed", "status": "True"}]}), false),
        ];
        for (spec, status, expected) in rows {
            let job = job("a-migrations", json!({}), "x", "alpine:3", spec.clone(), status.clone());
            assert_eq!(migration_job(None, &job).unwrap().active, expected, "{spec} {status}");
        }
    }

    #[test]
    fn digests_are_read_in_every_spelling() {
        let rows = [
            ("ghcr.io/berriai/litellm@sha256:0aF1", Some("sha256:0aF1")),
            ("docker-pullable://litellm@sha256:12", Some("sha256:12")),
            ("sha256:12", Some("sha256:12")),
            ("", None),
            ("sha256:\u{1b}", None),
        ];
        for (raw, expected) in rows {
            assert_eq!(digest(&Gate::default(), raw).as_ref().map(Clean::as_str), expected, "{raw}");
        }
    }
}
