//! Rows of `_prisma_migrations` and the rules for touching them.
//!
//! Row patterns after prisma-engines `schema-engine` (persistence and commands), checked against
//! its behaviour: *running* and *failed* are the same pattern and differ only by the holder of
//! the advisory lock.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::cluster::Fingerprint;
use crate::domain::confirm::Subject;
use crate::domain::ledger::Course;
use crate::domain::name::{MigrationId, MigrationName};
use crate::domain::schema::Object;
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The key of Prisma's advisory lock (`pg_advisory_lock(72707369)`).
pub const PRISMA_LOCK: i64 = 72_707_369;

/// The key of LiteLLM's own migration coordinator (litellm-proxy-extras 0.4.105 and later,
/// `migration_lock.py`: the bytes `llm_mig2`).
pub const COORDINATOR_LOCK: i64 = 7_812_739_710_205_912_882;

/// How a row stands. The order is the order of the table: what needs attention first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowState {
    /// Neither finished nor rolled back, and nobody holds the lock: blocks every later deploy (P3009).
    Failed,
    /// Neither finished nor rolled back, and somebody holds the lock.
    Running,
    /// Finished.
    Applied,
    /// Marked as rolled back: pending again.
    RolledBack,
}

impl RowState {
    /// The word for the table.
    pub fn word(self) -> &'static str {
        match self {
            RowState::Failed => "failed",
            RowState::Running => "running",
            RowState::Applied => "applied",
            RowState::RolledBack => "rolled back",
        }
    }

    /// The state that the columns and the lock tell.
    pub fn read(finished: bool, rolled_back: bool, lock_held: bool) -> Self {
        match (finished, rolled_back) {
            (_, true) => RowState::RolledBack,
            (true, false) => RowState::Applied,
            (false, false) if lock_held => RowState::Running,
            (false, false) => RowState::Failed,
        }
    }
}

/// One row as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Primary key; what a deletion names, because names are not unique.
    pub id: MigrationId,
    /// Migration name.
    pub name: MigrationName,
    /// How it stands.
    pub state: RowState,
    /// `started_at`
    pub started_at: Timestamp,
    /// `finished_at`
    pub finished_at: Option<Timestamp>,
    /// `rolled_back_at`
    pub rolled_back_at: Option<Timestamp>,
    /// `applied_steps_count`. 0 on a finished row: it was baselined, not run.
    pub steps: i32,
    /// SHA-256 of the migration's file, as the row has it.
    pub checksum: Clean,
    /// The error text of a failed run.
    pub logs: Option<Clean>,
    /// Digest over every column as stored, to see that the row is still the one that was shown.
    #[serde(skip)]
    pub content: Fingerprint,
}

/// A session that holds an advisory lock that migrations take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockHolder {
    /// Backend process id.
    pub pid: i32,
    /// `application_name`
    pub application: Clean,
    /// `state` of the session.
    pub session: Clean,
    /// When its current query started.
    pub since: Option<Timestamp>,
    /// True when it holds the lock, false when it waits for it.
    pub granted: bool,
}

/// The table at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct MigrationTable {
    /// Rows in the order of the table: failed, running, then by start, newest first; rows of one
    /// name stand together.
    pub rows: Vec<Row>,
    /// Who holds or awaits Prisma's lock or LiteLLM's coordinator lock.
    pub locks: Vec<LockHolder>,
    /// Rows that cannot be shown because their id, name or start is malformed: the table stays
    /// usable without them.
    pub unreadable: Vec<Trouble>,
    /// Schema that the table was found in.
    pub schema: Clean,
    /// False when the database has no such table at all.
    pub exists: bool,
}

impl MigrationTable {
    /// Sorts the rows into the order of the table.
    pub fn sorted(mut self) -> Self {
        use std::collections::HashMap;
        // A name stands where its most urgent, then newest row stands.
        let mut best: HashMap<MigrationName, (u8, std::cmp::Reverse<Timestamp>)> = HashMap::new();
        let urgency = |row: &Row| match row.state {
            RowState::Failed => 0,
            RowState::Running => 1,
            _ => 2,
        };
        for row in &self.rows {
            let rank = (urgency(row), std::cmp::Reverse(row.started_at));
            best.entry(row.name.clone()).and_modify(|old| *old = (*old).min(rank)).or_insert(rank);
        }
        self.rows.sort_by_cached_key(|row| {
            (
                best.get(&row.name).copied(),
                row.name.clone(),
                urgency(row),
                std::cmp::Reverse(row.started_at),
                row.id.clone(),
            )
        });
        self
    }

    /// Rows that block the next deploy.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state == RowState::Failed)
    }

    /// True while a migration runs: someone holds Prisma's lock.
    pub fn running(&self) -> bool {
        self.locks.iter().any(|lock| lock.granted)
    }

    /// How many rows share this row's name.
    pub fn of_name(&self, name: &MigrationName) -> usize {
        self.rows.iter().filter(|row| &row.name == name).count()
    }

    /// The row with this id.
    pub fn row(&self, id: &MigrationId) -> Option<&Row> {
        self.rows.iter().find(|row| &row.id == id)
    }
}

/// The phrase that acknowledges what deleting an applied row leads to, where nothing worse is known.
pub const APPLIED_PHRASE: &str = "the next upgrade runs it again";

/// Deleting one row, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The row, compared with the stored one before it goes.
    pub row: Row,
    /// What running its migration again comes to, as the database is now.
    pub again: Course,
}

impl Subject for Deletion {
    fn phrases(&self) -> Vec<Clean> {
        let mut phrases = vec![say!("{}", self.row.name)];
        phrases.extend(self.second_gate());
        phrases
    }
}

impl Deletion {
    /// What must be acknowledged beside the name, before an applied row goes, or a failed one whose
    /// second run is known to end badly.
    fn second_gate(&self) -> Option<Clean> {
        match (self.row.state, &self.again) {
            (RowState::Applied | RowState::Failed, Course::Stops(_)) => {
                Some(Clean::ours("the next upgrade stops there"))
            }
            (RowState::Applied | RowState::Failed, Course::Runs { drops, .. }) if !drops.is_empty() => {
                Some(Clean::ours("the next upgrade drops it again"))
            }
            (RowState::Applied, _) => Some(Clean::ours(APPLIED_PHRASE)),
            (RowState::Failed | RowState::Running | RowState::RolledBack, _) => None,
        }
    }

    /// What the deletion leads to, for the dialog.
    pub fn consequence(&self) -> Clean {
        match (self.row.state, &self.again) {
            (RowState::Applied, _) | (RowState::Failed, Course::Stops(_)) => self.run_again(),
            (RowState::Failed, Course::Runs { drops, .. }) if !drops.is_empty() => self.run_again(),
            (RowState::Failed, _) => Clean::ours(
                "The next start runs this migration again. A failing file leaves nothing behind, so that is what Prisma expects.",
            ),
            (RowState::Running, _) => {
                Clean::ours("Somebody holds the migration lock: wait, or the running migration loses its row.")
            }
            (RowState::RolledBack, _) => {
                Clean::ours("The row is history only; Prisma already counts the migration as pending.")
            }
        }
    }

    fn run_again(&self) -> Clean {
        let course = self.again.sentence();
        let advice = match &self.again {
            Course::Stops(stop) if self.row.state == RowState::Failed && stop.there => {
                "If all that it makes is there, mark it as applied instead."
            }
            Course::Stops(stop) if !stop.there => "Keep the row, until that object is there.",
            Course::Stops(_) => "Keep the row, unless that object is dropped before.",
            Course::Runs { drops, .. } if !drops.is_empty() => "Keep the row.",
            Course::Runs { adds, .. } if adds.iter().any(Object::holds_data) => {
                "What was in it comes back only from a backup."
            }
            Course::Runs { .. } => "Nothing is won by deleting it.",
            Course::Untold => {
                "If what it creates is still in the database, that upgrade stops at the first statement without IF NOT EXISTS. Delete it only if the table or column is gone."
            }
        };
        say!("The next upgrade runs this migration again {}. {}", course, advice)
    }
}

/// Marking a failed row as rolled back, as `prisma migrate resolve --rolled-back` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The row, compared with the stored one first.
    pub row: Row,
}

impl Subject for Resolution {
    fn phrases(&self) -> Vec<Clean> {
        vec![say!("{}", self.row.name)]
    }
}

/// Why a row cannot be resolved: Prisma's own rules (P3011, P3012).
pub fn may_resolve(row: &Row) -> Result<(), Clean> {
    match row.state {
        RowState::Failed => Ok(()),
        RowState::Running => Err(Clean::ours("a migration holds the lock; a running row cannot be resolved")),
        RowState::Applied => {
            Err(say!("{} cannot be rolled back because it is not in a failed state (Prisma P3012)", row.name))
        }
        RowState::RolledBack => Err(say!("{} is already marked as rolled back", row.name)),
    }
}

/// A row that was kept before it was changed: where, and what must not have happened since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Kept {
    /// The row's id.
    pub id: MigrationId,
    /// The migration's name.
    pub name: MigrationName,
    /// Name of the restore file in the incident's folder; empty: the newest one of this row.
    pub file: String,
}

impl Kept {
    /// A row that was kept by an act whose answer got lost: its file is found by the row's id.
    pub fn somewhere(id: MigrationId, name: MigrationName) -> Self {
        Self { id, name, file: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::Stop;

    fn row(id: &str, name: &str, state: RowState, second: i64) -> Row {
        Row {
            id: id.parse().unwrap(),
            name: name.parse().unwrap(),
            state,
            started_at: Timestamp::from_second(second).unwrap(),
            finished_at: None,
            rolled_back_at: None,
            steps: 0,
            checksum: Clean::default(),
            logs: None,
            content: Fingerprint::new(&[0; 32], id.as_bytes()),
        }
    }

    #[test]
    fn failed_rows_come_first_and_rows_of_one_name_stand_together() {
        let rows = vec![
            row("1", "a", RowState::Applied, 10),
            row("2", "b", RowState::RolledBack, 20),
            row("3", "c", RowState::Applied, 30),
            row("4", "b", RowState::Failed, 25),
        ];
        let table = MigrationTable { rows, ..MigrationTable::default() }.sorted();
        let ids: Vec<_> = table.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["4", "2", "3", "1"]);
    }

    #[test]
    fn an_applied_row_needs_a_second_phrase() {
        use crate::domain::confirm::Confirm;
        let failed = Deletion { row: row("1", "a", RowState::Failed, 0), again: Course::Untold };
        let applied = Deletion { row: row("1", "a", RowState::Applied, 0), again: Course::Untold };
        assert!(Confirm::new(failed).answer_all(["a"]).is_ok());
        assert!(Confirm::new(applied.clone()).answer_all(["a"]).is_err());
        assert!(Confirm::new(applied.clone()).answer_all(["a", APPLIED_PHRASE]).is_ok());
        // Where it is known that the next upgrade stops, that is what must be typed, whatever the row says.
        let object = Object::Table("LiteLLM_Lens".parse().unwrap());
        let stops = Deletion { again: Course::Stops(Stop { statement: 2, object, there: true }), ..applied };
        assert!(stops.consequence().as_str().contains("stops at its statement 2: LiteLLM_Lens is already there"));
        assert!(Confirm::new(stops.clone()).answer_all(["a", APPLIED_PHRASE]).is_err());
        assert!(Confirm::new(stops.clone()).answer_all(["a", "the next upgrade stops there"]).is_ok());
        let failed = Deletion { row: row("1", "a", RowState::Failed, 0), ..stops };
        assert!(failed.consequence().as_str().ends_with("mark it as applied instead."), "{}", failed.consequence());
        assert!(Confirm::new(failed.clone()).answer_all(["a"]).is_err());
        assert!(Confirm::new(failed).answer_all(["a", "the next upgrade stops there"]).is_ok());
    }

    #[test]
    fn states_are_read_from_columns_and_lock() {
        assert_eq!(RowState::read(false, false, false), RowState::Failed);
        assert_eq!(RowState::read(false, false, true), RowState::Running);
        assert_eq!(RowState::read(true, false, true), RowState::Applied);
        assert_eq!(RowState::read(false, true, false), RowState::RolledBack);
    }
}
