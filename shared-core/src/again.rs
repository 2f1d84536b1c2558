//! This program, run once more as a process of its own: what a lesson cannot show in
//! its own process, since that must go on.

use crate::children::{self, Start, about_to_spawn};
use crate::ending::exit_now;
use crate::report::{self, Input, Stdin, failed};
use crate::{cause, complain};
use anyhow::{Context, Result};
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

/// What runs in such a process. It is told to stop, or its parent is gone, when the
/// input ends.
pub type Part = fn(Input) -> Result<()>;

const AGAIN: &str = "again";

/// Runs the part that this process was started for; `None` if there is none. To be
/// called first in `main`.
pub fn main(parts: &[(&str, Part)]) -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != AGAIN {
        return None;
    }
    let name = args.next().unwrap_or_default();
    let part = parts.iter().find(|(of, _)| *of == name);
    let taken = report::take_part(args).map(|taken| taken.zip(part));
    Some(match taken {
        Ok(Some(((_lane, input), (_, part)))) => match part(input) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                failed(format_args!("{}: {error:#}", name.display()));
                ExitCode::FAILURE
            }
        },
        Ok(None) => {
            complain(format_args!("a lesson starts `{AGAIN}` by itself"));
            ExitCode::from(2)
        }
        Err(error) => {
            complain(format_args!("{AGAIN}: {}", cause(error)));
            ExitCode::FAILURE
        }
    })
}

/// The file that this process executes; where the system does not tell (Linux without
/// /proc), the one that it was called by.
///
/// # Errors
/// When that is no path.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().or_else(|error| {
        let called = std::env::args_os().next().map(PathBuf::from);
        let called = called.filter(|called| called.components().count() > 1);
        let called = called.and_then(|called| called.canonicalize().ok());
        called.ok_or(error).context("failed to find this program")
    })
}

/// What a part writes to its stdout: a line. If nobody is left to read it, this process
/// has nothing left to do.
pub fn say(line: impl Display) {
    let line = format!("{line}\n");
    if std::io::stdout().write_all(line.as_bytes()).is_err() {
        exit_now(1);
    }
}

/// A process that runs a part. Dropped, it is killed and reaped.
pub struct Again {
    role: String,
    process: Child,
    guard: children::Child,
    /// Its input, until it is told to stop.
    stdin: Option<Stdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Again {
    /// Starts a process called `role` that runs the part called `part`. It ends when
    /// its parent does.
    ///
    /// # Errors
    /// When the system refuses it.
    #[track_caller]
    pub fn start(role: &str, part: &str) -> Result<Self> {
        Self::start_as(about_to_spawn(role)?, role, part, Stdio::piped())
    }

    /// The same for one that goes on when its parent ends: it writes to what is its
    /// parent's stdout, and its input ends with its parent.
    ///
    /// # Errors
    /// When the system refuses it.
    #[track_caller]
    pub fn leave_behind(role: &str, part: &str) -> Result<()> {
        let start = about_to_spawn(role)?.may_outlive_its_parent();
        let child = Self::start_as(start, role, part, Stdio::inherit())?;
        std::mem::forget(child); // dropped, it would be killed
        Ok(())
    }

    #[track_caller]
    fn start_as(start: Start, role: &str, part: &str, stdout: Stdio) -> Result<Self> {
        let context = || format!("failed to start {role}");
        let mut command = Command::new(this_program()?);
        command.args([AGAIN, part]).stdout(stdout);
        let hand_on = start.hand_on(&mut command).with_context(context)?;
        let mut process = command.spawn().with_context(context)?;
        let guard = start.made(process.id());
        drop(command); // it holds the end of a pipe that is the child's now
        let stdin = guard.takes_part(hand_on, &mut process);
        Ok(Self {
            role: role.to_owned(),
            stdin: Some(stdin.with_context(context)?),
            stdout: process.stdout.take().map(BufReader::new),
            process,
            guard,
        })
    }

    /// Writes a line to its input.
    ///
    /// # Errors
    /// When it is gone.
    pub fn send(&mut self, line: impl Display) -> Result<()> {
        let line = format!("{line}\n"); // one write, not one for each part
        let stdin = self.stdin.as_mut().context("no input")?;
        let sent = stdin.write_all(line.as_bytes());
        sent.with_context(|| format!("failed to write to {}", self.role))
    }

    /// The next line that it writes to its stdout; empty when nobody writes there any
    /// more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("no output")?;
        let read = stdout.read_line(&mut line);
        read.with_context(|| format!("failed to read from {}", self.role))?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its end, if it has not been waited for.
    ///
    /// # Errors
    /// When it cannot be waited for.
    #[track_caller]
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.guard.reap(|_| self.process.wait())
    }

    /// Tells it to stop, and waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    #[track_caller]
    pub fn end(mut self) -> Result<ExitStatus> {
        self.stdin = None;
        self.wait()
    }
}
