//! A program of PostgreSQL as our child: clean environment, own process group, bounded output.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::world::postgres::connect::Connector;

/// How much of what a program complains about is kept: its end, where the error stands.
const KEPT: usize = 16 * 1024;

/// How long a program may take to end after SIGTERM, and its last words to arrive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Variables of ours that a program gets; everything else stays here. `HOME` leads libpq to its
/// certificates, the others decide how programs are found and names are resolved.
const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "KRB5CCNAME", "LD_LIBRARY_PATH"];

/// A command with a clean environment that speaks English and has no input.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.process_group(0).kill_on_drop(true);
    command
}

/// Tells libpq where to go and who we are, by environment alone: an argument vector can be read
/// by every user of the machine. Through a port-forward the host name stays, for the certificate.
pub(super) fn reach(command: &mut Command, connector: &Connector, application: &str) {
    let url = connector.url();
    for (variable, value) in url.libpq_variables() {
        command.env(variable, value.expose());
    }
    let list = |part: fn(&crate::domain::database_url::Address) -> String| {
        url.addresses().iter().map(part).collect::<Vec<_>>().join(",")
    };
    match (connector.via(), url.addresses().first()) {
        (Some((ip, port)), Some(address)) => {
            let host = if address.is_socket() { ip.to_string() } else { address.host.as_str().to_owned() };
            command.env("PGHOST", host).env("PGHOSTADDR", ip.to_string()).env("PGPORT", port.to_string());
        }
        _ => {
            command.env("PGHOST", list(|address| address.host.as_str().to_owned()));
            command.env("PGPORT", list(|address| address.port.to_string()));
        }
    }
    command.env("PGDATABASE", url.database().as_str()).env("PGSSLMODE", url.ssl_mode().word());
    command.env("PGAPPNAME", application).env("PGCONNECT_TIMEOUT", "5");
    let files = url.ssl_files();
    let optional = [
        ("PGUSER", url.user().map(|user| user.as_str())),
        ("PGPASSWORD", url.password().map(|password| password.expose())),
        ("PGSSLROOTCERT", files.root.as_ref().map(|file| file.as_str())),
        ("PGSSLCERT", files.cert.as_ref().map(|file| file.as_str())),
        ("PGSSLKEY", files.key.as_ref().map(|file| file.as_str())),
    ];
    for (variable, value) in optional {
        if let Some(value) = value {
            command.env(variable, value);
        }
    }
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The end of what it complained about, not yet through the gate.
    pub(super) complaint: String,
}

impl Ended {
    pub(super) fn succeeded(&self) -> bool {
        self.status.success()
    }
}

/// A running program. Dropping it ends it: SIGTERM to its group, SIGKILL if that is not enough.
pub(super) struct Running {
    child: Option<Child>,
    complaint: Option<JoinHandle<String>>,
    leftover: Option<PathBuf>,
}

impl Running {
    /// Starts the program. The leftover is the file that it writes: removed when it is ended early.
    pub(super) fn spawn(mut command: Command, leftover: Option<&Path>) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let complaint = child.stderr.take().map(|stderr| tokio::spawn(tail(stderr)));
        Ok(Self { child: Some(child), complaint, leftover: leftover.map(Path::to_owned) })
    }

    /// Its standard input, where it has one.
    pub(super) fn input(&mut self) -> Option<ChildStdin> {
        self.child.as_mut()?.stdin.take()
    }

    /// Waits for its end. Dropping the future leaves the program running.
    pub(super) async fn wait(&mut self) -> io::Result<Ended> {
        let Some(child) = &mut self.child else { return Err(io::Error::other("it was ended")) };
        let status = child.wait().await?;
        let complaint = match self.complaint.take() {
            // A child of the program may hold the pipe open after the program has ended.
            Some(reading) => match tokio::time::timeout(PATIENCE, reading).await {
                Ok(Ok(complaint)) => complaint,
                _ => String::new(),
            },
            None => String::new(),
        };
        self.child = None;
        Ok(Ended { status, complaint })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let leftover = self.leftover.take();
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let signal = move |signal| {
            if let Some(group) = group {
                // The group may be gone already, which is what is wanted.
                let _ = kill_process_group(group, signal);
            }
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return signal(Signal::KILL) };
        signal(Signal::TERM);
        runtime.spawn(async move {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                signal(Signal::KILL);
                let _ = child.wait().await;
            }
            if let Some(file) = leftover {
                // It may have created its file only after the folder was tidied.
                let _ = std::fs::remove_file(file);
            }
        });
    }
}

/// Reads to the end and keeps the last part.
async fn tail(mut output: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
