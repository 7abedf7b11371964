//! The ports: what the console needs of the world, in its own words.
//!
//! Each port is implemented twice: live, over a real client, and in the sandbox, in process.
//! [`World`] is chosen once, from the command; nothing ever falls back from one to the other.
//! Everything that comes out of a port went through the gate inside the adapter, or it would
//! not compile: the types here hold [`Clean`] text and validated identifiers.
//!
//! Rules for adapters: a method returns within its own time limit; a changing method is sent
//! once and never retried; a connection that breaks after a change was sent is
//! [`TroubleKind::Unknown`], not a failure; dropping a returned future cancels it.

pub mod clock;
pub mod deferred;
pub mod helm;
pub mod kubernetes;
pub mod litellm;
pub mod pg_dump;
pub mod pip;
pub mod postgres;
pub mod redis;
mod restore_file;
pub mod sandbox;
mod sidecar;
pub mod tls;
mod variable;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use crate::domain::backup::{BackupItem, BackupOrder, Server};
use crate::domain::cache::{CacheSurvey, ClearItem, Clearance};
use crate::domain::catalog::Listing;
use crate::domain::change::{Applied, Change, Cleared, Preview};
use crate::domain::cluster::{Ask, Identity, Permission, PodsItem, WorkloadRef};
use crate::domain::confirm::Confirmed;
use crate::domain::coupled::Coupled;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::incident::Goal;
use crate::domain::live::Live;
use crate::domain::log::{LogItem, LogSource};
use crate::domain::migration::{Deletion, Kept, MigrationTable, Resolution};
use crate::domain::name::{DatabaseName, ModelName, Name, ReleaseName, RequestId};
use crate::domain::release::{History, Release, ReleaseRevision, Storage, Trial};
use crate::domain::restore::{Remnant, RestoreItem, RestoreOrder, RestorePlan, RestoreWish};
use crate::domain::rollback::{ClearedRollback, HelmProgram, Rollback, RolledBack};
use crate::domain::runbook::NodeRef;
use crate::domain::salt::{Keys, Opened};
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Discovered, Workload};
use crate::text::Clean;

/// One answer, later.
pub type Reply<T> = BoxFuture<'static, Result<T, Trouble>>;

/// Answers without end. A feed never ends by itself: it reports trouble and goes on.
pub type Feed<T> = BoxStream<'static, T>;

/// Reading the cluster.
pub trait Cluster: Send + Sync {
    /// Who we are and which cluster this is. Asked at start and before each act.
    fn identity(&self) -> Reply<Identity>;
    /// One SelfSubjectAccessReview for each question, in the order of the questions.
    fn permissions(&self, asks: Vec<Ask>) -> Reply<Vec<Permission>>;
    /// Deployments of the namespace that look like LiteLLM, by image and labels.
    fn discover(&self) -> Reply<Vec<Discovered>>;
    /// The Deployment with its revisions, whenever it or its ReplicaSets or Jobs change.
    fn workload(&self, workload: &WorkloadRef) -> Feed<Result<Box<Workload>, Trouble>>;
    /// The pods of a Deployment: a list, then changes. Lists again after 410.
    fn pods(&self, workload: &WorkloadRef) -> Feed<Result<PodsItem, Trouble>>;
    /// What a Deployment and one of its revisions lean on, and how their salt keys compare. What
    /// may not be read is unknown, and no trouble.
    fn coupled(&self, workload: &WorkloadRef, target: Goal) -> Reply<Coupled>;
    /// The salt keys of the live template and of a revision's, for [`Database::opened`] alone. The
    /// gate learns them first.
    fn salt_keys(&self, workload: &WorkloadRef, target: Goal) -> Reply<Keys>;
    /// The migrations in the image of a running pod of the console's namespace, as its own Python
    /// lists them. Starts one short process there and changes nothing; only on request.
    fn listing(&self, pod: &Name) -> Reply<Listing>;
    /// One container's log from its last `tail` lines on, followed; opened again from the last
    /// timestamp after a cut, without a lost or repeated line. A previous run's log just ends.
    fn logs(&self, source: &LogSource, tail: u32) -> Feed<LogItem>;
}

/// Reverting and restarting Deployments.
pub trait Workloads: Send + Sync {
    /// What would come of the change, by a server-side dry run. Changes nothing.
    fn preview(&self, change: Change) -> Reply<Preview>;
    /// Applies the change with tests on UID, generation and image. [`TroubleKind::Changed`] when
    /// the object is not the one that was planned on any more, or when the template that would
    /// result is not the one that was cleared: then nothing was applied.
    fn apply(&self, cleared: Cleared) -> Reply<Applied>;
}

/// Helm releases: their records, and rolling one back.
pub trait Releases: Send + Sync {
    /// The revisions of the release that owns this Deployment, from the labels of their records
    /// alone. [`TroubleKind::NotFound`] when nothing of it is kept in the cluster.
    fn history(&self, workload: &WorkloadRef, release: &ReleaseName) -> Reply<History>;
    /// One record in full, at most a few megabytes.
    fn record(
        &self,
        workload: &WorkloadRef,
        release: &ReleaseName,
        revision: ReleaseRevision,
        storage: Storage,
    ) -> Reply<Box<Release>>;
    /// The program that rolls back; [`TroubleKind::Program`] where there is none.
    fn program(&self) -> Reply<HelmProgram>;
    /// Tries a rollback at the API server, object by object, and changes nothing.
    fn trial(&self, rollback: Rollback) -> Reply<Trial>;
    /// Rolls back, and reads the record that came of it. What the program says is kept in
    /// `folder`. [`TroubleKind::Changed`] when the release has another newest revision than the
    /// one that was planned on: then nothing was sent. Dropping the future does not end the
    /// program: a killed one leaves the release pending.
    fn rollback(&self, cleared: ClearedRollback, folder: PathBuf) -> Reply<RolledBack>;
}

/// LiteLLM's PostgreSQL database.
pub trait Database: Send + Sync {
    /// The migration table and the holders of its lock.
    fn migrations(&self) -> Reply<MigrationTable>;
    /// What the database holds beside that table: tables, columns, indexes and the rest, by name.
    fn schema(&self) -> Reply<LiveSchema>;
    /// How many stored values only newer versions of LiteLLM can read, by table and column; only
    /// what is there is looked into, and no value leaves the database.
    fn newer(&self) -> Reply<Vec<Newer>>;
    /// Deletes one row, in one transaction: locked, compared with what was shown, written to a
    /// restore file in `folder`, deleted by id, counted, committed.
    fn delete(&self, proof: Confirmed<Deletion>, folder: PathBuf) -> Reply<Kept>;
    /// Marks one failed row as rolled back, with the same care.
    fn resolve(&self, proof: Confirmed<Resolution>, folder: PathBuf) -> Reply<Kept>;
    /// Puts back the exact row of a restore file. Refused when the name was applied again meanwhile.
    fn restore(&self, kept: Kept, folder: PathBuf) -> Reply<Clean>;
    /// How many of the stored values that are encrypted each key opens. Keys and values stay inside.
    fn opened(&self, keys: Keys) -> Reply<Opened>;
    /// The spend row of one request, by primary key.
    fn spend_row(&self, id: RequestId) -> Reply<Option<SpendRow>>;
}

/// Dumping the database, and restoring a dump beside it.
pub trait Backup: Send + Sync {
    /// Which server it is, and which programs of this machine are recent enough for it.
    fn server(&self) -> Reply<Server>;
    /// Dumps into `folder`, reads the dump back, and ends with a proof or a failure. Dropping
    /// the feed cancels it and leaves no file behind.
    fn run(&self, order: BackupOrder, folder: PathBuf) -> Feed<BackupItem>;
    /// What a restore would take: the proved dumps of these folders, the name that the new database
    /// would get, and what speaks against it. Changes nothing.
    fn plan_restore(&self, wish: RestoreWish, folders: Vec<PathBuf>) -> Reply<RestorePlan>;
    /// Restores a proved dump into a database that is made for it, never into one that exists, and
    /// counts it. `stop` ends it: until every table is counted, what was made is taken away again,
    /// and the end says what is left. A complete database stays.
    fn restore(&self, order: RestoreOrder, stop: CancellationToken) -> Feed<RestoreItem>;
    /// What stands on the server under the name that a restore was to make.
    fn remnant(&self, name: DatabaseName) -> Reply<Option<Remnant>>;
}

/// The LiteLLM gateway's HTTP interface.
pub trait Gateway: Send + Sync {
    /// Liveliness, readiness, version. Costs nothing.
    fn vitals(&self) -> Reply<Vitals>;
    /// Settings that decide what a check can prove. Costs nothing.
    fn settings(&self) -> Reply<Settings>;
    /// `/health`, which calls every model unless background checks are on. May cost money.
    fn model_health(&self) -> Reply<ModelHealth>;
    /// One completion of one token. Costs money, unless the model is mocked.
    fn complete(&self, model: ModelName) -> Reply<Completion>;
    /// The admin UI's page and one asset, keys and teams through the API.
    fn admin_ui(&self) -> Reply<AdminUi>;
}

/// The Redis that the gateway uses.
pub trait Cache: Send + Sync {
    /// Whether it answers, and its version.
    fn info(&self) -> Reply<CacheInfo>;
    /// Counts every key by what it is. Reads names only, in small steps (`SCAN`).
    fn survey(&self) -> Reply<CacheSurvey>;
    /// Deletes exactly the answers that were confirmed, in batches, and counts what is left. Doing
    /// it again goes on where it stopped. `stop` ends it between two batches.
    fn clear(&self, proof: Confirmed<Clearance>, stop: CancellationToken) -> Feed<ClearItem>;
}

/// The hands of the people who carry out manual steps. Only a sandbox has them: nobody else could
/// do there what a person said to have done.
pub trait Hands: Send + Sync {
    /// The manual step at this node was recorded as done.
    ///
    /// # Errors
    /// [`TroubleKind::Disk`] when the world's memory cannot be written.
    fn done(&self, node: &NodeRef) -> Result<(), Trouble>;
}

/// A part of the world, or why this environment does not have it.
pub type Part<P> = Result<Arc<P>, Trouble>;

/// Everything outside, chosen once.
#[derive(Clone)]
pub struct World {
    /// Reading the cluster.
    pub cluster: Part<dyn Cluster>,
    /// Changing Deployments.
    pub workloads: Part<dyn Workloads>,
    /// Helm releases.
    pub releases: Part<dyn Releases>,
    /// The database.
    pub database: Part<dyn Database>,
    /// Dumping it.
    pub backup: Part<dyn Backup>,
    /// The gateway.
    pub gateway: Part<dyn Gateway>,
    /// The cache.
    pub cache: Part<dyn Cache>,
    /// In a sandbox, the hands of people.
    pub hands: Option<Arc<dyn Hands>>,
}

/// A part that the configuration does not name.
pub fn missing<P: ?Sized>(what: Clean, remedy: Clean) -> Part<P> {
    Err(Trouble::new(TroubleKind::Missing, what).remedy(remedy))
}

/// What a feed of a missing part shows.
pub fn absent<T, P: ?Sized>(part: &Part<P>) -> Option<Live<T>> {
    part.as_ref().err().cloned().map(Live::Absent)
}
