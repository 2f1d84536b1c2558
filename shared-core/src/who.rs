//! Who is speaking: the process, the thread, the processor.

pub use crate::platform::{
    Switches, cpu, cpu_time, cpus, exists, ppid, state, stay_on, switches, threads, tid, was_forked,
};
use std::sync::{Mutex, PoisonError};

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
