//! fork() is called once and returns twice: 0 in the child, the child's PID
//! in the parent. (notes 6, 7, 8)
//!
//! cargo run -p fork-demo -- returns-twice --children 3
//!
//! To copy: examples/fork.rs, one child and no reporting; it calls fork through
//! nix, which makes an enum of the number that is returned here.

use crate::common::{describe, refused};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, getppid};
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Result, Value, check, fact, moment, report, waiting};

/// fork() is called once and returns twice
///
/// The kernel makes a second process, a copy of the first, and both return from
/// the same call: in the child fork() returns 0, and in the parent the child's PID,
/// the number of that process (fork(2)). A child that has ended is a
/// zombie until its parent reaps it with waitpid(), which returns the low eight bits
/// of the child's exit status (wait(2), _exit(2)).
///
/// Try: cargo run -p fork-demo -- returns-twice --children 3
#[derive(clap::Args)]
pub struct Options {
    /// How many times the parent forks (1 to 500)
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=500))]
    children: u16,
}

/// What a child exits with, so that the parent has something to decode.
const EXIT_STATUS: i32 = 7;

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "With --children {children}: how many times does fork() return, in all processes?",
        choices: &[],
        fact: "fork_returns",
        is_a_race: false,
    },
    Question {
        text: "What does fork() return in a child?",
        choices: &["0", "its own PID", "its parent's PID"],
        fact: "child_1_fork_returned",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let total = options.children;
    let mut children = Vec::new();
    report!("I am the parent, about to fork");

    for n in 1..=total {
        // Alone in this process; and no child slips out of the run. (report!
        // keeps nothing in a buffer that the child would print again.)
        let start = about_to_fork("child")?;

        // SAFETY: this process has one thread (where the system tells how many
        // there are, that was just confirmed), so no lock and no piece of the
        // heap can be half-changed in the child's copy.
        let returned = unsafe { libc::fork() };
        // From here on two processes run this code: the value tells which.
        match returned {
            0 => start.in_child(|| be_the_child(n, returned)),
            -1 => return Err(refused(Errno::last(), n - 1, total)),
            child => {
                children.push(start.made(child));
                moment!("→ {returned}");
                report!("fork() returned {returned}: my child's PID");
                fact!("parent_{n}_fork_returned", returned);
            }
        }
    }

    let mut statuses = Vec::new();
    for child in &mut children {
        let _wait = waiting!("waitpid");
        let status = child.reap(|pid| waitpid(pid, None))?;
        report!("reaped {child}: {}", describe(status));
        statuses.push(status);
    }

    judge(total, &statuses);
    Ok(())
}

/// What runs in child `n`; returns the status that it exits with.
fn be_the_child(n: u16, returned: i32) -> i32 {
    moment!("→ {returned}");
    report!("fork() returned {returned}, so I am the child");
    report!("my parent is {}", getppid());
    fact!("child_{n}_fork_returned", returned);
    fact!("child_{n}_getpid", getpid().as_raw());
    fact!("child_{n}_getppid", getppid().as_raw());
    report!("I exit with status {EXIT_STATUS}");
    EXIT_STATUS
}

// A first reading may skip the rest.

fn judge(total: u16, statuses: &[WaitStatus]) {
    let parent = getpid().as_raw();
    let all = |what: &str| -> Vec<Value> {
        let names = (1..=total).map(|n| what.replace('#', &n.to_string()));
        names.map(|name| require(&name)).collect()
    };
    let returns = [all("child_#_fork_returned"), all("parent_#_fork_returned")].concat();
    fact!(
        "fork_returns",
        returns.iter().filter(|value| value.is_number()).count()
    );
    check!(
        "in the child fork() returned 0",
        all("child_#_fork_returned"),
        vec![0; total.into()]
    );
    check!(
        "in the parent fork() returned the child's PID",
        all("parent_#_fork_returned"),
        all("child_#_getpid")
    );
    check!(
        "getppid() in the child is the parent's PID",
        all("child_#_getppid"),
        vec![parent; total.into()]
    );
    let ends: Vec<String> = statuses.iter().copied().map(describe).collect();
    check!(
        "for each child waitpid() returned the status that it exited with",
        ends,
        vec![format!("exited with status {EXIT_STATUS}"); total.into()]
    );
}
