//! A process ends by returning, by failing, by terminate or by kill, and its
//! exit status tells which.
//!
//! cargo run -p process-demo -- ends --status 4

use crate::process::Process;
use shared_core::{Result, check, report, span};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

#[derive(clap::Args)]
pub struct Options {
    /// The status that the first process returns with
    #[arg(long, default_value_t = 3)]
    status: u8,
}

pub fn run(options: &Options) -> Result<()> {
    let mut returns = Process::new(end_by_itself, (Some(options.status),)).named("returns");
    let mut panics = Process::new(end_by_itself, (None::<u8>,)).named("panics");
    let mut asked = Process::new(wait_to_be_ended, ()).named("asked");
    let mut killed = Process::new(wait_to_be_ended, ()).named("killed");
    let mut daemon = Process::new(wait_to_be_ended, ()).named("daemon").daemon();
    for process in [
        &mut returns,
        &mut panics,
        &mut asked,
        &mut killed,
        &mut daemon,
    ] {
        process.start()?;
    }

    let returned = join(&mut returns)?;
    let panicked = join(&mut panics)?;

    // The others wait for ever: alive until something ends them.
    let too_soon = asked.join_timeout(Duration::from_millis(20))?;
    report!("asked: join gave up, it still waits");
    let alive = asked.is_alive()? && killed.is_alive()? && daemon.is_alive()?;
    asked.terminate()?;
    let asked = join(&mut asked)?;
    killed.kill()?;
    let killed = join(&mut killed)?;
    let daemon_pid = daemon.pid();
    drop(daemon);
    report!("daemon: dropped, hence killed");

    check!(
        "join with a time limit gives up on one that waits",
        too_soon.is_none()
    );
    check!("one that waits is alive until something ends it", alive);
    check!(
        "returning gives a status of its own",
        returned.code() == Some(options.status.into())
    );
    check!("a panic gives status 101", panicked.code() == Some(101));
    if cfg!(unix) {
        check!(
            "terminate() is SIGTERM",
            asked.to_string() == "signal: 15 (SIGTERM)"
        );
        check!(
            "kill() is SIGKILL",
            killed.to_string() == "signal: 9 (SIGKILL)"
        );
    }
    if let (Some(pid), true) = (daemon_pid, cfg!(target_os = "linux")) {
        check!(
            "a daemon does not outlive the value that stands for it",
            !Path::new(&format!("/proc/{pid}")).exists()
        );
    }
    Ok(())
}

fn join(process: &mut Process) -> Result<ExitStatus> {
    let _span = span!("join {}", process.name());
    let status = process.join()?;
    report!("{}: {status}", process.name());
    Ok(status)
}

pub fn end_by_itself((status,): (Option<u8>,)) -> ExitCode {
    let Some(status) = status else {
        // The message of the panic is not the point here, its status is.
        std::panic::set_hook(Box::new(|_| {}));
        panic!("this function fails");
    };
    report!("returning with status {status}");
    ExitCode::from(status)
}

pub fn wait_to_be_ended((): ()) {
    loop {
        std::thread::park();
    }
}
