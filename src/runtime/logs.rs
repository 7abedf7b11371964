//! Log lines beside the loop: looked through for a filter or a search, and written to a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::app::logs::ring::{Sifted, Sifting};
use crate::app::logs::saving::Saving;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate};

/// Lines that are looked through before the first of them are told.
const SIFTED_TOGETHER: usize = 65_536;

/// Looks through the lines, newest first, and tells what it finds as it goes.
pub(in crate::runtime) async fn sift(mut sifting: Sifting, tell: impl Fn(Sifted)) {
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let found = sifting.sift(SIFTED_TOGETHER);
            (sifting, found)
        });
        let Ok((rest, Some(found))) = looked.await else { break };
        tell(found);
        sifting = rest;
    }
}

/// Writes the lines to a new file that only this user can read, and tells how many and where.
///
/// # Errors
/// [`TroubleKind::Invalid`] when the file exists; [`TroubleKind::Disk`] when it cannot be written,
/// and then nothing of it stays.
pub(in crate::runtime) async fn save(saving: Saving, incident: PathBuf, gate: Gate) -> Result<Clean, Trouble> {
    let path = whole(&saving.path, &incident);
    let shown = gate.clean(&path.display().to_string());
    let done = tokio::task::spawn_blocking(move || written(&path, &saving)).await;
    let done = done.unwrap_or_else(|_| Err(io::Error::other("writing it failed")));
    done.map(|lines| say!("saved {} lines to {}", lines, shown)).map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => {
            Trouble::new(TroubleKind::Invalid, say!("not saved: {} exists and is not overwritten", shown))
                .remedy(Clean::ours("take another name"))
        }
        _ => Trouble::new(TroubleKind::Disk, say!("not saved: {}: {}", shown, gate.clean(&why.to_string())))
            .remedy(Clean::ours("take a folder that exists, is yours and has room")),
    })
}

/// The path that was typed: a name alone is a file of the incident's folder, `~/` is the home
/// folder, and everything else is a path as the shell would take it.
fn whole(typed: &str, incident: &Path) -> PathBuf {
    if !typed.contains('/') {
        return incident.join(typed);
    }
    let home = typed.strip_prefix("~/").and_then(|rest| Some(std::env::home_dir()?.join(rest)));
    let path = home.unwrap_or_else(|| PathBuf::from(typed));
    std::path::absolute(&path).unwrap_or(path)
}

fn written(path: &Path, saving: &Saving) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    all_lines(file, saving).inspect_err(|_| drop(fs::remove_file(path)))
}

fn all_lines(file: File, saving: &Saving) -> io::Result<u64> {
    let mut out = BufWriter::new(file);
    let mut count = 0;
    for line in saving.lines() {
        writeln!(out, "{line}")?;
        count += 1;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}
