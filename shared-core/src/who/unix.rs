//! The Unix side of `who`: Linux is the reference, what only Linux can tell
//! is `None` elsewhere.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::c_int;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, dup};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Finds that the calling thread is alone in its process, the state in which
/// fork(2) is sound: in the child of a process with several threads only
/// async-signal-safe functions may be called (fork(2), signal-safety(7)).
///
/// # Errors
/// When there are other threads. Where the system does not tell, there is no
/// error.
pub fn ensure_single_thread() -> anyhow::Result<()> {
    match threads() {
        Some(count) if count > 1 => anyhow::bail!(
            "fork: this process has {count} threads; fork before the first one is made"
        ),
        _ => Ok(()),
    }
}

/// Leaves at once with `status` (_exit(2)): no destructors, no exit handlers,
/// no second flush of buffers that were copied by fork.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit only takes a number and does not return; it is
    // async-signal-safe (signal-safety(7)), so a handler may come here too.
    unsafe { nix::libc::_exit(status) }
}

/// Points descriptor 1 at stderr and returns what it was: from here on what
/// this process prints cannot mix with what it answers over its stdout.
///
/// # Errors
/// When the descriptors cannot be duplicated (dup2(2)).
pub fn redirect_stdout_to_stderr() -> io::Result<File> {
    let answers = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(io::stderr())?;
    Ok(File::from(answers))
}

/// The monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`): one for the whole
/// system, hence comparable between the processes of a run.
pub(crate) fn now() -> Duration {
    // It fails only for a clock that does not exist; this one always does.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Where lines go: descriptor 1 of the first process.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn stdout() -> io::Result<Self> {
        let copy = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(File::from(copy)))
    }

    /// One write(2), unless the system takes only a part. POSIX keeps up to
    /// `PIPE_BUF` bytes (4096 on Linux) whole in a pipe, and whole writes to
    /// one open file apart.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(text.as_bytes())
    }

    pub(crate) fn hand_on(&self) -> io::Result<String> {
        hand_on(&self.0)
    }

    pub(crate) fn adopt(handle: &str) -> io::Result<Self> {
        adopt(handle).map(Self)
    }
}

/// The event log of a run: a file without a name, so that it is gone with the
/// last process that holds it, however that ends.
pub(crate) struct EventLog(File);

impl EventLog {
    pub(crate) fn create() -> io::Result<Self> {
        let file = unnamed_file()?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Ok(Self(file))
    }

    pub(crate) fn append(&self, line: &str) -> io::Result<()> {
        (&self.0).write_all(line.as_bytes())
    }

    /// All bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = self.0.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Nothing to do: the file has no name.
    #[expect(clippy::unused_self, reason = "elsewhere the log is a named file")]
    pub(crate) fn remove(&self) {}

    pub(crate) fn hand_on(&self) -> io::Result<String> {
        hand_on(&self.0)
    }

    pub(crate) fn adopt(handle: &str) -> io::Result<Self> {
        adopt(handle).map(Self)
    }
}

#[cfg(target_os = "linux")]
fn unnamed_file() -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let descriptor = memfd_create(c"event-log", MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(descriptor))
}

#[cfg(not(target_os = "linux"))]
fn unnamed_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("event-log-{}", super::pid()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Leaves a copy of `file` open across exec and returns its number. The copy
/// stays open as long as this process: children may come at any time.
fn hand_on(file: &File) -> io::Result<String> {
    Ok(dup(file)?.into_raw_fd().to_string())
}

fn adopt(handle: &str) -> io::Result<File> {
    let number: RawFd = handle.parse().map_err(io::Error::other)?;
    if number <= 2 || fcntl_is_closed(number) {
        return Err(io::Error::other(format!(
            "descriptor {handle} was not handed on"
        )));
    }
    // SAFETY: the number is above the standard streams and open, and the
    // parent that named it made this copy for us: nobody else in this process
    // knows the number, so nobody else closes it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(number) }))
}

fn fcntl_is_closed(number: RawFd) -> bool {
    // SAFETY: F_GETFD only looks a number up; a closed one gives EBADF.
    unsafe { nix::libc::fcntl(number, nix::libc::F_GETFD) == -1 }
}

// Children of the first process, so that nothing outlives an interrupted run.
// A signal handler reads this: atomics only, no lock, no memory from the heap.

const MOST_CHILDREN: usize = 1024;
static CHILDREN: [AtomicI32; MOST_CHILDREN] = [const { AtomicI32::new(0) }; MOST_CHILDREN];
static FIRST_PROCESS: AtomicU32 = AtomicU32::new(0);
static INTERRUPTED_BY: AtomicI32 = AtomicI32::new(0);

/// Held while a process is started, until its [`ChildGuard`] stands: as long
/// the run is not ended, so that no child can slip out of it.
pub fn starting() -> MutexGuard<'static, ()> {
    static STARTING: Mutex<()> = Mutex::new(());
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns the duty to reap one child: if the child is still there when the guard
/// goes, on an error, a panic or Ctrl-C, it is killed and reaped. After a
/// `waitpid` of your own it finds nothing to do.
#[derive(Debug)]
pub struct ChildGuard {
    pid: Pid,
}

impl ChildGuard {
    /// Takes the PID of a child of this process, as fork or spawn returned it.
    /// (A number that is no PID is never a child: that guard does nothing.)
    pub fn new(pid: impl TryInto<i32>) -> Self {
        let pid = pid.try_into().unwrap_or(0);
        // With all places taken (MOST_CHILDREN) drop still works, Ctrl-C not.
        let _ = CHILDREN
            .iter()
            .find(|place| place.compare_exchange(0, pid, SeqCst, SeqCst).is_ok());
        let signal = INTERRUPTED_BY.load(SeqCst);
        if signal != 0 {
            stop_children_and_exit(128 + signal);
        }
        Self {
            pid: Pid::from_raw(pid),
        }
    }

    /// The PID of the child.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        kill_and_reap(self.pid);
        let pid = self.pid.as_raw();
        let _ = CHILDREN
            .iter()
            .find(|place| place.compare_exchange(pid, 0, SeqCst, SeqCst).is_ok());
    }
}

/// Only a child that was not reaped yet is killed: its PID cannot have been
/// given to another process.
fn kill_and_reap(pid: Pid) {
    if pid.as_raw() > 0 && waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = signal::kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}

/// Ends the run at once: children are killed and reaped first, and no thread
/// can start another one.
pub(crate) fn stop(status: i32) -> ! {
    let _starting = starting();
    stop_children_and_exit(status)
}

fn stop_children_and_exit(status: i32) -> ! {
    if super::pid() == FIRST_PROCESS.load(SeqCst) {
        for place in &CHILDREN {
            kill_and_reap(Pid::from_raw(place.load(SeqCst)));
        }
    }
    exit_now(status)
}

/// From here on Ctrl-C, SIGTERM and SIGHUP end this process and its guarded
/// children, with status 128 + signal: 130 for Ctrl-C.
pub(crate) fn catch_interrupts() -> io::Result<()> {
    FIRST_PROCESS.store(super::pid(), SeqCst);
    let action = SigAction::new(
        SigHandler::Handler(on_signal),
        SaFlags::SA_RESTART,
        SigSet::all(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: on_signal calls only async-signal-safe functions (waitpid,
        // kill, getpid, _exit: signal-safety(7)), touches only atomics, and
        // leaves errno as it was when it returns.
        let before = unsafe { signal::sigaction(signal, &action) }?;
        if signal == Signal::SIGHUP && matches!(before.handler(), SigHandler::SigIgn) {
            // Started by nohup, which wants this signal ignored.
            // SAFETY: this puts back what was there.
            unsafe { signal::sigaction(signal, &before) }?;
        }
    }
    Ok(())
}

extern "C" fn on_signal(signal: c_int) {
    let errno = Errno::last_raw();
    let again = INTERRUPTED_BY.swap(signal, SeqCst) != 0;
    if again || super::pid() != FIRST_PROCESS.load(SeqCst) {
        stop_children_and_exit(128 + signal);
    }
    for place in &CHILDREN {
        kill_and_reap(Pid::from_raw(place.load(SeqCst)));
    }
    // A child that is there but not guarded yet was made an instant ago: its
    // ChildGuard, on the way, sees INTERRUPTED_BY and ends the run.
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => break,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => exit_now(128 + signal),
        }
    }
    Errno::set_raw(errno);
}

/// The signal that asked the run to end, if one did.
pub(crate) fn interrupted_by() -> Option<i32> {
    Some(INTERRUPTED_BY.load(SeqCst)).filter(|signal| *signal != 0)
}
