//! Who is speaking: the process, the thread, the processor.

pub use crate::platform::{
    Switches, cpu, cpu_time, cpus, exists, ppid, state, stay_on, switches, threads, tid, was_forked,
};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What this process is called in the run: `parent`, `child`, `worker 1`, …
static ROLE: Mutex<String> = Mutex::new(String::new());

/// The PID of this process (getpid(2)). Asked anew each time: a cached PID is
/// wrong after fork.
#[must_use]
pub fn pid() -> u32 {
    std::process::id()
}

/// Names this process's part in the run, from here on.
pub fn set_role(role: &str) {
    role.clone_into(&mut ROLE.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The name given by [`set_role`], empty before that.
#[must_use]
pub fn role() -> String {
    ROLE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Where a process runs that a launcher started for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// What the host calls itself.
    pub host: String,
    /// The PID of the launcher, on the host of the first process.
    pub launcher: u32,
}

static ELSEWHERE: OnceLock<Elsewhere> = OnceLock::new();

/// Where this process runs, if a launcher started it.
#[must_use]
pub fn elsewhere() -> Option<&'static Elsewhere> {
    ELSEWHERE.get()
}

pub(crate) fn set_elsewhere(place: Elsewhere) {
    ELSEWHERE.get_or_init(|| place);
}

/// A number for this process that no other one of its run has: its PID, or the PID of
/// its launcher, for PIDs of two hosts may be equal.
#[must_use]
pub fn process() -> u32 {
    elsewhere().map_or_else(pid, |place| place.launcher)
}

/// What this host calls itself, up to the first dot: as Slurm does (`SLURMD_NODENAME`,
/// srun(1)), else gethostname(2).
#[must_use]
pub fn host() -> String {
    let by_slurm = std::env::var("SLURMD_NODENAME").ok();
    let name = by_slurm.or_else(crate::platform::host).unwrap_or_default();
    let short = name.split('.').next().unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    let short: String = short.chars().filter(plain).collect();
    if short.is_empty() {
        "elsewhere".to_owned()
    } else {
        short
    }
}

/// Whether the calling thread is the one that runs `main`.
#[must_use]
pub fn is_main_thread() -> bool {
    tid() == u64::from(pid())
}

/// What the calling thread is called: the role of the process on its main
/// thread, the thread's own name elsewhere.
#[must_use]
pub fn name() -> String {
    if is_main_thread() {
        role()
    } else {
        std::thread::current().name().unwrap_or("thread").to_owned()
    }
}

/// The machine in a few words, to stand beside every measured figure:
/// `2 CPUs, linux x86_64`. The count is what this process may use
/// (`std::thread::available_parallelism`).
#[must_use]
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let plural = if cpus == 1 { "" } else { "s" };
    format!(
        "{cpus} CPU{plural}, {} {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
