//! fork() is called once and returns twice: 0 in the child, the child's PID
//! in the parent.
//!
//! cargo run -p fork-demo -- returns-twice --children 3

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, getppid};
use shared_core::report::{in_child, reaped, seen, started};
use shared_core::who::{ensure_single_thread, starting};
use shared_core::{Context, Error, Result, anyhow, cause, check, fact, report, span};

#[derive(clap::Args)]
pub struct Options {
    /// How many times the parent forks
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=500))]
    children: u16,
}

/// What a child leaves with, so that the parent has something to decode.
const EXIT_STATUS: i32 = 7;

pub fn run(options: &Options) -> Result<()> {
    let total = options.children;
    let mut children = Vec::new();
    report!("I am the parent, about to fork");

    for n in 1..=total {
        ensure_single_thread()?;
        // report! keeps nothing in a buffer: there is nothing to flush, and
        // nothing that the child would print a second time.

        let start = starting();
        // SAFETY: this program makes no thread (where the system tells how
        // many there are, that was just confirmed), so no lock and no piece of
        // the heap can be half-changed in the child's copy.
        let returned = unsafe { libc::fork() };
        match returned {
            0 => in_child("child", || {
                report!("fork() returned {returned}, so I am the child");
                report!("my parent is {}", getppid());
                fact!("child_{n}_fork_returned", returned);
                fact!("child_{n}_getpid", getpid().as_raw());
                fact!("child_{n}_getppid", getppid().as_raw());
                report!("I leave with status {EXIT_STATUS}");
                EXIT_STATUS
            }),
            -1 => return Err(refused(Errno::last(), n - 1, total)),
            child => {
                children.push(start.guard(child));
                started(child.unsigned_abs(), "child");
                report!("fork() returned {returned}, my child");
                fact!("parent_{n}_fork_returned", returned);
            }
        }
    }

    let mut statuses = Vec::new();
    for child in &children {
        let child = child.pid();
        let _span = span!("waitpid");
        let status = waitpid(child, None).with_context(|| format!("waitpid {child}"))?;
        reaped(child.as_raw().unsigned_abs(), "child");
        report!("reaped {child}: {}", describe(status));
        statuses.push(status);
    }

    judge(total, &statuses);
    Ok(())
}

fn judge(total: u16, statuses: &[WaitStatus]) {
    let parent = getpid().as_raw();
    let child_saw = |n: u16, what: &str| seen(&format!("child_{n}_{what}"));
    let parent_saw = |n: u16| seen(&format!("parent_{n}_fork_returned"));
    check!(
        "in the child fork() returned 0",
        (1..=total).all(|n| child_saw(n, "fork_returned") == 0)
    );
    check!(
        "in the parent fork() returned the child's PID",
        (1..=total).all(|n| parent_saw(n) == child_saw(n, "getpid"))
    );
    check!(
        "getppid() in the child is the parent's PID",
        (1..=total).all(|n| child_saw(n, "getppid") == parent)
    );
    check!(
        "waitpid() gave back the status that the child left with",
        (1..=total).zip(statuses).all(|(n, status)| {
            matches!(status, WaitStatus::Exited(pid, EXIT_STATUS)
                     if parent_saw(n) == pid.as_raw())
        })
    );
}

/// What wait(2) tells of the end of a child, in words.
fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, status) => format!("exited with status {status}"),
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        other => format!("{other:?}"),
    }
}

fn refused(errno: Errno, made: u16, total: u16) -> Error {
    let cause = cause(&errno.into());
    let hint = if errno == Errno::EAGAIN {
        "; see ulimit -u"
    } else {
        ""
    };
    anyhow!("fork: {cause} after {made} of {total} children{hint}")
}
