//! A process is made from a function and its arguments, started, joined.
//!
//! cargo run -p process-demo -- run --name test

use crate::process::Process;
use shared_core::report::seen;
use shared_core::{Result, check, fact, report, span, who};

#[derive(clap::Args)]
pub struct Options {
    /// What the function in the child process is given
    #[arg(long, default_value = "test")]
    name: String,
}

pub fn run(options: &Options) -> Result<()> {
    report!("I am the parent process");
    let mut process = Process::new(run_process, (options.name.clone(),));
    fact!("alive_before_start", process.is_alive()?);

    report!("the child process will start");
    process.start()?;
    fact!("started_pid", process.pid());

    let joining = span!("join");
    let status = process.join()?;
    drop(joining);
    report!("{} has ended: {status}", process.name());
    fact!("alive_after_join", process.is_alive()?);

    judge(&process, &options.name);
    Ok(())
}

/// What runs in the child process.
pub fn run_process((name,): (String,)) {
    report!("running with the name {name:?}");
    fact!("child_pid", who::pid());
    fact!("child_ppid", who::ppid());
    fact!("child_was_given", name);
}

fn judge(process: &Process, name: &str) {
    check!(
        "the function ran in a process of its own",
        seen("child_pid") == seen("started_pid") && seen("child_pid") != who::pid()
    );
    check!("it was given the argument", seen("child_was_given") == name);
    if cfg!(unix) {
        check!(
            "its parent is the process that started it",
            seen("child_ppid") == who::pid()
        );
    }
    check!(
        "it was not alive before start, nor after join",
        seen("alive_before_start") == false && seen("alive_after_join") == false
    );
    check!(
        "join() saw it end with status 0",
        process.exit_status().is_some_and(|status| status.success())
    );
}
