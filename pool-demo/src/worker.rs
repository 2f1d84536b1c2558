//! The worker's side: reads tasks from stdin, answers on stdout.

use crate::pool::WorkerCommand;
use crate::protocol::{Job, Message};
use serde_json::to_string;
use shared_core::report::{self, Input, Part, disregard_ctrl_c, redirect_stdout_to_stderr};
use shared_core::{Context, Result, bail, cause, complain, fact, span, who};
use std::any::Any;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio, exit};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;

const WORKER: &str = "worker";

/// The command line that starts a worker, on this host: the one place that
/// knows. It needs a stdin and a stdout, and nothing else.
pub fn command() -> Result<WorkerCommand> {
    let mut command = Command::new(std::env::current_exe().context("failed to find this program")?);
    command.arg(WORKER).stdout(Stdio::piped());
    let takes_part = true;
    Ok(WorkerCommand {
        command,
        takes_part,
    })
}

/// Runs as a worker if that is how this program was started.
pub fn main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != WORKER {
        return None;
    }
    let status = match report::take_part(args) {
        Ok(Some((part, input))) => work(part, input).map(|()| ExitCode::SUCCESS),
        Ok(None) => {
            complain(format_args!(
                "{WORKER} takes no arguments, but tasks on its stdin"
            ));
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    };
    Some(status.unwrap_or_else(|error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind != Some(ErrorKind::BrokenPipe) {
            complain(format_args!("{WORKER} {}: {}", who::pid(), cause(error)));
        } // else the pool is gone, and the worker goes with it
        ExitCode::FAILURE
    }))
}

/// Whether a task is running, and whether the input has ended. The thread that
/// sets the one looks at the other afterwards, so one of them sees both.
static BUSY: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicBool = AtomicBool::new(false);

fn work(part: Part, input: Input) -> Result<()> {
    let mut answers = redirect_stdout_to_stderr().context("failed to keep stdout for answers")?;
    if input.get_ref().is_terminal() {
        complain(format_args!(
            r#"type a task: {{"id": 1, "task": {{"sleep_ms": 500}}}}"#
        ));
    }

    let in_a_pool = part.in_a_run;
    if in_a_pool {
        disregard_ctrl_c().context("failed to catch Ctrl-C")?;
    }

    // The input is read by a thread of its own, which notices at once, also in
    // the middle of a task, that the pool is gone. A person may end the input
    // (Ctrl-D, or echo … |) and still wants the answer.
    let (lines, jobs) = channel();
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_input(input, &lines, in_a_pool))
        .context("failed to start a thread")?;

    let mut answer = |message: &Message| -> Result<()> {
        let line = to_string(message)? + "\n";
        answers
            .write_all(line.as_bytes())
            .context("failed to answer")
    };
    answer(&Message::Ready)?;
    for line in jobs {
        let line: String = line.context("failed to read a task from stdin")?;
        let job: Job = serde_json::from_str(&line).with_context(|| format!("task {line:?}"))?;
        BUSY.store(true, SeqCst);
        if in_a_pool && ENDED.load(SeqCst) {
            bail!("task {}: the pool is gone", job.id);
        }
        answer(&Message::Started(job.id))?;
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&job)));
        BUSY.store(false, SeqCst);
        answer(&match outcome {
            Ok(()) => Message::Done(job.id),
            Err(panic) => Message::Failed(job.id, message_of(&*panic)),
        })?;
    }
    // The lane ends before stdout does: then the pool lets go of this process.
    drop(part);
    Ok(())
}

fn run(job: &Job) {
    let id = job.id;
    let _span = span!("task {id}");
    fact!("task_{id}_pid", who::pid());
    job.task.run(id);
}

fn read_input(input: Input, lines: &Sender<io::Result<String>>, in_a_pool: bool) {
    for line in input.lines() {
        if lines.send(line).is_err() {
            return;
        }
    }
    ENDED.store(true, SeqCst);
    if in_a_pool && BUSY.load(SeqCst) {
        exit(1);
    }
}

/// The text of `panic!("…")`.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked without a message".to_owned())
}
