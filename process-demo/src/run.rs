//! A process is created from a function and its arguments, started and joined.
//! (notes 10, 11, 12)
//!
//! cargo run -p process-demo -- run --name test
//!
//! To copy: examples/process.rs, where the program starts itself with a word
//! more instead of a [`Process`], and without the reporting.

use crate::process::Process;
use serde_json::json;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Result, check, fact, report, waiting, who};
use std::process::ExitStatus;

/// A process is created from a function, started and joined
///
/// start() executes this program a second time, and the new process calls the
/// function. It has a PID and variables of its own, so its argument is sent to it
/// through a pipe. join() waits until the child has ended and reaps it: only then
/// does the parent go on (wait(2)).
///
/// Try: cargo run -p process-demo -- run --name Ada
#[derive(clap::Args)]
pub struct Options {
    /// What the function in the child process is given
    #[arg(long, default_value = "test")]
    name: String,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "Where does the function run?",
    choices: &["in the parent", "in a process of its own"],
    fact: "ran",
    is_a_race: false,
}];

pub fn run(options: &Options) -> Result<()> {
    report!("I am the parent process");
    let mut process = Process::new(run_process, options.name.clone());

    report!("the child process will start");
    process.start()?;
    let pid = process.pid();

    let joining = waiting!("join");
    let status = process.join()?;
    joining.end();
    report!("{} has ended, {status}", process.name());

    judge(options, pid, status);
    Ok(())
}

/// What runs in the child process.
pub fn run_process(name: String) {
    report!("running with the name {name:?}");
    fact!("child_pid", who::pid());
    fact!("child_ppid", who::ppid());
    fact!("child_was_given", name);
}

// A first reading may skip the rest.

fn judge(options: &Options, pid: Option<u32>, status: ExitStatus) {
    let in_parent = require("child_pid") == who::pid();
    let ran = ["in a process of its own", "in the parent"][usize::from(in_parent)];
    fact!("ran", ran);
    check!(
        "the function ran in a process of its own",
        require("child_pid"),
        require("child_pid") == json!(pid) && pid != Some(who::pid()),
        format!("{}, not {}", pid.unwrap_or_default(), who::pid())
    );
    check!(
        "it was given the argument",
        require("child_was_given"),
        options.name.as_str()
    );
    if cfg!(unix) {
        check!(
            "its parent is the process that started it",
            require("child_ppid"),
            who::pid()
        );
    }
    if let Some(exists) = pid.and_then(who::exists) {
        check!("after join() the process no longer exists", exists, false);
    }
    check!("it exited with status 0", status.code(), 0);
}
