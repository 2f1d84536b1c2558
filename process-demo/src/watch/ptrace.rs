//! ptrace(2), seccomp(2) and fork(2), as far as nix does not have them: its signals
//! end before the real-time ones, and it cannot listen. All `unsafe` of `watch` stands
//! here.

use nix::errno::Errno;
use nix::libc::{self, c_int, c_long, c_void};
use nix::sys::ptrace;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};
use seccompiler::BpfProgram;
use std::ptr::null_mut;

/// What has become of a task (a process or a thread) that we follow.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// This signal is about to be delivered to it.
    Signal(i32),
    /// This signal has stopped its whole process.
    Stopped(i32),
    /// It is there, about to make its first step; or it goes on after a stop.
    There,
    /// One of ptrace's events: `PTRACE_EVENT_FORK`, say.
    Event(c_int),
    /// A system call is about to return.
    Returns,
}

/// How a task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the next event.
    Event,
    /// And to where the system call that it is in returns.
    Return,
}

/// A system call, as `PTRACE_GET_SYSCALL_INFO` tells it on every architecture.
#[derive(Debug, Clone, Copy)]
pub enum Syscall {
    /// It is about to be made.
    Enters {
        /// Which one.
        number: c_long,
        /// Its arguments.
        args: [u64; 6],
    },
    /// It is about to return.
    Returns(i64),
}

/// What has become of a task that we follow, or of a child; it is waited for if `waits`.
/// `None` when there is neither any more, or nothing to be told.
///
/// # Errors
/// When wait fails (waitpid(2)).
pub fn wait(waits: bool) -> nix::Result<Option<(i32, Change)>> {
    let mut status = 0;
    let options = libc::__WALL | if waits { 0 } else { libc::WNOHANG };
    // SAFETY: the pointer is to an integer that lives until the call returns.
    let task = match Errno::result(unsafe { libc::waitpid(-1, &raw mut status, options) }) {
        Err(Errno::ECHILD) | Ok(0) => return Ok(None),
        task => task?,
    };
    let change = match () {
        () if libc::WIFEXITED(status) => Change::Exited(libc::WEXITSTATUS(status)),
        () if libc::WIFSIGNALED(status) => Change::Killed(libc::WTERMSIG(status)),
        () => match (status >> 16, libc::WSTOPSIG(status)) {
            (0, signal) if signal == libc::SIGTRAP | 0x80 => Change::Returns,
            (0, signal) => Change::Signal(signal),
            (libc::PTRACE_EVENT_STOP, libc::SIGTRAP) => Change::There,
            (libc::PTRACE_EVENT_STOP, signal) => Change::Stopped(signal),
            (event, _) => Change::Event(event),
        },
    };
    Ok(Some((task, change)))
}

/// Lets a task that has stopped go on; `signal` is delivered to it if it is not 0. A
/// task that was killed meanwhile is no error: wait tells it.
///
/// # Errors
/// When ptrace fails for another reason.
pub fn go_on(task: i32, until: Until, signal: i32) -> nix::Result<()> {
    let request = match until {
        Until::Event => libc::PTRACE_CONT,
        Until::Return => libc::PTRACE_SYSCALL,
    };
    request_of(request, task, signal)
}

/// Leaves a task whose process was stopped in that stop, until SIGCONT comes.
///
/// # Errors
/// As for [`go_on`].
pub fn listen(task: i32) -> nix::Result<()> {
    request_of(libc::PTRACE_LISTEN, task, 0)
}

fn request_of(request: libc::c_uint, task: i32, signal: i32) -> nix::Result<()> {
    let signal = signal.unsigned_abs() as usize as *mut c_void; // a number for a pointer
    // SAFETY: these requests read and write no memory of ours: the address is unused,
    // and the data is a number.
    let done = unsafe { libc::ptrace(request, task, null_mut::<c_void>(), signal) };
    match Errno::result(done) {
        Err(Errno::ESRCH) => Ok(()),
        done => done.map(drop),
    }
}

/// The system call that a stopped task is in; `None` if it stopped elsewhere.
///
/// # Errors
/// When the task was killed meanwhile.
pub fn syscall(task: i32) -> nix::Result<Option<Syscall>> {
    let info = ptrace::syscall_info(Pid::from_raw(task))?;
    // SAFETY: `op` says which of the union's fields the kernel has filled in.
    let (number, args) = unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                return Ok(Some(Syscall::Returns(info.u.exit.sval)));
            }
            libc::PTRACE_SYSCALL_INFO_SECCOMP => (info.u.seccomp.nr, info.u.seccomp.args),
            libc::PTRACE_SYSCALL_INFO_ENTRY => (info.u.entry.nr, info.u.entry.args),
            _ => return Ok(None),
        }
    };
    let number = c_long::try_from(number).unwrap_or(c_long::MAX);
    Ok(Some(Syscall::Enters { number, args }))
}

/// From here on the calling thread, and all that comes from it, asks its tracer about
/// the system calls that `filter` names. (A filter needs a promise that no program
/// gains privileges by being executed, unless we could gain them anyhow.)
///
/// # Errors
/// When the kernel refuses.
pub fn install(filter: &BpfProgram) -> nix::Result<()> {
    let mut filter: Vec<libc::sock_filter> = filter
        .iter()
        .map(|step| libc::sock_filter {
            code: step.code,
            jt: step.jt,
            jf: step.jf,
            k: step.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_mut_ptr(),
    };
    let install = || {
        // SAFETY: the kernel reads the filter, whose length is right, and copies it
        // before the call returns.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const program,
            )
        };
        Errno::result(done).map(drop)
    };
    match install() {
        Err(Errno::EACCES) => {
            nix::sys::prctl::set_no_new_privs()?;
            install()
        }
        done => done,
    }
}

/// fork(2), in a process that has one thread. The child gets `None`.
///
/// # Errors
/// When the system refuses.
pub fn fork() -> nix::Result<Option<i32>> {
    // SAFETY: this process has no other thread yet, so the child finds every lock
    // free, and may do all that its parent might.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child.as_raw())),
        ForkResult::Child => Ok(None),
    }
}

/// From here on this signal does what it does by default.
///
/// # Errors
/// When the system refuses.
pub fn default_action(of: Signal) -> nix::Result<()> {
    // SAFETY: no function of ours is put in as a handler.
    unsafe { signal(of, SigHandler::SigDfl) }.map(drop)
}

/// Leaves at once (_exit(2)), as a child that could not be executed does.
pub fn exit(status: i32) -> ! {
    shared_core::ending::exit_now(status)
}
