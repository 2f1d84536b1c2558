//! A process is made from a function and its arguments, started, joined.
//!
//! cargo run -p process-demo -- run --name test

use crate::process::Process;
use shared_core::report::require;
use shared_core::{Result, check, fact, report, span, who};

#[derive(clap::Args)]
pub struct Options {
    /// What the function in the child process is given
    #[arg(long, default_value = "test")]
    name: String,
}

pub fn run(options: &Options) -> Result<()> {
    report!("I am the parent process");
    let mut process = Process::new(run_process, options.name.clone());

    report!("the child process will start");
    process.start()?;
    let pid = process.pid();

    let joining = span!("join");
    let status = process.join()?;
    drop(joining);
    report!("{} has ended: {status}", process.name());

    check!(
        "the function ran in a process of its own",
        pid.is_some_and(|pid| require("child_pid") == pid && pid != who::pid())
    );
    check!(
        "it was given the argument",
        require("child_was_given") == options.name
    );
    if cfg!(unix) {
        check!(
            "its parent is the process that started it",
            require("child_ppid") == who::pid()
        );
    }
    if let Some(exists) = pid.and_then(who::exists) {
        check!("after join() there is no such process", !exists);
    }
    check!(
        "it ended with status 0",
        process.exit_status() == Some(status) && status.success()
    );
    Ok(())
}

/// What runs in the child process.
pub fn run_process(name: String) {
    report!("running with the name {name:?}");
    fact!("child_pid", who::pid());
    fact!("child_ppid", who::ppid());
    fact!("child_was_given", name);
}
