//! A process returns, panics, aborts, is terminated or is killed, and its exit
//! status tells which. (beyond the notes)
//!
//! cargo run -p process-demo -- ends --status 4
//!
//! To copy: examples/process_ends.rs, two of these ends without the reporting.

use crate::process::Process;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Result, check, fact, report, waiting, who};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// A process returns, panics, aborts, or is terminated or killed
///
/// The kernel tells the parent how its child ended: it exited with a status, or it
/// was killed by a signal (wait(2)). abort() sends SIGABRT to its own process
/// (abort(3)); terminate() sends SIGTERM, which a process may catch in order to
/// clean up; kill() sends SIGKILL, which it cannot (signal(7)). Windows has only
/// exit codes. However it ended, a child is a zombie until its parent reaps it. (A
/// Process that was made a daemon is killed when it is dropped.)
///
/// Try: cargo run -p process-demo -- ends --status 4
#[derive(clap::Args)]
pub struct Options {
    /// The exit status of the first process (0 to 255)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true)]
    status: u8,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "One process returns with status {status}. What is the exit status of one that panics?",
        choices: &[],
        fact: "panicked_status",
        is_a_race: false,
    },
    Question {
        text: "Another one calls abort(). How does it end?",
        choices: &["it exits with status 1", ABORTED],
        fact: "aborted_end",
        is_a_race: false,
    },
    Question {
        text: "A daemon Process is dropped. What becomes of its process?",
        choices: &["it goes on", "it ends"],
        fact: "dropped_daemon",
        is_a_race: false,
    },
];

/// How this system puts it that a process aborted.
const ABORTED: &str = if cfg!(unix) {
    "signal: 6 (SIGABRT)"
} else {
    "exit code: 0xc0000409"
};

pub fn run(options: &Options) -> Result<()> {
    let mut returns = Process::new(return_with, options.status).named("returns");
    let mut panics = Process::new(panic, ()).named("panics");
    let mut aborts = Process::new(abort, ()).named("aborts");
    // These wait for ever; as daemons they are killed should we fail halfway.
    let waiting = |name| Process::new(wait_for_ever, ()).named(name).daemon();
    let mut asked = waiting("asked");
    let mut killed = waiting("killed");
    let mut daemon = waiting("daemon");
    for process in [
        &mut returns,
        &mut panics,
        &mut aborts,
        &mut asked,
        &mut killed,
        &mut daemon,
    ] {
        process.start()?;
    }

    fact!("returned_status", join(&mut returns)?.code());
    fact!("panicked_status", join(&mut panics)?.code());
    fact!("aborted_end", join(&mut aborts)?.to_string());

    let waiting = waiting!("join ≤ 20 ms");
    let joined = asked.join_timeout(Duration::from_millis(20))?.is_some();
    waiting.end();
    let how = if joined { "ended" } else { "still running" };
    report!("asked: {how} after 20 ms");
    fact!("joined_too_soon", joined);
    let alive = asked.is_alive()? && killed.is_alive()? && daemon.is_alive()?;
    fact!("alive", alive);
    asked.terminate()?;
    fact!("asked_end", join(&mut asked)?.to_string());
    killed.kill()?;
    fact!("killed_end", join(&mut killed)?.to_string());
    let daemon_pid = daemon.pid();
    drop(daemon);
    report!("daemon: dropped, so it is killed");

    judge(options, daemon_pid.and_then(who::exists));
    Ok(())
}

fn join(process: &mut Process) -> Result<ExitStatus> {
    let _wait = waiting!("join {}", process.name());
    let status = process.join()?;
    report!("{} ended, {status}", process.name());
    Ok(status)
}

pub fn return_with(status: u8) -> ExitCode {
    report!("I return with status {status}");
    ExitCode::from(status)
}

pub fn panic(_nothing: ()) {
    // The message of the panic is not the point here, its status is.
    std::panic::set_hook(Box::new(|_| {}));
    panic!("this function fails");
}

pub fn abort(_nothing: ()) {
    #[cfg(unix)]
    crate::unix_only::leave_no_core_file();
    std::process::abort();
}

pub fn wait_for_ever(_nothing: ()) {
    loop {
        std::thread::park();
    }
}

// A first reading may skip the rest.

fn judge(options: &Options, daemon_exists: Option<bool>) {
    check!(
        "a process that returns exits with its own status",
        require("returned_status"),
        options.status
    );
    check!(
        "a process that panics exits with status 101",
        require("panicked_status"),
        101
    );
    check!(
        "a process that aborts ends in a way of its own",
        require("aborted_end"),
        ABORTED
    );
    check!(
        "a join with a time limit returns while the process still runs",
        require("joined_too_soon"),
        false
    );
    check!(
        "the other three were still alive then",
        require("alive"),
        true
    );
    if cfg!(unix) {
        check!(
            "terminate() sends SIGTERM",
            require("asked_end"),
            "signal: 15 (SIGTERM)"
        );
        check!(
            "kill() sends SIGKILL",
            require("killed_end"),
            "signal: 9 (SIGKILL)"
        );
    } else {
        check!(
            "terminate() and kill() both let it end with code 1",
            vec![require("asked_end"), require("killed_end")],
            vec!["exit code: 1"; 2]
        );
    }
    if let Some(exists) = daemon_exists {
        fact!(
            "dropped_daemon",
            if exists { "it goes on" } else { "it ends" }
        );
        check!("dropping a daemon Process ends its process", exists, false);
    }
}
