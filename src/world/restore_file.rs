//! The restore file: one row exactly as it stood, kept on this machine before it is changed.
//!
//! It is the only place outside the database that holds the row with whatever secrets its logs
//! carry: mode 0600, written to the disk before the change is committed, checked when read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::domain::migration::Kept;
use crate::domain::name::{MigrationId, MigrationName};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Sealed};

/// The version of the format that this program writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// No row is larger; a bigger file is not one of ours.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What was done to the row after it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    /// It was deleted.
    Deleted,
    /// It was marked as rolled back.
    Resolved,
}

/// Which database a row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseIdentity {
    /// The server's own identifier, where this user may read it (`pg_control_system()`).
    pub(crate) system: Option<String>,
    /// Host and port of the URL; what counts where the identifier is not to be had.
    pub(crate) address: String,
    /// `current_database()`
    pub(crate) database: String,
    /// The schema of the table.
    pub(crate) schema: String,
}

impl DatabaseIdentity {
    /// The same database, as far as can be told.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let server = match (&self.system, &other.system) {
            (Some(one), Some(two)) => one == two,
            _ => self.address == other.address,
        };
        server && self.database == other.database && self.schema == other.schema
    }
}

/// Another row of the same migration name, as it stood when the row was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sibling {
    pub(crate) id: String,
    /// Finished and not rolled back.
    pub(crate) applied: bool,
    /// Marked as rolled back.
    pub(crate) rolled_back: bool,
}

/// Everything that an undo needs.
pub(crate) struct RestoreFile {
    pub(crate) act: Act,
    pub(crate) saved_at: Timestamp,
    pub(crate) database: DatabaseIdentity,
    pub(crate) id: MigrationId,
    pub(crate) name: MigrationName,
    /// The row before the change, as PostgreSQL's `row_to_json` printed it.
    pub(crate) row: Sealed<String>,
    /// The row after the change; `None` when it is gone.
    pub(crate) after: Option<Sealed<String>>,
    pub(crate) siblings: Vec<Sibling>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    lastgood_restore_file: u32,
    act: Act,
    saved_at: Timestamp,
    database: DatabaseIdentity,
    id: MigrationId,
    name: MigrationName,
    row: String,
    after: Option<String>,
    siblings: Vec<Sibling>,
}

/// A restore file on the disk whose change is not committed yet. Dropped without
/// [`Draft::keep`], it removes the file: there is nothing to undo.
pub(crate) struct Draft {
    path: PathBuf,
    file: String,
    kept: bool,
}

impl Draft {
    /// The file stays from here on, whatever happens.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// The change certainly did not happen: the file goes when this is dropped.
    pub(crate) fn withdraw(&mut self) {
        self.kept = false;
    }

    /// Its name in the folder.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl RestoreFile {
    /// Writes the file into the folder and returns when it is on the disk.
    pub(crate) fn write(&self, folder: &Path, gate: &Gate) -> Result<Draft, Trouble> {
        let file = self.file_name();
        let path = folder.join(&file);
        let stored = Stored {
            lastgood_restore_file: FORMAT,
            act: self.act,
            saved_at: self.saved_at,
            database: self.database.clone(),
            id: self.id.clone(),
            name: self.name.clone(),
            row: self.row.open().clone(),
            after: self.after.as_ref().map(|row| row.open().clone()),
            siblings: self.siblings.clone(),
        };
        serde_json::to_vec_pretty(&stored)
            .map_err(io::Error::other)
            .and_then(|bytes| write_durably(&path, &bytes))
            .map_err(|why| unwritable(&path, &why, gate))?;
        Ok(Draft { path, file, kept: false })
    }

    /// Reads the file that `kept` names and checks that it is what it should be.
    pub(crate) fn read(folder: &Path, kept: &Kept, gate: &Gate) -> Result<Self, Trouble> {
        if kept.file.is_empty() {
            return Self::newest(folder, kept, gate);
        }
        let plain = !kept.file.is_empty() && !kept.file.starts_with('.') && !kept.file.contains(['/', '\\', '\0']);
        if !plain {
            return Err(Trouble::new(
                TroubleKind::Invalid,
                say!("the journal names no plain restore file for row {}", kept.id),
            ));
        }
        let path = folder.join(&kept.file);
        let shown = gate.clean(&path.display().to_string());
        let text = read_limited(&path).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => {
                Trouble::new(TroubleKind::NotFound, say!("the restore file {} is not there", shown))
                    .remedy(Clean::ours("the row can only be put back from it, or from a dump"))
            }
            _ => {
                let why = gate.clean(&why.to_string());
                Trouble::new(TroubleKind::Disk, say!("the restore file {} cannot be read: {}", shown, why))
            }
        })?;
        let invalid = |why: Clean| {
            Trouble::new(TroubleKind::Invalid, say!("{} is no restore file of row {}: {}", shown, kept.id, why))
                .remedy(Clean::ours("nothing was changed; look for the right file in the incident's folder"))
        };
        // serde's own words quote the content, which may be secret: only the place is told.
        let stored: Stored = serde_json::from_str(&text)
            .map_err(|why| invalid(say!("line {}, column {} does not fit its format", why.line(), why.column())))?;
        stored.checked(kept).map_err(invalid)
    }

    /// The newest restore file of a row, for an act whose answer got lost.
    fn newest(folder: &Path, kept: &Kept, gate: &Gate) -> Result<Self, Trouble> {
        let names = fs::read_dir(folder).map(|entries| {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.filter(|name| name.starts_with("row-") && name.ends_with(".json")).collect::<Vec<_>>()
        });
        let files = names
            .unwrap_or_default()
            .into_iter()
            .filter_map(|file| Self::read(folder, &Kept { file, ..kept.clone() }, gate).ok());
        files.max_by_key(|file| file.saved_at).ok_or_else(|| {
            let folder = gate.clean(&folder.display().to_string());
            Trouble::new(TroubleKind::NotFound, say!("there is no restore file of row {} in {}", kept.id, folder))
                .remedy(Clean::ours("the row was not kept there; look at the table before anything else"))
        })
    }

    /// Unique in practice: the act, the moment and a digest of the row's id.
    fn file_name(&self) -> String {
        let act = match self.act {
            Act::Deleted => "deleted",
            Act::Resolved => "resolved",
        };
        let digest = sha2::Sha256::digest(self.id.as_str().as_bytes());
        let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("row-{act}-{}-{digest}.json", self.saved_at.strftime("%Y%m%dT%H%M%S%fZ"))
    }
}

impl Stored {
    fn checked(self, kept: &Kept) -> Result<RestoreFile, Clean> {
        if self.lastgood_restore_file != FORMAT {
            return Err(say!("its format is {}, and this program reads {}", self.lastgood_restore_file, FORMAT));
        }
        if self.id != kept.id || self.name != kept.name {
            return Err(Clean::ours("it holds another row"));
        }
        if (self.act == Act::Resolved) != self.after.is_some() {
            return Err(Clean::ours("it does not say what was done to the row"));
        }
        for row in [Some(&self.row), self.after.as_ref()].into_iter().flatten() {
            let row: serde_json::Value =
                serde_json::from_str(row).map_err(|_| Clean::ours("its row is not a JSON object"))?;
            let says = |column: &str| row.get(column).and_then(serde_json::Value::as_str);
            if says("id") != Some(self.id.as_str()) || says("migration_name") != Some(self.name.as_str()) {
                return Err(Clean::ours("its row has another id or name than the file says"));
            }
        }
        Ok(RestoreFile {
            act: self.act,
            saved_at: self.saved_at,
            database: self.database,
            id: self.id,
            name: self.name,
            row: Sealed::new(self.row),
            after: self.after.map(Sealed::new),
            siblings: self.siblings,
        })
    }
}

fn read_limited(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST { Err(io::Error::other("it is too large")) } else { Ok(text) }
}

/// Writes a private file so that it is whole or absent after a crash: a temporary file, synced,
/// renamed, and the folder synced.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Makes a rename in the file's folder survive a crash.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn unwritable(path: &Path, why: &io::Error, gate: &Gate) -> Trouble {
    let (path, why) = (gate.clean(&path.display().to_string()), gate.clean(&why.to_string()));
    Trouble::new(TroubleKind::Disk, say!("nothing was changed: the restore file {} cannot be written: {}", path, why))
        .remedy(Clean::ours("make room, or make the incident's folder writable"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sample() -> RestoreFile {
        RestoreFile {
            act: Act::Deleted,
            saved_at: "2026-11-20T11:14:48.441Z".parse().unwrap(),
            database: DatabaseIdentity {
                system: Some("1".into()),
                address: "db:5432".into(),
                database: "litellm".into(),
                schema: "public".into(),
            },
            id: "a/b".parse().unwrap(),
            name: "20251122125322_Add organization_id to spend logs".parse().unwrap(),
            row: Sealed::new(
                r#"{"id":"a/b","migration_name":"20251122125322_Add organization_id to spend logs","logs":"hunter2"}"#
                    .into(),
            ),
            after: None,
            siblings: Vec::new(),
        }
    }

    fn kept(file: &str) -> Kept {
        Kept { id: sample().id, name: sample().name, file: file.to_owned() }
    }

    #[test]
    fn what_is_written_is_read_and_only_the_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = sample().write(folder.path(), &Gate::default()).unwrap();
        draft.keep();
        let path = folder.path().join(draft.file());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = RestoreFile::read(folder.path(), &kept(draft.file()), &Gate::default()).ok().unwrap();
        assert!(read.row == sample().row && read.database == sample().database && read.act == Act::Deleted);
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_that_is_not_kept_goes() {
        let folder = tempfile::tempdir().unwrap();
        drop(sample().write(folder.path(), &Gate::default()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn damaged_foreign_and_misplaced_files_are_refused_without_quoting_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = sample().write(folder.path(), &Gate::default()).unwrap();
        draft.keep();
        let whole = fs::read_to_string(folder.path().join(draft.file())).unwrap();
        let damages: [(&str, String); 5] = [
            ("cut", whole[..whole.len() / 2].to_owned()),
            ("newer", whole.replace("\"lastgood_restore_file\": 1", "\"lastgood_restore_file\": 2")),
            ("other row", whole.replace(r#"\"id\":\"a/b\""#, r#"\"id\":\"c\""#)),
            ("other id", whole.replace("\"a/b\"", "\"hunter2\"")),
            ("unknown", whole.replacen('{', "{ \"hunter2\": 1,", 1)),
        ];
        for (what, content) in damages {
            assert_ne!(content, whole, "{what}");
            fs::write(folder.path().join("x.json"), content).unwrap();
            let why = RestoreFile::read(folder.path(), &kept("x.json"), &Gate::default()).err().unwrap();
            assert_eq!(why.kind, TroubleKind::Invalid, "{what}");
            assert!(!why.sentence().as_str().contains("hunter2"), "{what}: {}", why.sentence());
        }
        for outside in ["../x.json", "/etc/passwd", "."] {
            let why = RestoreFile::read(folder.path(), &kept(outside), &Gate::default()).err().unwrap();
            assert_eq!(why.kind, TroubleKind::Invalid);
        }
        let newest = RestoreFile::read(folder.path(), &kept(""), &Gate::default()).unwrap();
        assert_eq!(newest.id.as_str(), "a/b", "an act whose answer got lost is found by the row's id");
        let why = RestoreFile::read(folder.path(), &kept("gone.json"), &Gate::default()).err().unwrap();
        assert_eq!(why.kind, TroubleKind::NotFound);
    }

    #[test]
    fn a_folder_that_cannot_be_written_stops_the_change() {
        let why = sample().write(Path::new("/nowhere/at/all"), &Gate::default()).err().unwrap();
        assert_eq!(why.kind, TroubleKind::Disk);
        assert!(why.what.as_str().contains("nothing was changed"));
    }

    #[test]
    fn identity_is_the_server_or_else_its_address() {
        let one = sample().database;
        let moved = DatabaseIdentity { address: "other:1".into(), ..one.clone() };
        assert!(one.is_same(&moved));
        assert!(!one.is_same(&DatabaseIdentity { system: None, ..moved }));
        assert!(!one.is_same(&DatabaseIdentity { schema: "x".into(), ..one.clone() }));
    }
}
