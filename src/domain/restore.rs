//! Restoring a backup into a new database beside the live one: what is asked for, what it would
//! take, how it goes, and which rows of the live database the new one lacks.

pub mod remnant;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::backup::BackupProof;
use crate::domain::name::DatabaseName;
use crate::domain::trouble::Trouble;
use crate::text::{Clean, Gate, Many};

pub use remnant::Remnant;

/// The longest name of a database in bytes (PostgreSQL manual, 4.1.1: `NAMEDATALEN` less one).
const LONGEST: usize = 63;

/// What somebody wants to restore, as far as they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreWish {
    /// The dump; the newest proved one where none is named.
    pub dump: Option<PathBuf>,
    /// The name of the new database; derived where none is named.
    pub into: Option<DatabaseName>,
    /// When it was asked for: names the new database.
    pub at: Timestamp,
}

/// A dump with a sidecar that can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// Where it is.
    pub path: PathBuf,
    /// What its sidecar says.
    pub proof: BackupProof,
}

/// What a restore would take, looked up before anything is done.
#[derive(Clone, Debug, PartialEq)]
pub struct RestorePlan {
    /// The dumps to choose from, the newest first. Never empty.
    pub dumps: Vec<Dump>,
    /// The live database: host, port, database and schema, without credentials.
    pub beside: Clean,
    /// `server_version` of its server.
    pub server_version: Clean,
    /// The `pg_restore` that would be run.
    pub pg_restore: Clean,
    /// Bytes that the live database takes on the server (`pg_database_size`): about what the new one
    /// will take as well, less what the live one has grown since.
    pub live_bytes: u64,
    /// The name that the new database would get. Nothing of that name exists.
    pub into: DatabaseName,
    /// What earlier restores left there without an end.
    pub left: Vec<Remnant>,
}

/// What to restore, and into which new database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOrder {
    /// The dump.
    pub dump: PathBuf,
    /// The name of the database that is made for it.
    pub into: DatabaseName,
}

/// Where a running restore stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreProgress {
    /// Reading the dump in full, against its sidecar.
    Checking {
        /// Bytes read.
        bytes: u64,
        /// Size of the file.
        of: u64,
    },
    /// `pg_restore` fills tables, then makes indexes.
    Filling {
        /// The table that is filled, or the index that is made.
        object: Option<Clean>,
        /// Rows that are there.
        rows: u64,
        /// Rows that the sidecar counts.
        of: u64,
    },
    /// Counting the new database.
    Counting {
        /// Tables that are counted.
        tables: u64,
        /// Tables in all.
        of: u64,
    },
    /// Counting the live database for what the new one lacks.
    Comparing {
        /// Tables that are counted.
        tables: u64,
        /// Tables in all.
        of: u64,
    },
}

/// Rows that a timestamp column dates after the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// The column.
    pub column: Clean,
    /// How many rows.
    pub rows: u64,
}

/// One table of which the live database holds something else than the restored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `schema.table`
    pub table: Clean,
    /// Rows in the live database; `None` where the table is not there, or may not be read.
    pub live: Option<u64>,
    /// Rows in the restored one; `None` where the table is not there.
    pub restored: Option<u64>,
    /// Rows of the live table that were made after the backup, where a column tells.
    pub newer: Option<Since>,
    /// Rows of the live table that were changed after the backup, where a column tells.
    pub changed: Option<Since>,
}

impl Difference {
    /// Whether anything differs, as far as can be told.
    pub fn any(&self) -> bool {
        let some = |since: &Option<Since>| since.as_ref().is_some_and(|since| since.rows > 0);
        self.live != self.restored || some(&self.newer) || some(&self.changed)
    }

    /// What the restored database lacks of this table, in one line.
    pub fn words(&self) -> Clean {
        let counts = match (self.live, self.restored) {
            (Some(live), Some(restored)) => say!("{} live, {} restored", Many(live, "row"), restored),
            (Some(live), None) => say!("not in the backup; {} live", Many(live, "row")),
            (None, Some(restored)) => {
                say!("not in the live database, or not readable; {} restored", Many(restored, "row"))
            }
            (None, None) => Clean::ours("in neither database, or not readable"),
        };
        let since = |since: &Option<Since>, word: &'static str| match since {
            Some(since) if since.rows > 0 => say!("; {} {} since by {}", since.rows, word, since.column),
            _ => Clean::default(),
        };
        say!("{}: {}{}{}", self.table, counts, since(&self.newer, "made"), since(&self.changed, "changed"))
    }
}

/// A restore that came to its end: every table holds what the sidecar counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The new database.
    pub into: DatabaseName,
    /// File name of the dump.
    pub file: Clean,
    /// The moment that the dump holds.
    pub taken_at: Timestamp,
    /// Tables that were counted.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes that the new database takes.
    pub bytes: u64,
    /// What the live database holds and this one does not, table by table; `None` where that could
    /// not be told, and a note says why.
    pub differences: Option<Vec<Difference>>,
    /// What else must be known before the URL is switched.
    pub notes: Vec<Clean>,
}

impl Restored {
    /// What came of it, in one line.
    pub fn words(&self) -> Clean {
        let differ = match self.differences.as_ref().map(Vec::len) {
            None => Clean::ours("what it lacks of the live database is not known"),
            Some(0) => Clean::ours("the live database holds nothing that it lacks"),
            Some(1) => Clean::ours("1 table of the live database holds other rows"),
            Some(tables) => say!("{} tables of the live database hold other rows", tables),
        };
        say!(
            "{} restored into the new database {}: {} tables, {} rows, as the sidecar counts them; {}",
            self.file,
            self.into,
            self.tables,
            self.rows,
            differ
        )
    }
}

/// What a restore brings: progress, then one end.
#[derive(Clone, Debug, PartialEq)]
pub enum RestoreItem {
    /// Still going.
    Progress(RestoreProgress),
    /// Filled, counted, compared.
    Restored(Box<Restored>),
    /// It failed or was cancelled. The words say whether anything is left on the server.
    Failed(Trouble),
}

/// A [`Difference`] as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// `schema.table`
    pub table: String,
    /// Rows in the live database.
    pub live: Option<u64>,
    /// Rows in the restored one.
    pub restored: Option<u64>,
    /// The column that tells new rows, and how many of them are newer than the backup.
    pub newer: Option<(String, u64)>,
    /// The column that tells changed rows, and how many were changed since the backup.
    pub changed: Option<(String, u64)>,
}

impl From<&Difference> for Differing {
    fn from(difference: &Difference) -> Self {
        let since = |since: &Option<Since>| since.as_ref().map(|since| (since.column.to_string(), since.rows));
        Self {
            table: difference.table.to_string(),
            live: difference.live,
            restored: difference.restored,
            newer: since(&difference.newer),
            changed: since(&difference.changed),
        }
    }
}

impl Differing {
    /// The same for people: a journal is outside, so it passes the gate.
    pub fn read(&self, gate: &Gate) -> Difference {
        let since = |since: &Option<(String, u64)>| {
            since.as_ref().map(|(column, rows)| Since { column: gate.clean(column), rows: *rows })
        };
        Difference {
            table: gate.clean(&self.table),
            live: self.live,
            restored: self.restored,
            newer: since(&self.newer),
            changed: since(&self.changed),
        }
    }
}

/// The name of a new database beside an old one: the old name, and the time in UTC.
pub fn name_beside(database: &str, at: Timestamp) -> DatabaseName {
    let time = at.strftime("_restore_%Y%m%d_%H%M%S").to_string();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let old: String = database.chars().map(plain).take(LONGEST - time.len() - 1).collect();
    let letter = old.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    format!("{}{old}{time}", if letter { "" } else { "_" })
        .parse()
        .unwrap_or_else(|why| unreachable!("made of letters, digits, '_' and '-': {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_says_what_and_when_and_fits() {
        let at: Timestamp = "2026-11-20T11:14:48Z".parse().unwrap();
        let name = |old: &str| name_beside(old, at).to_string();
        assert_eq!(name("litellm"), "litellm_restore_20261120_111448");
        assert_eq!(name("9 lives; DROP"), "_9_lives__DROP_restore_20261120_111448");
        assert_eq!(name(""), "__restore_20261120_111448");
        assert_eq!(name(&"ü".repeat(80)).len(), 62);
        for bad in ["", "1a", "a b", "a\"b", "a/b", "a?b", &"x".repeat(64)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_table_lacks_is_said_in_numbers() {
        let since = |column: &'static str, rows| Some(Since { column: Clean::ours(column), rows });
        let of = |live, restored, newer, changed| Difference {
            table: Clean::ours("public.t"),
            live,
            restored,
            newer,
            changed,
        };
        let rows = [
            (of(Some(7), Some(7), since("created_at", 0), None), false, "public.t: 7 rows live, 7 restored"),
            (
                of(Some(9), Some(7), since("created_at", 2), since("updated_at", 3)),
                true,
                "public.t: 9 rows live, 7 restored; 2 made since by created_at; 3 changed since by updated_at",
            ),
            (
                of(Some(7), Some(7), None, since("updated_at", 1)),
                true,
                "public.t: 7 rows live, 7 restored; 1 changed since by updated_at",
            ),
            (of(Some(4), None, None, None), true, "public.t: not in the backup; 4 rows live"),
            (
                of(None, Some(4), None, None),
                true,
                "public.t: not in the live database, or not readable; 4 rows restored",
            ),
        ];
        for (difference, differs, words) in rows {
            assert_eq!((difference.any(), difference.words().as_str()), (differs, words));
            assert_eq!(Differing::from(&difference).read(&Gate::default()), difference);
        }
    }
}
