//! How far a long act has come: in words, and as a share where one is known.

use crate::domain::backup::BackupProgress;
use crate::domain::cache::ClearProgress;
use crate::domain::restore::RestoreProgress;
use crate::text::Clean;

/// Where a running act stands, of those that take long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Headway {
    /// A dump.
    Backup(BackupProgress),
    /// A restore.
    Restore(RestoreProgress),
    /// A clearance of the response cache.
    Clear(ClearProgress),
}

impl Headway {
    /// What it does now.
    pub fn words(&self) -> Clean {
        match self {
            Headway::Backup(BackupProgress::Counting) => Clean::ours("counting rows in the snapshot"),
            Headway::Backup(BackupProgress::Dumping { table, rows, of_about, bytes }) => {
                let table = table.as_ref().map_or(Clean::default(), |table| say!("{}: ", table));
                let of = of_about.map_or(Clean::default(), |about| say!(" of about {}", about));
                say!("{}{}{} rows, {} written", table, rows, of, size(*bytes))
            }
            Headway::Backup(BackupProgress::ReadingBack { bytes, of }) => {
                say!("reading back {} of {}", size(*bytes), size(*of))
            }
            Headway::Restore(RestoreProgress::Checking { bytes, of }) => {
                say!("comparing the dump with its sidecar, {} of {}", size(*bytes), size(*of))
            }
            Headway::Restore(RestoreProgress::Filling { object, rows, of }) => {
                let object = object.as_ref().map_or(Clean::default(), |object| say!("; now {}", object));
                say!("{} of {} rows are in the new database{}", rows, of, object)
            }
            Headway::Restore(RestoreProgress::Counting { tables, of }) => {
                say!("counting the new database, {} of {} tables", tables, of)
            }
            Headway::Restore(RestoreProgress::Comparing { tables, of }) => {
                say!("comparing the live database with it, {} of {} tables", tables, of)
            }
            Headway::Clear(ClearProgress { looked_at, of, deleted, counting: false }) => {
                say!("{} of about {} keys looked at, {} deleted", looked_at, of, deleted)
            }
            Headway::Clear(ClearProgress { deleted, .. }) => say!("{} deleted; counting what is left", deleted),
        }
    }

    /// How much of how much; `None` where the end is not known.
    pub fn share(&self) -> Option<(u64, u64)> {
        match self {
            Headway::Backup(BackupProgress::Dumping { rows, of_about: Some(about), .. }) => Some((*rows, *about)),
            Headway::Backup(BackupProgress::ReadingBack { bytes, of }) => Some((*bytes, *of)),
            Headway::Backup(_) => None,
            Headway::Restore(RestoreProgress::Checking { bytes: done, of })
            | Headway::Restore(RestoreProgress::Filling { rows: done, of, .. })
            | Headway::Restore(RestoreProgress::Counting { tables: done, of })
            | Headway::Restore(RestoreProgress::Comparing { tables: done, of }) => Some((*done, *of)),
            Headway::Clear(ClearProgress { looked_at, of, counting: false, .. }) => Some((*looked_at, *of)),
            Headway::Clear(_) => None,
        }
        .filter(|(_, all)| *all > 0)
    }

    /// The share in whole hundredths, at most 100.
    pub fn percent(&self) -> Option<u64> {
        let (done, all) = self.share()?;
        u64::try_from(u128::from(done.min(all)) * 100 / u128::from(all)).ok()
    }
}

/// Bytes in the unit that reads best.
pub fn size(bytes: u64) -> Clean {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) => say!("{}.{} {}", bytes / unit, bytes % unit * 10 / unit, *word),
        None => say!("{} B", bytes),
    }
}
