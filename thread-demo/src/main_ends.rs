//! When main returns every thread ends with it. A thread outlives the one that made
//! it, a process its parent. (note 28)
//!
//! cargo run -p thread-demo -- main-ends --threads 5
//!
//! To copy: examples/main_ends.rs, the first of the three, without the reporting.

use shared_core::again::{Again, say};
#[cfg(unix)]
use shared_core::children::adopted;
use shared_core::cli::Question;
use shared_core::report::{Input, events, require};
use shared_core::timeline::{Lane, Timeline};
use shared_core::{Context, Result, check, ensure, fact, moment, report, span, waiting, who};
use std::io::{BufRead, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// When main returns every thread ends, in mid-work
///
/// When main returns the process exits: the kernel ends all its threads, whatever they
/// do (exit_group(2)). That is main's doing, not the doing of a thread that made
/// another one: threads of a process have no parents (pthreads(7)), so one goes on when
/// its maker ends. Processes have parents, but none ends because its parent has ended
/// (_exit(2)). (Python waits for its threads at the end of main, but not for daemon
/// threads.)
///
/// Try: cargo run -p thread-demo -- main-ends --threads 5
#[derive(clap::Args)]
pub struct Options {
    /// How many threads are at work when main returns (1 to 32)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    threads: u16,
    /// How long their work takes, in ms: far longer than this run (500 to 60000)
    #[arg(long, default_value_t = 10_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(500..=60_000))]
    work_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Main returns while {threads} threads are at work. How many of them come to the \
               end of it?",
        choices: &[],
        fact: "came_to_their_end",
        is_a_race: false,
    },
    Question {
        text: "A thread makes another one, and ends. What becomes of the other one?",
        choices: &[GOES_ON, "it ends too"],
        fact: "made_thread",
        is_a_race: false,
    },
];
const GOES_ON: &str = "it goes on";

pub fn run(options: &Options) -> Result<()> {
    // Each main is that of a process of its own, and is seen from here.
    let mut first = Again::start("main 1", "main-returns")?;
    first.send(format_args!("{} {}", options.threads, options.work_ms))?;
    let mut said = Vec::new();
    loop {
        let line = first.line()?; // its last one comes when the process ends
        if line.is_empty() {
            break;
        }
        said.push(line);
    }
    let status = first.wait()?;
    report!("main 1: {status}");
    let done = said.iter().filter(|line| *line == DONE).count();
    report!("its threads: {} began, {done} ended", said.len() - done);
    fact!("began", said.len() - done);
    fact!("came_to_their_end", done);
    fact!("main_1_exited_with", status.code());

    let second = Again::start("main 2", "maker-ends")?;
    let status = second.end()?;
    ensure!(status.success(), "main 2 failed: {status}");

    let mut third = Again::start("main 3", "parent-ends")?;
    let child = third.line()?;
    third.send("return")?;
    let status = third.wait()?;
    report!("main 3: {status}");
    let said = third.line()?;
    report!("its child, after that: {said}");
    fact!("child_said", said);
    bury(&child)?;
    judge(options)
}

/// Main 1 returns before its threads do.
pub fn main_returns(mut input: Input) -> Result<()> {
    let mut line = String::new();
    input.read_line(&mut line).context("failed to read")?;
    let numbers = line.trim().split_once(' ').context("failed to read")?;
    let (threads, work_ms) = (numbers.0.parse::<u32>()?, numbers.1.parse()?);

    let (begins, begun) = channel();
    for n in 1..=threads {
        let begins = begins.clone();
        let thread = thread::Builder::new().name(format!("worker-{n}"));
        let thread = thread.spawn(move || {
            let _work = span!("work");
            say(BEGUN);
            let _ = begins.send(());
            thread::sleep(Duration::from_millis(work_ms));
            say(DONE);
        });
        thread.with_context(|| format!("failed to start thread {n} of {threads}"))?;
    }
    drop(begins);
    let _ = begun.iter().take(threads as usize).count();
    report!("they have begun, and I return");
    moment!("return");
    Ok(())
}

/// In main 2 a thread makes another one, and ends before that one does.
pub fn maker_ends(_: Input) -> Result<()> {
    let maker = thread::Builder::new().name("maker".to_owned());
    let maker = maker.spawn(|| -> Result<_> {
        let (go_on, told_to_go_on) = channel::<()>();
        let made = thread::Builder::new().name("made".to_owned());
        let made = made.spawn(move || {
            let waiting = waiting!("maker");
            let _ = told_to_go_on.recv();
            waiting.end();
            report!("{MAKER_HAS_ENDED}");
        });
        let made = made.context("failed to start a thread")?;
        report!("I have made a thread, and end");
        Ok((made, go_on))
    });
    let maker = maker.context("failed to start a thread")?;
    let joined = maker.join(); // it has ended
    let (made, go_on) = joined.unwrap_or_else(|panic| resume_unwind(panic))?;
    drop(go_on);
    made.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(())
}

/// Main 3 leaves a child.
pub fn parent_ends(mut input: Input) -> Result<()> {
    Again::leave_behind("child 3", "child")?;
    let waiting = waiting!("child");
    input
        .read_line(&mut String::new())
        .context("failed to read")?;
    waiting.end();
    moment!("return");
    Ok(())
}

/// What the child does.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a part")]
pub fn be_the_child(mut input: Input) -> Result<()> {
    let parent = who::ppid();
    say(who::pid());
    let waiting = waiting!("parent");
    let _ = input.read(&mut [0]); // it ends with the parent
    waiting.end();
    // Who ends closes its files first; then its children get another parent.
    let start = Instant::now();
    while parent.is_some() && who::ppid() == parent && start.elapsed() < A_SECOND {
        thread::sleep(Duration::from_millis(1));
    }
    fact!("childs_parents", vec![parent, who::ppid()]);
    report!("my parent has ended, I go on");
    say(GOES_ON);
    Ok(())
}

// A first reading may skip the rest.

const BEGUN: &str = "begun";
const DONE: &str = "done";
const MAKER_HAS_ENDED: &str = "my maker has ended, I go on";
const A_SECOND: Duration = Duration::from_secs(1);

/// The child of main 3 is an orphan now: it comes to the first process of the run, where
/// the system lets it (PR_SET_CHILD_SUBREAPER, prctl(2)); else to init.
#[cfg(unix)]
fn bury(child: &str) -> Result<()> {
    if let Some(mut orphan) = adopted(child.parse().context("failed to read a PID")?, "child 3")? {
        orphan.reap(|pid| nix::sys::wait::waitpid(pid, None))?;
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the shape of the other one")]
fn bury(_: &str) -> Result<()> {
    Ok(())
}

fn judge(options: &Options) -> Result<()> {
    check!(
        "all threads of main 1 had begun when it returned",
        require("began"),
        options.threads
    );
    check!(
        "none of them came to the end of its work, for the process had ended",
        vec![require("came_to_their_end"), require("main_1_exited_with")],
        vec![0, 0]
    );

    let events = events()?;
    let timeline = Timeline::new(&events);
    let lane = |name: &str| {
        let of = |lane: &&Lane| lane.label.split(' ').next() == Some(name);
        timeline.lanes.iter().find(of)
    };
    let end = lane("maker").map(|lane| lane.life.end);
    let reports = lane("made").map(|lane| &lane.reports[..]);
    let mut reports = reports.unwrap_or_default().iter();
    let went_on = reports.find(|(_, text)| text == MAKER_HAS_ENDED);
    let went_on = went_on.map(|(time, _)| *time);
    let does = end
        .zip(went_on)
        .is_some_and(|(end, went_on)| end <= went_on);
    fact!("made_thread", if does { GOES_ON } else { "it ends too" });
    check!(
        "a thread went on when the one that made it had ended",
        went_on,
        does,
        end.map_or("after an end".to_owned(), |end| format!("{end} or later"))
    );
    check!(
        "a process went on when its parent had ended",
        require("child_said"),
        GOES_ON
    );
    Ok(())
}
