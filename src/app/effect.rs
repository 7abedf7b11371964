//! Everything that the core can ask the runtime to do, as data.

use std::fmt;

use jiff::Timestamp;

use crate::app::logs::ring::Sifting;
use crate::app::logs::saving::Saving;
use crate::domain::backup::BackupOrder;
use crate::domain::cache::Clearance;
use crate::domain::change::{Change, Cleared};
use crate::domain::cluster::{Ask, WorkloadRef};
use crate::domain::confirm::Confirmed;
use crate::domain::incident::Goal;
use crate::domain::log::LogSource;
use crate::domain::migration::{Deletion, Kept, Resolution};
use crate::domain::name::{DatabaseName, EnvName, ModelName, Name, ReleaseName, RequestId};
use crate::domain::record::{ActId, Entry};
use crate::domain::release::{ReleaseRow, Storage};
use crate::domain::restore::{RestoreOrder, RestoreWish};
use crate::domain::rollback::{ClearedRollback, Rollback};
use crate::text::Clean;

/// Something that looks and changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// Who we are in the cluster.
    Identity,
    /// What we may do there: the questions.
    Permissions(Vec<Ask>),
    /// The Deployments that look like LiteLLM, where none is configured.
    Workloads,
    /// A server-side dry run of a change.
    Preview(Box<Change>),
    /// One record of a Helm release, in full; its row as the history has it.
    Record(WorkloadRef, ReleaseName, Box<ReleaseRow>, Storage),
    /// The program that rolls Helm releases back.
    Helm,
    /// A rollback of a Helm release, tried at the API server.
    Trial(Box<Rollback>),
    /// What a Deployment and one of its revisions lean on.
    Coupled(WorkloadRef, Goal),
    /// Which salt key opens what is stored: the live one or this revision's.
    Opened(WorkloadRef, Goal),
    /// The migrations in a running pod.
    Listing(Name),
    /// The migration table, now.
    Migrations,
    /// What the database holds, now.
    Schema,
    /// The gateway's answers that cost nothing.
    Vitals,
    /// The gateway's settings.
    Settings,
    /// `/health`, which may call every model.
    ModelHealth,
    /// The admin UI and the API behind it.
    AdminUi,
    /// Which server the database is on, and the programs of this machine that dump it.
    Server,
    /// What restoring a backup would take.
    RestorePlan(Box<RestoreWish>),
    /// What is left of a restore: the database of this name.
    Remnant(DatabaseName),
    /// Redis.
    Cache,
    /// The keys of Redis, counted by what they are.
    CacheSurvey,
    /// One spend row.
    SpendRow(RequestId),
}

/// The number of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookId(pub u64);

/// Something that changes the world, or writes a dump, or costs money.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Apply a change that the schema guard let through.
    Apply(Box<Cleared>),
    /// Roll a Helm release back, as the guard let through.
    Rollback(Box<ClearedRollback>),
    /// Delete a migration row.
    Delete(Box<Confirmed<Deletion>>),
    /// Mark a failed migration row as rolled back.
    Resolve(Box<Confirmed<Resolution>>),
    /// Put a kept row back.
    Restore(Kept),
    /// Dump the database.
    Backup(BackupOrder),
    /// Restore a dump into a new database.
    RestoreDatabase(Box<RestoreOrder>),
    /// Delete kept answers from Redis.
    ClearCache(Box<Confirmed<Clearance>>),
    /// Send one completion.
    Complete(ModelName),
}

/// An act with the entry that announces it. Made only by `State::announce`,
/// which folds the entry; the runtime writes the entry and syncs it before it starts the act, so
/// an act that is not on disk cannot run.
///
/// ```compile_fail,E0451
/// # use lastgood::app::effect::{Act, Announced};
/// # use lastgood::domain::record::{ActId, Entry};
/// fn forged(at: jiff::Timestamp, act: Act) -> Announced {
///     Announced { id: ActId(1), at, started: Entry::Armed, act }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    pub(in crate::app) id: ActId,
    pub(in crate::app) at: Timestamp,
    pub(in crate::app) started: Entry,
    pub(in crate::app) act: Act,
}

impl Announced {
    /// Its number, the entry to write first, and the act to start then.
    pub fn into_parts(self) -> (ActId, Effect, Act) {
        (self.id, Effect::Record(self.at, self.started), self.act)
    }

    /// Its number.
    pub fn id(&self) -> ActId {
        self.id
    }
}

/// How the console ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The goal was reached.
    Reached,
    /// It was left before the goal was reached.
    Left,
    /// A check failed or a step did.
    NotReached,
    /// What was named is not there.
    Usage,
    /// A gate refused.
    Refused,
    /// Something needed could not be reached.
    Unreachable,
    /// The outcome of an act is unknown.
    Unknown,
}

/// What the runtime is asked to do. Effects of one update are done in order, and what follows a
/// record waits until the journal has it on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write an entry to the journal, with the time at which it was folded.
    Record(Timestamp, Entry),
    /// Look at something.
    Look(LookId, Look),
    /// Forget a look.
    Drop(LookId),
    /// Take the operator lock of this environment.
    Lock(EnvName),
    /// Let go of it.
    Unlock,
    /// Announce an act in the journal, then start it.
    Act(Box<Announced>),
    /// Cancel an act that can be cancelled.
    Cancel(ActId),
    /// Look through log lines beside the loop.
    Sift(Box<Sifting>),
    /// Write log lines to a new file.
    Save(Box<Saving>),
    /// Put text on the operator's clipboard.
    Copy(Clean),
    /// Draw the whole screen again.
    Redraw,
    /// Give the terminal back to the shell until it continues us.
    Suspend,
    /// Leave.
    Quit(Exit),
}

/// A live stream that the state wants. Derived by [`crate::app::feeds`], never commanded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// A Deployment with its revisions.
    Workload(WorkloadRef),
    /// The pods of a Deployment.
    Pods(WorkloadRef),
    /// The revisions of the Helm release that owns a Deployment, read every few seconds.
    Releases(WorkloadRef, ReleaseName),
    /// One container's log.
    Logs(LogSource),
    /// The migration table, read every few seconds.
    Migrations,
    /// What the database holds, read less often.
    Schema,
    /// Stored values that only newer versions can read, counted now and then.
    Newer,
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feed::Workload(workload) => write!(f, "{workload}"),
            Feed::Pods(workload) => write!(f, "pods of {workload}"),
            Feed::Releases(_, release) => write!(f, "history of Helm release {release}"),
            Feed::Logs(source) => write!(f, "log of {}/{}", source.pod, source.container),
            Feed::Migrations => f.write_str("migrations"),
            Feed::Schema => f.write_str("schema"),
            Feed::Newer => f.write_str("encrypted values"),
        }
    }
}
