//! A parent may have many children and must remember the PID of each; a child has
//! one parent, and asks getppid() for it. (note 7)
//!
//! cargo run -p fork-demo -- family --children 10
//!
//! To copy: examples/family.rs, the same steps without the reporting.

use crate::common::{describe, refused};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{getppid, pause};
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, Value, check, ensure, fact, moment, report, waiting, who};
use std::collections::HashSet;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

/// A parent remembers many children, a child asks for one parent
///
/// fork() returns the PID of the new child once: a parent that wants to signal or to
/// reap it must remember it, for each of its children. A child has one parent at any
/// time and asks for it with getppid(2). waitpid() tells of each child how it ended:
/// with the low eight bits of its exit status, or by which signal (wait(2)).
///
/// Try: cargo run -p fork-demo -- family --children 10
///
/// Try: cargo run -p fork-demo -- family --children 300
#[derive(clap::Args)]
pub struct Options {
    /// How many children; child n exits with status n (1 to 1000)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    children: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "How many different answers does getppid() give to {children} children?",
        choices: &[],
        fact: "different_parents",
        is_a_race: false,
    },
    Question {
        text: "The last child waits for ever. What does waitpid() tell of it?",
        choices: &[
            "exited with status 0",
            "exited with status {children}",
            "killed by SIGTERM",
        ],
        fact: "last_end",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let total = options.children;
    let (mut last_is_ready, ready) = pipe().context("failed to make a pipe")?;
    let mut children = Vec::new();
    for n in 1..=total {
        let start = about_to_fork(&format!("child {n}"))?;
        // SAFETY: as in returns-twice: this process has one thread.
        match unsafe { libc::fork() } {
            0 => start.in_child(|| be_child(n, (n == total).then_some(&ready))),
            -1 => return Err(refused(Errno::last(), n - 1, total)),
            // Forgotten here, it could be neither signalled nor reaped by name.
            child => children.push(start.made(child)),
        }
    }
    report!("children: {}", children.len());

    // The last one waits for ever: the parent knows its PID and sends a signal.
    drop(ready);
    wait_for(&mut last_is_ready)?;
    if let Some(last) = children.last() {
        kill(last.pid(), Signal::SIGTERM).context("failed to signal the last child")?;
        moment!("SIGTERM");
    }

    let mut ends = Vec::new();
    for child in &mut children {
        let _wait = waiting!("waitpid");
        let status = child.reap(|pid| waitpid(pid, None))?;
        report!("{} {child}: {}", child.role(), describe(status));
        ends.push(describe(status));
    }
    let pids: HashSet<String> = children.iter().map(ToString::to_string).collect();
    judge(total, &ends, pids.len());
    Ok(())
}

/// What runs in child `n`; returns the status that it exits with.
fn be_child(n: u16, ready: Option<&PipeWriter>) -> i32 {
    report!("my parent is {}", getppid());
    fact!("child_{n}_getppid", getppid().as_raw());
    if let Some(mut ready) = ready {
        let _ = ready.write_all(b"!");
        loop {
            pause();
        }
    }
    n.into()
}

fn wait_for(ready: &mut PipeReader) -> Result<()> {
    let _wait = waiting!("ready");
    let read = ready.read(&mut [0]).context("failed to read from a pipe")?;
    ensure!(read == 1, "the last child ended before it was told to");
    Ok(())
}

// A first reading may skip the rest.

fn judge(total: u16, ends: &[String], different_pids: usize) {
    let parents: Vec<Value> = (1..=total)
        .map(|n| require(&format!("child_{n}_getppid")))
        .collect();
    let different: HashSet<String> = parents.iter().map(Value::to_string).collect();
    fact!("different_parents", different.len());
    fact!("last_end", ends.last().map(String::as_str));
    check!(
        "getppid() is the parent's PID in every child",
        parents,
        vec![who::pid(); total.into()]
    );
    check!(
        "the parent reaped as many different children as it had made",
        different_pids.min(ends.len()),
        usize::from(total)
    );
    // 256 is 0 in eight bits.
    let numbers = (1..total).map(|n| format!("exited with status {}", n % 256));
    check!(
        "each child but the last exited with its number, in eight bits",
        ends[..ends.len().saturating_sub(1)].to_vec(),
        numbers.collect::<Vec<_>>()
    );
    check!(
        "the last child was killed by the signal that the parent sent",
        ends.last().map(String::as_str),
        "killed by SIGTERM"
    );
}
