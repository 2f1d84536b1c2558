//! The children of the first process: none may outlive an ended run. The
//! signal handler reads what stands here: atomics only, no lock, no heap.

use super::unix::exit_now;
use crate::who;
use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};

/// More than any lesson makes.
const MOST_CHILDREN: usize = 1024;
static CHILDREN: [AtomicI32; MOST_CHILDREN] = [const { AtomicI32::new(0) }; MOST_CHILDREN];
static FIRST_PROCESS: AtomicU32 = AtomicU32::new(0);

/// 1 + the status with which the run is being ended; 0 while it is not.
static ENDING: AtomicI32 = AtomicI32::new(0);
static IGNORES_CTRL_C: AtomicBool = AtomicBool::new(false);
/// How many threads are starting a process just now; see [`Starting`].
static STARTING: AtomicUsize = AtomicUsize::new(0);

/// Held while a child is made, from before fork or spawn until the child is
/// guarded: in between the run does not end, so no child slips out of it.
#[derive(Debug)]
#[must_use = "hold it until the child is guarded"]
pub struct Starting(());

/// See [`Starting`]. Once the run is being ended this never returns: a thread
/// that found its worker dead must not start another one.
pub fn starting() -> Starting {
    STARTING.fetch_add(1, SeqCst);
    let starting = Starting(());
    if ENDING.load(SeqCst) != 0 {
        drop(starting);
        unreachable!("dropping it ended the run");
    }
    starting
}

/// Never returns once the run is being ended: a thread that finds its worker
/// dead has nothing to say about that, and nothing to do.
pub fn hold_if_ending() {
    drop(starting());
}

/// Whether this process was started to ignore Ctrl-C, as the background of a
/// script is: then Ctrl-C must stay ignored.
#[must_use]
pub fn ignores_ctrl_c() -> bool {
    IGNORES_CTRL_C.load(SeqCst)
}

impl Starting {
    /// Guards the child with this PID, as fork or spawn returned it. (A number
    /// that is no PID is never a child: that guard does nothing.)
    pub fn guard(self, child: impl TryInto<i32>) -> ChildGuard {
        let pid = child.try_into().unwrap_or(0);
        // With all places taken (MOST_CHILDREN) drop still works, Ctrl-C not.
        replace_in_list(0, pid);
        ChildGuard {
            pid: Pid::from_raw(pid),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.fetch_sub(1, SeqCst);
        while ENDING.load(SeqCst) != 0 {
            end_unless_starting();
            // Another thread is making a child, and ends the run after it.
            std::thread::park();
        }
    }
}

/// Owns the duty to reap one child: if the child is still there when the guard
/// goes, on an error, a panic or Ctrl-C, it is killed and reaped. After a
/// `waitpid` of your own it finds nothing to do.
#[derive(Debug)]
#[must_use = "the child is killed when this goes"]
pub struct ChildGuard {
    pid: Pid,
}

impl ChildGuard {
    /// The PID of the child.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The child was reaped: its PID may soon be another process's.
    pub fn reaped(self) {
        replace_in_list(self.pid.as_raw(), 0);
        std::mem::forget(self);
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        kill_and_reap(self.pid);
        replace_in_list(self.pid.as_raw(), 0);
    }
}

fn replace_in_list(old: i32, new: i32) {
    let _ = CHILDREN
        .iter()
        .find(|place| place.compare_exchange(old, new, SeqCst, SeqCst).is_ok());
}

/// waitpid knows only children of this process that were not reaped yet: as
/// long as no other thread reaps this one just now (it says so with
/// [`ChildGuard::reaped`]), the PID is that of our child.
fn kill_and_reap(pid: Pid) {
    if pid.as_raw() > 0 && waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = signal::kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}

/// Ends the run that is being ended, with no child left; unless a child is
/// being made: who makes it comes here afterwards.
fn end_unless_starting() {
    // Looked at before the list is: who starts a child from now on sees that
    // the run is being ended, and all who did before have guarded theirs.
    let none_is_starting = STARTING.load(SeqCst) == 0;
    for place in &CHILDREN {
        kill_and_reap(Pid::from_raw(place.load(SeqCst)));
    }
    if none_is_starting {
        exit_now(ENDING.load(SeqCst) - 1);
    }
}

/// Ends the run with `status`: children are killed and reaped first. In another
/// process than the first it ends only that one.
pub fn stop(status: i32) -> ! {
    if who::pid() != FIRST_PROCESS.load(SeqCst) {
        exit_now(status);
    }
    ENDING.store(status + 1, SeqCst);
    loop {
        end_unless_starting();
        std::thread::park();
    }
}

/// From here on Ctrl-C, SIGTERM and SIGHUP end this process and its guarded
/// children, with status 128 + signal: 130 for Ctrl-C. A signal that this
/// process was started to ignore (by nohup, or in the background of a script)
/// stays ignored.
pub(crate) fn catch_interrupts() -> io::Result<()> {
    FIRST_PROCESS.store(who::pid(), SeqCst);
    let end = SigHandler::Handler(on_signal);
    let end = SigAction::new(end, SaFlags::SA_RESTART, SigSet::all());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: on_signal calls only async-signal-safe functions (waitpid,
        // kill, getpid, _exit: signal-safety(7)), touches only atomics, and
        // leaves errno as it was when it returns.
        let before = unsafe { signal::sigaction(signal, &end) }?;
        if matches!(before.handler(), SigHandler::SigIgn) {
            IGNORES_CTRL_C.fetch_or(signal == Signal::SIGINT, SeqCst);
            // SAFETY: this puts back what was there.
            unsafe { signal::sigaction(signal, &before) }?;
        }
    }
    // Who started this process may have chosen to ignore its children: then
    // the kernel would reap ours, and waitpid find none (wait(2), notes).
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    unsafe { signal::sigaction(Signal::SIGCHLD, &default) }?;
    Ok(())
}

extern "C" fn on_signal(signal: c_int) {
    let errno = Errno::last_raw();
    if who::pid() != FIRST_PROCESS.load(SeqCst) {
        exit_now(128 + signal);
    }
    ENDING.store(1 + 128 + signal, SeqCst);
    end_unless_starting();
    Errno::set_raw(errno);
}
