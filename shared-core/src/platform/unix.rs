//! The Unix side: Linux is the reference, what only Linux can tell is `None`
//! elsewhere.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::kill;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, dup};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
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
    return crate::who::own_thread_number();
}

/// How many threads this process has (`/proc/self/task`, proc(5)); `None`
/// where the system does not tell.
fn threads() -> Option<usize> {
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

/// Whether there is a process with this PID, a zombie included (kill(2) with
/// no signal).
#[must_use]
pub fn exists(pid: u32) -> Option<bool> {
    let pid = Pid::from_raw(pid.cast_signed());
    Some(kill(pid, None) != Err(nix::errno::Errno::ESRCH))
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

/// How a re-executed process finds what its parent hands on: the number of a
/// descriptor that stays open across exec.
pub(crate) type Handle = RawFd;

/// Where lines go: stdout of the first process. The descriptor stays open
/// across exec, so that re-executed processes of the run write to it too.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self(File::from(dup(io::stdout())?)))
    }

    /// One write(2), unless the system takes only a part. In a pipe up to
    /// `PIPE_BUF` bytes stay in one piece (4096 on Linux; pipe(7)). In a file
    /// that processes opened together writes do not overlap (POSIX, XSH 2.9.7).
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(text.as_bytes())
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0.as_raw_fd()
    }

    pub(crate) fn adopt(handle: &Handle) -> io::Result<Self> {
        adopt(handle).map(Self)
    }
}

/// The event log of a run: a file without a name, so that it is gone with the
/// last process that holds it, however that ends. Open across exec, as
/// [`Output`] is.
pub(crate) struct EventLog(File);

impl EventLog {
    pub(crate) fn create() -> io::Result<Self> {
        let file = dup(unnamed_file()?)?; // the copy stays open across exec
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Ok(Self(File::from(file)))
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

    pub(crate) fn handle(&self) -> Handle {
        self.0.as_raw_fd()
    }

    pub(crate) fn adopt(handle: &Handle) -> io::Result<Self> {
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
    let path = std::env::temp_dir().join(format!("event-log-{}", crate::who::pid()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Takes over the descriptor with this number, which the parent left open
/// across exec. Whatever this process opened itself is refused: the standard
/// library opens everything with the close-on-exec flag.
fn adopt(handle: &Handle) -> io::Result<File> {
    let number = *handle;
    // SAFETY: F_GETFD only looks a number up; one that is not open gives -1.
    let flags = unsafe { nix::libc::fcntl(number, nix::libc::F_GETFD) };
    if number <= 2 || flags != 0 {
        return Err(io::Error::other(format!(
            "descriptor {number} was not handed on"
        )));
    }
    // SAFETY: the number is open, and without close-on-exec, so it was open
    // when this program began and nothing here has opened it: nobody else owns
    // it. No number is adopted twice: take_part does this once in a process,
    // and refuses a log that is the output.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(number) }))
}
