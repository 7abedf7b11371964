//! A Helm release: its revisions and what each record of one says, as far as a rollback must
//! understand it (Helm v3.21 and v4.2, `pkg/release`, `pkg/storage`).

mod candidate;
mod diff;
mod judge;
mod trial;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use candidate::{ReleaseCandidate, rank};
pub use diff::{Extra, ObjectChange, disagreements, extras, manifest_diff, review_lines, values_diff};
pub use judge::{Concern, Facts, Gravity, concerns, lost, pods_way};
pub use trial::{Clash, Does, Trial, Tried, Verdict};

use crate::domain::cluster::{Field, WorkloadRef};
use crate::domain::image::Image;
use crate::domain::name::{Name, ReleaseName};
use crate::domain::workload::Template;
use crate::text::{Clean, Safe};

/// The number of a release's revision, from 1 on. Helm takes 0 for *the one before*, which is
/// never what anybody means, so 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseRevision(NonZeroU32);

impl ReleaseRevision {
    /// A revision of this number; `None` for 0 and for what is beyond Helm's numbers.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU32::new(u32::try_from(number).ok()?).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The revision that the next operation makes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for ReleaseRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Safe for ReleaseRevision {}

/// The status of one revision (Helm `pkg/release/common/status.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseStatus {
    /// It is what was rolled out last.
    Deployed,
    /// A later one took its place.
    Superseded,
    /// Its operation failed.
    Failed,
    /// It was uninstalled, and its record kept.
    Uninstalled,
    /// It is being uninstalled.
    Uninstalling,
    /// Its installation has begun and not ended.
    PendingInstall,
    /// Its upgrade has begun and not ended.
    PendingUpgrade,
    /// Its rollback has begun and not ended.
    PendingRollback,
    /// A word that no Helm known here writes, or Helm's own `unknown`.
    Unknown(Clean),
}

impl ReleaseStatus {
    /// The status that a record's word stands for.
    pub fn of(word: &Clean) -> Self {
        match word.as_str() {
            "deployed" => Self::Deployed,
            "superseded" => Self::Superseded,
            "failed" => Self::Failed,
            "uninstalled" => Self::Uninstalled,
            "uninstalling" => Self::Uninstalling,
            "pending-install" => Self::PendingInstall,
            "pending-upgrade" => Self::PendingUpgrade,
            "pending-rollback" => Self::PendingRollback,
            _ => Self::Unknown(word.clone()),
        }
    }

    /// Helm's word for it.
    pub fn word(&self) -> Clean {
        match self {
            Self::Deployed => Clean::ours("deployed"),
            Self::Superseded => Clean::ours("superseded"),
            Self::Failed => Clean::ours("failed"),
            Self::Uninstalled => Clean::ours("uninstalled"),
            Self::Uninstalling => Clean::ours("uninstalling"),
            Self::PendingInstall => Clean::ours("pending-install"),
            Self::PendingUpgrade => Clean::ours("pending-upgrade"),
            Self::PendingRollback => Clean::ours("pending-rollback"),
            Self::Unknown(word) if word.is_empty() => Clean::ours("unknown"),
            Self::Unknown(word) => word.clone(),
        }
    }

    /// An operation has begun and not ended: it runs, or its client is dead.
    pub fn pending(&self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }

    /// It was rolled out to its end once: what Helm's own rollback on failure goes back to.
    pub fn was_good(&self) -> bool {
        matches!(self, Self::Deployed | Self::Superseded)
    }
}

/// Where Helm keeps the records of a release (`HELM_DRIVER`). With `sql` and `memory` nothing of
/// them is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Secrets of type `helm.sh/release.v1`: the default.
    Secrets,
    /// ConfigMaps.
    ConfigMaps,
}

impl Storage {
    /// The value of `HELM_DRIVER` that leads Helm there.
    pub fn driver(self) -> &'static str {
        match self {
            Storage::Secrets => "secret",
            Storage::ConfigMaps => "configmap",
        }
    }
}

/// What the labels of a record tell without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseRow {
    /// Its number.
    pub revision: ReleaseRevision,
    /// Its status.
    pub status: ReleaseStatus,
    /// When the record was made: the label `createdAt`, else the object's own time.
    pub created: Option<Timestamp>,
    /// When it was written last: the label `modifiedAt`.
    pub modified: Option<Timestamp>,
}

impl ReleaseRow {
    /// When somebody wrote it last.
    pub fn touched(&self) -> Option<Timestamp> {
        self.modified.max(self.created)
    }
}

/// Somebody besides Helm who has written fields of the Deployment (`metadata.managedFields`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Writer {
    /// Which field manager and how, as `kubectl-set (Update)`.
    pub who: Clean,
    /// The fields of the pod template by the path that a diff shows, and [`Writer::REPLICAS`].
    pub fields: Vec<Clean>,
}

impl Writer {
    /// `spec.replicas` of the Deployment, which is no field of its template.
    pub const REPLICAS: &'static str = "replicas";
}

/// The revisions of a release, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct History {
    /// The release.
    pub release: ReleaseName,
    /// Where its records are.
    pub storage: Storage,
    /// The newest one: Helm's starting point for whatever comes next.
    pub current: ReleaseRow,
    /// The ones before it, newest first.
    pub older: Vec<ReleaseRow>,
    /// Who else writes the Deployment. `None` where it could not be read.
    pub writers: Option<Vec<Writer>>,
}

impl History {
    /// A history of these rows, in any order; `None` without a row.
    pub fn new(
        release: ReleaseName,
        storage: Storage,
        mut rows: Vec<ReleaseRow>,
        writers: Option<Vec<Writer>>,
    ) -> Option<Self> {
        rows.sort_by_key(|row| row.revision);
        let current = rows.pop()?;
        rows.reverse();
        Some(Self { release, storage, current, older: rows, writers })
    }

    /// All rows, newest first.
    pub fn rows(&self) -> impl Iterator<Item = &ReleaseRow> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// When a revision stopped being the newest: when the next one was made. `None` for the newest.
    pub fn left(&self, revision: ReleaseRevision) -> Option<Timestamp> {
        self.row(revision)?;
        self.rows().filter(|row| row.revision > revision).min_by_key(|row| row.revision)?.created
    }

    /// The row of a revision.
    pub fn row(&self, revision: ReleaseRevision) -> Option<&ReleaseRow> {
        self.rows().find(|row| row.revision == revision)
    }
}

/// How a revision's objects are sent to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyMethod {
    /// Three-way patches computed by Helm: Helm 3, and records without a word about it.
    ClientSide,
    /// Server-side apply: Helm 4's default for new installations.
    ServerSide,
    /// A word that no Helm known here writes.
    Unknown(Clean),
}

/// The chart of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// Its name.
    pub name: Clean,
    /// Its version.
    pub version: Clean,
    /// The version of what it installs, as the chart says. Not the image's tag.
    pub app_version: Clean,
}

/// Which object of a manifest. Helm takes objects of another API version for the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectKey {
    /// The API group; empty for the core group.
    pub group: Clean,
    /// The kind.
    pub kind: Clean,
    /// The namespace, where the manifest names one.
    pub namespace: Option<Clean>,
    /// The name.
    pub name: Clean,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Safe for ObjectKey {}

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestObject {
    /// Which one.
    pub key: ObjectKey,
    /// `apiVersion`
    pub api_version: Clean,
    /// `helm.sh/resource-policy: keep`: Helm never deletes it.
    pub keep: bool,
    /// `spec.replicas`, where the manifest sets it.
    pub replicas: Option<u32>,
    /// The pod template, where its kind has one.
    pub template: Option<Template>,
    /// Every field by path, values hidden unless harmless.
    pub fields: BTreeMap<Clean, Field>,
}

/// A hook of a revision. Helm does not track what it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Its name.
    pub name: Clean,
    /// Its kind.
    pub kind: Clean,
    /// The events that it runs at, as `pre-upgrade`.
    pub events: Vec<Clean>,
    /// The pod template, where its kind has one.
    pub template: Option<Template>,
}

impl Hook {
    /// It runs at a rollback. Helm selects by exact event, and takes the hooks of the revision
    /// that it goes back to (helm/helm#5825).
    pub fn at_rollback(&self) -> bool {
        self.events.iter().any(|event| matches!(event.as_str(), "pre-rollback" | "post-rollback"))
    }
}

/// One record in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The release.
    pub name: ReleaseName,
    /// The namespace that it was installed into.
    pub namespace: Name,
    /// Its number.
    pub revision: ReleaseRevision,
    /// Its status.
    pub status: ReleaseStatus,
    /// What Helm wrote about it, as `Rollback to 3`.
    pub description: Clean,
    /// When it was rolled out.
    pub deployed_at: Option<Timestamp>,
    /// Its chart.
    pub chart: Chart,
    /// How its objects are sent.
    pub apply: ApplyMethod,
    /// The operator's values by path, hidden unless harmless.
    pub values: BTreeMap<Clean, Field>,
    /// The objects of its manifest.
    pub objects: Vec<ManifestObject>,
    /// Its hooks.
    pub hooks: Vec<Hook>,
    /// Objects of kinds that the API server does not serve (any more), as `batch/v1beta1 CronJob`.
    /// `None` when the server could not be asked.
    pub unserved: Option<Vec<Clean>>,
}

impl Release {
    /// The Deployment in its manifest.
    pub fn deployment(&self, workload: &WorkloadRef) -> Option<&ManifestObject> {
        self.objects.iter().find(|object| {
            object.key.kind.as_str() == "Deployment"
                && object.key.name.as_str() == workload.name.as_str()
                && object.key.namespace.as_ref().is_none_or(|of| of.as_str() == workload.namespace.as_str())
        })
    }

    /// The gateway's image in its manifest.
    pub fn image(&self, workload: &WorkloadRef) -> Option<&Image> {
        Some(&self.deployment(workload)?.template.as_ref()?.main()?.image)
    }

    /// Its operation failed or never ended, whatever its status says now: a rollback that fails
    /// marks the revision before it as superseded, also one that never worked (Helm v3.17, v4.1,
    /// `pkg/action/rollback.go`). The words are Helm's own.
    pub fn never_came_through(&self) -> bool {
        let words = self.description.as_str();
        let operation = ["Release \"", "Upgrade \"", "Rollback \""].iter().any(|word| words.starts_with(word));
        operation && words.contains("\" failed: ") || matches!(words, "Initial install underway" | "Preparing upgrade")
    }

    /// The Jobs that are ordinary objects of its manifest: a rollback makes or patches them.
    pub fn jobs(&self) -> impl Iterator<Item = &ManifestObject> {
        self.objects.iter().filter(|object| object.key.kind.as_str() == "Job")
    }
}

#[cfg(test)]
mod tests;
