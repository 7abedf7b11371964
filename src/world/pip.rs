//! The program `pip`: which versions of a package are published, what one asks for, and its files.
//!
//! It is called by name, with the operator's own configuration and mirror. What it brought is kept
//! in a cache folder, so that an interrupted run goes on where it was.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// The largest file that is read out of a package, in bytes.
const LARGEST: u64 = 8 << 20;

/// Why a version was not brought.
#[derive(Clone, Debug)]
pub enum NotBrought {
    /// It is listed and cannot be had: withdrawn, or without a file that fits.
    Absent,
    /// Something is wrong on this side or on the way.
    Trouble(Trouble),
}

impl From<Trouble> for NotBrought {
    fn from(trouble: Trouble) -> Self {
        NotBrought::Trouble(trouble)
    }
}

/// `pip`, with a cache folder.
#[derive(Clone, Debug)]
pub struct Pip {
    program: PathBuf,
    /// What stands before pip's own arguments.
    leading: &'static [&'static str],
    cache: PathBuf,
    gate: Gate,
}

/// What is kept of a version's metadata.
#[derive(Serialize, Deserialize)]
struct Asked {
    requires: Vec<String>,
}

/// The part of `pip install --report` that is read (pip's documentation, installation report).
#[derive(Deserialize)]
struct Report {
    install: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    requires_dist: Vec<String>,
}

impl Pip {
    /// Finds the program, and makes the cache folder.
    ///
    /// # Errors
    /// [`TroubleKind::Program`] without pip, [`TroubleKind::Disk`] without a place for the cache.
    pub fn find(cache: PathBuf, gate: &Gate) -> Result<Self, Trouble> {
        // Python's module before the program: what stands on the PATH as pip may be a wrapper (pyenv's
        // counts its own failures as pip's, which show when several run at once).
        let ways: [(&str, &'static [&'static str]); 4] =
            [("python3", &["-m", "pip"]), ("python", &["-m", "pip"]), ("pip", &[]), ("pip3", &[])];
        let found = ways.into_iter().find_map(|(name, leading)| {
            let program = which::which(name).ok()?;
            let asked = std::process::Command::new(&program).args(leading).arg("--version").output().ok()?;
            asked.status.success().then_some((program, leading))
        });
        let (program, leading) = found.ok_or_else(|| {
            Trouble::new(
                TroubleKind::Program,
                Clean::ours("pip is not here, neither as a module of python3 nor on the PATH"),
            )
            .remedy(Clean::ours("install Python's pip 23.1 or newer; the catalog is built with it"))
        })?;
        let pip = Self { program, leading, cache, gate: gate.clone() };
        std::fs::create_dir_all(&pip.cache).map_err(|why| pip.disk(&pip.cache, &why))?;
        Ok(pip)
    }

    /// Every published version, candidates and builds of developers included, newest first.
    ///
    /// # Errors
    /// The index does not answer, or does not know the package.
    pub async fn versions(&self, package: &str) -> Result<Vec<String>, Trouble> {
        // Without the flag pip leaves out what this machine's Python is too old for.
        let output = self.run(&["index", "versions", "--pre", "--ignore-requires-python", package]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let list = text.lines().find_map(|line| line.strip_prefix("Available versions:"));
        match (output.status.success(), list) {
            (true, Some(list)) => Ok(list.split(',').map(|version| version.trim().to_owned()).collect()),
            _ => Err(self.failed(&say!("the versions of {}", self.gate.clean(package)), &output)),
        }
    }

    /// What a version asks for, one requirement each (PEP 508), from its metadata alone.
    ///
    /// # Errors
    /// See [`NotBrought`].
    pub async fn requirements(&self, package: &str, version: &str) -> Result<Vec<String>, NotBrought> {
        let kept = self.cache.join(format!("{package}-{version}.json"));
        if let Some(asked) = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<Asked>(&bytes).ok()) {
            return Ok(asked.requires);
        }
        let wanted = format!("{package}=={version}");
        let asks = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python", "--quiet"];
        let output = self.run(&[asks.as_slice(), &["--report", "-", &wanted]].concat()).await?;
        let report = serde_json::from_slice::<Report>(&output.stdout).ok().filter(|_| output.status.success());
        let Some(installed) = report.and_then(|report| report.install.into_iter().next()) else {
            return Err(self.not_brought(package, version, &output));
        };
        let asked = Asked { requires: installed.metadata.requires_dist };
        self.keep(&kept, &asked)?;
        Ok(asked.requires)
    }

    /// The files of a version that are wanted, by their path inside it.
    ///
    /// # Errors
    /// See [`NotBrought`].
    pub async fn files(
        &self,
        package: &str,
        version: &str,
        wanted: fn(&str) -> bool,
    ) -> Result<Vec<(String, Vec<u8>)>, NotBrought> {
        let wheel = self.wheel(package, version).await?;
        unpacked(&wheel, wanted).map_err(|why| {
            let remedy = Clean::ours("remove the file and repeat the command");
            NotBrought::Trouble(self.disk(&wheel, &why).remedy(remedy))
        })
    }

    /// What is read of a large package, whose wheel is not kept: what was read is, under `name`,
    /// and is what a later call gives.
    ///
    /// # Errors
    /// See [`NotBrought`].
    pub async fn read<T: Serialize + DeserializeOwned>(
        &self,
        package: &str,
        version: &str,
        name: &str,
        wanted: fn(&str) -> bool,
        read: impl FnOnce(&[(String, Vec<u8>)]) -> T,
    ) -> Result<T, NotBrought> {
        let kept = self.cache.join(format!("{package}-{version}.{name}.json"));
        if let Some(known) = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(known);
        }
        let part = self.part(package, version);
        let unpacked = match self.bring(package, version, &part, &["--no-cache-dir"]).await {
            Ok(wheel) => unpacked(&wheel, wanted).map_err(|why| self.disk(&wheel, &why).into()),
            Err(why) => Err(why),
        };
        // An empty folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&part);
        let read = read(&unpacked?);
        self.keep(&kept, &read)?;
        Ok(read)
    }

    /// The wheel of a version (PEP 427), from the cache or from the index. Where only the source
    /// is published, pip builds it.
    async fn wheel(&self, package: &str, version: &str) -> Result<PathBuf, NotBrought> {
        if let Some(kept) = wheel_in(&self.cache, &prefix(package, version)) {
            return Ok(kept);
        }
        let part = self.part(package, version);
        let moved = match self.bring(package, version, &part, &[]).await {
            Ok(brought) => {
                let kept = self.cache.join(brought.file_name().unwrap_or_default());
                std::fs::rename(&brought, &kept).map_err(|why| self.disk(&kept, &why).into()).map(|()| kept)
            }
            Err(why) => Err(why),
        };
        // An empty folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&part);
        moved
    }

    /// A folder of a version's own, so that a run that was cut off leaves no half a file.
    fn part(&self, package: &str, version: &str) -> PathBuf {
        self.cache.join(format!("{}part", prefix(package, version)))
    }

    async fn bring(&self, package: &str, version: &str, into: &Path, more: &[&str]) -> Result<PathBuf, NotBrought> {
        std::fs::create_dir_all(into).map_err(|why| self.disk(into, &why))?;
        let folder = into.to_string_lossy();
        let wanted = format!("{package}=={version}");
        let asks = ["wheel", "--no-deps", "--ignore-requires-python", "--quiet", "--wheel-dir", &folder, &wanted];
        let output = self.run(&[asks.as_slice(), more].concat()).await?;
        match wheel_in(into, &prefix(package, version)) {
            Some(brought) if output.status.success() => Ok(brought),
            _ => Err(self.not_brought(package, version, &output)),
        }
    }

    fn keep(&self, kept: &Path, what: &impl Serialize) -> Result<(), Trouble> {
        let text = serde_json::to_vec(what).map_err(|why| self.disk(kept, &why.into()))?;
        let part = kept.with_extension("part");
        let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, kept));
        written.map_err(|why| self.disk(kept, &why))
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output, Trouble> {
        let mut command = Command::new(&self.program);
        command.args(self.leading).args(arguments).args(["--disable-pip-version-check", "--no-input"]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.output().await.map_err(|why| {
            Trouble::new(TroubleKind::Program, say!("pip cannot be started: {}", self.gate.clean(&why.to_string())))
        })
    }

    /// pip says the same of a version that is not there and of an index that does not answer; in
    /// the second case it knows of no version at all.
    fn not_brought(&self, package: &str, version: &str, output: &Output) -> NotBrought {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let absent =
            complaint.contains("No matching distribution found") && !complaint.contains("(from versions: none)");
        if absent {
            return NotBrought::Absent;
        }
        NotBrought::Trouble(self.failed(&say!("{} {}", self.gate.clean(package), self.gate.clean(version)), output))
    }

    fn failed(&self, what: &Clean, output: &Output) -> Trouble {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().rev().find(|line| line.starts_with("ERROR")).or(complaint.lines().last());
        let why = self.gate.clean(last.unwrap_or("it says nothing"));
        Trouble::new(TroubleKind::Unreachable, say!("pip does not bring {}: {}", what, why))
            .remedy(Clean::ours("look at `pip config list` for the index it asks, then repeat: what is there is kept"))
    }

    fn disk(&self, file: &Path, why: &io::Error) -> Trouble {
        let (file, why) = (self.gate.clean(&file.display().to_string()), self.gate.clean(&why.to_string()));
        Trouble::new(TroubleKind::Disk, say!("{} cannot be used: {}", file, why))
    }
}

/// How the name of a version's wheel begins.
fn prefix(package: &str, version: &str) -> String {
    format!("{}-{version}-", package.replace('-', "_"))
}

/// The wheel in a folder whose name begins like this.
fn wheel_in(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    names.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".whl")
    })
}

fn unpacked(wheel: &Path, wanted: fn(&str) -> bool) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel)?)?;
    let mut files = Vec::new();
    for number in 0..archive.len() {
        let file = archive.by_index(number)?;
        let name = file.name()?.into_owned();
        if file.is_file() && wanted(&name) {
            let mut bytes = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > LARGEST {
                return Err(io::Error::other(format!("{name} is larger than {} MiB", LARGEST >> 20)));
            }
            files.push((name, bytes));
        }
    }
    Ok(files)
}
