//! A rollback of a Helm release tried at the API server: each object the way Helm would send it,
//! with `dryRun=All`.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::{ObjectMeta, Status};
use serde_json::{Value, json};

use super::releases::{object_name, unpacked};
use super::{Kubernetes, Link, connect, errors, record};
use crate::domain::name::Name;
use crate::domain::release::{
    ApplyMethod, Clash, Does, ObjectKey, ReleaseRevision, ReleaseStatus, Storage, Trial, Tried, Verdict,
};
use crate::domain::rollback::{HelmProgram, Rollback};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// How many objects are tried at most.
const MOST: usize = 80;
/// How many of them at once.
const AT_ONCE: usize = 6;
/// How many failed revisions are looked into for what they left behind.
const MOST_FAILED: usize = 3;
/// The field manager of the program (Helm `cmd/helm/helm.go`).
const MANAGER: &str = "helm";
/// The reason of a cause in the answer to server-side apply (`metav1.CauseTypeFieldManagerConflict`).
const CONFLICT: &str = "FieldManagerConflict";

/// What is sent.
enum Step {
    /// An object of the target; whether the current revision has it too.
    Sent { object: Value, known: bool },
    /// A hook of the target, or the record that Helm makes: created, and no trouble where it is there.
    Made(Value),
    /// An object that the target does not have.
    Gone(Value),
    /// An object of a revision in between that failed, and of neither of the two.
    Left(Value),
}

impl Step {
    fn object(&self) -> &Value {
        match self {
            Step::Sent { object, .. } | Step::Made(object) | Step::Gone(object) | Step::Left(object) => object,
        }
    }
}

/// How it is sent, and where to.
struct Way<'a> {
    link: &'a Link,
    home: Name,
    release: String,
    server_side: bool,
    helm: &'a HelmProgram,
    resources: BTreeMap<(String, String), (ApiResource, bool)>,
}

impl Kubernetes {
    /// Tries a rollback, object by object. Changes nothing.
    ///
    /// # Errors
    /// A record that cannot be read, or an API server that does not answer.
    pub(in crate::world) async fn trial(&self, rollback: &Rollback, helm: HelmProgram) -> Result<Trial, Trouble> {
        let read = async |revision: ReleaseRevision| {
            let data = self.link.stored(&rollback.workload, &rollback.release, revision, rollback.storage).await?;
            let reader = self.link.reader.clone();
            let read = move || record::raw(&reader, &record::unwrapped(&data)?);
            unpacked(&rollback.release, revision, read).await
        };
        let (current, target, failed) =
            tokio::try_join!(read(rollback.from), read(rollback.to), self.failed(rollback))?;
        let home = target.namespace.clone();
        let key = |object: &Value| record::key(&self.link.reader, &home, object);
        let [before, after] = [&current, &target].map(|of| of.objects.iter().map(key).collect::<BTreeSet<ObjectKey>>());
        let gone = current.objects.iter().filter(|object| !after.contains(&key(object)) && !record::kept(object));
        let gone: Vec<Step> = gone.cloned().map(Step::Gone).collect();
        let mut left = BTreeMap::new();
        for revision in failed {
            // One that cannot be read leaves only its leftovers unseen.
            for object in read(revision).await.into_iter().flat_map(|record| record.objects) {
                let key = key(&object);
                if !before.contains(&key) && !after.contains(&key) {
                    left.insert(key, object);
                }
            }
        }
        let sent = target.objects.into_iter().map(|mut object| {
            let known = before.contains(&key(&object));
            mark(&mut object, rollback);
            Step::Sent { object, known }
        });
        let made = std::iter::once(new_record(rollback)).chain(target.hooks).map(Step::Made);
        let mut steps: Vec<Step> = made.chain(sent).chain(gone).chain(left.into_values().map(Step::Left)).collect();
        let left_out = steps.len().saturating_sub(MOST);
        steps.truncate(MOST);
        let way = Way {
            link: &self.link,
            server_side: target.apply == ApplyMethod::ServerSide && helm.major >= 4,
            helm: &helm,
            resources: self.link.resources(&steps).await,
            home: home.clone(),
            release: rollback.release.to_string(),
        };
        let each: Vec<_> = steps.iter().map(|step| way.tried(step, key(step.object()))).collect();
        let tried: Vec<Option<Tried>> = futures::stream::iter(each).buffered(AT_ONCE).collect().await;
        let tried = tried.into_iter().flatten().collect();
        Ok(Trial { helm, tried, left_out })
    }
}

impl Kubernetes {
    /// The newest revisions between the two that failed or never ended.
    async fn failed(&self, rollback: &Rollback) -> Result<Vec<ReleaseRevision>, Trouble> {
        let history = self.history(&rollback.workload, &rollback.release).await?;
        let between = history.rows().filter(|row| row.revision > rollback.to && row.revision < rollback.from);
        let failed = between.filter(|row| row.status.pending() || row.status == ReleaseStatus::Failed);
        Ok(failed.map(|row| row.revision).take(MOST_FAILED).collect())
    }
}

/// What Helm writes into every object that it sends (`pkg/action/validate.go`, `setMetadataVisitor`).
fn mark(object: &mut Value, rollback: &Rollback) {
    let metadata = &mut object["metadata"];
    metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    metadata["annotations"]["meta.helm.sh/release-name"] = json!(rollback.release.as_str());
    metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(rollback.namespace().as_str());
}

/// The record that the rollback makes, as far as admission, quota and permissions look at it.
fn new_record(rollback: &Rollback) -> Value {
    let revision = rollback.from.next();
    let labels = json!({"owner": "helm", "name": rollback.release.as_str(), "status": "pending-rollback",
        "version": revision.to_string()});
    let metadata = json!({"name": object_name(&rollback.release, revision), "labels": labels,
        "namespace": rollback.namespace().as_str()});
    match rollback.storage {
        Storage::Secrets => json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "type": "helm.sh/release.v1", "data": {"release": ""}}),
        Storage::ConfigMaps => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"release": ""}})
        }
    }
}

impl Link {
    /// Where each kind of these objects is served, and whether in namespaces. What is missing is
    /// not served, or the server does not tell.
    async fn resources(&self, steps: &[Step]) -> BTreeMap<(String, String), (ApiResource, bool)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let versions: BTreeSet<String> = steps.iter().map(|step| text(&step.object()["apiVersion"])).collect();
        let mut found = BTreeMap::new();
        for version in versions {
            let (group, number) = version.split_once('/').unwrap_or(("", &version));
            let resource = |of: APIResource| {
                let resource = ApiResource {
                    group: group.to_owned(),
                    version: number.to_owned(),
                    api_version: version.clone(),
                    kind: of.kind.clone(),
                    plural: of.name,
                };
                ((version.clone(), of.kind), (resource, of.namespaced))
            };
            // `deployments/scale` and the like are no objects.
            let served = self.served(&version).await.into_iter().flatten();
            found.extend(served.filter(|of| !of.name.contains('/')).map(resource));
        }
        found
    }
}

impl Way<'_> {
    /// The API of an object, and its name; `None` where its kind is not served, which another rule
    /// tells.
    fn api(&self, object: &Value) -> Option<(Api<DynamicObject>, String)> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let (version, kind) = (text(&object["apiVersion"])?, text(&object["kind"])?);
        let (resource, namespaced) = self.resources.get(&(version, kind))?;
        let client = self.link.requests.clone();
        let api = if *namespaced {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(self.home.as_str());
            Api::namespaced_with(client, namespace, resource)
        } else {
            Api::all_with(client, resource)
        };
        Some((api, text(&object["metadata"]["name"])?))
    }

    async fn tried(&self, step: &Step, key: ObjectKey) -> Option<Tried> {
        let (api, name) = self.api(step.object())?;
        let tried = |does, foreign, verdict| Some(Tried { object: key.clone(), does, foreign, verdict });
        match step {
            Step::Gone(_) => tried(Does::Deletes, false, self.delete(&api, &name).await),
            Step::Made(object) => match self.create(&api, object).await {
                Err(Verdict::Refused(_)) if self.exists(&api, &name).await == Ok(true) => {
                    tried(Does::Creates, false, Verdict::Passes)
                }
                other => tried(Does::Creates, false, said(other)),
            },
            // Somebody else's is no leftover of ours.
            Step::Left(_) => match self.ask(api.get_metadata(&name)).await {
                Ok(there) if owner(&there.metadata) == Some(&self.release) => {
                    tried(Does::Leaves, false, Verdict::Passes)
                }
                _ => None,
            },
            Step::Sent { object, known: true } => {
                let (does, verdict) = self.send(&api, &name, object).await;
                tried(does, false, verdict)
            }
            Step::Sent { object, known: false } => match self.exists(&api, &name).await {
                Err(verdict) => tried(Does::Creates, false, verdict),
                // Helm would stop at it before it sends it.
                Ok(true) if !self.helm.takes_over() => tried(Does::Patches, true, Verdict::Passes),
                Ok(foreign) => {
                    let (does, verdict) = self.send(&api, &name, object).await;
                    tried(if foreign { Does::Patches } else { does }, foreign, verdict)
                }
            },
        }
    }

    /// One request, tried.
    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        match tokio::time::timeout(connect::READ_TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(Failed::Answered(status)),
            Ok(Err(why)) => Err(Failed::Lost(errors::trouble(self.link.gate(), &Clean::ours("try it"), &why).what)),
            Err(_) => Err(Failed::Lost(say!("no answer within {} s", connect::READ_TIMEOUT.as_secs()))),
        }
    }

    async fn exists(&self, api: &Api<DynamicObject>, name: &str) -> Result<bool, Verdict> {
        match self.ask(api.get_metadata(name)).await {
            Ok(_) => Ok(true),
            Err(Failed::Answered(status)) if status.code == 404 => Ok(false),
            Err(why) => Err(self.verdict(why)),
        }
    }

    async fn create(&self, api: &Api<DynamicObject>, object: &Value) -> Result<(), Verdict> {
        let Ok(object) = serde_json::from_value::<DynamicObject>(object.clone()) else {
            return Err(Verdict::Untold(Clean::ours("its metadata cannot be read")));
        };
        let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
        self.ask(api.create(&params, &object)).await.map(drop).map_err(|why| self.verdict(why))
    }

    async fn delete(&self, api: &Api<DynamicObject>, name: &str) -> Verdict {
        let params = DeleteParams::background().dry_run();
        match self.ask(api.delete(name, &params)).await {
            Err(Failed::Answered(status)) if status.code == 404 => Verdict::Passes,
            Err(why) => self.verdict(why),
            Ok(_) => Verdict::Passes,
        }
    }

    /// As Helm sends an object of the target: by server-side apply; or as a patch, and created where
    /// it is not there. Helm 3 computes its patch from both manifests, which leaves out what it does
    /// not set any more: that is no part of this.
    async fn send(&self, api: &Api<DynamicObject>, name: &str, object: &Value) -> (Does, Verdict) {
        if self.server_side {
            return (Does::Patches, self.apply(api, name, object).await);
        }
        let params = PatchParams { dry_run: true, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patched = match self.ask(api.patch(name, &params, &Patch::Strategic(object))).await {
            // Kinds that are no part of Kubernetes itself.
            Err(Failed::Answered(status)) if status.code == 415 => {
                self.ask(api.patch(name, &params, &Patch::Merge(object))).await
            }
            other => other,
        };
        match patched {
            Ok(_) => (Does::Patches, Verdict::Passes),
            Err(Failed::Answered(status)) if status.code == 404 => {
                (Does::Creates, said(self.create(api, object).await))
            }
            Err(why) => (Does::Patches, self.verdict(why)),
        }
    }

    async fn apply(&self, api: &Api<DynamicObject>, name: &str, object: &Value) -> Verdict {
        let params = PatchParams {
            dry_run: true,
            force: false,
            field_manager: Some(MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let verdict = match self.ask(api.patch(name, &params, &Patch::Apply(object))).await {
            Ok(_) => return Verdict::Passes,
            Err(why) => self.verdict(why),
        };
        // What Helm itself wrote by patches becomes its own before it applies
        // (`ClientUpdateOptionUpgradeClientSideFieldManager`).
        match verdict {
            Verdict::Conflicts(clashes) if clashes.is_empty() => {
                let params = PatchParams { force: true, ..params };
                match self.ask(api.patch(name, &params, &Patch::Apply(object))).await {
                    Ok(_) => Verdict::Passes,
                    Err(why) => self.verdict(why),
                }
            }
            other => other,
        }
    }

    fn verdict(&self, why: Failed) -> Verdict {
        let gate = self.link.gate();
        let status = match why {
            Failed::Lost(why) => return Verdict::Untold(why),
            Failed::Answered(status) => status,
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let causes: Vec<_> = causes.filter(|cause| cause.reason == CONFLICT).collect();
        if !causes.is_empty() {
            let clash = |cause: &&kube::core::response::StatusCause| {
                let by = manager(&cause.message)?;
                (by != MANAGER).then(|| Clash { by: gate.clean(by), field: gate.clean(&cause.field) })
            };
            return Verdict::Conflicts(causes.iter().filter_map(clash).collect());
        }
        let words = errors::words(gate, &status);
        // A webhook that does not answer refuses, with the code of a broken server.
        let refused = (400..500).contains(&status.code) && status.code != 429 && !errors::no_dry_run(&status)
            || status.message.contains("failed calling webhook");
        if refused { Verdict::Refused(words) } else { Verdict::Untold(words) }
    }
}

/// Why a request did not pass.
enum Failed {
    Answered(Box<Status>),
    Lost(Clean),
}

/// The release that an object says to belong to.
fn owner(metadata: &ObjectMeta) -> Option<&String> {
    metadata.annotations.as_ref()?.get("meta.helm.sh/release-name")
}

fn said(outcome: Result<(), Verdict>) -> Verdict {
    outcome.err().unwrap_or(Verdict::Passes)
}

/// The manager in `conflict with "kubectl-set" using apps/v1` (apiserver,
/// `structured-merge-diff` conflicts as causes).
fn manager(message: &str) -> Option<&str> {
    message.strip_prefix("conflict with \"")?.split_once('"').map(|(manager, _)| manager)
}
