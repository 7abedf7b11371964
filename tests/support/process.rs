//! What a process took, as the system says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Linux tells times of processes in hundredths of a second (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

/// Processor time and memory of a process so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Processor time, user and system, of all its threads.
    pub cpu: Duration,
    /// The most memory it ever had resident, in MiB.
    pub peak: f64,
}

/// What this process took so far; `None` when it is gone, or where the system does not tell.
pub fn taken(pid: u32) -> Option<Taken> {
    Some(Taken { cpu: processor(pid)?, peak: mebibytes(pid, "VmHWM")? })
}

/// Its processor time so far, user and system, of all its threads.
pub fn processor(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = |at: usize| fields.split(' ').nth(at)?.parse::<u64>().ok();
    Some(Duration::from_secs_f64((ticks(11)? + ticks(12)?) as f64 / TICKS))
}

/// Memory that it has resident now, in MiB.
pub fn resident(pid: u32) -> Option<f64> {
    mebibytes(pid, "VmRSS")
}

fn mebibytes(pid: u32, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// The calls of `write` of each thread of a process, and the bytes that they wrote.
pub fn writes(pid: u32) -> BTreeMap<PathBuf, (u64, u64)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let of = |task: std::fs::DirEntry| {
        let io = std::fs::read_to_string(task.path().join("io")).ok()?;
        let value = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some((task.path(), (value("syscw:")?, value("wchar:")?)))
    };
    tasks.flatten().filter_map(of).collect()
}

/// The calls of the thread that wrote most in between: in a console, the one that writes to the
/// terminal.
pub fn calls_between(before: &BTreeMap<PathBuf, (u64, u64)>, after: &BTreeMap<PathBuf, (u64, u64)>) -> Option<u64> {
    let written = after.iter().map(|(task, (calls, bytes))| {
        let (calls_before, bytes_before) = before.get(task).copied().unwrap_or_default();
        (bytes - bytes_before, calls - calls_before)
    });
    written.max().map(|(_, calls)| calls)
}

/// The machine: cores, model, kernel, and how many processes want its cores.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let uname = rustix::system::uname();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{cores} cores ({}), {} {}, load average {}",
        model.map_or("unknown model", |(_, name)| name.trim()),
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        load.split(' ').next().unwrap_or("unknown")
    )
}
