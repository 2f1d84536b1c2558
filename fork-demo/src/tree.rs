//! n forks in a row make 2^n processes: each process that is there runs the next
//! fork, too. (note 6)
//!
//! This lesson does on purpose what a child must not: go on in its parent's code.
//!
//! cargo run -p fork-demo -- tree --forks 2
//!
//! To copy: examples/tree.rs, three forks and one line.

use crate::common::{refused, status_of};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::waitpid;
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::events;
use shared_core::{Result, check, fact, moment, report, waiting, who};
use std::collections::{BTreeMap, BTreeSet};

/// n forks in a row make 2^n processes
///
/// After a fork two processes run what follows, and so the next fork, after which
/// there are four. A child that is not stopped goes on in its parent's code (fork(2)):
/// who wants one child for each fork lets the child end where its part is done.
///
/// Try: cargo run -p fork-demo -- tree --forks 2
///
/// Try: cargo run -p fork-demo -- tree --forks 5
#[derive(clap::Args)]
pub struct Options {
    /// How many forks follow one another (1 to 8)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=8))]
    forks: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "{forks} forks in a row: how many processes run the last line?",
        choices: &[],
        fact: "processes",
        is_a_race: false,
    },
    Question {
        text: "And how many run the last fork?",
        choices: &[],
        fact: "ran_the_last_fork",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    fork_from("", 1, options.forks)?;
    judge(options.forks)
}

/// Runs fork number `first` and all that follow it: the whole program, or what is
/// left of it for a child that was made on the way: by which forks tells `path`.
fn fork_from(path: &str, first: u16, forks: u16) -> Result<()> {
    let mut children = Vec::new();
    for n in first..=forks {
        let start = about_to_fork(&format!("fork {path}{n}"))?;
        fact!("ran_fork_{n}", who::pid());
        // SAFETY: as in returns-twice: each of the processes has one thread.
        match unsafe { libc::fork() } {
            // The child does not stop here: it runs the rest of the loop.
            0 => start.in_child(|| go_on(&format!("{path}{n}"), n, forks)),
            -1 => return Err(refused(Errno::last(), n - first, forks - first + 1)),
            child => {
                let child = start.made(child);
                moment!("{n}");
                fact!("fork_{n}", child.pid().as_raw());
                children.push(child);
            }
        }
    }
    fact!("ran_the_last_line", who::pid());
    for mut child in children {
        let _wait = waiting!("waitpid");
        child.reap(|pid| waitpid(pid, None))?;
    }
    Ok(())
}

/// What runs in the child of fork number `n`; returns its exit status.
fn go_on(path: &str, n: u16, forks: u16) -> i32 {
    fact!("getppid", who::ppid());
    status_of(fork_from(path, n + 1, forks))
}

// A first reading may skip the rest.

/// For each process the forks that it ran, in order, each with the child it made.
type Tree = BTreeMap<u32, Vec<(u16, u32)>>;

fn judge(forks: u16) -> Result<()> {
    let events = events()?;
    let facts = || events.iter().filter(|event| event.cat == "fact");
    let ran = |line: &str| -> BTreeSet<u32> {
        let ran = facts().filter(|fact| fact.name == line);
        ran.map(|fact| fact.pid).collect()
    };
    let mut tree = Tree::new();
    let mut parents = BTreeMap::new();
    for fact in facts() {
        let value = fact.args["value"].as_u64();
        let value = value
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(0);
        let number = fact.name.strip_prefix("fork_").map(str::parse);
        if let Some(Ok(n)) = number {
            tree.entry(fact.pid).or_default().push((n, value));
        } else if fact.name == "getppid" {
            parents.insert(fact.pid, value);
        }
    }
    report!("{}", who::pid());
    draw(&tree, who::pid(), "");
    let mut counts = Vec::new();
    for n in 1..=forks {
        let by = ran(&format!("ran_fork_{n}"));
        report!("fork {n} is run by {}", whom(&by));
        counts.push(by.len());
    }
    let by = ran("ran_the_last_line");
    report!("the last line is run by {}", whom(&by));
    let last = by.len();
    fact!("processes", last);
    fact!("ran_the_last_fork", counts.last().copied());

    check!(
        "n forks in a row make 2^n processes",
        last,
        1_usize << forks
    );
    check!(
        "fork number n is run by 2^(n - 1) of them",
        counts,
        (0..forks).map(|n| 1_usize << n).collect::<Vec<_>>()
    );
    let in_tree = tree
        .iter()
        .flat_map(|(parent, made)| made.iter().map(|(_, child)| (*child, *parent)));
    let in_tree: BTreeMap<u32, u32> = in_tree.collect();
    check!(
        "getppid() in each process is its parent in the tree",
        format!("{parents:?}"),
        format!("{in_tree:?}")
    );
    Ok(())
}

/// The PIDs, if they are few.
fn whom(pids: &BTreeSet<u32>) -> String {
    if pids.len() > 4 {
        return format!("{} processes", pids.len());
    }
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    pids.join(" ")
}

/// Draws the children of a process, and theirs.
fn draw(tree: &Tree, pid: u32, indent: &str) {
    let made = tree.get(&pid).map_or(&[][..], Vec::as_slice);
    for (index, (n, child)) in made.iter().enumerate() {
        let (branch, below) = if index + 1 == made.len() {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        report!("{indent}{branch} {n} → {child}");
        draw(tree, *child, &format!("{indent}{below}"));
    }
}
