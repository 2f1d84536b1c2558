//! Text in a buffer at fork is in both processes, and is printed twice if both
//! flush it. (beyond the notes)
//!
//! This lesson breaks a rule on purpose: flush before fork.
//!
//! cargo run -p fork-demo -- buffer --lines 3
//!
//! To copy: examples/buffer.rs, the same with stdout itself.

use crate::common::refused;
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::waitpid;
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, check, fact, moment, report, waiting};
use std::io::{BufWriter, Write, pipe, read_to_string};

/// Text in a buffer at fork is printed twice
///
/// A library collects what a program prints in a buffer, which is a piece of memory,
/// and fork() copies memory: if there is text in it, both processes have it, and each
/// writes it when it flushes, at exit() at the latest (setvbuf(3), exit(3)). Flush
/// before fork, or let the child end by _exit(), which flushes nothing (_exit(2)).
///
/// Try: cargo run -p fork-demo -- buffer --lines 3
#[derive(clap::Args)]
pub struct Options {
    /// How many lines are in the buffer (1 to 100)
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    lines: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Lines in the buffer at fork: {lines}. Both flush. How many are printed?",
        choices: &[],
        fact: "unflushed_lines",
        is_a_race: false,
    },
    Question {
        text: "And if the parent flushes before it forks?",
        choices: &[],
        fact: "flushed_lines",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    for (name, parent_flushes_before, child_flushes) in [
        ("unflushed", false, true),
        ("flushed", true, true),
        ("exited", false, false),
    ] {
        // What is printed goes through a pipe, and is counted at its other end.
        let (reader, writer) = pipe().context("failed to make a pipe")?;
        let mut out = BufWriter::new(writer);
        for _ in 0..options.lines {
            writeln!(out, "hello").context("failed to fill the buffer")?;
        }
        if parent_flushes_before {
            out.flush().context("failed to flush")?;
        }
        moment!("{name}");

        let start = about_to_fork(name)?;
        // SAFETY: as in returns-twice: this process has one thread.
        match unsafe { libc::fork() } {
            0 => start.in_child(|| {
                // The child's copy of the buffer: its end is _exit, so nothing
                // else flushes it.
                let flushed = child_flushes.then(|| out.flush());
                i32::from(matches!(flushed, Some(Err(_))))
            }),
            -1 => return Err(refused(Errno::last(), 0, 1)),
            child => {
                let mut child = start.made(child);
                let _wait = waiting!("waitpid");
                child.reap(|pid| waitpid(pid, None))?;
            }
        }
        out.flush().context("failed to flush")?;
        drop(out);

        let printed = read_to_string(reader).context("failed to read what was printed")?;
        let lines = printed.lines().count();
        report!("{name}: {lines} of {} lines", options.lines);
        fact!("{name}_lines", lines);
    }
    judge(options);
    Ok(())
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    check!(
        "what was in the buffer at fork is printed twice",
        require("unflushed_lines"),
        2 * options.lines
    );
    check!(
        "what was flushed before fork is printed once",
        require("flushed_lines"),
        options.lines
    );
    check!(
        "and so is the buffer of a child that ends by _exit()",
        require("exited_lines"),
        options.lines
    );
}
