//! fork() is called once and returns twice: 0 in the child, the child's PID
//! in the parent.
//!
//! cargo run -p fork-demo -- returns-twice --children 3

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use shared_core::report::{in_child, reaped, seen};
use shared_core::who::{ChildGuard, ensure_single_thread};
use shared_core::{Context, Result, anyhow, check, fact, report, span};
use std::io;

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

        // SAFETY: this process has one thread, as just found, so no lock and
        // no piece of the heap can be half-changed in the child's copy.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => in_child("child", || {
                report!("fork() returned 0, so I am the child");
                report!("getppid() says {}", getppid());
                fact!("child_{n}_fork_returned", 0);
                fact!("child_{n}_getpid", getpid().as_raw());
                fact!("child_{n}_getppid", getppid().as_raw());
                EXIT_STATUS
            }),
            Ok(ForkResult::Parent { child }) => {
                children.push(ChildGuard::new(child));
                report!("fork() returned {child}, the child's PID");
                fact!("parent_{n}_fork_returned", child.as_raw());
            }
            Err(errno) => return Err(refused(errno, n - 1, total)),
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

    judge(&children, &statuses);
    Ok(())
}

fn judge(children: &[ChildGuard], statuses: &[WaitStatus]) {
    let parent = getpid().as_raw();
    let numbered = || (1..).zip(children.iter().map(|child| child.pid().as_raw()));
    check!(
        "in the child fork() returned 0",
        numbered().all(|(n, _)| seen(&format!("child_{n}_fork_returned")) == 0)
    );
    check!(
        "in the parent fork() returned the child's PID",
        numbered().all(|(n, pid)| pid != parent && seen(&format!("child_{n}_getpid")) == pid)
    );
    check!(
        "getppid() in the child is the parent's PID",
        numbered().all(|(n, _)| seen(&format!("child_{n}_getppid")) == parent)
    );
    check!(
        "waitpid() gave back the status that the child left with",
        numbered().zip(statuses).all(|((_, pid), status)| {
            *status == WaitStatus::Exited(Pid::from_raw(pid), EXIT_STATUS)
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

fn refused(errno: Errno, made: u16, total: u16) -> shared_core::Error {
    let cause = io::Error::from(errno).to_string();
    let cause = cause.split(" (os error").next().unwrap_or_default();
    anyhow!("fork: {cause} after {made} of {total} children; see ulimit -u")
}
