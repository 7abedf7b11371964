//! A Deployment with its revisions, its templates, and kubectl's rollout status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::image::{Image, Version};
use crate::domain::name::{Name, Uid, VarName};
use crate::domain::settings::SchemaSwitch;
use crate::text::Clean;

/// Where a container's variable gets its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvValue {
    /// Written in the template.
    Literal(Field),
    /// From a Secret, a ConfigMap, a field or a resource: what it says can change without the template.
    From(Clean),
}

/// One variable of one container, in the order of the template. The last of a name wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvVar {
    /// Its name.
    pub name: VarName,
    /// Its value.
    pub value: EnvValue,
}

/// A container of a pod template, as far as a rollback must understand it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its name, which is the merge key of patches.
    pub name: Name,
    /// Its image.
    pub image: Image,
    /// An init container: runs to its end before the others start.
    pub init: bool,
    /// `command` and `args`, in one list.
    pub words: Vec<Clean>,
    /// `env`, in order.
    pub env: Vec<EnvVar>,
    /// Names of Secrets and ConfigMaps taken in whole by `envFrom`.
    pub env_from: Vec<Clean>,
}

impl Container {
    /// The value that the container will see for a variable written in `env`: the last one of
    /// that name. `None` when the template does not set it (it may still come by `envFrom`).
    pub fn variable(&self, name: &str) -> Option<&EnvValue> {
        self.env.iter().rev().find(|var| var.name.as_str() == name).map(|var| &var.value)
    }
}

/// A pod template: its containers, and every field flattened to a path for the diff.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Template {
    /// Init containers first, each group in template order.
    pub containers: Vec<Container>,
    /// Every field by path (`spec.containers[litellm].image`), values hidden unless harmless.
    pub fields: BTreeMap<Clean, Field>,
    /// What the configuration file that its gateway reads says about the schema, where that was
    /// looked at: it is no part of the template.
    #[serde(skip)]
    pub switch: SchemaSwitch,
}

impl Template {
    /// The container that is the gateway: the first ordinary one with a LiteLLM image, else the first.
    pub fn main(&self) -> Option<&Container> {
        let mut ordinary = self.containers.iter().filter(|c| !c.init);
        ordinary.clone().find(|c| c.image.is_litellm()).or_else(|| ordinary.next())
    }

    /// The version that a label of the template claims for a gateway whose image is named by its
    /// digest alone: `app.kubernetes.io/version`, else `version`. Nothing proves it: in LiteLLM's
    /// chart the label is the chart's `appVersion`, whatever the image is.
    pub fn claim(&self) -> Option<Version> {
        let image = &self.main()?.image;
        if !image.is_litellm() || image.digest().is_none() || image.version().is_some() {
            return None;
        }
        let labels = ["metadata.labels.app.kubernetes.io/version", "metadata.labels.version"];
        labels.into_iter().find_map(|path| match self.fields.get(&Clean::ours(path))? {
            Field::Shown(value) => value.as_str().parse().ok(),
            Field::Hidden(_) => None,
        })
    }

    /// The same, with what its configuration file says about the schema.
    pub fn with_switch(self, switch: SchemaSwitch) -> Self {
        Self { switch, ..self }
    }

    /// What differs, by path, in path order.
    pub fn diff(&self, other: &Template) -> Vec<FieldChange> {
        field_changes(&self.fields, &other.fields)
    }
}

/// What differs between two sets of fields, by path, in path order.
pub fn field_changes(before: &BTreeMap<Clean, Field>, after: &BTreeMap<Clean, Field>) -> Vec<FieldChange> {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            let (before, after) = (before.get(path), after.get(path));
            (before != after).then(|| FieldChange {
                path: path.clone(),
                before: before.map(Field::words),
                after: after.map(Field::words),
            })
        })
        .collect()
}

/// One line of a template diff. Hidden values show only that they changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Path in the template.
    pub path: Clean,
    /// The value now; `None` when it is not there.
    pub before: Option<Clean>,
    /// The value after; `None` when it goes away.
    pub after: Option<Clean>,
}

/// How a revision stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionStatus {
    /// The Deployment's current template, rolled out completely.
    Live,
    /// The current template, not yet rolled out; why.
    Rolling(Clean),
    /// The current template, and its rollout failed; why.
    Failed(Clean),
    /// An older template.
    Superseded,
}

/// One revision of a Deployment: a ReplicaSet. Identified by UID, because an undo renumbers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// `deployment.kubernetes.io/revision`. Changes when the template is used again.
    pub number: u64,
    /// The ReplicaSet's UID: what a plan refers to.
    pub uid: Uid,
    /// The ReplicaSet's name.
    pub name: Name,
    /// When the ReplicaSet was created.
    pub created: Timestamp,
    /// `kubernetes.io/change-cause`, where somebody wrote one.
    pub change_cause: Option<Clean>,
    /// Replicas that it should have now, and that are ready now.
    pub replicas: u32,
    /// Ready replicas now.
    pub ready: u32,
    /// The digest that its pods run, where a pod of it is still there to tell.
    pub digest: Option<Clean>,
    /// How it stands.
    pub status: RevisionStatus,
    /// Its pod template without the `pod-template-hash` label.
    pub template: Template,
}

impl Revision {
    /// The gateway's image.
    pub fn image(&self) -> Option<&Image> {
        self.template.main().map(|container| &container.image)
    }

    /// Whether this is the Deployment's current template.
    pub fn current(&self) -> bool {
        self.status != RevisionStatus::Superseded
    }
}

/// Who owns the Deployment besides us: an owner reverts or breaks what is patched behind its back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Owner {
    /// Nobody: it was applied by hand or by `kubectl apply`.
    Nobody,
    /// A Helm release.
    Helm {
        /// Release name.
        release: Clean,
    },
    /// An Argo CD application.
    ArgoCd {
        /// Application or tracking id.
        application: Clean,
    },
    /// A Flux Kustomization or HelmRelease.
    Flux {
        /// Its name.
        name: Clean,
    },
    /// Another controller, by owner reference.
    Controller {
        /// Kind and name.
        what: Clean,
    },
}

impl Owner {
    /// Why the console does not patch it, and what to do instead. `None` when it may.
    pub fn forbids_patch(&self) -> Option<(Clean, Clean)> {
        match self {
            Owner::Nobody => None,
            Owner::Helm { release } => Some((
                say!("it belongs to the Helm release {}", release),
                say!("roll back with `helm rollback {} REVISION`, naming the revision", release),
            )),
            Owner::ArgoCd { application } => Some((
                say!("Argo CD application {} would put the bad version back", application),
                Clean::ours("revert the change in Git, or suspend automatic sync first"),
            )),
            Owner::Flux { name } => Some((
                say!("Flux object {} would put the bad version back", name),
                Clean::ours("revert the change in Git, or run `flux suspend` first"),
            )),
            Owner::Controller { what } => Some((
                say!("the controller {} would put the bad version back", what),
                Clean::ours("change the owning object instead"),
            )),
        }
    }

    /// The same for a restart, which adds one annotation to the template and nothing else. Helm
    /// leaves an annotation alone that is in no manifest of its release, whether it patches (Helm 3)
    /// or applies on the server (Helm 4); the other owners may take it away again, and the pods
    /// restart once more.
    pub fn forbids_restart(&self) -> Option<(Clean, Clean)> {
        match self {
            Owner::Helm { .. } => None,
            _ => self.forbids_patch(),
        }
    }
}

/// kubectl's rollout status, decided from the Deployment alone
/// (kubectl `polymorphichelpers/rollout_status.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "why", rename_all = "kebab-case")]
pub enum Rollout {
    /// Every replica is updated and available, and no old one is left.
    Done,
    /// Not yet; what it waits for.
    Waiting(Clean),
    /// `ProgressDeadlineExceeded`. Kubernetes does not roll back by itself.
    Failed(Clean),
}

/// The numbers of a Deployment that decide its rollout status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RolloutNumbers {
    /// `metadata.generation`
    pub generation: i64,
    /// `status.observedGeneration`
    pub observed: i64,
    /// `spec.replicas`; the API server always fills it in.
    pub wanted: Option<u32>,
    /// `status.updatedReplicas`
    pub updated: u32,
    /// `status.replicas`
    pub total: u32,
    /// `status.availableReplicas`
    pub available: u32,
    /// The `Progressing` condition's reason is `ProgressDeadlineExceeded`.
    pub deadline_exceeded: bool,
}

impl RolloutNumbers {
    /// kubectl's algorithm, in its order. kube's own helper ignores `observedGeneration` and
    /// calls a rollout complete right after the patch.
    pub fn status(&self) -> Rollout {
        let wanted = self.wanted.unwrap_or(1);
        if self.generation > self.observed {
            Rollout::Waiting(Clean::ours("the controller has not seen the change yet"))
        } else if self.deadline_exceeded {
            Rollout::Failed(Clean::ours("progress deadline exceeded"))
        } else if self.updated < wanted {
            Rollout::Waiting(say!("{} of {} replicas are updated", self.updated, wanted))
        } else if self.total > self.updated {
            Rollout::Waiting(say!("{} old replicas are still terminating", self.total - self.updated))
        } else if self.available < self.updated {
            Rollout::Waiting(say!("{} of {} updated replicas are available", self.available, self.updated))
        } else {
            Rollout::Done
        }
    }
}

/// A Job of the same release that migrates the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationJob {
    /// Its name.
    pub name: Name,
    /// Its image.
    pub image: Option<Image>,
    /// It has pods running or may start some: not finished and not suspended.
    pub active: bool,
}

/// Everything that the console knows of one Deployment at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Namespace and name.
    pub reference: WorkloadRef,
    /// UID of the Deployment.
    pub uid: Uid,
    /// `spec.paused`: kubectl refuses to undo or restart a paused Deployment, and so do we.
    pub paused: bool,
    /// Who owns it.
    pub owner: Owner,
    /// The numbers behind the rollout status.
    pub numbers: RolloutNumbers,
    /// The current template.
    pub template: Template,
    /// Revisions, newest first.
    pub revisions: Vec<Revision>,
    /// Migration Jobs beside it. `None` when they could not be listed: unknown is not none.
    pub jobs: Option<Vec<MigrationJob>>,
    /// `ReplicaFailure` and other conditions worth showing.
    pub conditions: Vec<Clean>,
}

impl Workload {
    /// The revision with this UID.
    pub fn revision(&self, uid: &Uid) -> Option<&Revision> {
        self.revisions.iter().find(|revision| &revision.uid == uid)
    }

    /// The revision of the current template.
    pub fn current(&self) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.current())
    }
}

/// A Deployment found by image and labels, offered where the configuration names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discovered {
    /// Which one.
    pub reference: WorkloadRef,
    /// Its gateway image.
    pub image: Option<Image>,
    /// Why it looks like LiteLLM.
    pub because: Clean,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollout_status_is_kubectls() {
        let settled = RolloutNumbers {
            generation: 8,
            observed: 8,
            wanted: Some(3),
            updated: 3,
            total: 3,
            available: 3,
            deadline_exceeded: false,
        };
        assert_eq!(settled.status(), Rollout::Done);
        let rows: [(RolloutNumbers, &str); 5] = [
            (RolloutNumbers { observed: 7, ..settled }, "the controller has not seen the change yet"),
            (RolloutNumbers { updated: 1, ..settled }, "1 of 3 replicas are updated"),
            (RolloutNumbers { total: 5, ..settled }, "2 old replicas are still terminating"),
            (RolloutNumbers { available: 2, ..settled }, "2 of 3 updated replicas are available"),
            (
                RolloutNumbers { observed: 7, deadline_exceeded: true, ..settled },
                "the controller has not seen the change yet",
            ),
        ];
        for (numbers, words) in rows {
            assert!(matches!(numbers.status(), Rollout::Waiting(why) if why.as_str() == words), "{numbers:?}");
        }
        assert!(matches!(RolloutNumbers { deadline_exceeded: true, ..settled }.status(), Rollout::Failed(_)));
        assert_eq!(
            RolloutNumbers { wanted: Some(0), updated: 0, total: 0, available: 0, ..settled }.status(),
            Rollout::Done
        );
    }
}
