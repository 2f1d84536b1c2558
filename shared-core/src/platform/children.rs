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
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};

/// More than any lesson makes.
const MOST_CHILDREN: usize = 1024;
static CHILDREN: [AtomicI32; MOST_CHILDREN] = [const { AtomicI32::new(0) }; MOST_CHILDREN];
static FIRST_PROCESS: AtomicU32 = AtomicU32::new(0);

/// 1 + the status with which the run is being ended; 0 while it is not.
static ENDING: AtomicI32 = AtomicI32::new(0);
/// How many threads are starting a process just now; see [`Starting`].
static STARTING: AtomicUsize = AtomicUsize::new(0);

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
        replace_in_list(0, pid);
        end_if_asked();
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
        replace_in_list(self.pid.as_raw(), 0);
    }
}

fn replace_in_list(old: i32, new: i32) {
    let _ = CHILDREN
        .iter()
        .find(|place| place.compare_exchange(old, new, SeqCst, SeqCst).is_ok());
}

/// Held while a thread starts a process, until its [`ChildGuard`] stands: the
/// run does not end in between, so that no child slips out of it. Not needed
/// by a process with one thread.
#[derive(Debug)]
pub struct Starting(());

/// See [`Starting`]. Once the run is being ended this never returns: a thread
/// that found its worker dead must not start another one.
#[must_use]
pub fn starting() -> Starting {
    STARTING.fetch_add(1, SeqCst);
    if ENDING.load(SeqCst) != 0 {
        drop(Starting(()));
    }
    Starting(())
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.fetch_sub(1, SeqCst);
        end_if_asked();
        while ENDING.load(SeqCst) != 0 {
            // Another thread is starting a process, and ends the run after it.
            std::thread::park();
        }
    }
}

/// waitpid knows only children of this process that were not reaped yet, so
/// the PID cannot have been given to another process.
fn kill_and_reap(pid: Pid) {
    if pid.as_raw() > 0 && waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = signal::kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}

fn kill_and_reap_all() {
    for place in &CHILDREN {
        kill_and_reap(Pid::from_raw(place.load(SeqCst)));
    }
}

/// If the run is being ended: no child stays, and the last thread that was
/// starting one leaves with the status.
fn end_if_asked() {
    let ending = ENDING.load(SeqCst);
    if ending != 0 {
        kill_and_reap_all();
        if STARTING.load(SeqCst) == 0 {
            exit_now(ending - 1);
        }
    }
}

/// Ends the run with `status`, as soon as no thread is starting a process:
/// children are killed and reaped first. In another process than the first it
/// ends only that one.
pub(crate) fn stop(status: i32) -> ! {
    if who::pid() != FIRST_PROCESS.load(SeqCst) {
        exit_now(status);
    }
    ENDING.store(status + 1, SeqCst);
    loop {
        end_if_asked();
        std::thread::park();
    }
}

/// From here on Ctrl-C, SIGTERM and SIGHUP end this process and its guarded
/// children, with status 128 + signal: 130 for Ctrl-C.
pub(crate) fn catch_interrupts() -> io::Result<()> {
    FIRST_PROCESS.store(who::pid(), SeqCst);
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
    let again = ENDING.swap(1 + 128 + signal, SeqCst) != 0;
    if who::pid() != FIRST_PROCESS.load(SeqCst) {
        exit_now(128 + signal);
    }
    kill_and_reap_all();
    // Who is starting a process ends the run after it. A child that was forked
    // an instant ago has no guard yet: the guard, on the way, ends the run.
    if again || STARTING.load(SeqCst) == 0 && !has_children() {
        exit_now(128 + signal);
    }
    Errno::set_raw(errno);
}

/// Whether a child is still running; those that have ended are reaped.
fn has_children() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// The status with which the run is to be ended, if a signal asked for it.
pub(crate) fn asked_to_end() -> Option<i32> {
    let ending = ENDING.load(SeqCst);
    (ending != 0).then_some(ending - 1)
}
