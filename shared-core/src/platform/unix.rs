//! The Unix side: Linux is the reference, what only Linux can tell is `None`
//! elsewhere.

mod files;
mod signals;

pub use files::{BreakOff, FromChild, StopReading, redirect_stdout_to_stderr, take_stdin};
pub(crate) use files::{
    EventLog, Handles, Link, Output, ToChild, receive, standard_files, unnamed_file,
};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
pub use nix::unistd::Pid;
pub(crate) use signals::{
    default_signals, die_of, on_end_of_run, pause_100_ms, prepare_signals, send,
    survive_file_size_limit,
};
pub use signals::{disregard_ctrl_c, ignores_ctrl_c};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// The PID of the parent (getppid(2)).
#[must_use]
pub fn ppid() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

/// The kernel's number for the calling thread (gettid(2)); that of the main
/// thread is the PID. Elsewhere than on Linux a number of our own.
#[must_use]
pub fn tid() -> u64 {
    #[cfg(target_os = "linux")]
    return u64::from(nix::unistd::gettid().as_raw().unsigned_abs());
    #[cfg(not(target_os = "linux"))]
    return super::own_thread_number();
}

/// How many threads this process has (`/proc/self/task`, proc(5)); `None`
/// where the system does not tell.
#[must_use]
pub fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

/// The processor that the calling thread was on just now (getcpu(2)).
#[must_use]
pub fn cpu() -> Option<usize> {
    #[cfg(target_os = "linux")]
    return nix::sched::sched_getcpu().ok();
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// The processors that the calling thread may run on (sched_getaffinity(2)); `None`
/// where the system does not tell.
#[must_use]
pub fn cpus() -> Option<Vec<usize>> {
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CpuSet, sched_getaffinity};
        let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let is_in = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
        Some((0..CpuSet::count()).filter(is_in).collect())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// From here on the calling thread runs on these processors only
/// (sched_setaffinity(2)).
///
/// # Errors
/// When the system refuses it, or has no call for it.
pub fn stay_on(cpus: &[usize]) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CpuSet, sched_setaffinity};
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu)?;
        }
        Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpus;
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// How often the calling thread was switched out so far (getrusage(2)); `None` where
/// the system counts only those of whole processes.
#[must_use]
pub fn switches() -> Option<super::Switches> {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
        Some(super::Switches {
            voluntary: usage.voluntary_context_switches().cast_unsigned(),
            involuntary: usage.involuntary_context_switches().cast_unsigned(),
        })
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// How long the calling thread was on a CPU so far (clock_gettime(2)).
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.ok().map(Duration::from)
}

/// Whether this process came from a fork of one that had asked this before: it is a copy
/// in the middle of its parent's work (pthread_atfork(3)). Costs no system call.
#[must_use]
pub fn was_forked() -> bool {
    static FORKED: AtomicBool = AtomicBool::new(false);
    static ASKED: Once = Once::new();
    extern "C" fn in_child() {
        FORKED.store(true, Relaxed);
    }
    ASKED.call_once(|| {
        // SAFETY: the handler is a function of this program, which is never unloaded,
        // and only stores to an atomic: the child of a process with threads may do
        // that.
        unsafe { nix::libc::pthread_atfork(None, None, Some(in_child)) };
    });
    FORKED.load(Relaxed)
}

/// Whether there is a process with this PID, a zombie included (kill(2) with
/// no signal).
#[must_use]
pub fn exists(pid: u32) -> Option<bool> {
    let pid = Pid::from_raw(pid.cast_signed());
    Some(kill(pid, None) != Err(Errno::ESRCH))
}

/// What this host calls itself (gethostname(2)).
pub(crate) fn host() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// What the process is doing, in the kernel's letters: `R` runs or could run, `S`
/// sleeps, `T` is stopped, `Z` is a zombie (`/proc/PID/stat`, proc_pid_stat(5)).
/// `None` if there is no such process, or where the system does not tell.
#[must_use]
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // What precedes it, a name in brackets, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.chars().next()
}

/// The PID in the type that wait and kill take.
pub(crate) fn pid_of(number: i32) -> Pid {
    Pid::from_raw(number)
}

/// The monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`): one for the whole
/// system, hence comparable between the processes of a run.
pub(crate) fn now() -> Duration {
    // It fails only for a clock that does not exist; this one always does.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Leaves at once with `status` (_exit(2)): no destructors, no exit handlers,
/// no second flush of buffers that were copied by fork.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit only takes a number and does not return; it is
    // async-signal-safe (signal-safety(7)), so a handler may come here too.
    unsafe { nix::libc::_exit(status) }
}

/// The number of the last error of a system call in this thread (errno(3)).
pub(crate) fn errno() -> i32 {
    Errno::last_raw()
}

pub(crate) fn set_errno(errno: i32) {
    Errno::set_raw(errno);
}

/// The signal that ended a process, if one did.
pub(crate) fn signal_of(status: ExitStatus) -> Option<String> {
    status.signal().map(|number| {
        Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.to_string())
    })
}

/// Kills the child with this PID, if it still runs, and reaps it. Returns how
/// it ended; `None` if there is no such child, or it is not ours to kill.
///
/// waitpid knows only children of this process that were not reaped yet: the
/// PID is never that of a stranger. Async-signal-safe (signal-safety(7)).
pub(crate) fn kill_and_reap(pid: i32) -> Option<WaitStatus> {
    let pid = Pid::from_raw(pid);
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) => {
            kill(pid, Signal::SIGKILL).ok()?; // it may have become another user's
            loop {
                match waitpid(pid, None) {
                    Err(Errno::EINTR) => {}
                    other => break other.ok(),
                }
            }
        }
        other => other.ok(),
    }
}

/// Whether this process has a child with this PID, a zombie included (waitid(2)).
pub(crate) fn is_child(pid: u32) -> bool {
    let mut info = std::mem::MaybeUninit::<nix::libc::siginfo_t>::zeroed();
    let options = nix::libc::WEXITED | nix::libc::WNOHANG | nix::libc::WNOWAIT;
    // SAFETY: the call writes at most one siginfo_t, and that is room for it.
    let found = unsafe { nix::libc::waitid(nix::libc::P_PID, pid, info.as_mut_ptr(), options) };
    pid > 0 && found == 0
}

/// Reaps the children that have ended. Async-signal-safe (signal-safety(7)).
pub(crate) fn reap_zombies() {
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(None, Some(WaitPidFlag::WNOHANG))
    {}
}

/// Calls `visit` with the PID of each child of the main thread, as the kernel
/// lists them (`/proc/PID/task/TID/children`, proc(5)): orphans come to that thread,
/// and so do the children of threads that have ended. Neither heap nor lock: a
/// signal handler may come here. Where the kernel does not tell, there is none.
#[cfg(target_os = "linux")]
pub(crate) fn each_child(mut visit: impl FnMut(i32)) {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use std::ffi::CStr;
    use std::io::Write;
    let mut path = [0; 64];
    let written = write!(
        &mut path[..],
        "/proc/self/task/{}/children\0",
        std::process::id()
    );
    let Some(path) = written
        .ok()
        .and_then(|()| CStr::from_bytes_until_nul(&path).ok())
    else {
        return;
    };
    let Ok(list) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        return;
    };
    let mut pid = 0;
    let mut bytes = [0; 512];
    while let Ok(read @ 1..) = nix::unistd::read(&list, &mut bytes) {
        for byte in &bytes[..read] {
            if byte.is_ascii_digit() {
                pid = pid * 10 + i32::from(byte - b'0');
            } else if pid > 0 {
                visit(std::mem::take(&mut pid));
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn each_child(_: impl FnMut(i32)) {}

/// From here on orphans among the descendants of this process become its
/// children, instead of init's (`PR_SET_CHILD_SUBREAPER`, prctl(2); Linux).
pub(crate) fn become_subreaper() {
    // An error means an old kernel: then they are init's, as elsewhere.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// From here on this process is killed when the thread that made it ends, also
/// by SIGKILL, and also when this process is stopped (`PR_SET_PDEATHSIG`,
/// prctl(2); Linux). Ends at once if `parent` has ended already.
pub(crate) fn die_with(parent: u32) {
    end_with(parent, Signal::SIGKILL);
}

fn end_with(parent: u32, signal: Signal) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_pdeathsig(signal); // a known signal
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
    if ppid() != Some(parent) {
        exit_now(1);
    }
}

/// Turns this process into `program` (execve(2)), which is asked to end when `parent`
/// does, by SIGTERM (Linux): it may have something to end itself. It is in a process
/// group of its own, so that Ctrl-C comes to us alone. Returns why it could not.
pub fn become_program(program: &mut Command, parent: u32) -> std::io::Error {
    let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)); // it may be one's leader
    end_with(parent, Signal::SIGTERM);
    program.exec()
}

/// Asks a child that was not reaped to end: SIGTERM.
pub(crate) fn ask_to_end(child: i32) {
    send(child, Signal::SIGTERM as i32);
}
