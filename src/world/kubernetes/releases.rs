//! The records of Helm releases in the cluster: their labels first, and one in full when asked.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Resource;
use kube::api::{Api, ListParams};
use kube::core::{ObjectMeta, PartialObjectMeta};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::{Kubernetes, Link, errors, record};
use crate::domain::cluster::WorkloadRef;
use crate::domain::name::ReleaseName;
use crate::domain::release::{History, Release, ReleaseRevision, ReleaseRow, ReleaseStatus, Storage};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// How long it is believed which kinds the server serves.
const BELIEVED: Duration = Duration::from_secs(300);

/// Which kinds each API version of this server has, as far as somebody asked.
#[derive(Default)]
pub(super) struct Served(Mutex<HashMap<String, (Instant, BTreeSet<String>)>>);

/// The object that holds a revision (Helm `pkg/storage/storage.go`).
fn object_name(release: &ReleaseName, revision: ReleaseRevision) -> String {
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
        let managers = link.managers(workload).await;
        let secret_trouble = match in_secrets {
            Ok(rows) => match History::new(release.clone(), Storage::Secrets, rows, managers.clone()) {
                Some(history) => return Ok(history),
                None => None,
            },
            Err(why) if why.kind == TroubleKind::Forbidden => Some(why),
            Err(why) => return Err(why),
        };
        let maps: Api<core::ConfigMap> = link.api(&workload.namespace);
        let attempt = say!("list the records of Helm release {} (configmaps)", release);
        let in_maps = rows(link, &maps, &attempt, &labels).await.unwrap_or_default();
        if let Some(history) = History::new(release.clone(), Storage::ConfigMaps, in_maps, managers) {
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
        let link = &self.link;
        let name = object_name(release, revision);
        let attempt = say!("read the record of revision {} of Helm release {}", revision, release);
        let data = match storage {
            Storage::Secrets => {
                let api: Api<core::Secret> = link.api(&workload.namespace);
                let secret = link.ask(&attempt, api.get(&name)).await?;
                secret.data.and_then(|mut data| data.remove("release")).map(|bytes| bytes.0)
            }
            Storage::ConfigMaps => {
                let api: Api<core::ConfigMap> = link.api(&workload.namespace);
                let map = link.ask(&attempt, api.get(&name)).await?;
                map.data.and_then(|mut data| data.remove("release")).map(String::into_bytes)
            }
        };
        let unusable = |why: Clean| {
            Trouble::new(
                TroubleKind::Invalid,
                say!("the record of revision {} of Helm release {} cannot be used: {}", revision, release, why),
            )
            .remedy(say!("see what `helm get all {} --revision {}` makes of it", release, revision))
        };
        let data = data.ok_or_else(|| unusable(Clean::ours("it has no key `release`")))?;
        let reader = link.reader.clone();
        // A record unpacks to megabytes; the panes must not wait for it.
        let read = tokio::task::spawn_blocking(move || record::release(&reader, &record::unwrapped(&data)?));
        let read = read.await.map_err(|_| unusable(Clean::ours("reading it failed")))?;
        let mut read = read.map_err(unusable)?;
        if read.name != *release || read.revision != revision {
            return Err(unusable(say!("it says that it is revision {} of {}", read.revision, read.name)));
        }
        read.unserved = self.unserved(&read).await;
        Ok(Box::new(read))
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

impl Link {
    /// The kinds of one API version; none when the server does not have it, `None` when it does
    /// not tell.
    async fn kinds(&self, version: &str) -> Option<BTreeSet<String>> {
        let limit = super::connect::READ_TIMEOUT;
        let answer = if version.contains('/') {
            tokio::time::timeout(limit, self.requests.list_api_group_resources(version)).await
        } else {
            tokio::time::timeout(limit, self.requests.list_core_api_resources(version)).await
        };
        match answer.ok()? {
            Ok(list) => Some(list.resources.into_iter().map(|resource| resource.kind).collect()),
            Err(why) if errors::code(&why) == Some(404) => Some(BTreeSet::new()),
            Err(_) => None,
        }
    }

    /// Who writes fields of the Deployment's template besides Helm and the controllers.
    async fn managers(&self, workload: &WorkloadRef) -> Option<Vec<Clean>> {
        let api: Api<Deployment> = self.api(&workload.namespace);
        let read = self.ask(&say!("read {}", workload), api.get_metadata(workload.name.as_str())).await.ok()?;
        let all = read.metadata.managed_fields.unwrap_or_default();
        let writes = |entry: &&ManagedFieldsEntry| {
            entry.subresource.as_deref().unwrap_or_default().is_empty()
                && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:template").is_some())
        };
        let named = all.iter().filter(writes).filter_map(|entry| {
            let manager = entry.manager.as_deref().filter(|name| *name != "helm")?;
            let operation = self.gate().clean(entry.operation.as_deref().unwrap_or("Update"));
            Some(say!("{} ({})", self.gate().clean(manager), operation))
        });
        let named: BTreeSet<Clean> = named.collect();
        Some(named.into_iter().collect())
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
