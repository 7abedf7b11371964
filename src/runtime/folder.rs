//! Where things are kept on this machine, the operator lock, and who is logged in.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::domain::name::{EnvName, IncidentId};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// The state folder of this user: `$XDG_STATE_HOME/lastgood`, normally `~/.local/state/lastgood`.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

/// Whether an incident is real. Drills are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Real incidents.
    Incidents,
    /// Drills.
    Drills,
}

impl StateFolder {
    /// Finds it.
    ///
    /// # Errors
    /// [`TroubleKind::Disk`] when this user has no home folder.
    pub fn find() -> Result<Self, Trouble> {
        let strategy = etcetera::choose_base_strategy().map_err(|_| {
            Trouble::new(TroubleKind::Disk, Clean::ours("this user has no home folder to keep the journal in"))
                .remedy(Clean::ours("set HOME or XDG_STATE_HOME"))
        })?;
        let base = strategy.state_dir().unwrap_or_else(|| strategy.home_dir().join(".local/state"));
        Ok(Self(base.join("lastgood")))
    }

    /// A state folder at a given place.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder of one incident.
    pub fn incident(&self, shelf: Shelf, id: &IncidentId) -> PathBuf {
        self.shelf(shelf).join(id.as_str())
    }

    /// The folder of all incidents of a shelf.
    pub fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.0.join(match shelf {
            Shelf::Incidents => "incidents",
            Shelf::Drills => "drills",
        })
    }

    /// The folder of the operator locks.
    pub fn locks(&self) -> PathBuf {
        self.0.join("locks")
    }

    /// Whether a drill was ever opened here.
    pub fn knows_drills(&self) -> bool {
        let begun = |entry: &fs::DirEntry| entry.path().join(super::journal::FILE).exists();
        fs::read_dir(self.shelf(Shelf::Drills)).is_ok_and(|entries| entries.flatten().any(|entry| begun(&entry)))
    }

    /// Every incident of both shelves, newest first: ids begin with their time.
    pub fn incidents(&self) -> Vec<(Shelf, IncidentId)> {
        let mut found = Vec::new();
        for shelf in [Shelf::Incidents, Shelf::Drills] {
            let Ok(entries) = fs::read_dir(self.shelf(shelf)) else { continue };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            found.extend(names.filter_map(|name| Some((shelf, name.parse::<IncidentId>().ok()?))));
        }
        found.sort_by(|(_, a), (_, b)| b.cmp(a));
        found
    }
}

/// Makes a folder that only this user can enter, with its parents.
///
/// # Errors
/// [`TroubleKind::Disk`], naming the folder.
pub fn private_folder(path: &Path, gate: &Gate) -> Result<(), Trouble> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|why| disk("make the folder", path, &why, gate))
}

/// A failure of this machine's disk, in words.
pub(crate) fn disk(verb: &'static str, path: &Path, why: &io::Error, gate: &Gate) -> Trouble {
    let remedy = match why.kind() {
        io::ErrorKind::StorageFull => "make room, or set XDG_STATE_HOME to a disk that has some",
        io::ErrorKind::PermissionDenied => "make it writable, or set XDG_STATE_HOME to a folder that is",
        io::ErrorKind::ReadOnlyFilesystem => "set XDG_STATE_HOME to a disk that can be written",
        _ => "look at the disk of this machine",
    };
    let (path, why) = (gate.clean(&path.display().to_string()), gate.clean(&why.to_string()));
    Trouble::new(TroubleKind::Disk, say!("cannot {} {}: {}", verb, path, why)).remedy(Clean::ours(remedy))
}

/// The operator lock of one environment on this machine. Held while the console is armed; the
/// system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct OperatorLock {
    _file: File,
}

impl OperatorLock {
    /// Takes the lock, or says who holds it.
    ///
    /// # Errors
    /// [`TroubleKind::Busy`] with the holder's login, machine and process; [`TroubleKind::Disk`].
    pub fn take(locks: &Path, environment: &EnvName, gate: &Gate) -> Result<Self, Trouble> {
        private_folder(locks, gate)?;
        let path = locks.join(format!("{environment}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|why| disk("open", &path, &why, gate))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = gate.clean(holder.trim());
                return Err(Trouble::new(TroubleKind::Busy, say!("{} is held by {}", environment, holder))
                    .remedy(Clean::ours("observe, or ask that operator to disarm (D)")));
            }
            Err(TryLockError::Error(why)) => return Err(disk("lock", &path, &why, gate)),
        }
        let words = format!("{} on {}, process {}\n", login(), host(), std::process::id());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(words.as_bytes()));
        written.map_err(|why| disk("write", &path, &why, gate))?;
        Ok(Self { _file: file })
    }
}

/// The login of the person at this machine, as far as the environment tells.
pub fn login() -> String {
    let told = ["SUDO_USER", "LOGNAME", "USER"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    told.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_has_one_holder_and_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate::default();
        let environment: EnvName = "prod".parse().unwrap();
        let held = OperatorLock::take(folder.path(), &environment, &gate).unwrap();
        let refused = OperatorLock::take(folder.path(), &environment, &gate).unwrap_err();
        assert_eq!(refused.kind, TroubleKind::Busy);
        assert!(refused.what.as_str().contains(&format!("process {}", std::process::id())), "{}", refused.what);
        drop(held);
        assert!(OperatorLock::take(folder.path(), &environment, &gate).is_ok());
    }
}
