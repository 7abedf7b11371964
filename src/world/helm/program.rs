//! The program `helm`: found, asked for its version, and started so that it outlives us.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::domain::name::ContextName;
use crate::domain::rollback::{HelmProgram, Rollback};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Longest time for the program to say its version.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// How much of what it says is kept in the journal: its end, where the error stands.
const KEPT: u64 = 4 * 1024;

/// Helm's variables that stay: where its own files are, and where an SQL driver finds its records.
/// Every other `HELM_…` would change what our arguments say, or print what it must not.
const KEPT_VARIABLES: [&str; 4] =
    ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_DRIVER_SQL_CONNECTION_STRING"];

/// Where the program is, and which kubeconfig it gets.
#[derive(Clone)]
pub struct Program {
    exactly: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
}

/// A rollback that runs. Dropping it leaves the program running: a killed one leaves the release
/// pending.
pub(super) struct Running {
    child: Child,
    output: PathBuf,
}

/// How the program ended.
pub(super) struct Ended {
    pub(super) success: bool,
    /// `exit code 1`, say.
    pub(super) status: Clean,
    /// The end of what it said.
    pub(super) output: Clean,
}

impl Program {
    pub(super) fn installed(kubeconfig: Option<PathBuf>) -> Self {
        Self { exactly: None, kubeconfig }
    }

    pub(super) fn exactly(mut self, helm: PathBuf) -> Self {
        self.exactly = Some(helm);
        self
    }

    fn path(&self) -> Result<PathBuf, Trouble> {
        let found = self.exactly.clone().map_or_else(|| which::which("helm"), Ok);
        found.map_err(|_| absent(Clean::ours("the program helm is not installed on this machine")))
    }

    /// Which program, and which version. Versions 3 and 4 know the same arguments.
    pub(super) async fn probe(&self, gate: &Gate) -> Result<HelmProgram, Trouble> {
        let path = self.path()?;
        let mut command = self.command(&path);
        command.args(["version", "--template", "{{.Version}}"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let shown = gate.clean(&path.to_string_lossy());
        let answer = tokio::time::timeout(PROBE_LIMIT, command.output()).await;
        let Ok(Ok(output)) = answer else { return Err(absent(say!("{} does not say its version", shown))) };
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let major = said.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        let version = gate.clean(said.lines().next().unwrap_or_default());
        match major {
            Some(major @ (3 | 4)) => Ok(HelmProgram { path: shown, version, major }),
            _ => Err(absent(say!("{} is version {}, and only 3 and 4 are known here", shown, version))),
        }
    }

    /// Starts a rollback in a process group of its own, without input. What it says goes into a
    /// file, because a pipe would end it when the console is gone.
    pub(super) fn start(
        &self,
        rollback: &Rollback,
        context: Option<&ContextName>,
        output: &Path,
        gate: &Gate,
    ) -> Result<Running, Trouble> {
        let file = |why: std::io::Error| {
            let (path, why) = (gate.clean(&output.to_string_lossy()), gate.clean(&why.to_string()));
            Trouble::new(TroubleKind::Disk, say!("{} cannot be written, so helm was not started: {}", path, why))
        };
        let out = OpenOptions::new().create(true).append(true).mode(0o600).open(output).map_err(file)?;
        let err = out.try_clone().map_err(file)?;
        let mut command = self.command(&self.path()?);
        command.args(rollback.arguments(context)).env("HELM_DRIVER", rollback.storage.driver());
        command.stdout(out).stderr(err).process_group(0).kill_on_drop(false);
        match command.spawn() {
            Ok(child) => Ok(Running { child, output: output.to_owned() }),
            Err(why) => Err(absent(say!("helm could not be started: {}", gate.clean(&why.to_string())))),
        }
    }

    /// The program with our environment, because credential plugins need theirs, but for what
    /// would change the meaning of the arguments.
    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let helms = name.to_str().is_some_and(|name| name.starts_with("HELM_") && !KEPT_VARIABLES.contains(&name));
            if helms {
                command.env_remove(name);
            }
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }
}

impl Running {
    /// Waits for its end. Dropping the future leaves the program running.
    pub(super) async fn wait(mut self, gate: &Gate) -> Ended {
        let ended = self.child.wait().await;
        let status = match &ended {
            Ok(status) => status.code().map_or(Clean::ours("a signal"), |code| say!("exit code {}", code)),
            Err(why) => gate.clean(&why.to_string()),
        };
        Ended {
            success: ended.is_ok_and(|status| status.success()),
            status,
            output: gate.clean(tail(&self.output).trim()),
        }
    }
}

/// The end of what was said.
fn tail(output: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(output)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
        let mut kept = Vec::new();
        file.take(KEPT).read_to_end(&mut kept)?;
        Ok(kept)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn absent(what: Clean) -> Trouble {
    Trouble::new(TroubleKind::Program, what)
        .remedy(Clean::ours("install Helm 3 or 4 and put it into PATH; the history is read without it"))
}
