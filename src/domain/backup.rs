//! A backup that is proved: what is asked for, how it goes, and what its sidecar says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// The server behind the database's URL, and the programs of this machine that go with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Host, port, database and schema, without credentials.
    pub place: Clean,
    /// `server_version`
    pub version: Clean,
    /// The programs that dump this server and restore to it, or why there are none.
    pub programs: Result<Programs, Trouble>,
}

/// `pg_dump` and `pg_restore`, run and asked for their versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Programs {
    /// The folder that both are in.
    pub folder: Clean,
    /// What `pg_dump --version` says.
    pub pg_dump: Clean,
    /// What `pg_restore --version` says.
    pub pg_restore: Clean,
}

/// What to dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupOrder {
    /// Leave out the rows (not the definition) of `"LiteLLM_SpendLogs"`: much smaller and faster,
    /// and the spend history of before the backup is then only in the live database.
    pub without_spend_logs: bool,
    /// When it was asked for: names the file `litellm_backup_YYYYmmdd_HHMMSS.dump` (UTC).
    pub at: Timestamp,
}

impl BackupOrder {
    /// The file name of the finished dump.
    pub fn file_name(&self) -> String {
        self.at.strftime("litellm_backup_%Y%m%d_%H%M%S.dump").to_string()
    }
}

/// Where a running backup stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupProgress {
    /// Counting rows in the snapshot that will be dumped.
    Counting,
    /// Dumping: the table in hand, rows done of about how many, bytes written so far.
    Dumping {
        /// The table that is copied now.
        table: Option<Clean>,
        /// Rows of that table so far.
        rows: u64,
        /// Planner's estimate of that table's rows, where it has one.
        of_about: Option<u64>,
        /// Bytes in the file so far.
        bytes: u64,
    },
    /// Reading the whole file back: bytes read so far, and its size.
    ReadingBack {
        /// Bytes read.
        bytes: u64,
        /// Size of the file.
        of: u64,
    },
}

/// What the sidecar beside the dump says (`FILE.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupProof {
    /// File name of the dump.
    pub file: Clean,
    /// Folder that it is in.
    pub folder: Clean,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: Clean,
    /// Host, port, database and schema that it is of, without credentials. Empty in sidecars of
    /// before this was written.
    pub database: Clean,
    /// `server_version` of the database.
    pub server_version: Clean,
    /// Version of the `pg_dump` that wrote it.
    pub pg_dump_version: Clean,
    /// Rows per table (`schema.table`), counted in the very snapshot that was dumped.
    pub rows: BTreeMap<Clean, u64>,
    /// Tables whose rows were left out on request.
    pub left_out: Vec<Clean>,
    /// The newest applied migration.
    pub migration_head: Option<Clean>,
    /// When it began, by the clock of this machine.
    pub started_at: Timestamp,
    /// The moment that it holds, by the clock of the server.
    pub taken_at: Timestamp,
    /// When reading it back succeeded.
    pub proved_at: Timestamp,
}

/// What a backup brings: progress, then one end.
#[derive(Clone, Debug, PartialEq)]
pub enum BackupItem {
    /// Still going.
    Progress(BackupProgress),
    /// Written, read back in full, renamed, with its sidecar.
    Proved(Box<BackupProof>),
    /// It failed; no file of the final name exists.
    Failed(Trouble),
}
