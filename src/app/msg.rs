//! Everything that can happen: one closed enum, in one order.

use jiff::Timestamp;

use crate::app::action::{Action, Pane};
use crate::app::effect::{Feed, LookId};
use crate::app::key::Key;
use crate::app::logs::ring::Sifted;
use crate::app::state::Anchor;
use crate::domain::backup::{BackupProof, Server};
use crate::domain::cache::{CacheSurvey, Emptied};
use crate::domain::catalog::Listing;
use crate::domain::change::{Applied, Preview};
use crate::domain::cluster::{Identity, Permission, PodsItem, WorkloadRef};
use crate::domain::coupled::Coupled;
use crate::domain::encrypted::Newer;
use crate::domain::gateway::{AdminUi, CacheInfo, Completion, ModelHealth, Settings, SpendRow, Vitals};
use crate::domain::headway::Headway;
use crate::domain::incident::Goal;
use crate::domain::log::LogItem;
use crate::domain::migration::{Kept, MigrationTable};
use crate::domain::name::CacheNamespace;
use crate::domain::record::ActId;
use crate::domain::release::{History, Release, Trial};
use crate::domain::restore::{Remnant, RestorePlan, RestoreWish, Restored};
use crate::domain::rollback::{HelmProgram, RolledBack};
use crate::domain::salt::Opened;
use crate::domain::schema::LiveSchema;
use crate::domain::trouble::Trouble;
use crate::domain::workload::{Discovered, Workload};
use crate::text::{Clean, Secret};

/// What came of a look.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Sight {
    Identity(Result<Identity, Trouble>),
    Permissions(Result<Vec<Permission>, Trouble>),
    /// See [`crate::app::effect::Look::Workloads`].
    Workloads(Result<Vec<Discovered>, Trouble>),
    Preview(Result<Box<Preview>, Trouble>),
    Record(Result<Box<Release>, Trouble>),
    Helm(Result<HelmProgram, Trouble>),
    Listing(Result<Box<Listing>, Trouble>),
    Migrations(Result<MigrationTable, Trouble>),
    Schema(Result<LiveSchema, Trouble>),
    Coupled(Result<Box<Coupled>, Trouble>),
    Opened(Result<Opened, Trouble>),
    Trial(Result<Box<Trial>, Trouble>),
    Vitals(Result<Vitals, Trouble>),
    Settings(Result<Settings, Trouble>),
    ModelHealth(Result<ModelHealth, Trouble>),
    AdminUi(Result<AdminUi, Trouble>),
    Server(Result<Box<Server>, Trouble>),
    RestorePlan(Result<Box<RestorePlan>, Trouble>),
    Remnant(Result<Option<Remnant>, Trouble>),
    Cache(Result<CacheInfo, Trouble>),
    CacheSurvey(Result<CacheSurvey, Trouble>),
    SpendRow(Result<Option<SpendRow>, Trouble>),
}

/// What came of an act that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// A Deployment was changed.
    Applied(Applied),
    /// A Helm release was rolled back, and its record says so.
    RolledBack(RolledBack),
    /// A row was deleted or resolved, and kept.
    Kept(Kept),
    /// A row was put back; in words.
    Restored(Clean),
    /// The database was dumped and the dump proved.
    Backup(Box<BackupProof>),
    /// A dump was restored into a new database.
    RestoredDatabase(Box<Restored>),
    /// Kept answers were deleted from Redis.
    Emptied(Emptied),
    /// A completion was answered.
    Completed(Box<Completion>),
}

/// What a feed brings.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Item {
    Workload(Result<Box<Workload>, Trouble>),
    Pods(Result<PodsItem, Trouble>),
    Releases(Result<History, Trouble>),
    Logs(LogItem),
    Migrations(Result<MigrationTable, Trouble>),
    Schema(Result<LiveSchema, Trouble>),
    Newer(Result<Vec<Newer>, Trouble>),
}

/// What the journal says.
#[derive(Clone, Debug, PartialEq)]
pub enum JournalNews {
    /// The entry with this sequence number is on disk.
    Written(u64),
    /// Nothing can be written any more, and why. Nothing may change from now on.
    Broken(Trouble),
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Msg {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted: nobody knows what is in it.
    Paste(Secret),
    /// An action was asked for without a key: by the palette, or without a screen.
    Do(Action),
    /// A target was chosen without a cursor: without a screen.
    Target(WorkloadRef, Goal),
    /// A line was selected without a cursor: without a screen.
    Select(Pane, Anchor),
    /// A kept row is to be put back: without a screen.
    Undo(Kept),
    /// Answers of this namespace are to be cleared: without a screen.
    Clear(Option<CacheNamespace>),
    /// A backup is to be restored: without a screen.
    RestoreDatabase(Box<RestoreWish>),
    /// The incident is over: without a screen.
    Close(bool, Clean),
    /// The time.
    Tick(Timestamp),
    /// The size of the screen, in cells.
    Size(u16, u16),
    /// A feed brought something.
    Feed(Feed, Item),
    /// A look came back.
    Looked(LookId, Sight),
    /// An act that takes long goes on.
    Progress(ActId, Headway),
    /// An act ended.
    Acted(ActId, Result<Done, Trouble>),
    /// The journal says something.
    Journal(JournalNews),
    /// The operator lock was taken, or who holds it.
    Locked(Result<(), Trouble>),
    /// What happened to text that was to be copied.
    Copied(Result<Clean, Clean>),
    /// Log lines were looked through.
    Sifted(Sifted),
    /// What came of writing log lines to a file.
    Saved(Result<Clean, Trouble>),
    /// The terminal is gone, or we are asked to end.
    Hangup,
}

impl Msg {
    /// It brings log lines and nothing else.
    pub fn is_log_lines(&self) -> bool {
        matches!(self, Msg::Feed(_, Item::Logs(LogItem::Lines(_))))
    }
}
