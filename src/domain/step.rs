//! The steps that a runbook may name: a closed set. Runbooks choose among these; they never
//! carry a command line that the console would run.

use serde::{Deserialize, Serialize};

/// One kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Dump the database, read it back in full, and keep a sidecar.
    Backup,
    /// Review what must not change: salt key, config.yaml, DISABLE_SCHEMA_UPDATE, owner, permissions.
    Preflight,
    /// Choose the revision to go back to, for every workload.
    ChooseTarget,
    /// Put the chosen revision's template back, and watch the rollout to its end.
    Revert,
    /// Restart every pod, and watch the rollout to its end.
    Restart,
    /// Go through the migration rows: delete or resolve the failed ones.
    CleanMigrations,
    /// Delete the rows that say applied and whose objects are gone, so that they run again.
    StaleRows,
    /// Run the six checks until they are ticked.
    Verify,
    /// Delete the kept answers of the response cache, and nothing else, from Redis.
    ClearCache,
    /// Restore a proved backup into a new database beside the live one, and count it.
    Restore,
}

/// What an act can do to the world, and whether it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Only looks.
    Reads,
    /// Changes something, and the console knows the way back.
    Reversible,
    /// Changes something that only a backup brings back.
    Destroys,
}

impl Risk {
    /// The word for the plan.
    pub fn word(self) -> &'static str {
        match self {
            Risk::Reads => "reads only",
            Risk::Reversible => "reversible",
            Risk::Destroys => "needs typed confirmation",
        }
    }
}

impl StepKind {
    /// Every kind, in the order of the procedure.
    pub const ALL: [StepKind; 10] = [
        StepKind::Preflight,
        StepKind::Backup,
        StepKind::ChooseTarget,
        StepKind::Revert,
        StepKind::CleanMigrations,
        StepKind::StaleRows,
        StepKind::Restart,
        StepKind::Verify,
        StepKind::ClearCache,
        StepKind::Restore,
    ];

    /// The title in the plan.
    pub fn title(self) -> &'static str {
        match self {
            StepKind::Backup => "Back up the database",
            StepKind::Preflight => "Pre-rollback checks",
            StepKind::ChooseTarget => "Choose the last good revision",
            StepKind::Revert => "Revert",
            StepKind::Restart => "Restart the pods",
            StepKind::CleanMigrations => "Clean up failed migrations",
            StepKind::StaleRows => "Delete stale migration rows",
            StepKind::Verify => "Verify",
            StepKind::ClearCache => "Clear the response cache",
            StepKind::Restore => "Restore the backup into a new database",
        }
    }

    /// The id in runbooks and in the journal.
    pub fn slug(self) -> &'static str {
        match self {
            StepKind::Backup => "backup",
            StepKind::Preflight => "preflight",
            StepKind::ChooseTarget => "choose-target",
            StepKind::Revert => "revert",
            StepKind::Restart => "restart",
            StepKind::CleanMigrations => "clean-migrations",
            StepKind::StaleRows => "stale-rows",
            StepKind::Verify => "verify",
            StepKind::ClearCache => "clear-cache",
            StepKind::Restore => "restore",
        }
    }

    /// What it can do to the world.
    pub fn risk(self) -> Risk {
        match self {
            StepKind::Backup | StepKind::Preflight | StepKind::ChooseTarget | StepKind::Verify => Risk::Reads,
            StepKind::Revert | StepKind::Restart | StepKind::Restore => Risk::Reversible,
            StepKind::CleanMigrations | StepKind::StaleRows | StepKind::ClearCache => Risk::Destroys,
        }
    }

    /// How it is taken back.
    pub fn undo(self) -> &'static str {
        match self {
            StepKind::Backup => "delete the dump file",
            StepKind::Preflight | StepKind::ChooseTarget | StepKind::Verify => "nothing to undo",
            StepKind::Revert => "revert again, to the revision that is live now",
            StepKind::Restart => "nothing to undo: the template stays as it is",
            StepKind::ClearCache => "nothing to undo: the models are asked again, at their price",
            StepKind::Restore => "drop the new database; the live one is only read",
            StepKind::CleanMigrations | StepKind::StaleRows => {
                "`u` on the row, or `lastgood migrations restore ID`, puts the exact row back"
            }
        }
    }

    /// What it waits for before it is done.
    pub fn waits_for(self) -> &'static str {
        match self {
            StepKind::Backup => "the dump, read back in full",
            StepKind::Preflight => "your review",
            StepKind::ChooseTarget => "your choice",
            StepKind::Revert | StepKind::Restart => "the rollout: every replica updated and available, no old one left",
            StepKind::CleanMigrations => "no failed row in _prisma_migrations",
            StepKind::StaleRows => "no row that says applied while what it made is gone",
            StepKind::Verify => "all six checks",
            StepKind::ClearCache => "every key gone through, and the rest counted",
            StepKind::Restore => "every table counted, and what the live database holds besides read",
        }
    }
}

/// Facts that the console can gather: the `when` of a runbook's choice. Each is evaluated on the
/// state and comes with the evidence in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// Pods of the current revision crash or cannot start.
    PodsBroken,
    /// Every wanted replica is ready.
    PodsHealthy,
    /// No ready pod is left: nobody is served.
    NothingServes,
    /// At least one pod of the workload is ready, of whichever revision: somebody is served.
    StillServes,
    /// A row of `_prisma_migrations` is failed.
    FailedMigration,
    /// The table was read and no row is failed.
    NoFailedMigration,
    /// A row says applied, and what its migration makes is not there.
    RowWithoutObject,
    /// What a pending migration makes is there already, without a row.
    ObjectWithoutRow,
    /// A log line says that a relation or column does not exist.
    RelationMissing,
    /// A log line says that stored credentials cannot be decrypted.
    CredentialsUnreadable,
    /// The image differs between the live revision and the one before.
    ImageChanged,
    /// The image is the same and something else in the template differs.
    OnlyConfigChanged,
    /// Nothing in the templates differs: the cause is elsewhere.
    TemplateUnchanged,
    /// The configuration file has settings that the target's version does not know.
    SettingsTooNew,
    /// A database backup was proved in this incident.
    BackupProved,
    /// A target was chosen for every workload.
    TargetChosen,
    /// Every configured check is ticked.
    ChecklistComplete,
    /// At least one check failed.
    CheckFailed,
    /// This environment has no database configured.
    NoDatabase,
    /// A Helm release owns a workload, and neither Argo CD nor Flux is above it.
    OwnedByHelm,
    /// A ConfigMap that the target leans on holds something else than when the target ran.
    ConfigDrifted,
}
