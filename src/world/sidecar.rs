//! The sidecar of a dump (`FILE.json`): what was proved of it, for people and for the restore.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::backup::BackupProof;
use crate::domain::restore::Dump;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::restore_file::write_durably;

/// The version of the format that this program writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// How dumps are called, whoever named them.
const EXTENSION: &str = "dump";

#[derive(Serialize)]
struct Written<'a> {
    lastgood_backup: u32,
    #[serde(flatten)]
    proof: &'a BackupProof,
}

/// The same as a file says it: nothing in it is trusted before it passed the gate. Fields that
/// earlier versions did not write may be missing.
#[derive(Deserialize)]
struct Read {
    lastgood_backup: u32,
    file: String,
    bytes: u64,
    sha256: String,
    #[serde(default)]
    database: String,
    server_version: String,
    pg_dump_version: String,
    rows: BTreeMap<String, u64>,
    left_out: Vec<String>,
    migration_head: Option<String>,
    started_at: Timestamp,
    taken_at: Option<Timestamp>,
    proved_at: Timestamp,
}

/// Where the sidecar of a dump is.
pub(crate) fn beside(dump: &Path) -> PathBuf {
    let mut name = dump.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Writes the sidecar of a dump and returns when it is on the disk.
pub(crate) fn write(dump: &Path, proof: &BackupProof) -> io::Result<()> {
    let written = Written { lastgood_backup: FORMAT, proof };
    let bytes = serde_json::to_vec_pretty(&written).map_err(io::Error::other)?;
    write_durably(&beside(dump), &bytes)
}

/// Reads the sidecar of a dump.
///
/// # Errors
/// [`TroubleKind::NotFound`] where the dump or its sidecar is not there, [`TroubleKind::Invalid`]
/// where the sidecar is not one of ours.
pub(crate) fn read(dump: &Path, gate: &Gate) -> Result<Dump, Trouble> {
    let (file, sidecar) = (shown(dump, gate), shown(&beside(dump), gate));
    if !dump.is_file() {
        return Err(Trouble::new(TroubleKind::NotFound, say!("there is no dump {}", file))
            .remedy(Clean::ours("name the dump by its path; its sidecar lies beside it")));
    }
    let bytes = fs::read(beside(dump)).map_err(|why| {
        let why = gate.clean(&why.to_string());
        Trouble::new(TroubleKind::NotFound, say!("{} was not proved: its sidecar {}: {}", file, sidecar, why))
            .remedy(Clean::ours("bring the sidecar that was written beside it; a dump without one is restored by hand"))
    })?;
    let invalid = |why: Clean| {
        Trouble::new(TroubleKind::Invalid, say!("{} cannot be used: {}", sidecar, why))
            .remedy(Clean::ours("bring the sidecar that was written beside the dump, unchanged"))
    };
    let read: Read = serde_json::from_slice(&bytes).map_err(|why| invalid(gate.clean(&why.to_string())))?;
    if read.lastgood_backup != FORMAT {
        return Err(invalid(say!("its format is {}, and this program reads {}", read.lastgood_backup, FORMAT)));
    }
    let clean = |text: &String| gate.clean(text);
    let folder = dump.parent().unwrap_or(Path::new("."));
    let proof = BackupProof {
        file: clean(&read.file),
        folder: shown(folder, gate),
        bytes: read.bytes,
        sha256: clean(&read.sha256),
        database: clean(&read.database),
        server_version: clean(&read.server_version),
        pg_dump_version: clean(&read.pg_dump_version),
        rows: read.rows.iter().map(|(table, rows)| (clean(table), *rows)).collect(),
        left_out: read.left_out.iter().map(clean).collect(),
        migration_head: read.migration_head.as_ref().map(clean),
        started_at: read.started_at,
        taken_at: read.taken_at.unwrap_or(read.started_at),
        proved_at: read.proved_at,
    };
    Ok(Dump { path: dump.to_owned(), proof })
}

/// The proved dumps of these folders, the newest first. What cannot be read is no proved dump.
pub(crate) fn found(folders: &[PathBuf], gate: &Gate) -> Vec<Dump> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let dumps = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == EXTENSION));
    let mut dumps: Vec<Dump> = dumps.filter_map(|path| read(&path, gate).ok()).collect();
    dumps.sort_by(|a, b| (b.proof.taken_at, &b.path).cmp(&(a.proof.taken_at, &a.path)));
    dumps.dedup_by(|a, b| a.path == b.path);
    dumps
}

fn shown(path: &Path, gate: &Gate) -> Clean {
    gate.clean(&path.display().to_string())
}
