//! All lessons of a demo in turn.

use super::{FAILED, INTERRUPTED, Options};
use crate::children::{WaitStatus, about_to_spawn};
use crate::report::{CLOSED_PIPE, End};
use crate::{complain, ending, who};
use anyhow::{Context, Result};

/// Runs each lesson in a process of its own, so that no thread of one stands in
/// the way of another's fork, and returns the worst exit status.
pub(super) fn run_all(names: &[String], options: &Options) -> Result<u8> {
    ending::begin_run().context("failed to catch signals")?;
    ending::send_signals_on();
    let program = std::env::current_exe().context("failed to find this program")?;
    let mut worst = 0;
    for name in names {
        let mut command = std::process::Command::new(&program);
        command.args([name, "--started-by", &who::pid().to_string()]);
        command.args(options.json.then_some("--json"));
        command.args(options.slow.map(|seconds| format!("--slow={seconds}")));

        let start = about_to_spawn(name)?;
        let mut process = command
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let mut child = start.made(process.id());
        ending::sent_on(); // if it came just before `made`
        let status = child.reap(|_| process.wait())?;
        if let Some(signal) = ending::sent_on() {
            return Ok(u8::try_from(128 + signal).unwrap_or(FAILED));
        }
        let status = match status.end() {
            Some(End::Exited(status)) => u8::try_from(status).unwrap_or(FAILED),
            end => {
                let how = end.map(|end| end.to_string()).unwrap_or_default();
                complain(format_args!("{name}: {how}"));
                FAILED
            }
        };
        worst = worst.max(status);
        if i32::from(status) == CLOSED_PIPE || status == INTERRUPTED {
            return Ok(status);
        }
    }
    Ok(worst)
}
