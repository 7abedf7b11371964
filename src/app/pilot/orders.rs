//! What an operator orders before walking away.

use std::collections::BTreeMap;

use crate::domain::acceptance::Acceptance;
use crate::domain::cluster::WorkloadRef;
use crate::domain::confirm::Subject as _;
use crate::domain::name::Uid;
use crate::domain::workload::{Revision, Workload};
use crate::text::Clean;

/// Which phrases were given to confirm with.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmations {
    /// Whatever is asked for: only in the embedded sandbox.
    Any,
    /// These, spelled out on the command line.
    Given(Vec<String>),
}

impl Confirmations {
    /// Whether this phrase is among them.
    pub fn hold(&self, phrase: &Clean) -> bool {
        match self {
            Confirmations::Any => true,
            Confirmations::Given(given) => given.iter().any(|given| given == phrase.as_str()),
        }
    }
}

/// A revision as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By its number.
    Number(u64),
    /// By its ReplicaSet's UID.
    Uid(Uid),
}

impl Wanted {
    /// The revision of a workload that is meant.
    pub fn find<'a>(&self, workload: &'a Workload) -> Option<&'a Revision> {
        workload.revisions.iter().find(|revision| match self {
            Wanted::Number(number) => revision.number == *number,
            Wanted::Uid(uid) => revision.uid == *uid,
        })
    }
}

/// What is to become of the backup step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupOrders {
    /// Everything.
    Full,
    /// Without the rows of the spend log.
    WithoutSpendLogs,
    /// None; the step is left as not done.
    Skip,
}

/// What the operator ordered before walking away.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders {
    /// The name to arm with; `None` stays read-only.
    pub arm: Option<String>,
    /// Confirmations.
    pub confirm: Confirmations,
    /// Checks may call real models.
    pub consent: bool,
    /// `DISABLE_SCHEMA_UPDATE=true` may go into the patch where the guard asks for it.
    pub protect: bool,
    /// What may be lost, spelled out as the guard asks for it.
    pub may_drop: Vec<String>,
    /// The backup.
    pub backup: BackupOrders,
    /// Targets by workload; where none is given, the best candidate.
    pub targets: BTreeMap<WorkloadRef, Wanted>,
    /// What to write at manual steps; `None` stops there.
    pub manual: Option<String>,
    /// Follow the tree beyond steps that failed; otherwise it ends there.
    pub explore: bool,
}

impl Orders {
    /// The first object that is lost, and that the orders do not name.
    pub fn unspelt(&self, lost: &Acceptance) -> Option<Clean> {
        lost.phrases().into_iter().find(|phrase| !self.may_drop(phrase))
    }

    /// Whether what is lost was spelled out. No wildcard does it, not even in a drill.
    pub fn may_drop(&self, phrase: &Clean) -> bool {
        self.may_drop.iter().any(|given| given == phrase.as_str())
    }
}
