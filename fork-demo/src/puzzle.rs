//! An exercise: a small random program of print, fork, wait and exit. How many lines
//! does it print, and in which orders? (beyond the notes)
//!
//! This lesson does on purpose what a child must not: go on in its parent's code.
//!
//! cargo run -p fork-demo -- puzzle --seed 7 --predict
//!
//! To copy: examples/puzzle.rs, one such program.

mod outputs;
mod program;

use crate::common::{refused, status_of};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use outputs::{MOST, Outputs};
use program::{Instruction, Program};
use shared_core::children::{Child, Start, about_to_fork};
use shared_core::cli::Question;
use shared_core::{Context, Error, Result, Value, check, fact, moment, report};
use std::collections::BTreeMap;
use std::io::{PipeWriter, Write, pipe, read_to_string};

/// Which outputs can a program with fork and wait have?
///
/// After fork() two processes run what follows, each on its own; which of them prints
/// first is up to the scheduler (sched(7)). wait() makes one order certain: what a
/// process prints after it comes after the end of a child (wait(2)). All other orders
/// are possible, whether they are seen or not: that a race has always ended well does
/// not mean that it must.
///
/// Try: cargo run -p fork-demo -- puzzle --seed 8 --predict
///
/// Try: cargo run -p fork-demo -- puzzle --seed 8 --size 9 --runs 200
#[derive(clap::Args)]
pub struct Options {
    /// Which program: the same number, the same program (0 to 1000000)
    #[arg(long, default_value_t = 7, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    seed: u32,
    /// How many statements it has (3 to 12)
    #[arg(long, default_value_t = 6, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(3..=12))]
    size: u16,
    /// How many times it is run (1 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "How many lines does the program print?",
        choices: &[],
        fact: "lines",
        is_a_race: false,
    },
    Question {
        text: "Can a B be printed before the first A?",
        choices: &["yes", "no"],
        fact: "b_before_a",
        is_a_race: false,
    },
    Question {
        text: "How many different outputs are possible? (1000001: more than a million)",
        choices: &[],
        fact: "possible_outputs",
        is_a_race: false,
    },
];

/// The program, which must be seen before the questions are asked.
pub fn exercise(options: &Options) -> String {
    Program::random(options.seed, options.size).to_string()
}

pub fn run(options: &Options) -> Result<()> {
    let program = Program::random(options.seed, options.size);
    for line in program.to_string().lines() {
        report!("{line}");
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for n in 1..=options.runs {
        let (reader, out) = pipe().context("failed to make a pipe")?;
        let start = about_to_fork(&format!("run {n}"))?;
        // SAFETY: as in returns-twice: this process has one thread.
        let mut child = match unsafe { libc::fork() } {
            0 => start.in_child(|| status_of(execute(&program, 0, &out, n == 1))),
            -1 => return Err(refused(Errno::last(), n - 1, options.runs)),
            child => start.made(child),
        };
        drop(out);
        let status = child.reap(|pid| waitpid(pid, None))?;
        // Until the last of its processes has closed the pipe: some may be orphans.
        let output = read_to_string(reader).context("failed to read what was printed")?;
        reap_orphans();
        let all_went_well = status == WaitStatus::Exited(child.pid(), 0);
        *seen.entry(output).or_default() += usize::from(all_went_well);
    }
    judge(&program, &seen, options.runs.into());
    Ok(())
}

/// Runs the program from instruction `at` on, as a process that may become several.
/// In the first run each of them has a lane, and says what it prints.
fn execute(program: &Program, mut at: usize, out: &PipeWriter, drawn: bool) -> Result<()> {
    let mut children: Vec<Child> = Vec::new();
    loop {
        match program.instruction(at) {
            Instruction::Print(letter) => {
                if drawn {
                    moment!("{letter}");
                }
                let mut out = out;
                out.write_all(&[letter as u8]).context("failed to print")?;
                at += 1;
            }
            Instruction::Fork { parent_goes_to } => {
                let start = drawn.then(|| about_to_fork("child")).transpose()?;
                let start = start.map(Start::may_outlive_its_parent);
                let rest = || status_of(execute(program, at + 1, out, drawn));
                // SAFETY: as above: this process has one thread, too.
                match unsafe { libc::fork() } {
                    0 => match start {
                        Some(start) => start.in_child(rest),
                        // SAFETY: _exit takes a number and does not return.
                        None => unsafe { libc::_exit(rest()) },
                    },
                    -1 => return Err(refused(Errno::last(), 0, 1)),
                    child => children.extend(start.map(|start| start.made(child))),
                }
                at = parent_goes_to;
            }
            Instruction::Wait => {
                // An error means that there is no child: then there is no waiting.
                let status = wait().ok();
                let ended = status.and_then(|status| status.pid());
                let ended = children.iter_mut().find(|child| Some(child.pid()) == ended);
                if let (Some(child), Some(status)) = (ended, status) {
                    child.reap(|_| Ok::<_, Error>(status))?;
                }
                at += 1;
            }
            Instruction::Exit => return Ok(()),
        }
    }
}

/// Orphans of a run have come to this process, where it is a subreaper. No other child
/// is there, so it may wait for any.
fn reap_orphans() {
    while let Ok(WaitStatus::Exited(..)) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {}
}

// A first reading may skip the rest.

fn judge(program: &Program, seen: &BTreeMap<String, usize>, runs: usize) {
    let outputs = Outputs::of(program);
    let count = outputs.count();
    let possible = match count {
        Some(count) => count.to_string(),
        None => format!("more than {MOST}"),
    };
    report!("possible outputs: {possible}, seen: {}", seen.len());
    for (output, times) in seen {
        report!("{times:>4} × {output}");
    }
    let lines = outputs.lines();
    fact!("lines", lines);
    fact!(
        "b_before_a",
        if outputs.can_come_before_a('B') {
            "yes"
        } else {
            "no"
        }
    );
    fact!("possible_outputs", count.unwrap_or(MOST + 1));
    fact!("outputs_seen", seen.len());

    let impossible = seen.keys().filter(|output| !outputs.contains(output));
    let impossible: Vec<&str> = impossible.map(String::as_str).collect();
    check!(
        "each output that was seen is one that is possible",
        impossible,
        Vec::<Value>::new()
    );
    let lengths: Vec<usize> = seen.keys().map(String::len).collect();
    check!(
        "the number of lines is the same in each run",
        lengths.clone(),
        lengths.iter().all(|length| *length == lines),
        format!("{lines} each time")
    );
    check!(
        "every run came to its end",
        seen.values().sum::<usize>(),
        runs
    );
}
