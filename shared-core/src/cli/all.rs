//! All lessons of a demo in turn.

use super::lesson::Text;
use super::{FAILED, INTERRUPTED, Lessons, Options, targets};
use crate::children::{WaitStatus, about_to_spawn};
use crate::platform::{die_with, unnamed_file};
use crate::report::{CLOSED_PIPE, End};
use crate::timeline::page::html;
use crate::{complain, ending, who};
use anyhow::{Context, Result};
use serde::de::IgnoredAny;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Seek};

/// Runs each lesson in a process of its own, so that no thread of one stands in
/// the way of another's fork, and returns the worst exit status.
pub(super) fn run_all<L: Lessons>(
    demo: &clap::Command,
    names: &[String],
    options: &Options,
) -> Result<u8> {
    if let Some(parent) = options.started_by {
        die_with(parent);
    }
    let mut page = targets(options)?.pop();
    let mut runs = Vec::new();
    ending::begin_run().context("failed to catch signals")?;
    ending::send_signals_on();
    let program = std::env::current_exe().context("failed to find this program")?;
    let sent_on = || ending::sent_on().map(|signal| u8::try_from(128 + signal).unwrap_or(FAILED));
    let mut worst = 0;
    for name in names {
        let mut command = std::process::Command::new(&program);
        command.args([name, "--started-by", &who::pid().to_string()]);
        command.args(options.json.then_some("--json"));
        command.args(options.slow.map(|seconds| format!("--slow={seconds}")));

        let part = page.as_ref().map(|_| unnamed_file()).transpose();
        let part = part.context("failed to make a file")?;
        if let Some(part) = &part {
            let part = part.try_clone().context("failed to duplicate a file")?;
            command.arg("--part-of-page").stdin(part);
        }

        let start = about_to_spawn(name)?;
        let mut process = command
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let mut child = start.made(process.id());
        sent_on(); // if it came just before `made`
        let status = child.reap(|_| process.wait())?;
        if let Some(status) = sent_on() {
            return Ok(status);
        }
        let ended = status.end();
        let status = match &ended {
            Some(End::Exited(status)) => u8::try_from(*status).unwrap_or(FAILED),
            end => {
                let how = end.as_ref().map(End::to_string).unwrap_or_default();
                complain(format_args!("{name}: {how}"));
                FAILED
            }
        };
        if let Some(part) = part {
            let run = run_in(part).context("failed to read a run")?;
            runs.push(run.unwrap_or_else(|| {
                // Its process had no time to say more.
                let text = Text::of(demo.find_subcommand(name).unwrap_or(demo));
                let title = format!("{} {name}: {}", L::DEMO, text.claim);
                let ended = ended.map(|end| end.to_string());
                json!({"name": name, "title": title, "ended": ended}).to_string()
            }));
        }
        // That something failed is worse than that it is not here.
        if worst == 0 || status == FAILED {
            worst = status;
        }
        if i32::from(status) == CLOSED_PIPE || status == INTERRUPTED {
            return Ok(status);
        }
    }
    ending::end_at_signals();
    if let Some(status) = sent_on() {
        return Ok(status);
    }
    if let Some(page) = &mut page {
        page.write(&html(&format!("{}: {}", L::DEMO, L::ABOUT), &runs))?;
    }
    Ok(worst)
}

/// The run that a process has written into this file, if it is there as a whole.
fn run_in(mut part: File) -> io::Result<Option<String>> {
    let mut run = Vec::new();
    part.rewind()?;
    part.read_to_end(&mut run)?;
    let is_whole = serde_json::from_slice::<IgnoredAny>(&run).is_ok();
    Ok(String::from_utf8(run).ok().filter(|_| is_whole))
}
