//! The records of Helm releases in the cluster: their labels first, and one in full when asked.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, ManagedFieldsEntry};
use kube::Resource;
use kube::api::{Api, ListParams};
use kube::core::{ObjectMeta, PartialObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::references::Restored;
use super::{Kubernetes, Link, errors, record, salt};
use crate::domain::cluster::WorkloadRef;
use crate::domain::coupled;
use crate::domain::name::ReleaseName;
use crate::domain::release::{History, Release, ReleaseRevision, ReleaseRow, ReleaseStatus, Storage, Writer};
use crate::domain::settings::SchemaSwitch;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// How long it is believed which kinds the server serves.
const BELIEVED: Duration = Duration::from_secs(300);

/// Which kinds each API version of this server has, as far as somebody asked.
#[derive(Default)]
pub(super) struct Served(Mutex<HashMap<String, (Instant, BTreeSet<String>)>>);

/// The object that holds a revision (Helm `pkg/storage/storage.go`).
pub(super) fn object_name(release: &ReleaseName, revision: ReleaseRevision) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

impl Kubernetes {
    /// The same cluster as when the console started, or nothing is to be changed.
    ///
    /// # Errors
    /// [`TroubleKind::Changed`], or the cluster does not answer.
    pub(in crate::world) async fn still_the_same(&self) -> Result<(), Trouble> {
        self.same_cluster().await
    }

    /// The gate of this cluster's text.
    pub(in crate::world) fn gate(&self) -> &Gate {
        self.link.gate()
    }

    /// The revisions of a release, from the labels of their records.
    pub(in crate::world) async fn history(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
    ) -> Result<History, Trouble> {
        let link = &self.link;
        let labels = format!("owner=helm,name={release}");
        let secrets: Api<core::Secret> = link.api(&workload.namespace);
        let attempt = say!("list the records of Helm release {} (secrets)", release);
        let in_secrets = rows(link, &secrets, &attempt, &labels).await;
        let writers = link.writers(workload).await;
        let secret_trouble = match in_secrets {
            Ok(rows) => match History::new(release.clone(), Storage::Secrets, rows, writers.clone()) {
                Some(history) => return Ok(history),
                None => None,
            },
            Err(why) if why.kind == TroubleKind::Forbidden => Some(why),
            Err(why) => return Err(why),
        };
        let maps: Api<core::ConfigMap> = link.api(&workload.namespace);
        let attempt = say!("list the records of Helm release {} (configmaps)", release);
        let in_maps = rows(link, &maps, &attempt, &labels).await.unwrap_or_default();
        if let Some(history) = History::new(release.clone(), Storage::ConfigMaps, in_maps, writers) {
            return Ok(history);
        }
        Err(secret_trouble.map_or_else(|| nowhere(workload, release), |why| forbidden(release, &why)))
    }

    /// One record in full, with the kinds of its objects that the server does not serve.
    pub(in crate::world) async fn record(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        storage: Storage,
    ) -> Result<Box<Release>, Trouble> {
        let data = self.link.stored(workload, release, revision, storage).await?;
        let reader = self.link.reader.clone();
        let mut read =
            unpacked(release, revision, move || record::release(&reader, &record::unwrapped(&data)?)).await?;
        if read.name != *release || read.revision != revision {
            let says = say!("it says that it is revision {} of {}", read.revision, read.name);
            return Err(unusable(release, revision, &says));
        }
        read.unserved = self.unserved(&read).await;
        Ok(Box::new(read))
    }

    /// What the configuration file that the pods of a revision find says about the schema, as it
    /// will be once the revision's own ConfigMaps and Secrets are written back.
    pub(in crate::world) async fn switch(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
    ) -> Result<SchemaSwitch, Trouble> {
        let (template, restored) = self.link.manifest(workload, release, revision).await?;
        let (settings, _) = salt::settings(&self.link, &workload.namespace, &template, &restored).await;
        Ok(coupled::switch(&settings))
    }

    /// Kinds of the manifest that the server does not serve; `None` when it does not tell.
    async fn unserved(&self, release: &Release) -> Option<Vec<Clean>> {
        let mut known = self.shared.served.0.lock().await;
        let mut missing = BTreeSet::new();
        for object in &release.objects {
            let version = object.api_version.as_str();
            let fresh = known.get(version).is_some_and(|(at, _)| at.elapsed() < BELIEVED);
            if !fresh {
                known.insert(version.to_owned(), (Instant::now(), self.link.kinds(version).await?));
            }
            let served = known.get(version).is_some_and(|(_, kinds)| kinds.contains(object.key.kind.as_str()));
            if !served {
                missing.insert(say!("{} {}", object.api_version, object.key.kind));
            }
        }
        Some(missing.into_iter().collect())
    }
}

/// A record that cannot be used, and where to look further.
fn unusable(release: &ReleaseName, revision: ReleaseRevision, why: &Clean) -> Trouble {
    Trouble::new(
        TroubleKind::Invalid,
        say!("the record of revision {} of Helm release {} cannot be used: {}", revision, release, why),
    )
    .remedy(say!("see what `helm get all {} --revision {}` makes of it", release, revision))
}

/// Reads in a record beside the loop: it unpacks to megabytes, and the panes must not wait for it.
pub(super) async fn unpacked<T: Send + 'static>(
    release: &ReleaseName,
    revision: ReleaseRevision,
    read: impl FnOnce() -> Result<T, Clean> + Send + 'static,
) -> Result<T, Trouble> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.unwrap_or_else(|_| Err(Clean::ours("reading it failed")));
    read.map_err(|why| unusable(release, revision, &why))
}

impl Link {
    /// What a record holds, packed.
    pub(super) async fn stored(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        storage: Storage,
    ) -> Result<Vec<u8>, Trouble> {
        let name = object_name(release, revision);
        let attempt = say!("read the record of revision {} of Helm release {}", revision, release);
        let data = match storage {
            Storage::Secrets => {
                let api: Api<core::Secret> = self.api(&workload.namespace);
                let secret = self.ask(&attempt, api.get(&name)).await?;
                secret.data.and_then(|mut data| data.remove("release")).map(|bytes| bytes.0)
            }
            Storage::ConfigMaps => {
                let api: Api<core::ConfigMap> = self.api(&workload.namespace);
                let map = self.ask(&attempt, api.get(&name)).await?;
                map.data.and_then(|mut data| data.remove("release")).map(String::into_bytes)
            }
        };
        data.ok_or_else(|| unusable(release, revision, &Clean::ours("it has no key `release`")))
    }

    /// The Deployment's raw template in the manifest of a revision, and the ConfigMaps and Secrets
    /// that a rollback to it writes.
    pub(super) async fn manifest(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
    ) -> Result<(Value, Restored), Trouble> {
        let data = match self.stored(workload, release, revision, Storage::Secrets).await {
            Err(why) if matches!(why.kind, TroubleKind::NotFound | TroubleKind::Forbidden) => {
                let in_maps = self.stored(workload, release, revision, Storage::ConfigMaps).await;
                in_maps.map_err(|_| why)?
            }
            other => other?,
        };
        let (reader, workload) = (self.reader.clone(), workload.clone());
        unpacked(release, revision, move || record::written(&reader, &record::unwrapped(&data)?, &workload)).await
    }

    /// The kinds of one API version; none when the server does not have it, `None` when it does
    /// not tell.
    async fn kinds(&self, version: &str) -> Option<BTreeSet<String>> {
        Some(self.served(version).await?.into_iter().map(|resource| resource.kind).collect())
    }

    /// What the server serves of one API version; nothing when it does not have it, `None` when it
    /// does not tell.
    pub(super) async fn served(&self, version: &str) -> Option<Vec<APIResource>> {
        let limit = super::connect::READ_TIMEOUT;
        let answer = if version.contains('/') {
            tokio::time::timeout(limit, self.requests.list_api_group_resources(version)).await
        } else {
            tokio::time::timeout(limit, self.requests.list_core_api_resources(version)).await
        };
        match answer.ok()? {
            Ok(list) => Some(list.resources),
            Err(why) if errors::code(&why) == Some(404) => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Who writes the Deployment besides Helm and the controllers, and which fields.
    async fn writers(&self, workload: &WorkloadRef) -> Option<Vec<Writer>> {
        let api: Api<Deployment> = self.api(&workload.namespace);
        let read = self.ask(&say!("read {}", workload), api.get_metadata(workload.name.as_str())).await.ok()?;
        let all = read.metadata.managed_fields.unwrap_or_default();
        let named: BTreeSet<Writer> = all.iter().filter_map(|entry| writer(self.gate(), entry)).collect();
        Some(named.into_iter().collect())
    }
}

/// A field manager that is not Helm, with what it wrote of the template and the replicas.
fn writer(gate: &Gate, entry: &ManagedFieldsEntry) -> Option<Writer> {
    let manager = entry.manager.as_deref().filter(|name| *name != "helm")?;
    let subresource = entry.subresource.as_deref().unwrap_or_default();
    let spec = entry.fields_v1.as_ref()?.0.get("f:spec")?;
    let mut fields = Vec::new();
    owned(gate, spec.get("f:template").unwrap_or(&Value::Null), "", &mut fields);
    if spec.get("f:replicas").is_some() {
        fields.push(Clean::ours(Writer::REPLICAS));
    }
    let operation = gate.clean(entry.operation.as_deref().unwrap_or("Update"));
    let how = if subresource.is_empty() { operation } else { say!("{}, {}", operation, gate.clean(subresource)) };
    (!fields.is_empty()).then(|| Writer { who: say!("{} ({})", gate.clean(manager), how), fields })
}

/// The paths of a field set (structured-merge-diff, `fieldpath/serialize.go`): `f:` is a field,
/// `k:` an item of a list by its keys, `v:` a value of a set, `.` the thing itself.
fn owned(gate: &Gate, fields: &Value, path: &str, found: &mut Vec<Clean>) {
    let inner = fields.as_object().into_iter().flatten().filter(|(key, _)| *key != ".");
    for (key, below) in inner {
        let at = match key.split_once(':') {
            Some(("f", name)) if path.is_empty() => name.to_owned(),
            Some(("f", name)) => format!("{path}.{name}"),
            Some(("k", keys)) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                match keys["name"].as_str() {
                    Some(name) => format!("{path}[{name}]"),
                    // Items without a name have no path that lasts.
                    None => continue,
                }
            }
            _ => continue,
        };
        if below.as_object().is_none_or(|below| below.keys().all(|key| key == ".")) {
            found.push(gate.clean(&at));
        }
        owned(gate, below, &at, found);
    }
}

async fn rows<K>(link: &Link, api: &Api<K>, attempt: &Clean, labels: &str) -> Result<Vec<ReleaseRow>, Trouble>
where
    K: Clone + DeserializeOwned + std::fmt::Debug + Resource,
{
    let mut params = ListParams::default().labels(labels).limit(500);
    let mut all = Vec::new();
    loop {
        let page = link.ask(attempt, api.list_metadata(&params)).await?;
        all.extend(page.items.iter().filter_map(|object: &PartialObjectMeta<K>| row(link.gate(), &object.metadata)));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(all);
        }
    }
}

/// What the labels tell; `None` for an object that is no record.
fn row(gate: &Gate, metadata: &ObjectMeta) -> Option<ReleaseRow> {
    let labels = metadata.labels.as_ref()?;
    let revision = ReleaseRevision::new(labels.get("version")?.parse().ok()?)?;
    let time = |label: &str| Timestamp::from_second(labels.get(label)?.parse().ok()?).ok();
    let made = metadata.creation_timestamp.as_ref().map(|time| time.0);
    Some(ReleaseRow {
        revision,
        status: ReleaseStatus::of(&gate.clean(labels.get("status").map_or("", String::as_str))),
        created: time("createdAt").or(made),
        modified: time("modifiedAt"),
    })
}

fn nowhere(workload: &WorkloadRef, release: &ReleaseName) -> Trouble {
    Trouble::new(
        TroubleKind::NotFound,
        say!("{} names Helm release {}, and namespace {} holds no record of it", workload, release, workload.namespace),
    )
    .remedy(say!(
        "with HELM_DRIVER=sql or =memory the records are not in the cluster, or the release was made in another namespace: see `helm list -A`, and roll back with `helm rollback {} REVISION` by hand",
        release
    ))
}

fn forbidden(release: &ReleaseName, why: &Trouble) -> Trouble {
    Trouble::new(TroubleKind::Forbidden, why.what.clone()).remedy(say!(
        "ask for `list` and `get` of secrets in this namespace, where Helm keeps its records; or roll {} back by hand",
        release
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fields_of_others_are_told_by_their_paths() {
        let entry = |manager: &str, subresource: Option<&str>, spec: Value| -> ManagedFieldsEntry {
            let fields = json!({"f:spec": spec});
            serde_json::from_value(json!({"manager": manager, "operation": "Update", "subresource": subresource,
                "fieldsV1": fields}))
            .unwrap()
        };
        let gate = Gate::default();
        let image = json!({"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"litellm\"}": {
            ".": {}, "f:image": {}, "f:args": {}, "f:env": {"k:{\"name\":\"LITELLM_LOG\"}": {".": {}, "f:value": {}}},
            "f:ports": {"k:{\"containerPort\":4000}": {".": {}, "f:containerPort": {}}}}}}}});
        let set = writer(&gate, &entry("kubectl-set", None, image.clone())).unwrap();
        assert_eq!(set.who.as_str(), "kubectl-set (Update)");
        let mut fields: Vec<&str> = set.fields.iter().map(Clean::as_str).collect();
        fields.sort_unstable();
        let container = "spec.containers[litellm]";
        let paths = [".args", ".env[LITELLM_LOG].value", ".image"].map(|field| format!("{container}{field}"));
        assert_eq!(fields, paths);
        let scaled = writer(&gate, &entry("kubectl", Some("scale"), json!({"f:replicas": {}}))).unwrap();
        assert_eq!((scaled.who.as_str(), scaled.fields[0].as_str()), ("kubectl (Update, scale)", Writer::REPLICAS));
        assert!(writer(&gate, &entry("helm", None, image)).is_none());
        assert!(writer(&gate, &entry("kube-controller-manager", Some("status"), json!(null))).is_none());
    }

    #[test]
    fn labels_tell_a_row_and_what_is_no_record_is_none() {
        let metadata = |labels: serde_json::Value| -> ObjectMeta {
            serde_json::from_value(json!({"creationTimestamp": "2026-01-02T03:04:05Z", "labels": labels})).unwrap()
        };
        let gate = Gate::default();
        let read = row(
            &gate,
            &metadata(
                json!({"version": "7", "status": "pending-upgrade", "createdAt": "1767323045", "modifiedAt": "x"}),
            ),
        );
        let read = read.unwrap();
        assert_eq!((read.revision.get(), read.status), (7, ReleaseStatus::PendingUpgrade));
        assert_eq!(read.created.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(read.modified, None);
        assert!(row(&gate, &metadata(json!({"status": "deployed"}))).is_none());
        assert!(row(&gate, &metadata(json!({"version": "0"}))).is_none());
        let odd = row(&gate, &metadata(json!({"version": "1"}))).unwrap();
        assert_eq!(odd.status.word().as_str(), "unknown");
        assert!(odd.created.is_some());
    }
}
