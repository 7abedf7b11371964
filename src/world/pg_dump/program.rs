//! Finding a `pg_dump` that is not older than the server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::child;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Where distributions keep the programs of several versions beside each other.
const VERSIONED: &str = "/usr/lib/postgresql";

/// Longest time for a program to say its version.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// A pair of programs that can dump and read back.
pub(super) struct Program {
    pub(super) pg_dump: PathBuf,
    pub(super) pg_restore: PathBuf,
    /// What `pg_dump --version` says.
    pub(super) version: Clean,
    /// What `pg_restore --version` says.
    pub(super) restore_version: Clean,
}

/// Where to look.
pub(super) struct Programs {
    exactly: Option<(PathBuf, PathBuf)>,
}

impl Programs {
    /// Whatever is installed: `PATH` first, then every version that the distribution keeps.
    pub(super) fn installed() -> Self {
        Self { exactly: None }
    }

    /// These and no others.
    pub(super) fn exactly(pg_dump: PathBuf, pg_restore: PathBuf) -> Self {
        Self { exactly: Some((pg_dump, pg_restore)) }
    }

    /// The first pair that is not older than the server (major version).
    pub(super) async fn for_server(&self, server: u32, gate: &Gate) -> Result<Program, Trouble> {
        let mut too_old = Vec::new();
        for (pg_dump, pg_restore) in self.candidates() {
            let (Some(version), Some(restores)) = (version(&pg_dump).await, version(&pg_restore).await) else {
                continue;
            };
            let serves = |version: &str| major(version).is_some_and(|major| major >= server);
            match (serves(&version), serves(&restores)) {
                (true, true) => {
                    let (version, restore_version) = (gate.clean(&version), gate.clean(&restores));
                    return Ok(Program { pg_dump, pg_restore, version, restore_version });
                }
                (true, false) => too_old.push(("pg_restore", restores)),
                (false, _) => too_old.push(("pg_dump", version)),
            }
        }
        let install =
            say!("install PostgreSQL's client programs, version {} or newer (postgresql-client-{})", server, server);
        Err(match too_old.first() {
            Some((program, version)) => {
                let version = gate.clean(version);
                Trouble::new(
                    TroubleKind::Program,
                    say!("{} {} is older than the server, which is version {}", *program, version, server),
                )
                .remedy(install)
            }
            None => Trouble::new(TroubleKind::Program, Clean::ours("pg_dump is not installed on this machine"))
                .remedy(install),
        })
    }

    fn candidates(&self) -> Vec<(PathBuf, PathBuf)> {
        if let Some(pair) = &self.exactly {
            return vec![pair.clone()];
        }
        let mut folders: Vec<PathBuf> = Vec::new();
        if let Ok(found) = which::which("pg_dump") {
            folders.extend(found.parent().map(Path::to_owned));
        }
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(VERSIONED)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().map(|(_, folder)| folder));
        let pairs = folders.into_iter().map(|folder| (folder.join("pg_dump"), folder.join("pg_restore")));
        pairs.filter(|(pg_dump, pg_restore)| pg_dump.is_file() && pg_restore.is_file()).collect()
    }
}

/// `15.18` of `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
async fn version(program: &Path) -> Option<String> {
    let mut command = child::command(program);
    command.arg("--version").stdout(Stdio::piped()).stderr(Stdio::null());
    let output = tokio::time::timeout(PROBE_LIMIT, command.output()).await.ok()?.ok()?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    words.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

pub(super) fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_read_from_releases_and_betas() {
        assert_eq!(major("15.18"), Some(15));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("9.6.24"), Some(9));
        assert_eq!(major("devel"), None);
    }
}
