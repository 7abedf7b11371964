//! What a template leans on, read from the cluster: ConfigMaps, Secrets by their metadata,
//! autoscalers, and the configuration file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::core::ObjectMeta;
use serde_json::Value;

use super::objects::digest;
use super::references::{Restored, Taken, config_path, file, references};
use super::{Link, objects, salt};
use crate::domain::cluster::{Fingerprint, WorkloadRef};
use crate::domain::coupled::{
    ConfigFile, Coupled, Found, Leaning, MountedConfig, Pull, Pulled, Scaler, ScalerKind, Source, SourceKind,
};
use crate::domain::incident::Goal;
use crate::domain::name::{Name, Uid};
use crate::domain::salt::Keys;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// The raw templates of the Deployment and of one of its revisions, with the objects that going
/// back to it writes beside the template.
struct Templates {
    live: Value,
    target: Value,
    restored: Restored,
}

async fn templates(link: &Link, workload: &WorkloadRef, target: &Goal) -> Result<Templates, Trouble> {
    let deployed = link.deployment(workload).await?;
    let (target, restored) = match target {
        Goal::Template(uid) => (replica_set(link, workload, &deployed, uid).await?, Restored::default()),
        Goal::Release(release, revision) => link.manifest(workload, release, *revision).await?,
    };
    Ok(Templates { live: deployed.raw, target, restored })
}

async fn replica_set(
    link: &Link,
    workload: &WorkloadRef,
    deployed: &objects::Deployed,
    uid: &Uid,
) -> Result<Value, Trouble> {
    let sets = link.replica_sets(workload, deployed).await?;
    let set = sets.into_iter().find(|set| &set.uid == uid).ok_or_else(|| {
        Trouble::new(TroubleKind::NotFound, say!("the target's ReplicaSet of {} is gone", workload))
            .remedy(Clean::ours("choose another revision; revisionHistoryLimit decides how many are kept"))
    })?;
    Ok(set.raw)
}

/// Everything coupled to a Deployment and a target.
pub(super) async fn read(link: &Link, workload: &WorkloadRef, target: Goal) -> Result<Coupled, Trouble> {
    let templates = templates(link, workload, &target).await?;
    let namespace = &workload.namespace;
    let wanted = references(link.gate(), &templates.target);
    let live = references(link.gate(), &templates.live);
    let leanings = wanted.into_iter().map(|(source, taken)| {
        let live_too = live.contains_key(&source);
        let restored = templates.restored.get(&source);
        leaning(link, namespace, (source, taken), live_too, restored)
    });
    let (leanings, scalers, keys, config, pulled, (settings, disable)) = tokio::join!(
        futures::future::join_all(leanings),
        scalers(link, workload),
        salt::keys(link, namespace, &templates.live, &templates.target, &templates.restored),
        config(link, namespace, &templates.target, &templates.restored),
        pulled(link, namespace, &templates.target),
        salt::settings(link, namespace, &templates.target, &templates.restored),
    );
    Ok(Coupled {
        target,
        leanings,
        checksums: checksums(link.gate(), &templates),
        scalers: scalers.map_err(|why| why.what),
        pull: salt::gateway(&templates.target).and_then(pull),
        pulled: pulled.map_err(|why| why.what),
        salt: keys.compare(|key| Fingerprint::new(&link.reader.key, key.expose().as_bytes())),
        config,
        settings,
        disable,
    })
}

/// The salt keys of the live template and of a revision's.
pub(super) async fn keys(link: &Link, workload: &WorkloadRef, target: &Goal) -> Result<Keys, Trouble> {
    let Templates { live, target, restored } = templates(link, workload, target).await?;
    Ok(salt::keys(link, &workload.namespace, &live, &target, &restored).await)
}

fn pull(container: &Value) -> Option<Pull> {
    match container["imagePullPolicy"].as_str()? {
        "Always" => Some(Pull::Always),
        "IfNotPresent" => Some(Pull::IfNotPresent),
        "Never" => Some(Pull::Never),
        _ => None,
    }
}

/// The `checksum/…` annotations that differ, by name.
fn checksums(gate: &Gate, templates: &Templates) -> Vec<Clean> {
    let of = |template: &Value| -> BTreeMap<String, Value> {
        let annotations = template["metadata"]["annotations"].as_object().into_iter().flatten();
        let checksums = annotations.filter(|(name, _)| name.starts_with("checksum/"));
        checksums.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (live, target) = (of(&templates.live), of(&templates.target));
    target.iter().filter(|(name, value)| live.get(*name) != Some(value)).map(|(name, _)| gate.clean(name)).collect()
}

async fn leaning(
    link: &Link,
    namespace: &Name,
    (source, taken): (Source, Taken),
    live_too: bool,
    restored: Option<&BTreeMap<String, String>>,
) -> Leaning {
    let seen = match source.kind {
        SourceKind::ConfigMap => config_map(link, namespace, &source).await,
        SourceKind::Secret => secret(link, namespace, &source).await,
    };
    let (found, keys) = match seen {
        Ok(Seen { metadata, keys }) => (there(link.gate(), &metadata), keys),
        Err(why) if why.kind == TroubleKind::NotFound => (Found::Gone, None),
        Err(why) => (Found::Unknown(why.what), None),
    };
    // What the rollback writes is there beside what is there now.
    let written = |key: &String| restored.is_some_and(|data| data.contains_key(key));
    let missing = |keys: Vec<String>| {
        let missing = taken.keys.iter().filter(|key| !keys.contains(key) && !written(key));
        missing.map(|key| link.gate().clean(key)).collect()
    };
    let lacks = keys.map(missing).unwrap_or_default();
    let optional = taken.optional && !taken.needed;
    Leaning { source, uses: taken.uses, live_too, optional, restored: restored.is_some(), found, lacks }
}

/// What was seen of a source: its metadata, and its keys where they are known.
struct Seen {
    metadata: ObjectMeta,
    keys: Option<Vec<String>>,
}

async fn config_map(link: &Link, namespace: &Name, source: &Source) -> Result<Seen, Trouble> {
    let api: Api<core::ConfigMap> = link.api(namespace);
    let map = link.ask(&say!("read {}", source), api.get(source.name.as_str())).await?;
    let texts = map.data.into_iter().flatten().map(|(key, _)| key);
    let keys = texts.chain(map.binary_data.into_iter().flatten().map(|(key, _)| key)).collect();
    Ok(Seen { metadata: map.metadata, keys: Some(keys) })
}

/// A Secret by its metadata alone: its keys are in its managed fields, its values stay where they are.
async fn secret(link: &Link, namespace: &Name, source: &Source) -> Result<Seen, Trouble> {
    let api: Api<core::Secret> = link.api(namespace);
    let object = link.ask(&say!("read the metadata of {}", source), api.get_metadata(source.name.as_str())).await?;
    let mut keys = Vec::new();
    for (_, fields) in data_fields(&object.metadata) {
        let named = fields.as_object().into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"));
        keys.extend(named.map(str::to_owned));
    }
    // Without a record of fields nobody can say what is missing.
    let keys = Some(keys).filter(|keys| !keys.is_empty());
    Ok(Seen { metadata: object.metadata, keys })
}

/// Each writer of the object's data: the entry, and the fields below `data`.
fn data_fields(
    metadata: &ObjectMeta,
) -> impl Iterator<Item = (&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry, &Value)> {
    metadata.managed_fields.iter().flatten().flat_map(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let data = ["f:data", "f:binaryData"].into_iter().filter_map(move |key| fields?.get(key));
        data.map(move |data| (entry, data))
    })
}

fn there(gate: &Gate, metadata: &ObjectMeta) -> Found {
    let created = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let writes =
        data_fields(metadata).filter_map(|(entry, _)| Some((entry.time.as_ref()?.0, entry.manager.as_deref())));
    let (written, by) = writes.max().filter(|(at, _)| *at >= created).unwrap_or((created, None));
    Found::There { written, by: by.map(|by| gate.clean(by)) }
}

/// Pods of the namespace, whoever owns them, that run the target's image reference. Only pods know
/// digests; a reference by digest leads nowhere else.
async fn pulled(link: &Link, namespace: &Name, target: &Value) -> Result<Vec<Pulled>, Trouble> {
    let image = salt::gateway(target).and_then(|container| container["image"].as_str());
    let Some(image) = image.filter(|image| !image.contains('@')) else { return Ok(Vec::new()) };
    let api: Api<core::Pod> = link.api(namespace);
    let of = |pod: core::Pod| {
        let (spec, status) = (pod.spec?, pod.status?);
        let container = spec.containers.iter().find(|container| container.image.as_deref() == Some(image))?;
        let status = status.container_statuses.iter().flatten().find(|status| status.name == container.name)?;
        Some(Pulled {
            pod: pod.metadata.name.as_deref()?.parse().ok()?,
            digest: digest(link.gate(), &status.image_id)?,
            created: pod.metadata.creation_timestamp?.0,
        })
    };
    link.list_kept(&say!("list the pods of namespace {}", namespace), &api, None, of).await
}

/// Autoscalers whose target is this Deployment.
async fn scalers(link: &Link, workload: &WorkloadRef) -> Result<Vec<Scaler>, Trouble> {
    let (horizontal, keda) = tokio::join!(horizontal(link, workload), keda(link, workload));
    Ok([horizontal?, keda?].concat())
}

async fn horizontal(link: &Link, workload: &WorkloadRef) -> Result<Vec<Scaler>, Trouble> {
    let api: Api<HorizontalPodAutoscaler> = link.api(&workload.namespace);
    let attempt = say!("list the HorizontalPodAutoscalers of namespace {}", workload.namespace);
    let all = link.list(&attempt, &api, None).await?;
    let ours = all.into_iter().filter_map(|scaler| {
        // KEDA's own is told by its ScaledObject.
        let kedas = scaler.owner_references().iter().any(|owner| owner.kind == "ScaledObject");
        let spec = &scaler.spec;
        let target = &spec.scale_target_ref;
        let ours = target.kind == "Deployment" && target.name == workload.name.as_str();
        (ours && !kedas).then_some(())?;
        Some(Scaler {
            kind: ScalerKind::Horizontal,
            name: scaler.metadata.name.as_deref()?.parse().ok()?,
            min: spec.min_replicas.and_then(|min| u32::try_from(min).ok()).unwrap_or(1),
            max: u32::try_from(spec.max_replicas).ok()?,
            paused: false,
        })
    });
    Ok(ours.collect())
}

/// ScaledObjects, where the cluster knows them. Whether it does is asked first, because a role
/// that does not name them refuses in the same words whether they exist or not.
async fn keda(link: &Link, workload: &WorkloadRef) -> Result<Vec<Scaler>, Trouble> {
    let group = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
    let attempt = Clean::ours("ask for KEDA's API");
    match link.ask(&attempt, link.requests.list_api_group_resources("keda.sh/v1alpha1")).await {
        Ok(_) => {}
        Err(why) if why.kind == TroubleKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    }
    let resource = ApiResource::from_gvk(&group);
    let api: Api<DynamicObject> = Api::namespaced_with(link.requests.clone(), workload.namespace.as_str(), &resource);
    let attempt = say!("list the ScaledObjects of namespace {}", workload.namespace);
    let all = link.list(&attempt, &api, None).await?;
    let ours = all.into_iter().filter_map(|scaler| {
        let spec = &scaler.data["spec"];
        let target = &spec["scaleTargetRef"];
        let kind = target["kind"].as_str().unwrap_or("Deployment");
        (kind == "Deployment" && target["name"] == workload.name.as_str()).then_some(())?;
        let count = |key: &str, default| spec[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
        let paused = scaler.annotations().iter().any(|(name, value)| {
            name == "autoscaling.keda.sh/paused-replicas" || (name == "autoscaling.keda.sh/paused" && value == "true")
        });
        // KEDA's defaults: 0 to 100 (KEDA documentation, "ScaledObject specification").
        let (min, max) = (count("minReplicaCount", 0), count("maxReplicaCount", 100));
        let name = scaler.metadata.name.as_deref()?.parse().ok()?;
        Some(Scaler { kind: ScalerKind::Keda, name, min, max, paused })
    });
    Ok(ours.collect())
}

/// The configuration file of the target's gateway container.
async fn config(link: &Link, namespace: &Name, target: &Value, restored: &Restored) -> ConfigFile {
    let unseen = |why: &'static str| ConfigFile::Unseen(Clean::ours(why));
    let Some(container) = salt::gateway(target) else { return unseen("the template has no container") };
    let Some(path) = config_path(container) else { return unseen("the template names no configuration file") };
    let shown = link.gate().clean(path);
    let Some((source, key, sub_path)) = file(target, container, path) else {
        return ConfigFile::Unseen(say!("{} comes from no ConfigMap: it is in the image or in another volume", shown));
    };
    if source.kind == SourceKind::Secret {
        return ConfigFile::Unseen(say!("{} lies in {}, which is not read", shown, source));
    }
    let clean_key = link.gate().clean(key);
    let texts = match restored.get(&source).filter(|data| data.contains_key(key)) {
        Some(written) => Ok(written.clone()),
        None => {
            let api: Api<core::ConfigMap> = link.api(namespace);
            let map = link.ask(&say!("read {}", source), api.get(source.name.as_str())).await;
            map.map(|map| map.data.unwrap_or_default())
        }
    };
    match texts {
        Err(why) => ConfigFile::Unseen(why.what),
        Ok(mut data) => match data.remove(key) {
            None => ConfigFile::Unseen(say!("{} has no key {}", source, clean_key)),
            Some(text) => {
                let mut gate = link.gate().lines();
                let lines = text.lines().map(|line| gate.clean(line)).collect();
                ConfigFile::Mounted(MountedConfig {
                    config_map: source.name,
                    key: clean_key,
                    path: shown,
                    sub_path,
                    lines,
                })
            }
        },
    }
}
