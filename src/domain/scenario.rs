//! Scenarios: the worlds of the drills, written in TOML and proved sound when they are parsed.
//!
//! A scenario says what is there (revisions, images, migration rows), how each image behaves,
//! and what makes it well again. What follows from an act is not written down: the sandbox
//! works it out by the rules of the real systems.

mod bundled;
mod parse;
mod proof;

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use serde::Deserialize;

pub use bundled::{SCENARIOS, bundled_scenarios};

use crate::domain::cache::Protected;
use crate::domain::catalog::PackageVersion;
use crate::domain::coupled::{Scaler, Source as Leant};
use crate::domain::document::{Fault, Source};
use crate::domain::image::Image;
use crate::domain::migration::RowState;
use crate::domain::name::{
    CacheNamespace, ContextName, EnvName, MigrationId, MigrationName, ModelName, Name, ReleaseName, Slug, VarName,
};
use crate::domain::release::{ReleaseRevision, ReleaseStatus};
use crate::domain::runbook::{NodeRef, Stage};
use crate::domain::schema::Object;
use crate::text::{Clean, Gate, Secret};

/// A drill's world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its id, which is the stem of its file.
    pub id: Slug,
    /// Its title.
    pub title: Clean,
    /// What the pager said, in one paragraph.
    pub briefing: Clean,
    /// What it was, told at the end.
    pub debrief: Clean,
    /// What to look at next, for a newcomer, by stage.
    pub hints: BTreeMap<Stage, Vec<Clean>>,
    /// How fast it should go.
    pub target: SignedDuration,
    /// Where it takes place.
    pub place: Place,
    /// Secrets of this world, which the gate learns as it learns those of a real one.
    pub secrets: Vec<Secret>,
    /// Revisions of the Deployment, oldest first; the last one is live.
    pub revisions: Vec<RevisionPlan>,
    /// How each image behaves.
    pub images: Vec<ImagePlan>,
    /// ConfigMaps and Secrets that templates lean on.
    pub sources: Vec<SourcePlan>,
    /// Autoscalers of the Deployment.
    pub scalers: Vec<Scaler>,
    /// The Helm release that owns the Deployment, where one does.
    pub helm: Option<HelmPlan>,
    /// Rows of `_prisma_migrations`.
    pub rows: Vec<RowPlan>,
    /// The database.
    pub database: DatabasePlan,
    /// The gateway.
    pub gateway: GatewayPlan,
    /// What makes it well, in order. Tests do exactly this, and less.
    pub well: Vec<Condition>,
}

/// Where a scenario takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The environment's name, typed to arm the console.
    pub environment: EnvName,
    /// The kube context.
    pub context: ContextName,
    /// The API server's address.
    pub server: Clean,
    /// Its version.
    pub version: Clean,
    /// Who we are there.
    pub user: Clean,
    /// The namespace.
    pub namespace: Name,
    /// The Deployment.
    pub workload: Name,
    /// The gateway's container.
    pub container: Name,
    /// Wanted replicas.
    pub replicas: u32,
    /// How a new template replaces the old one.
    pub strategy: Strategy,
}

/// `spec.strategy` of the Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Every old pod goes before a new one comes.
    Recreate,
    /// One more pod than wanted, and never one ready pod less (`maxSurge: 1`, `maxUnavailable: 0`).
    Rolling,
}

/// Where a variable of a revision gets its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Written in the template.
    Literal(Secret),
    /// From a Secret or a ConfigMap.
    From(Clean),
}

/// One revision as it stands when the drill begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionPlan {
    /// Its number.
    pub number: u64,
    /// How long ago it was rolled out.
    pub age: SignedDuration,
    /// `kubernetes.io/change-cause`
    pub cause: Option<Clean>,
    /// The gateway's image.
    pub image: Image,
    /// `args`
    pub words: Vec<Clean>,
    /// `env`, the scenario's common variables first.
    pub env: Vec<(VarName, Setting)>,
    /// The digest that its pods ran while it was live, where its tag leads to another one by now.
    pub ran: Option<Clean>,
    /// The annotation `checksum/config` of its template.
    pub checksum: Option<Clean>,
    /// The ConfigMaps and Secrets that its template mounts.
    pub leans: Vec<Name>,
}

impl RevisionPlan {
    /// The value written in the template.
    pub fn literal(&self, name: &str) -> Option<&Secret> {
        self.env.iter().rev().find(|(var, _)| var.as_str() == name).and_then(|(_, setting)| match setting {
            Setting::Literal(value) => Some(value),
            Setting::From(_) => None,
        })
    }
}

/// Whether an image writes the spend of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spending {
    /// Each request gets its row.
    Recorded,
    /// The rows are lost on the way, without a word in the log.
    Lost,
}

/// How an image crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How long after its start.
    pub after: SignedDuration,
    /// How the container ended.
    pub exit: Clean,
    /// Its last words, as they come from outside.
    pub log: Vec<Secret>,
}

/// What an image does when it meets a schema that was changed for a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The applied migration that it cannot live with.
    pub with: MigrationName,
    /// What it keeps logging then.
    pub log: Vec<Secret>,
}

/// What an image does while its database lacks something that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What it asks for.
    pub object: Object,
    /// What it keeps logging while that is missing; no completion succeeds then.
    pub log: Vec<Secret>,
}

/// How one image behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlan {
    /// Which image.
    pub name: Image,
    /// The digest that nodes pull for it.
    pub digest: Clean,
    /// A pod of somebody else's in the namespace that runs it.
    pub neighbour: Option<Name>,
    /// How long it takes from its start until it is ready.
    pub ready_after: SignedDuration,
    /// It does not stay up.
    pub crash: Option<Crash>,
    /// What becomes of spend.
    pub spend: Spending,
    /// The migrations that it brings beyond the oldest image's, in order.
    pub brings: Vec<MigrationName>,
    /// What it cannot live with.
    pub clash: Option<Clash>,
    /// What it cannot live without, where the scenario says what its database holds.
    pub need: Option<Need>,
    /// What it logs while it starts, as it comes from outside.
    pub boot: Vec<Secret>,
    /// What it logs over and over while it runs.
    pub running: Vec<Secret>,
}

/// A ConfigMap or a Secret as it is when the drill begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlan {
    /// Which object.
    pub source: Leant,
    /// Its key that is used.
    pub key: Clean,
    /// Where it is mounted.
    pub path: Clean,
    /// Mounted by `subPath`.
    pub sub_path: bool,
    /// How long ago it was written to last.
    pub written: SignedDuration,
    /// Who wrote then.
    pub by: Option<Clean>,
    /// What is in it, as it comes from outside.
    pub text: Option<Secret>,
    /// Which image does not start with what is in it, and how that crashes.
    pub breaks: Option<(Image, Crash)>,
    /// How a person puts back what it held before.
    pub before: Option<Before>,
}

/// What a source held before, and the manual step by which a person puts that back. In a drill
/// saying that the step is done does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The node of the runbook.
    pub node: NodeRef,
    /// What was in it, as it comes from outside.
    pub text: Option<Secret>,
}

/// A Helm release that owns the Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmPlan {
    /// Its name.
    pub release: ReleaseName,
    /// What the program calls itself, as `v3.18.0`.
    pub program: Clean,
    /// The name of its chart.
    pub chart: Clean,
    /// Its revisions, oldest first.
    pub revisions: Vec<RecordPlan>,
}

/// One revision of a Helm release when the drill begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPlan {
    /// Its number.
    pub number: ReleaseRevision,
    /// How long ago its record was made.
    pub age: SignedDuration,
    /// Its status.
    pub status: ReleaseStatus,
    /// What Helm wrote about it.
    pub description: Clean,
    /// The version of its chart.
    pub version: Clean,
    /// The revision of the Deployment whose template its manifest holds.
    pub template: u64,
    /// The image of the migration Job, where that is an ordinary object of its manifest.
    pub job: Option<Image>,
    /// Names of ConfigMaps in its manifest.
    pub config_maps: Vec<Clean>,
}

/// One row of `_prisma_migrations` when the drill begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPlan {
    /// Its primary key.
    pub id: MigrationId,
    /// The migration.
    pub name: MigrationName,
    /// Applied, failed or rolled back.
    pub state: RowState,
    /// How long ago it started.
    pub age: SignedDuration,
    /// SHA-256 of the migration's file.
    pub checksum: Clean,
    /// The error text, as it comes from outside.
    pub logs: Option<Secret>,
}

/// The database of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabasePlan {
    /// `server_version`
    pub version: Clean,
    /// The key under which the stored credentials were encrypted.
    pub salt: Option<Secret>,
    /// The version of `litellm-proxy-extras` that built it: what it holds, and rows that the file
    /// does not name, are those of that package. `None` where nobody can look.
    pub built_by: Option<PackageVersion>,
    /// What was dropped since, behind the back of the migration table.
    pub gone: Vec<Object>,
    /// Migrations whose row is not there, although they ran.
    pub unrecorded: Vec<MigrationName>,
    /// How many stored values are encrypted with it.
    pub sealed: u32,
    /// Rows by table, for the backup.
    pub tables: BTreeMap<Clean, u64>,
}

/// The gateway of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPlan {
    /// Public names of the models.
    pub models: Vec<ModelName>,
    /// Active callbacks.
    pub callbacks: Vec<Clean>,
    /// Usage events go to Lago.
    pub billing: bool,
    /// How many virtual keys there are.
    pub keys: u64,
    /// How many teams there are.
    pub teams: u64,
    /// The Redis behind it; `None` without one.
    pub cache: Option<RedisPlan>,
}

impl RedisPlan {
    /// The namespace that the drill's gateway is set to: the first one that holds answers.
    pub fn namespace(&self) -> Option<&CacheNamespace> {
        self.answers.keys().flatten().next()
    }
}

/// A Redis and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlan {
    /// Its version.
    pub version: Clean,
    /// Kept answers by namespace.
    pub answers: BTreeMap<Option<CacheNamespace>, u64>,
    /// Other keys.
    pub protected: BTreeMap<Protected, u64>,
}

/// One part of what makes a scenario well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The Deployment runs the template of this revision.
    RevertedTo(u64),
    /// The Helm release went back to this revision.
    RolledBackTo(ReleaseRevision),
    /// The row of this migration is gone.
    Deleted(MigrationName),
    /// The pods were restarted after that.
    Restarted,
    /// A person put back what this source held before.
    PutBack(Name),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::RevertedTo(number) => write!(f, "revert to revision {number}"),
            Condition::RolledBackTo(number) => write!(f, "roll the Helm release back to revision {number}"),
            Condition::Deleted(name) => write!(f, "delete the row of {name}"),
            Condition::Restarted => f.write_str("restart the pods"),
            Condition::PutBack(name) => write!(f, "put back what {name} held before"),
        }
    }
}

impl crate::text::Safe for Condition {}

impl Scenario {
    /// Parses a scenario file and proves it sound.
    ///
    /// # Errors
    /// Every fault of the file.
    pub fn parse(source: Source<'_>, gate: &Gate) -> Result<Self, Vec<Fault>> {
        parse::scenario(source, gate)
    }

    /// How an image behaves, where the scenario knows it.
    pub fn image(&self, name: &Image) -> Option<&ImagePlan> {
        self.images.iter().find(|image| &image.name == name)
    }

    /// The live revision when the drill begins.
    pub fn live(&self) -> &RevisionPlan {
        match self.revisions.last() {
            Some(revision) => revision,
            None => unreachable!("parsing proved that there are revisions"),
        }
    }
}

#[cfg(test)]
mod tests;
