//! What is written to disk: the facts of an incident that outlive the process.
//!
//! Serialised on purpose: [`Entry`] is a type of its own and a promise to old files, not the
//! program's messages. Words in it are clean; when a journal is read, they pass the gate again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::checklist::{CheckId, Mark};
use crate::domain::cluster::WorkloadRef;
use crate::domain::image::Image;
use crate::domain::migration::Kept;
use crate::domain::name::{CacheNamespace, DatabaseName, EnvName, IncidentId, ReleaseName, RequestId, Slug, Uid};
use crate::domain::release::ReleaseRevision;
use crate::domain::restore::Differing;
use crate::domain::runbook::NodeRef;

/// Version of the line format below. Raised when an old reader could misread a new line.
pub const FORMAT: u32 = 1;

/// The number of an act within its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActId(pub u32);

/// One line of a journal file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`FORMAT`].
    pub v: u32,
    /// Sequence number, from 0 without a gap.
    pub seq: u64,
    /// SHA-256 (hexadecimal) of the line before, without its line feed; empty for the first.
    pub prev: String,
    /// When.
    pub at: Timestamp,
    /// Who: local login, and the cluster's user in brackets once known.
    pub actor: String,
    /// On which machine.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// One fact. Strings are cleaned before they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Entry {
    /// The incident began.
    Opened {
        /// Its id.
        incident: IncidentId,
        /// The environment's name.
        environment: EnvName,
        /// `production`, `staging` or `drill`.
        kind: String,
        /// The scenario, in a drill.
        scenario: Option<Slug>,
        /// Context, server, namespace, workloads: what was opened on.
        place: Vec<String>,
        /// Runbook id, version and hash.
        runbook: Slug,
        /// Version of that runbook.
        version: u32,
        /// SHA-256 of its file.
        hash: String,
        /// The node that it starts at.
        start: NodeRef,
    },
    /// Somebody took the incident up again.
    Resumed {
        /// How many entries were read.
        entries: u64,
    },
    /// An answer was chosen.
    Chose {
        /// At which node.
        node: NodeRef,
        /// Which answer, from 1.
        choice: u8,
        /// Its words.
        label: String,
        /// What the evidence suggested, from 1; `None` when it suggested nothing.
        suggested: Option<u8>,
        /// The evidence in words.
        evidence: Vec<String>,
        /// Where it led.
        to: NodeRef,
    },
    /// The last step along the tree was taken back.
    TookBack {
        /// From which node.
        from: NodeRef,
        /// To which node.
        to: NodeRef,
    },
    /// Jumped to a node from a log signature.
    Jumped {
        /// From which node.
        from: NodeRef,
        /// To which node.
        to: NodeRef,
        /// The signature.
        signature: Slug,
    },
    /// A target was chosen for a workload.
    Targeted {
        /// The workload.
        workload: WorkloadRef,
        /// UID of the ReplicaSet.
        uid: Uid,
        /// Its number then.
        revision: u64,
        /// Its image.
        image: String,
        /// Why it ranks where it does.
        reasons: Vec<String>,
    },
    /// A revision of the Helm release that owns a workload was chosen as its target.
    TargetedRelease {
        /// The workload.
        workload: WorkloadRef,
        /// The release.
        release: ReleaseName,
        /// Its revision.
        revision: ReleaseRevision,
        /// Its image.
        image: String,
        /// Why it ranks where it does.
        reasons: Vec<String>,
    },
    /// The console was armed: somebody typed the environment's name.
    Armed,
    /// It was disarmed.
    Disarmed,
    /// An act is about to start. Synced to disk before it does.
    Started {
        /// Its number.
        act: ActId,
        /// The node that it belongs to, if it belongs to one.
        node: Option<NodeRef>,
        /// What it is, in machine words.
        kind: ActKind,
        /// What it is, in words.
        words: String,
        /// The equivalent command.
        command: String,
        /// Further facts: why the guard let it through, a masked copy of a row, the undo.
        notes: Vec<String>,
    },
    /// An act ended.
    Finished {
        /// Its number.
        act: ActId,
        /// How.
        end: End,
        /// In words.
        words: String,
        /// What it made, where later steps need it.
        made: Option<Made>,
    },
    /// A person said what became of an act whose outcome was unknown.
    Settled {
        /// Its number.
        act: ActId,
        /// True when it happened.
        happened: bool,
        /// What was seen when it was settled.
        words: String,
    },
    /// A step of the runbook is done or failed and the incident moves on.
    Stepped {
        /// The node that was left.
        node: NodeRef,
        /// True when it was done, false when it failed or was skipped.
        done: bool,
        /// What a person wrote down, or why it was skipped.
        words: String,
        /// Where it led.
        to: NodeRef,
    },
    /// A gate refused something.
    Refused {
        /// What was asked for.
        asked: String,
        /// Why it was refused.
        why: String,
    },
    /// A check's mark changed.
    Marked {
        /// Which check.
        check: CheckId,
        /// Its mark now.
        mark: Mark,
        /// The evidence.
        evidence: Vec<String>,
    },
    /// A gateway image newer than any before was seen. Kept, because the revision that names it
    /// may be gone when it matters.
    Saw {
        /// The image.
        image: Image,
    },
    /// The operator agreed that checks may call real models.
    Consented,
    /// A note.
    Noted {
        /// Its words.
        words: String,
    },
    /// The incident ended.
    Closed {
        /// True when the goal was reached.
        reached: bool,
        /// In words.
        words: String,
    },
}

/// What kind of act a [`Entry::Started`] announces: enough to look at the world after a crash
/// and see whether it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum ActKind {
    /// A Deployment's template was to change.
    Change {
        /// Which Deployment.
        workload: WorkloadRef,
        /// Its generation before.
        generation: i64,
        /// What was to change.
        change: Changed,
    },
    /// A Helm release was to be rolled back.
    Rollback {
        /// The Deployment that it was about.
        workload: WorkloadRef,
        /// The release.
        release: ReleaseName,
        /// The newest revision before.
        from: ReleaseRevision,
        /// The revision to go back to.
        to: ReleaseRevision,
    },
    /// A migration row was to be deleted.
    DeleteRow {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A migration row was to be marked as rolled back.
    ResolveRow {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A kept row was to be put back.
    RestoreRow {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A dump was to be written.
    Backup {
        /// Its file name.
        file: String,
    },
    /// A dump was to be restored into a new database.
    RestoreDatabase {
        /// The dump's file name.
        file: String,
        /// The name of the database that was to be made.
        into: DatabaseName,
    },
    /// Kept answers were to be deleted from Redis.
    ClearCache {
        /// Those of this namespace; without one, those that have none.
        namespace: Option<CacheNamespace>,
    },
    /// A test completion was to be sent, which costs money.
    Complete,
}

impl ActKind {
    /// It changes the cluster or the database. Dumps, test completions and clearing the cache, all
    /// of which may be done again without a second thought, do not.
    pub fn changes(&self) -> bool {
        !matches!(self, ActKind::Backup { .. } | ActKind::ClearCache { .. } | ActKind::Complete)
    }

    /// What it does, in a word or two.
    pub fn word(&self) -> &'static str {
        match self {
            ActKind::Change { .. } => "change",
            ActKind::Rollback { .. } => "rollback",
            ActKind::DeleteRow { .. } => "deletion",
            ActKind::ResolveRow { .. } => "resolution",
            ActKind::RestoreRow { .. } => "row restore",
            ActKind::Backup { .. } => "backup",
            ActKind::RestoreDatabase { .. } => "restore",
            ActKind::ClearCache { .. } => "cache clearance",
            ActKind::Complete => "completion",
        }
    }

    /// It takes long, tells how far it is, and can be cancelled.
    pub fn cancellable(&self) -> bool {
        matches!(self, ActKind::Backup { .. } | ActKind::RestoreDatabase { .. } | ActKind::ClearCache { .. })
    }

    /// The Deployment whose template it changes.
    pub fn workload(&self) -> Option<&WorkloadRef> {
        match self {
            ActKind::Change { workload, .. } | ActKind::Rollback { workload, .. } => Some(workload),
            _ => None,
        }
    }

    /// The row that such an act keeps before it changes it, once it is known to have happened.
    pub fn kept(&self) -> Option<Kept> {
        match self {
            ActKind::DeleteRow { id, name } | ActKind::ResolveRow { id, name } => {
                Some(Kept::somewhere(id.parse().ok()?, name.parse().ok()?))
            }
            _ => None,
        }
    }
}

/// What a change of a Deployment was to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Changed {
    /// Back to the template of this ReplicaSet.
    Revert {
        /// Its UID.
        to: Uid,
    },
    /// An image.
    Image,
    /// A variable.
    Variable,
    /// Nothing but the restart annotation.
    Restart,
}

/// What an act made, where a later step or a resume needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "made", rename_all = "kebab-case")]
pub enum Made {
    /// A Deployment's template was changed.
    Applied {
        /// Its generation after.
        generation: i64,
    },
    /// A Helm release was rolled back.
    RolledBack {
        /// The revision that it made.
        revision: ReleaseRevision,
    },
    /// A row was changed, and kept as it was.
    Kept(Kept),
    /// A dump was proved.
    Backup {
        /// Its file name.
        file: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its SHA-256.
        sha256: String,
        /// Tables whose rows were left out.
        left_out: Vec<String>,
    },
    /// Kept answers were deleted.
    Emptied {
        /// How many.
        deleted: u64,
        /// How many there were right after.
        left: u64,
    },
    /// A dump was restored.
    Database {
        /// The new database.
        into: DatabaseName,
        /// Tables that were counted against the sidecar.
        tables: u64,
        /// Their rows.
        rows: u64,
        /// Tables of which the live database holds something else; nothing where it was not compared.
        differences: Option<Vec<Differing>>,
        /// What else must be known before the URL is switched.
        notes: Vec<String>,
    },
    /// A completion was answered.
    Completed {
        /// Its id.
        id: RequestId,
    },
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It happened.
    Done,
    /// It did not happen.
    Failed,
    /// Nobody knows whether it happened. Never repeated without asking.
    Unknown,
}
