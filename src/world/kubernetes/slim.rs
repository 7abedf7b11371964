//! A pod without what nobody here reads. Managed fields, volumes, probes and variables are most of a
//! pod, and are not even parsed: ten thousand pods come through here.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// The parts of a pod that [`super::objects::pod`] reads.
#[derive(Clone, Debug)]
pub(super) struct Slim(pub(super) core::Pod);

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<core::PodStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    owner_references: Option<Vec<OwnerReference>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    image: Option<String>,
}

impl From<Container> for core::Container {
    fn from(Container { name, image }: Container) -> Self {
        Self { name, image, ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Slim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, spec, status } = Raw::deserialize(deserializer)?;
        let all = |containers: Vec<Container>| containers.into_iter().map(core::Container::from).collect();
        Ok(Self(core::Pod {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                creation_timestamp: metadata.creation_timestamp,
                deletion_timestamp: metadata.deletion_timestamp,
                owner_references: metadata.owner_references,
                ..ObjectMeta::default()
            },
            spec: spec.map(|spec| core::PodSpec {
                node_name: spec.node_name,
                containers: all(spec.containers),
                init_containers: spec.init_containers.map(all),
                ..core::PodSpec::default()
            }),
            status,
        }))
    }
}

impl Resource for Slim {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        core::Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        core::Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        core::Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        core::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::cluster::WorkloadRef;
    use crate::text::Gate;
    use crate::world::kubernetes::objects;

    #[test]
    fn a_slim_pod_tells_what_a_whole_one_tells() {
        let state = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let pod = json!({
            "metadata": {
                "name": "litellm-1", "uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-11-20T10:00:00Z",
                "deletionTimestamp": "2026-11-20T11:00:00Z", "labels": {"app": "litellm"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": "s-1", "controller": true}],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            },
            "spec": {
                "nodeName": "node-1", "volumes": [{"name": "v"}],
                "initContainers": [{"name": "migrate", "image": "ghcr.io/berriai/litellm:v1.81.0"}],
                "containers": [{"name": "litellm", "image": "ghcr.io/berriai/litellm:v1.81.0", "env": [{"name": "A", "value": "1"}]}],
            },
            "status": {
                "phase": "Running", "reason": "Evicted",
                "containerStatuses": [{"name": "litellm", "image": "", "imageID": "x@sha256:0aF1", "ready": false, "restartCount": 3, "state": state, "lastState": ended}],
            },
        });
        let workload = WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() };
        let told = |pod: &core::Pod| objects::pod(&Gate::default(), &workload, pod).unwrap();
        let whole: core::Pod = serde_json::from_value(pod.clone()).unwrap();
        let Slim(slim) = serde_json::from_value(pod).unwrap();
        assert_eq!(told(&slim), told(&whole));
        assert!(slim.metadata.managed_fields.is_none());
    }
}
