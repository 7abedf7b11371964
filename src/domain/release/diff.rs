//! What differs between two records, by object and field, and between a manifest and what is live.

use serde::Serialize;

use crate::domain::cluster::WorkloadRef;
use crate::domain::name::{Name, VarName};
use crate::domain::release::{ManifestObject, ObjectKey, Release};
use crate::domain::workload::{Container, FieldChange, Template, field_changes};
use crate::text::Clean;

/// What a rollback does to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "does", rename_all = "kebab-case")]
pub enum ObjectChange {
    /// It is in the target only. Created, or patched where somebody else has made it.
    Creates {
        /// Which one.
        object: ObjectKey,
    },
    /// It is in the current revision only.
    Deletes {
        /// Which one.
        object: ObjectKey,
        /// `helm.sh/resource-policy: keep`: it stays after all.
        keeps: bool,
    },
    /// It is in both, and differs.
    Patches {
        /// Which one.
        object: ObjectKey,
        /// What differs.
        fields: Vec<FieldChange>,
    },
}

impl ObjectChange {
    /// Line by line, for the diff.
    pub fn lines(&self) -> Vec<FieldChange> {
        let whole = |object: &ObjectKey, before: Option<&'static str>, after: Option<&'static str>| {
            vec![FieldChange {
                path: say!("{}", object),
                before: before.map(Clean::ours),
                after: after.map(Clean::ours),
            }]
        };
        match self {
            ObjectChange::Creates { object } => whole(object, None, Some("created")),
            ObjectChange::Deletes { object, keeps: false } => whole(object, Some("deleted"), None),
            ObjectChange::Deletes { object, keeps: true } => {
                whole(object, Some("in the release"), Some("kept, without the release"))
            }
            ObjectChange::Patches { object, fields } => {
                let line =
                    |change: &FieldChange| FieldChange { path: say!("{} {}", object, change.path), ..change.clone() };
                fields.iter().map(line).collect()
            }
        }
    }
}

fn find<'a>(release: &'a Release, key: &ObjectKey) -> Option<&'a ManifestObject> {
    release.objects.iter().find(|object| object.key == *key)
}

/// What the way from one record to another does to the objects, in the order of the manifests.
pub fn manifest_diff(current: &Release, target: &Release) -> Vec<ObjectChange> {
    let ahead = target.objects.iter().filter_map(|after| match find(current, &after.key) {
        None => Some(ObjectChange::Creates { object: after.key.clone() }),
        Some(before) => {
            let fields = field_changes(&before.fields, &after.fields);
            (!fields.is_empty()).then(|| ObjectChange::Patches { object: after.key.clone(), fields })
        }
    });
    let gone = current.objects.iter().filter(|before| find(target, &before.key).is_none());
    let gone = gone.map(|before| ObjectChange::Deletes { object: before.key.clone(), keeps: before.keep });
    ahead.chain(gone).collect()
}

/// What differs between the operator's values of two records.
pub fn values_diff(current: &Release, target: &Release) -> Vec<FieldChange> {
    field_changes(&current.values, &target.values)
}

/// What a rollback changes, for the review: values first, then objects.
pub fn review_lines(current: &Release, target: &Release) -> Vec<FieldChange> {
    let objects = manifest_diff(current, target);
    let values = values_diff(current, target).into_iter();
    let values = values.map(|change| FieldChange { path: say!("values {}", change.path), ..change });
    values.chain(objects.iter().flat_map(ObjectChange::lines)).collect()
}

/// Where a live pod template is not what a manifest says, container by container: images, words
/// and variables. The API server fills in defaults, so fields that the manifest leaves out do not
/// count, but containers and variables that it does not know do: they survive a rollback
/// (helm/helm#7676, helm/helm#13346).
pub fn disagreements(live: &Template, manifest: &Template) -> Vec<Clean> {
    let mut found = Vec::new();
    for wanted in &manifest.containers {
        match live.containers.iter().find(|container| container.name == wanted.name) {
            None => found.push(say!("container {} is missing", wanted.name)),
            Some(there) => container(there, wanted, &mut found),
        }
    }
    let unknown = |there: &&Container| manifest.containers.iter().all(|wanted| wanted.name != there.name);
    found.extend(
        live.containers.iter().filter(unknown).map(|there| say!("container {} is not in the manifest", there.name)),
    );
    found
}

/// A variable that a live template has and the manifest does not know. Helm leaves it where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The container.
    pub container: Name,
    /// The variable.
    pub variable: VarName,
}

impl Extra {
    /// As [`disagreements`] says it.
    pub fn words(&self) -> Clean {
        say!("variable {} of {} is not in the manifest", self.variable, self.container)
    }

    /// How a person takes it away.
    pub fn remedy(&self, workload: &WorkloadRef) -> Clean {
        say!("kubectl -n {} set env {} -c {} {}-", workload.namespace, workload, self.container, self.variable)
    }
}

/// The variables that only the live template has, container by container.
pub fn extras(live: &Template, manifest: &Template) -> Vec<Extra> {
    let mut found = Vec::new();
    for wanted in &manifest.containers {
        let there = live.containers.iter().find(|container| container.name == wanted.name);
        for var in there.iter().flat_map(|there| &there.env) {
            let extra = Extra { container: wanted.name.clone(), variable: var.name.clone() };
            if wanted.variable(var.name.as_str()).is_none() && !found.contains(&extra) {
                found.push(extra);
            }
        }
    }
    found
}

fn container(there: &Container, wanted: &Container, found: &mut Vec<Clean>) {
    let name = &wanted.name;
    if there.image != wanted.image {
        found.push(say!("{} runs {}, the manifest says {}", name, there.image, wanted.image));
    }
    if there.words != wanted.words {
        found.push(say!("the command or the arguments of {} differ", name));
    }
    if there.env_from != wanted.env_from {
        found.push(say!("envFrom of {} differs", name));
    }
    let names: std::collections::BTreeSet<_> = there.env.iter().chain(&wanted.env).map(|var| &var.name).collect();
    for variable in names {
        match (there.variable(variable.as_str()), wanted.variable(variable.as_str())) {
            (Some(live), Some(manifest)) if live == manifest => {}
            (Some(_), Some(_)) => found.push(say!("variable {} of {} has another value", variable, name)),
            (Some(_), None) => {
                found.push(Extra { container: name.clone(), variable: variable.clone() }.words());
            }
            (None, _) => found.push(say!("variable {} of {} is missing", variable, name)),
        }
    }
}
