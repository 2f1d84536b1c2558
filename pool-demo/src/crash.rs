//! A worker that dies takes one task with it, and a new worker takes its place. A
//! task that panics is an error, and costs no worker. (beyond the notes)
//!
//! cargo run -p pool-demo -- crash --tasks 20 --workers 4 --limit-ms 500
//!
//! To copy: examples/crash.rs, one worker at a time, without a pool.

use crate::elsewhere::Elsewhere;
use crate::{interrupt, system};
use pool_demo::{Failure, Outcome, Pool, Task};
use serde::{Deserialize, Serialize};
use shared_core::cli::{Interrupted, Question};
use shared_core::report::{Event, events, require};
use shared_core::timeline::{Span, Timeline};
use shared_core::{Result, bail, check, fact, moment, report, span, waiting};
use std::thread;
use std::time::{Duration, Instant};

/// A worker that dies takes one task with it, and is replaced
///
/// One task panics, one aborts, one is killed, one never ends; the others are not
/// affected. A panic unwinds the stack, and the worker catches it and goes on. A
/// process that aborts or is killed takes its task with it: the pipe from it ends
/// (pipe(7)), wait tells its parent the signal (wait(2)), and a new worker is started
/// in its place. A task over its time limit is killed with its worker, in the middle
/// of whatever it does: that can be done to a process, not to a thread. (The numbers
/// in the picture are those of the tasks. Windows has no signals: there one task
/// exits instead of being killed.)
///
/// Try: cargo run -p pool-demo -- crash --workers 1
///
/// Try: cargo run -p pool-demo -- crash --tasks 4
#[derive(clap::Args)]
pub struct Options {
    /// How many tasks (4 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(4..=1000))]
    tasks: u16,
    /// How many worker processes (1 to 32)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    workers: u16,
    /// How long a task may run, in ms; most take a tenth of it (100 to 60000)
    #[arg(long, default_value_t = 500, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(100..=60_000))]
    limit_ms: u32,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Of {tasks} tasks one panics, one aborts, one is killed, one never ends. How many have a result?",
        choices: &[],
        fact: "results",
        is_a_race: false,
    },
    Question {
        text: "The pool has {workers} workers. How many are started in all?",
        choices: &[],
        fact: "workers_started",
        is_a_race: false,
    },
    Question {
        text: "What becomes of the worker whose task panics?",
        choices: &["it goes on", "it ends"],
        fact: "after_a_panic",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let limit = Duration::from_millis(options.limit_ms.into());
    let launcher = options.elsewhere.launcher();
    let pool = Pool::builder().workers(options.workers.into());
    let pool = pool.task_timeout(limit).draws();
    let pool = pool.launcher(launcher.as_ref()).start()?;
    interrupt::terminates(&pool)?;
    report!("workers started: {}", options.workers);

    // Each task in a chunk of its own: a worker that dies takes a chunk with it.
    let mapping = waiting!("map");
    let outcomes = pool.map(tasks(options, limit / 10), Some(1));
    mapping.end();
    let results = outcomes.iter().flatten().count();
    if interrupt::happened() {
        let (total, rest) = (outcomes.len(), outcomes.len() - results);
        return Err(Interrupted(format!("{results} of {total} tasks done, {rest} not")).into());
    }

    report!("results: {results} of {}", outcomes.len());
    fact!("results", results);
    for (id, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) => {}
            Err(Failure::Panicked(panic)) => {
                report!("task {id} panicked: {}", panic.message);
                report!("  at {}", panic.place);
            }
            Err(Failure::WorkerDied { pid, how }) => {
                report!("task {id}: worker {pid} died,");
                report!("  {how}");
            }
            Err(Failure::TimedOut { pid, limit }) => {
                report!("task {id}: killed with worker {pid},");
                report!("  since it ran for {limit:?}");
            }
            Err(other) => report!("task {id}: {other}"),
        }
    }
    wait_for_successors(&outcomes, options)?;
    let joining = waiting!("join");
    pool.join();
    joining.end();
    judge(options, &outcomes)
}

/// What a task does when its work is done.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    Returns,
    RunsOn,
    Aborts,
    KillsItself,
    Panics,
}

/// The square of a number; or not.
#[derive(Serialize, Deserialize)]
pub struct Square {
    id: u16,
    work: Duration,
    then: Then,
}

impl Task for Square {
    type Output = u32;

    const NAME: &'static str = "square";

    /// What runs in a worker process.
    fn run(self) -> u32 {
        let id = self.id;
        let _span = span!("{id}");
        thread::sleep(self.work);
        match self.then {
            Then::Returns => {}
            Then::RunsOn => {
                report!("task {id} runs on");
                moment!("runs on");
                loop {
                    thread::park();
                }
            }
            Then::Aborts => {
                report!("task {id} aborts"); // the picture has the signal
                system::abort_without_core_file();
            }
            Then::KillsItself => {
                report!("task {id} kills itself");
                system::kill_this_process();
            }
            Then::Panics => {
                report!("task {id} panics");
                moment!("panics");
                fact!("panic_line", line!() + 1);
                panic!("no square of {id}");
            }
        }
        u32::from(id).pow(2)
    }
}

/// Four of them, one in each fifth, end in another way than the others.
fn tasks(options: &Options, work: Duration) -> impl Iterator<Item = Square> {
    let ends = [Then::RunsOn, Then::Aborts, Then::KillsItself, Then::Panics];
    let ends = ends.map(|then| (task_that(then, options), then));
    (0..options.tasks).map(move |id| {
        let end = ends.iter().find(|(other, _)| *other == id);
        let then = end.map_or(Then::Returns, |(_, then)| *then);
        Square { id, work, then }
    })
}

/// The number of the task that ends in this way.
fn task_that(then: Then, options: &Options) -> u16 {
    let tasks = u32::from(options.tasks);
    u16::try_from(tasks * then as u32 / 5).unwrap_or(u16::MAX)
}

// A first reading may skip the rest.

/// How this system puts it that a process aborted, and that it was killed.
const ABORTED: &str = if cfg!(unix) {
    "signal: 6 (SIGABRT)"
} else {
    "exit code: 0xc0000409"
};
const KILLED: &str = if cfg!(unix) {
    "signal: 9 (SIGKILL)"
} else {
    "exit code: 1"
};

/// Only a pool with a bug lets us wait so long.
const MOST_TIME_TO_WAIT: Duration = Duration::from_secs(10);

/// Waits until those that died have been reaped, and others are in their places: the
/// error of a task that is killed for its time limit is known before that.
fn wait_for_successors(outcomes: &[Outcome<Square>], options: &Options) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < MOST_TIME_TO_WAIT {
        let events = events()?;
        let count = |category| events.iter().filter(|event| event.cat == category).count();
        let (started, reaped) = (count("started"), count("reaped"));
        let all_reaped = reaped >= dead_in(outcomes).len();
        if all_reaped && started - reaped >= options.workers.into() {
            return Ok(());
        }
        // What the pool says when it cannot start one.
        let given_up = events
            .iter()
            .find(|event| event.name.starts_with("no new "));
        if let Some(given_up) = given_up {
            bail!("{}", given_up.name);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(()) // the checks say who is missing
}

/// The PIDs that the errors name.
fn dead_in(outcomes: &[Outcome<Square>]) -> Vec<u32> {
    let failures = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let pids = failures.filter_map(|failure| match failure {
        Failure::WorkerDied { pid, .. } | Failure::TimedOut { pid, .. } => Some(*pid),
        _ => None,
    });
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids
}

/// What became of the task that ends in this way.
fn told(then: Then, outcomes: &[Outcome<Square>], options: &Options) -> String {
    match outcomes.get(usize::from(task_that(then, options))) {
        Some(Err(failure)) => failure.to_string(),
        Some(Ok(result)) => format!("result {result}"),
        None => "nothing".to_owned(),
    }
}

/// How a worker died, in the words of the pool. If there is a launcher, wait tells how
/// that one ended, and it says in its own way what it has seen.
fn as_wait_told(pid: u32, how: &str, options: &Options, events: &[Event]) -> String {
    if options.elsewhere.launcher().is_none() {
        return how.to_owned();
    }
    let mut reaped = events.iter().filter(|event| event.cat == "reaped");
    let args = reaped
        .find(|event| event.pid == pid)
        .map(|event| &event.args);
    match args.and_then(|args| args.get("status")) {
        Some(status) => format!("exit status: {status}"),
        None => "signal: ".to_owned(),
    }
}

/// Whether an error says this; behind what a launcher said stands where it was.
fn says(error: &str, expected: &str, options: &Options) -> bool {
    let by_launcher = options.elsewhere.launcher().is_some();
    error == expected || by_launcher && error.starts_with(expected)
}

fn judge(options: &Options, outcomes: &[Outcome<Square>]) -> Result<()> {
    let events = events()?;
    let timeline = Timeline::new(&events);
    let lanes = timeline.lanes.iter();
    let spans = lanes.flat_map(|lane| lane.spans.iter().map(|span| (lane.process, span)));
    let begun: Vec<(u32, &Span)> = spans.filter(|(_, span)| !span.waits).collect();
    let ran = |then| {
        let name = task_that(then, options).to_string();
        let of = begun.iter().find(|(_, span)| span.name == name);
        of.map_or((0, 0.0), |(pid, span)| (*pid, span.end))
    };
    let told = |then| told(then, outcomes, options);

    let squares = (0..u32::from(options.tasks)).map(|id| id.pow(2));
    let right = outcomes.iter().zip(squares);
    let right = right.filter(|(outcome, square)| outcome.as_ref().is_ok_and(|it| it == square));
    check!(
        "all tasks but four have a result, and it is right",
        right.count(),
        options.tasks - 4
    );
    let panic = format!(
        "panicked: no square of {} ({}:{}:",
        task_that(Then::Panics, options),
        file!(),
        require("panic_line")
    );
    check!(
        "the error of the panic has its message and its place",
        told(Then::Panics),
        told(Then::Panics).starts_with(&panic),
        format!("{panic}…)")
    );
    let died = |then, how| {
        let pid = ran(then).0;
        let how = as_wait_told(pid, how, options, &events);
        Failure::WorkerDied { pid, how }.to_string()
    };
    let aborted = died(Then::Aborts, ABORTED);
    check!(
        "that of the abort names the worker which ran it, and how it died",
        told(Then::Aborts),
        says(&told(Then::Aborts), &aborted, options),
        aborted
    );
    let killed = died(Then::KillsItself, KILLED);
    check!(
        "so does that of the task that killed itself",
        told(Then::KillsItself),
        says(&told(Then::KillsItself), &killed, options),
        killed
    );
    let limit = Duration::from_millis(options.limit_ms.into());
    let pid = ran(Then::RunsOn).0;
    check!(
        "that of the task which ran on names the worker and the limit",
        told(Then::RunsOn),
        Failure::TimedOut { pid, limit }.to_string()
    );

    let started = events.iter().filter(|event| event.cat == "started");
    let started = started.count();
    fact!("workers_started", started);
    check!(
        "workers started: as many as the pool has, and three",
        started,
        options.workers + 3
    );
    let bad = ended_badly(&events);
    let mut bad_pids: Vec<u32> = bad.iter().map(|event| event.pid).collect();
    bad_pids.sort_unstable();
    check!(
        "those that died are those that the errors name, and no others",
        bad_pids.clone(),
        dead_in(outcomes)
    );
    let successors = bad.iter().filter(|dead| {
        let mut others = events.iter().filter(|event| event.cat == "started");
        others.any(|other| other.name == dead.name && other.ts >= dead.ts)
    });
    check!(
        "each of them has a successor of the same name, started after its end",
        successors.count(),
        3
    );
    let (pid, end) = ran(Then::Panics);
    let goes_on = !bad_pids.contains(&pid)
        || begun
            .iter()
            .any(|(other, span)| *other == pid && span.begin > end);
    let after = if goes_on { "it goes on" } else { "it ends" };
    fact!("after_a_panic", after);
    check!(
        "the worker whose task panicked went on",
        after,
        "it goes on"
    );
    let names = begun.iter().map(|(_, span)| span.name.as_str());
    judge_begun(names.collect(), options.tasks);
    Ok(())
}

/// Who ended otherwise than a worker should. (One that was never ready had nothing to
/// die of.)
fn ended_badly(events: &[Event]) -> Vec<&Event> {
    let was_ready = |pid| {
        let mut of = events.iter().filter(|event| event.process() == pid);
        of.any(|event| event.cat == "wait")
    };
    let is_bad = |event: &&Event| {
        let status = event.args.get("status");
        event.cat == "reaped" && status != Some(&0.into()) && was_ready(event.pid)
    };
    events.iter().filter(is_bad).collect()
}

fn judge_begun(mut names: Vec<&str>, tasks: u16) {
    let begun = names.len();
    names.sort_unstable();
    names.dedup();
    check!(
        "every task was begun exactly once",
        format!("{begun} begun, {} different", names.len()),
        format!("{tasks} begun, {tasks} different")
    );
}
