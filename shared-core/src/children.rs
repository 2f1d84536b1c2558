//! A child is made, guarded, reaped: it must not outlive the run.
//!
//! fork, spawn and wait stand in the lesson; around them there are three calls:
//! [`about_to_fork`] or [`about_to_spawn`] before, [`Start::made`] when there is
//! a PID, [`Child::reap`] with the call that waits.

use crate::ending::{Place, Starting, is_first_process};
use crate::platform::{self, kill_and_reap, pid_of};
use crate::report::{self, End, HandOn, Stdin};
use crate::who;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::io;
use std::panic::Location;
use std::process::{self, Command, ExitStatus};

pub use crate::platform::{BreakOff, FromChild, Pid, StopReading, become_program};

/// Before fork: finds that the calling thread is alone in its process, the
/// state in which fork(2) is sound (in the child of a process with several
/// threads only async-signal-safe functions may be called: fork(2),
/// signal-safety(7)), and keeps the run from ending until the child is guarded.
///
/// `role` is what the child is called.
///
/// # Errors
/// When there are other threads (where the system does not tell, that is no
/// error), and when there are [`MOST_CHILDREN`](crate::ending::MOST_CHILDREN)
/// children.
#[cfg(unix)]
#[track_caller]
pub fn about_to_fork(role: &str) -> Result<Start> {
    if let Some(count) = platform::threads()
        && count > 1
    {
        anyhow::bail!("fork: this process has {count} threads; fork before you start one");
    }
    Ok(Start {
        copied_at: Some(Location::caller()),
        ..start("fork", role)?
    })
}

/// Before spawn: keeps the run from ending until the child, called `role`, is
/// guarded.
///
/// # Errors
/// When there are [`MOST_CHILDREN`](crate::ending::MOST_CHILDREN) children.
pub fn about_to_spawn(role: &str) -> Result<Start> {
    start("spawn", role)
}

fn start(call: &str, role: &str) -> Result<Start> {
    Ok(Start {
        starting: Starting::begin().with_context(|| format!("failed to {call} {role}"))?,
        role: role.to_owned(),
        // The kernel's order to end with one's parent follows the thread that
        // made the child (PR_SET_PDEATHSIG, prctl(2)): by default it is given
        // by the thread that is there as long as the process.
        ends_with: who::is_main_thread().then(who::pid),
        may_outlive: false,
        copied_at: None,
    })
}

/// A process that has become a child of this one, because its parent has ended and
/// this is the nearest subreaper (`PR_SET_CHILD_SUBREAPER`, prctl(2); Linux): an
/// orphan, called `role`. `None` if it is not a child of this process.
///
/// # Errors
/// When there are [`MOST_CHILDREN`](crate::ending::MOST_CHILDREN) children.
#[cfg(unix)]
pub fn adopted(orphan: u32, role: &str) -> Result<Option<Child>> {
    if !platform::is_child(orphan) {
        return Ok(None);
    }
    let start = start("adopt", role)?;
    let pid = orphan.cast_signed();
    let place = Some(start.starting.made(pid));
    Ok(Some(Child {
        pid,
        place,
        was_reaped: false,
        role: start.role,
    }))
}

/// A child about to be made. Until [`made`](Self::made) is called or this is
/// dropped, because there is no child after all, the run does not end.
#[derive(Debug)]
#[must_use = "the run does not end while this is there"]
pub struct Start {
    starting: Starting,
    role: String,
    /// The parent, if the child ends with the thread that makes it.
    ends_with: Option<u32>,
    may_outlive: bool,
    /// Where [`about_to_fork`] was called: a copy of the parent goes on behind this line.
    copied_at: Option<&'static Location<'static>>,
}

impl Start {
    /// The child may outlive its parent, for lessons about that; nobody kills it
    /// when its [`Child`] is dropped. It never outlives the run: at the end the
    /// first process kills and reaps what has become its child (on Linux).
    pub fn may_outlive_its_parent(mut self) -> Self {
        self.ends_with = None;
        self.may_outlive = !is_first_process();
        self
    }

    /// The child is killed when this thread ends, not only when this process
    /// does (Linux): for a thread that stays until it has reaped the child.
    pub fn ends_with_this_thread(mut self) -> Self {
        self.ends_with = Some(who::pid());
        self
    }

    /// Lets `command` start a process that takes part in this run, if there is one,
    /// and ends with its parent: the child's `main` calls
    /// [`take_part`](report::take_part), and the parent, when there is a child,
    /// [`Child::takes_part`].
    ///
    /// # Errors
    /// When the system refuses the way to it (socketpair(2)).
    pub fn hand_on(&self, command: &mut Command) -> io::Result<HandOn> {
        report::hand_on(command, self.ends_with)
    }

    /// Lets `command` start any program, with a way to its stdin, and nothing else.
    ///
    /// # Errors
    /// When the system refuses the way to it (socketpair(2)).
    pub fn connect(&self, command: &mut Command) -> io::Result<HandOn> {
        report::connect(command)
    }

    /// There is a child, with this PID, as fork or spawn returned it: from here
    /// on it is guarded, and has a lane.
    #[track_caller]
    pub fn made(self, pid: impl TryInto<i32>) -> Child {
        let pid = pid.try_into().unwrap_or(0); // no PID, hence no child
        let place = if self.may_outlive {
            drop(self.starting); // on no list
            None
        } else {
            Some(self.starting.made(pid))
        };
        report::started(
            pid.unsigned_abs(),
            &self.role,
            self.copied_at,
            Some(Location::caller()),
        );
        Child {
            pid,
            place,
            was_reaped: false,
            role: self.role,
        }
    }

    /// The part of a forked child: runs `body` and leaves with the status that
    /// it returns (101 after a panic), never returning into code that is its
    /// parent's. It starts with default signals.
    #[cfg(unix)]
    #[track_caller]
    pub fn in_child(self, body: impl FnOnce() -> i32) -> ! {
        if let Some(parent) = self.ends_with {
            platform::die_with(parent);
        }
        crate::ending::forget_parents_children();
        platform::default_signals();
        report::begin_part(&self.role, Some(Location::caller()));
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        report::close_lane();
        crate::ending::sweep(); // its own children go with it
        platform::exit_now(status.unwrap_or(101))
    }
}

/// A child that was made by this process. One that was not reaped is killed and
/// reaped when this is dropped, on an error or a panic, and when the run ends.
#[derive(Debug)]
#[must_use = "the child is killed when this is dropped"]
pub struct Child {
    pid: i32,
    /// Its place on the list; none if it may outlive its parent.
    place: Option<Place>,
    was_reaped: bool,
    role: String,
}

impl Child {
    /// The PID of the child.
    #[must_use]
    pub fn pid(&self) -> Pid {
        pid_of(self.pid)
    }

    /// What the child is called.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Lets `process`, which is this child, take part in the run if it was started
    /// for that, and returns the parent's end of its stdin.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn takes_part(&self, by: HandOn, process: &mut process::Child) -> io::Result<Stdin> {
        by.to(process, &self.role)
    }

    /// Asks the child to end, if it was not reaped: SIGTERM (nothing on Windows).
    pub fn ask_to_end(&self) {
        if !self.was_reaped {
            platform::ask_to_end(self.pid);
        }
    }

    /// Reaps the child with `wait`, a call that waits for this PID, and records
    /// how it ended. `wait` may find that it runs still: then nothing changes.
    /// ```ignore
    /// let status = child.reap(|pid| waitpid(pid, None))?;
    /// ```
    ///
    /// # Errors
    /// That of `wait`; and when the child was reaped before, since its PID may
    /// be another process's now.
    #[track_caller]
    pub fn reap<S: WaitStatus, E: Into<anyhow::Error>>(
        &mut self,
        wait: impl FnOnce(Pid) -> Result<S, E>,
    ) -> Result<S> {
        ensure!(
            !self.was_reaped,
            "wait for {} {self}: it was reaped before",
            self.role
        );
        let status = wait(self.pid())
            .map_err(Into::into)
            .with_context(|| format!("failed to wait for {} {self}", self.role))?;
        if let Some(end) = status.end() {
            self.was_reaped = true;
            if let Some(place) = self.place {
                place.empty(self.pid);
            }
            report::reaped(
                self.pid.unsigned_abs(),
                &self.role,
                &end,
                Some(Location::caller()),
            );
        }
        Ok(status)
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pid.fmt(f)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // If its place was taken away, the child was reaped behind our back, and
        // its PID is another one's.
        if let Some(place) = self.place
            && !self.was_reaped
            && place.belongs_to(self.pid)
        {
            let end = kill_and_reap(self.pid).and_then(|status| status.end());
            place.empty(self.pid);
            if let Some(end) = end {
                report::reaped(self.pid.unsigned_abs(), &self.role, &end, None);
            }
        }
    }
}

/// What a call that waits for a child returns.
pub trait WaitStatus {
    /// How the child ended; `None` if it has not.
    fn end(&self) -> Option<End>;
}

impl WaitStatus for ExitStatus {
    fn end(&self) -> Option<End> {
        let exited = self.code().map(End::Exited);
        exited.or_else(|| platform::signal_of(*self).map(End::Killed))
    }
}

impl WaitStatus for Option<ExitStatus> {
    fn end(&self) -> Option<End> {
        self.as_ref().and_then(WaitStatus::end)
    }
}

#[cfg(unix)]
impl WaitStatus for nix::sys::wait::WaitStatus {
    fn end(&self) -> Option<End> {
        match self {
            Self::Exited(_, status) => Some(End::Exited(*status)),
            Self::Signaled(_, signal, _) => Some(End::Killed(signal.to_string())),
            _ => None,
        }
    }
}
