//! The parent ends first; its child lives on, and has a new parent. (notes 7, 28)
//!
//! cargo run -p fork-demo -- orphan
//!
//! To copy: examples/orphan.rs, the same steps without the reporting.

use crate::common::{describe, refused, status_of};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getppid};
use shared_core::children::{about_to_fork, adopted};
use shared_core::cli::Question;
use shared_core::report::{events, require};
use shared_core::{Context, Result, check, fact, moment, report, waiting};
use std::io::{PipeWriter, Read, pipe};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// A child outlives its parent, and gets a new one
///
/// When a process ends, its children do not: they are orphans, and the kernel gives
/// them a new parent, the nearest ancestor that has asked for orphans (a subreaper),
/// else init, which has PID 1 (prctl(2)). So getppid() may return another PID than
/// before (getppid(2)). Here the first process is the subreaper.
///
/// Try: cargo run -p fork-demo -- orphan --status 3
#[derive(clap::Args)]
pub struct Options {
    /// What the orphan exits with in the end (0 to 255)
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    status: u8,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The parent of a child ends. What becomes of the child?",
        choices: &["it ends too", "it lives on"],
        fact: "what_became_of_the_child",
        is_a_race: false,
    },
    Question {
        text: "Does getppid() in the child return the same PID before and after?",
        choices: &["yes", "no"],
        fact: "same_parent",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    // The child waits at its end until this process closes the other one.
    let (mut ours, childs) = UnixStream::pair().context("failed to make a socket pair")?;
    let start = about_to_fork("parent")?;
    // SAFETY: as in returns-twice: this process has one thread.
    let mut parent = match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            drop(ours);
            status_of(be_the_parent(childs, options.status))
        }),
        -1 => return Err(refused(Errno::last(), 0, 1)),
        parent => start.made(parent),
    };
    drop(childs);
    let status = {
        let _wait = waiting!("waitpid");
        parent.reap(|pid| waitpid(pid, None))?
    };
    report!("the parent {}", describe(status));
    moment!("the parent is reaped");

    // From here on the child is an orphan. Has it become a child of this process?
    let orphan = u32::try_from(require("child").as_u64().unwrap_or(0))?;
    let orphan = adopted(orphan, "child")?;
    fact!("adopted", orphan.is_some());
    ours.shutdown(Shutdown::Write)
        .context("failed to close the socket")?;
    let _wait = waiting!("until the child has ended");
    let _ = ours.read(&mut [0]);
    if let Some(mut orphan) = orphan {
        let status = orphan.reap(|pid| waitpid(pid, None))?;
        report!("my child now, {orphan} {}", describe(status));
        fact!("orphan_end", describe(status));
    }
    judge(options, parent.pid())
}

/// What runs in the parent: it makes a child and ends.
fn be_the_parent(socket: UnixStream, status: u8) -> Result<()> {
    let (mut has_asked, asks) = pipe().context("failed to make a pipe")?;
    let start = about_to_fork("child")?.may_outlive_its_parent();
    // SAFETY: as above: this process has one thread too.
    match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            drop(has_asked);
            be_the_child(socket, asks, status)
        }),
        -1 => Err(refused(Errno::last(), 0, 1)),
        child => {
            let child = start.made(child);
            fact!("child", child.pid().as_raw());
            drop(asks);
            let _ = has_asked.read(&mut [0]);
            report!("I end, and leave my child {child}");
            Ok(())
        }
    }
}

/// What runs in the child; returns the status that it exits with.
fn be_the_child(mut socket: UnixStream, asks: PipeWriter, status: u8) -> i32 {
    report!("my parent is {}", getppid());
    fact!("parent_before", getppid().as_raw());
    drop(asks);
    {
        let _wait = waiting!("until the parent has ended");
        let _ = socket.read(&mut [0]);
    }
    moment!("orphan");
    report!("my parent is {}", getppid());
    fact!("parent_after", getppid().as_raw());
    status.into()
}

// A first reading may skip the rest.

fn judge(options: &Options, parent: Pid) -> Result<()> {
    let after = require("parent_after");
    let same = after == require("parent_before");
    fact!("same_parent", if same { "yes" } else { "no" });
    check!(
        "before, getppid() in the child is the PID of the parent that made it",
        require("parent_before"),
        parent.as_raw()
    );
    let events = events()?;
    let pid = u64::from(parent.as_raw().unsigned_abs());
    let reaped = events
        .iter()
        .position(|event| event.cat == "reaped" && u64::from(event.pid) == pid);
    let spoke = events
        .iter()
        .rposition(|event| event.name == "parent_after");
    let lives_on = reaped.is_some() && spoke > reaped;
    fact!(
        "what_became_of_the_child",
        if lives_on {
            "it lives on"
        } else {
            "it ends too"
        }
    );
    check!(
        "the child speaks after its parent was reaped",
        lives_on,
        true
    );
    check!(
        "afterwards it has another parent",
        after.clone(),
        after.is_number() && after != parent.as_raw(),
        format!("not {parent}")
    );
    // Where this process is a subreaper, that is Linux.
    if require("adopted") == true {
        check!(
            "the new parent reaps it",
            require("orphan_end"),
            format!("exited with status {}", options.status)
        );
    }
    Ok(())
}
