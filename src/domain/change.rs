//! A change of a Deployment, and the schema guard that every such change must pass: no change may
//! start a pod that may drop columns of the database. See [`crate::domain::forecast`].

mod guard;

use jiff::Timestamp;

pub use guard::{Cleared, Refusal, clear, unreadable_remedy};

use crate::domain::cluster::WorkloadRef;
use crate::domain::forecast::DISABLE_SCHEMA_UPDATE;
use crate::domain::image::Image;
use crate::domain::name::{Name, Uid, VarName};
use crate::domain::workload::{FieldChange, MigrationJob, Owner, Template, Workload};
use crate::text::{Clean, Secret};

/// The annotation by which `kubectl rollout restart` replaces every pod, so that its history and
/// ours read alike. kube's `restart` writes another.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// What is to be done to a Deployment's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Back to the template of this ReplicaSet.
    Revert {
        /// UID of the ReplicaSet.
        to: Uid,
        /// Its revision number, for people.
        revision: u64,
    },
    /// One container's image.
    SetImage {
        /// Which container.
        container: Name,
        /// The image.
        image: Image,
    },
    /// One variable of one container; `None` removes it.
    SetVariable {
        /// Which container.
        container: Name,
        /// Which variable.
        name: VarName,
        /// The value. A secret, because nobody knows what is in it.
        value: Option<Secret>,
    },
    /// Restart every pod with kubectl's annotation.
    Restart {
        /// The time that the annotation says.
        at: Timestamp,
    },
}

/// A planned change, tied to the object that it was planned on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which Deployment.
    pub workload: WorkloadRef,
    /// Its UID: a deleted and re-created Deployment is another one.
    pub uid: Uid,
    /// Its generation when the change was planned: any change of its spec since then stops us.
    pub generation: i64,
    /// The main container's image that is to go, tested by the patch.
    pub from_image: Option<Image>,
    /// What is to be done.
    pub kind: ChangeKind,
    /// Also set `DISABLE_SCHEMA_UPDATE=true` on every container with a gateway image, in the same patch.
    pub protect: bool,
}

impl Change {
    /// A change planned on what was last seen of a workload.
    pub fn on(workload: &Workload, kind: ChangeKind, protect: bool) -> Self {
        Self {
            workload: workload.reference.clone(),
            uid: workload.uid.clone(),
            generation: workload.numbers.generation,
            from_image: workload.template.main().map(|container| container.image.clone()),
            kind,
            protect,
        }
    }

    /// Why this change must not be made to a Deployment of this owner, and what to do instead.
    pub fn forbidden_by(&self, owner: &Owner) -> Option<(Clean, Clean)> {
        match self.kind {
            ChangeKind::Restart { .. } if !self.protect => owner.forbids_restart(),
            _ => owner.forbids_patch(),
        }
    }

    /// What it leaves behind that its owner does not know of: `None` where nobody else owns the
    /// Deployment.
    pub fn debt(&self, owner: &Owner) -> Option<Clean> {
        match (&self.kind, owner) {
            (ChangeKind::Restart { .. }, Owner::Helm { release }) => Some(say!(
                "the annotation {} is in no manifest of Helm release {}: upgrades and rollbacks leave it, and it does no harm",
                Clean::ours(RESTARTED_AT),
                release
            )),
            _ => None,
        }
    }

    /// What it does, in one sentence.
    pub fn sentence(&self) -> Clean {
        let protection = if self.protect { ", with DISABLE_SCHEMA_UPDATE=true in the same patch" } else { "" };
        match &self.kind {
            ChangeKind::Revert { revision, .. } => {
                say!("revert {} to revision {}{}", self.workload, revision, protection)
            }
            ChangeKind::SetImage { container, image } => {
                say!("set the image of {} in {} to {}{}", container, self.workload, image, protection)
            }
            ChangeKind::SetVariable { container, name, value: Some(_) } => {
                say!("set {} on {} in {}{}", name, container, self.workload, protection)
            }
            ChangeKind::SetVariable { container, name, value: None } => {
                say!("remove {} from {} in {}{}", name, container, self.workload, protection)
            }
            ChangeKind::Restart { .. } => say!("restart {}{}", self.workload, protection),
        }
    }

    /// The nearest kubectl command line, for the plan and the journal. kubectl tests nothing, so
    /// this is what it amounts to, not what is sent. Pasting it must do no harm: a `rollout undo`
    /// would take a variable that was set before it away again, so a protected revert is one patch.
    pub fn command(&self, context: Option<&crate::domain::name::ContextName>) -> Clean {
        let context =
            context.map_or(Clean::default(), |context| say!(" --context '{}'", say!("{}", context).in_single_quotes()));
        let place = say!("kubectl{} -n {}", context, self.workload.namespace);
        let main = match &self.kind {
            ChangeKind::Revert { revision, .. } if self.protect => {
                return say!(
                    "{} rollout history {} --revision={} -o json | jq '[{{op:\"replace\",path:\"/spec/template\",value:(.spec.template|del(.metadata.labels[\"pod-template-hash\"])|.spec.containers[].env+=[{{name:\"{}\",value:\"true\"}}])}}]' | {} patch {} --type=json --patch-file=/dev/stdin",
                    place,
                    self.workload,
                    revision,
                    DISABLE_SCHEMA_UPDATE,
                    place,
                    self.workload
                );
            }
            ChangeKind::Revert { revision, .. } => {
                say!("{} rollout undo {} --to-revision={}", place, self.workload, revision)
            }
            ChangeKind::SetImage { container, image } => {
                say!("{} set image {} {}={}", place, self.workload, container, image)
            }
            ChangeKind::SetVariable { container, name, value } => {
                let value = if value.is_some() { "=VALUE" } else { "-" };
                say!("{} set env {} -c {} {}{}", place, self.workload, container, name, value)
            }
            ChangeKind::Restart { .. } => say!("{} rollout restart {}", place, self.workload),
        };
        if self.protect {
            say!("{} set env {} {}=true && {}", place, self.workload, DISABLE_SCHEMA_UPDATE, main)
        } else {
            main
        }
    }
}

/// What the API server's dry run says would come of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The change.
    pub change: Change,
    /// The template that would result.
    pub template: Template,
    /// What differs from the live template.
    pub diff: Vec<FieldChange>,
    /// Warnings of the API server.
    pub warnings: Vec<Clean>,
    /// Migration Jobs that run or may run beside it. `None` when they could not be listed.
    pub jobs: Option<Vec<MigrationJob>>,
}

/// A change that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The Deployment's generation after it.
    pub generation: i64,
    /// What was done, in words.
    pub words: Clean,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_takes_the_protection_away_again() {
        let revert = ChangeKind::Revert { to: "u0".parse().unwrap(), revision: 3 };
        let change = Change {
            workload: WorkloadRef { namespace: "llm".parse().unwrap(), name: "litellm".parse().unwrap() },
            uid: "u1".parse().unwrap(),
            generation: 7,
            from_image: None,
            kind: revert,
            protect: true,
        };
        let command = change.command(None);
        assert!(!command.as_str().contains("rollout undo"), "{command}");
        assert_eq!(command.as_str().matches(" patch deployment/litellm ").count(), 1, "{command}");
        assert!(command.as_str().contains(r#"env+=[{name:"DISABLE_SCHEMA_UPDATE",value:"true"}]"#), "{command}");
    }
}
