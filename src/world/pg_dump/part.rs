//! The file of a dump: a private `.part` until it is proved, then its name and its sidecar.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::backup::BackupProof;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};
use crate::world::restore_file::sync_folder;
use crate::world::sidecar;

/// One part in this many of the tables' size is the least that a dump took where it was measured
/// (11 GB of compressible rows became 575 MB); less room than that is certainly too little.
const BEST_COMPRESSION: u64 = 20;

/// A dump that is being made. Dropped before [`Part::finish`], it removes its file.
pub(super) struct Part {
    part: PathBuf,
    dump: PathBuf,
    sidecar: PathBuf,
    finished: bool,
}

impl Part {
    /// Creates the empty private file. Refused where something of that name exists.
    pub(super) fn create(folder: &Path, name: &str, gate: &Gate) -> Result<Self, Trouble> {
        let dump = folder.join(name);
        let (part, sidecar) = (folder.join(format!("{name}.part")), sidecar::beside(&dump));
        if dump.exists() || sidecar.exists() {
            let dump = gate.clean(&dump.display().to_string());
            return Err(Trouble::new(TroubleKind::Disk, say!("{} is there already", dump))
                .remedy(Clean::ours("nothing was changed; start the backup again")));
        }
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        created.map_err(|why| unwritable(&part, &why, gate))?;
        Ok(Self { part, dump, sidecar, finished: false })
    }

    /// Where the dump is being written.
    pub(super) fn path(&self) -> &Path {
        &self.part
    }

    /// Refuses at once where even the best compression would not fit.
    pub(super) fn has_room_for(&self, table_bytes: u64, gate: &Gate) -> Result<(), Trouble> {
        let Ok(system) = rustix::fs::statvfs(&self.part) else { return Ok(()) };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        let least = table_bytes / BEST_COMPRESSION;
        if free >= least {
            return Ok(());
        }
        let folder = gate.clean(&self.part.parent().unwrap_or(&self.part).display().to_string());
        Err(Trouble::new(
            TroubleKind::Disk,
            say!(
                "no space left for the dump: {} has {} MB free, the tables take {} MB and would need at least {} MB",
                folder,
                megabytes(free),
                megabytes(table_bytes),
                megabytes(least)
            ),
        )
        .remedy(Clean::ours("free some space, choose another folder, or leave out the spend logs")))
    }

    /// The dump is proved: writes the sidecar, then gives the dump its name.
    pub(super) fn finish(&mut self, proof: &BackupProof, gate: &Gate) -> Result<(), Trouble> {
        sidecar::write(&self.dump, proof).map_err(|why| unwritable(&self.sidecar, &why, gate))?;
        let named = fs::rename(&self.part, &self.dump).and_then(|()| sync_folder(&self.dump));
        if let Err(why) = named {
            // Neither name may stay behind when one of them could not be made to last.
            let _ = fs::remove_file(&self.sidecar);
            let _ = fs::remove_file(&self.dump);
            return Err(unwritable(&self.dump, &why, gate));
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn unwritable(path: &Path, why: &io::Error, gate: &Gate) -> Trouble {
    let (path, why) = (gate.clean(&path.display().to_string()), gate.clean(&why.to_string()));
    Trouble::new(TroubleKind::Disk, say!("{} cannot be written: {}", path, why))
        .remedy(Clean::ours("make room, or choose a folder that exists and is writable"))
}
