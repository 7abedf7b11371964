//! Reading a dump back in full: every block decompressed by `pg_restore`, every byte hashed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sha2::Digest as _;

use super::child::{self, Running};
use super::failure;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Gate;

/// How often progress is reported.
const LOOK: Duration = Duration::from_millis(250);

/// What the hashing thread and we tell each other.
#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
}

/// Tells the hashing thread to stop when the work is dropped.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Hashes the file. Returns its size and its SHA-256.
pub(super) async fn hashed(file: &Path, gate: &Gate, report: impl Fn(u64, u64)) -> Result<(u64, String), Trouble> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let why = gate.clean(&why.to_string());
        Trouble::new(TroubleKind::Disk, say!("the dump cannot be read: {}", why))
    };
    let size = std::fs::metadata(file).map_err(|why| unreadable(&why))?.len();
    let shared = Arc::new(Shared::default());
    let _stop = StopOnDrop(Arc::clone(&shared));
    let hashing = {
        let (file, shared) = (file.to_owned(), Arc::clone(&shared));
        tokio::task::spawn_blocking(move || hash(&file, &shared))
    };
    tokio::pin!(hashing);
    let mut ticks = tokio::time::interval(LOOK);
    let hashed = loop {
        tokio::select! {
            done = &mut hashing => break done,
            _ = ticks.tick() => report(shared.done.load(Ordering::Relaxed), size),
        }
    };
    let sha256 = hashed.map_err(|why| unreadable(&why))?.map_err(|why| unreadable(&why))?;
    Ok((size, sha256))
}

/// Syncs the file to the disk and reads it twice at once. Returns its size and its SHA-256.
pub(super) async fn read_back(
    pg_restore: &Path,
    file: &Path,
    gate: &Gate,
    report: impl Fn(u64, u64),
) -> Result<(u64, String), Trouble> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let why = gate.clean(&why.to_string());
        Trouble::new(TroubleKind::Disk, say!("the dump cannot be read back: {}", why))
    };
    let size = std::fs::metadata(file).map_err(|why| unreadable(&why))?.len();
    let shared = Arc::new(Shared::default());
    let _stop = StopOnDrop(Arc::clone(&shared));
    let hashing = {
        let (file, shared) = (file.to_owned(), Arc::clone(&shared));
        tokio::task::spawn_blocking(move || {
            File::open(&file)?.sync_all()?;
            hash(&file, &shared)
        })
    };
    let mut command = child::command(pg_restore);
    command.args(["-f", "/dev/null"]).arg(file);
    let mut running = Running::spawn(command, None).map_err(|why| unreadable(&why))?;
    let both = async { tokio::join!(running.wait(), hashing) };
    tokio::pin!(both);
    let mut ticks = tokio::time::interval(LOOK);
    let (ended, hashed) = loop {
        tokio::select! {
            done = &mut both => break done,
            _ = ticks.tick() => report(shared.done.load(Ordering::Relaxed), size),
        }
    };
    let ended = ended.map_err(|why| unreadable(&why))?;
    if !ended.succeeded() {
        return Err(failure::of_read_back(&ended, gate));
    }
    match hashed {
        Ok(Ok(sha256)) => {
            report(size, size);
            Ok((size, sha256))
        }
        Ok(Err(why)) => Err(unreadable(&why)),
        Err(why) => Err(unreadable(&why)),
    }
}

fn hash(path: &Path, shared: &Shared) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = sha2::Sha256::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("cancelled"));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        shared.done.fetch_add(read as u64, Ordering::Relaxed);
    }
}
