//! The picture of a program that knows nothing of us: its processes and threads, seen
//! from outside.
//!
//! cargo run -p process-demo -- watch -- python3 pool.py
//!
//! How: [`mod@start`] makes the program's process and stops it before its first step;
//! [`tracer`] is told by the kernel who is made, calls, returns and ends (ptrace(2));
//! [`calls`] says at which system calls; [`meaning`] makes the events of a run of that.

mod alive;
mod calls;
mod events;
mod meaning;
mod memory;
mod proc;
mod ptrace;
mod start;
mod tracer;

use alive::Alive;
use clap::{Args, Command, FromArgMatches};
use meaning::{Meaning, Story};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{dup2_stdin, dup2_stdout};
use serde_json::{Value, json};
use shared_core::cli::{Observed, Tool};
use shared_core::report::{Event, Phase};
use shared_core::{Context, Error, Result, anyhow, cause, complain, ensure};
use start::{NotStarted, privileged, start};
use std::ffi::OsString;
use std::fs::File;
use tracer::{End, Seen, Tracer};

/// Any program's processes and threads, seen from outside
///
/// Starts the program, follows each process and thread of it, and draws the timeline
/// when the last one has ended. Its stdin, stdout and stderr stay its own; the picture
/// goes to stderr. The exit status is the program's: 128 + the number of a signal, as a
/// shell says it, and 126 or 127 where it cannot be started.
///
/// Only system calls that wait, and those that write to stdout or stderr, stop the
/// program for a moment. Where it waits otherwise, to read from a pipe say, is found by
/// looking every 5 ms: such a span is marked as sampled. A lock cannot be told from a
/// condition, nor from CPython's global interpreter lock: they are one futex(2) each,
/// named by its address.
#[derive(Args)]
pub struct Options {
    /// Exit with status 1 if a check fails
    #[arg(long)]
    check: bool,
    /// Keep so many events at most; later ones are counted
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    max_events: u64,
    /// Draw nothing
    #[arg(long)]
    quiet: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// The command.
pub fn tool() -> Tool {
    Tool {
        command: Options::augment_args(Command::new("watch")),
        run: |matches, observed| run(&Options::from_arg_matches(matches)?, observed),
    }
}

/// Watches a program, and returns its exit status.
fn run(options: &Options, observed: Observed) -> Result<u8> {
    let program = &options.command[0];
    if let Some(path) = privileged(program) {
        complain(format_args!(
            "{} gains privileges when it is executed, but not while it is watched",
            path.display()
        ));
    }
    ensure!(
        proc::is_ours(),
        "/proc is that of another PID namespace: mount its own (unshare --mount-proc)"
    );
    // Orphans become ours, and so do zombies whose parents have ended: we see them, and
    // none is left behind.
    set_child_subreaper(true).context("failed to become a subreaper")?;
    let signals: SigSet = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ]
    .into_iter()
    .collect();
    let old = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;

    let first = match start(&options.command, observed.json(), &old) {
        Ok(first) => first,
        Err(NotStarted { status, error }) => return Ok(not_started(status, &error)),
    };
    let alive = Alive::default();
    alive.pass_signals_on(&signals, first.pid)?;
    let mut meaning: Option<Meaning> = None;
    // Nobody else is to wait for our ends of its stdin and stdout.
    leave_streams(observed.json()).context("failed to leave stdin and stdout")?;
    let mut killed = None;
    let most = usize::try_from(options.max_events)?;
    Tracer::of(first.pid).follow(|now, seen| {
        note(&alive, first.pid, &seen);
        match &mut meaning {
            Some(meaning) => meaning.take(now, seen),
            None if matches!(seen, Seen::Executes { .. }) => {
                meaning = Some(Meaning::of(first.pid, now, most));
                alive.begins(first.pid, first.pid);
                let name = program.to_string_lossy().into_owned();
                if let Err(error) = alive.look_again_and_again(name) {
                    let why = cause(error);
                    complain(format_args!("other calls are not seen to wait: {why}"));
                }
            }
            None => {
                if let Seen::Ends {
                    end: End::Killed(signal),
                    ..
                } = seen
                {
                    killed = Some(signal); // before it was the program
                }
            }
        }
    })?;
    alive.all_have_ended();
    let Some(meaning) = meaning else {
        if let Some(signal) = killed {
            return Ok(u8::try_from(128 + signal)?);
        }
        let nobody = || NotStarted::from(anyhow!("{} ended before it began", program.display()));
        let NotStarted { status, error } = first.failure(program).unwrap_or_else(nobody);
        return Ok(not_started(status, &error));
    };
    let (mut events, story) = meaning.finish(alive.samples());
    if let Some(who) = &story.traces {
        complain(format_args!(
            "{who} uses ptrace(2) itself, which cannot be while it is watched"
        ));
    }
    events.extend(judge(first.pid, &events, &story));
    let words: Vec<_> = options
        .command
        .iter()
        .map(|word| proc::visible(&word.to_string_lossy()))
        .collect();
    let given = json!({"command": words, "max_events": options.max_events});
    let given = given.as_object().cloned().unwrap_or_default();
    let advice = advice(&story);
    let ok = observed.show(&words.join(" "), given, &events, &advice, !options.quiet)?;
    if options.check && !ok {
        return Ok(1);
    }
    Ok(match story.end {
        Some(End::Exited(status)) => u8::try_from(status).unwrap_or(1),
        Some(End::Killed(signal)) => u8::try_from(128 + signal).unwrap_or(1),
        None => 1,
    })
}

fn not_started(status: u8, error: &Error) -> u8 {
    complain(format_args!("{}", proc::visible(&cause(error))));
    status
}

/// From here on stdin, and stdout if it is not for events, are the program's alone.
fn leave_streams(json: bool) -> Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    if !json {
        dup2_stdout(&nothing)?;
    }
    Ok(())
}

/// Lets those know who look at the program from other threads.
fn note(alive: &Alive, first: i32, seen: &Seen) {
    match seen {
        Seen::Made(made) => alive.begins(made.task, made.process),
        Seen::Executes { process, .. } => alive.executes(*process),
        Seen::Calls { task, call } => alive.is_known(*task, call.waits()),
        Seen::Stops { task, .. } => alive.is_known(*task, true),
        Seen::Returns { task, .. } | Seen::GoesOn { task } => alive.is_known(*task, false),
        Seen::Ends { task, .. } => {
            alive.ends(*task);
            if *task == first {
                alive.first_ends();
            }
        }
        Seen::LeftBehind { .. } => {}
    }
}

/// The facts of the run, and what is to be expected of every program.
fn judge(first: i32, events: &[Event], story: &Story) -> Vec<Event> {
    let event = |cat: &str, name: &str, args: Value| Event {
        name: name.to_owned(),
        cat: cat.to_owned(),
        ph: Phase::Instant,
        ts: events.last().map_or(0.0, |event| event.ts),
        pid: first.unsigned_abs(),
        tid: first.unsigned_abs().into(),
        host: None,
        via: None,
        args: args.as_object().cloned().unwrap_or_default(),
    };
    let fact = |name, value: Value| event("fact", name, json!({"value": value}));
    let orphans: Vec<String> = story.orphans.values().cloned().collect();
    let made = story.processes + story.threads;
    let end = story.end.map(|end| end.told().to_string());
    let end = end.unwrap_or_else(|| "was not seen to end".to_owned());
    let check = |text, ok: bool, expected: Value, seen: Value| {
        event(
            "check",
            text,
            json!({"ok": ok, "expected": expected, "seen": seen}),
        )
    };
    let nobody =
        |text, who: &[String]| check(text, who.is_empty(), "nobody".into(), in_short(who).into());
    vec![
        fact("processes", story.processes.into()),
        fact("threads_beside_main_threads", story.threads.into()),
        fact("program_end", end.into()),
        fact("children_reaped_by_their_parents", story.reaped.into()),
        fact(
            "children_reaped_by_the_kernel",
            story.reaped_by_kernel.into(),
        ),
        fact("zombies_left", story.zombies.clone().into()),
        fact("orphans", orphans.clone().into()),
        fact("events_left_out", story.left_out.into()),
        check(
            "every process and thread that was made was seen to end",
            story.ended == made,
            made.into(),
            story.ended.into(),
        ),
        nobody(
            "every process but the first has its parent in the picture",
            &story.without_parent,
        ),
        nobody(
            "no parent left a zombie: every child that ended was reaped",
            &story.zombies,
        ),
        nobody(
            "no parent left an orphan: every child ended before its parent",
            &orphans,
        ),
    ]
}

/// The first of them by name, the others counted.
fn in_short(who: &[String]) -> String {
    const MOST: usize = 3;
    let first = who
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match who.len() {
        0 => "nobody".to_owned(),
        all if all > MOST => format!("{first} and {} more", all - MOST),
        _ => first,
    }
}

/// What to do about it.
fn advice(story: &Story) -> Vec<String> {
    let mut advice = Vec::new();
    if !story.zombies.is_empty() {
        advice.push("wait for each child: p.join(), child.wait(), waitpid(2)".to_owned());
    }
    if !story.orphans.is_empty() {
        advice.push("an orphan goes on alone: wait for it before its parent ends".to_owned());
    }
    if story.left_out > 0 {
        let all = story.left_out;
        advice.push(format!(
            "{all} later events were left out; see --max-events"
        ));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(story: &Story) -> Vec<String> {
        let events = judge(1, &[], story);
        let checks = events.iter().filter(|event| event.cat == "check");
        let failed = checks.filter(|check| check.args["ok"] == false);
        failed.map(|check| check.name.clone()).collect()
    }

    #[test]
    fn each_check_can_fail() {
        let all_is_well = || Story {
            processes: 2,
            threads: 1,
            ended: 3,
            ..Story::default()
        };
        assert!(failed(&all_is_well()).is_empty());
        let who = || "child 2".to_owned();
        for (story, check) in [
            (
                Story {
                    ended: 2,
                    ..all_is_well()
                },
                "every process and thread that was made was seen to end",
            ),
            (
                Story {
                    without_parent: vec![who()],
                    ..all_is_well()
                },
                "every process but the first has its parent in the picture",
            ),
            (
                Story {
                    zombies: vec![who()],
                    ..all_is_well()
                },
                "no parent left a zombie: every child that ended was reaped",
            ),
            (
                Story {
                    orphans: [(2, who())].into(),
                    ..all_is_well()
                },
                "no parent left an orphan: every child ended before its parent",
            ),
        ] {
            assert_eq!(failed(&story), [check]);
        }
    }
}
