//! fork() is called once and returns twice: 0 in the child, the child's PID
//! in the parent.
//!
//! cargo run -p fork-demo -- returns-twice --children 3

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, getppid};
use shared_core::children::{WaitStatus as _, about_to_fork};
use shared_core::report::require;
use shared_core::{Error, Result, anyhow, cause, check, fact, report, span};

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
        // Alone in this process; and until `made` no signal ends the run, so no
        // child slips out. report! keeps nothing in a buffer: there is nothing
        // to flush, and nothing that the child would print a second time.
        let start = about_to_fork("child")?;

        // SAFETY: this process has one thread (where the system tells how many
        // there are, that was just confirmed), so no lock and no piece of the
        // heap can be half-changed in the child's copy.
        let returned = unsafe { libc::fork() };
        match returned {
            0 => start.in_child(|| {
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
                children.push(start.made(child));
                report!("fork() returned {returned}, my child");
                fact!("parent_{n}_fork_returned", returned);
            }
        }
    }

    let mut statuses = Vec::new();
    for child in &mut children {
        let _span = span!("waitpid");
        let status = child.reap(|pid| waitpid(pid, None))?;
        report!("reaped {child}: {}", describe(status));
        statuses.push(status);
    }

    judge(total, &statuses);
    Ok(())
}

fn judge(total: u16, statuses: &[WaitStatus]) {
    let parent = getpid().as_raw();
    let child_saw = |n: u16, what: &str| require(&format!("child_{n}_{what}"));
    let parent_saw = |n: u16| require(&format!("parent_{n}_fork_returned"));
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
    let end = status.end();
    end.map_or_else(|| format!("{status:?}"), |end| end.to_string())
}

fn refused(errno: Errno, made: u16, total: u16) -> Error {
    let cause = cause(std::io::Error::from(errno));
    let hint = if errno == Errno::EAGAIN {
        "; see ulimit -u"
    } else {
        ""
    };
    anyhow!("fork: {cause} after {made} of {total} children{hint}")
}
