//! Each worker takes a task; the other tasks wait until one is free. (note 13)
//!
//! cargo run -p pool-demo -- tasks --workers 2 --tasks 6 --work-ms 100
//!
//! To copy: examples/pool.rs, a pool that does not survive the death of a
//! worker; examples/pool_threads.rs does the same on threads.

use crate::elsewhere::Elsewhere;
use crate::interrupt;
use pool_demo::{AsyncResult, Outcome, Pool, Task};
use serde::{Deserialize, Serialize};
use shared_core::cli::Interrupted;
use shared_core::cli::Question;
use shared_core::report::{Event, events, queued};
use shared_core::timeline::{Span, Timeline};
use shared_core::{Result, check, fact, report, span, waiting, who};
use std::collections::HashSet;
use std::thread;
use std::time::Duration;

/// Each worker takes a task; the other tasks wait
///
/// A pool starts a few worker processes once and gives them one task after
/// another. Tasks whose lifetimes overlap are concurrent; those that run at the same
/// instant, on several CPUs, are parallel. (These only sleep, so they are concurrent
/// on any number of CPUs.) Which worker takes which task is up to
/// the scheduler (sched(7)); but where there are fewer workers than tasks, some
/// tasks must wait.
///
/// Try: cargo run -p pool-demo -- tasks --workers 2 --tasks 6
///
/// Try: cargo run -p pool-demo -- tasks --workers 5
#[derive(clap::Args)]
pub struct Options {
    /// How many worker processes (1 to 128)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: u16,
    /// How many tasks (1 to 10000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    tasks: u16,
    /// How long a task sleeps, in ms (0 to 3600000)
    #[arg(long, default_value_t = 200, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    work_ms: u32,
    /// How often a task whose worker has died is given to another one (0 to 100)
    #[arg(long, default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "{tasks} tasks on {workers} workers: how many run at once, at most?",
    choices: &[],
    fact: "most_tasks_at_once",
    is_a_race: false,
}];

pub fn run(options: &Options) -> Result<()> {
    report!("I am the parent");
    let launcher = options.elsewhere.launcher();
    let pool = Pool::builder().workers(options.workers.into()).draws();
    let pool = pool.retries(options.retries).launcher(launcher.as_ref());
    let pool = pool.start()?;
    interrupt::terminates(&pool)?;
    report!("workers started: {}", options.workers);

    let mut results = Vec::new();
    for id in 0..options.tasks {
        let task = Sleep {
            id,
            ms: options.work_ms,
        };
        queued(format_args!("task {id}"));
        results.push(pool.apply_async(task)); // it does not wait
    }
    report!("all tasks submitted; close, then join");
    pool.close();
    let joining = waiting!("join");
    pool.join();
    joining.end();

    let outcomes: Vec<Outcome<Sleep>> = results.into_iter().map(AsyncResult::get).collect();
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let total = outcomes.len();
    if interrupt::happened() {
        let rest = total - done;
        return Err(Interrupted(format!("{done} of {total} tasks done, {rest} not")).into());
    }
    for (id, outcome) in outcomes.iter().enumerate() {
        if let Err(failure) = outcome {
            report!("task {id}: {failure}");
        }
    }
    report!("tasks done: {done} of {total}");
    judge(options, &outcomes)
}

/// Work that consists of waiting.
#[derive(Serialize, Deserialize)]
pub struct Sleep {
    id: u16,
    ms: u32,
}

impl Task for Sleep {
    /// The process in which the task ran: its PID, or that of its launcher.
    type Output = u32;

    const NAME: &'static str = "sleep";

    /// What runs in a worker process.
    fn run(self) -> u32 {
        let id = self.id;
        let _span = span!("task {id}");
        report!("task {id} begins");
        thread::sleep(Duration::from_millis(self.ms.into()));
        report!("task {id} ends");
        who::process()
    }
}

// A first reading may skip the rest.

fn judge(options: &Options, outcomes: &[Outcome<Sleep>]) -> Result<()> {
    let events = events()?;
    let timeline = Timeline::new(&events);
    let spans = timeline.lanes.iter().flat_map(|lane| &lane.spans);
    let mut tasks: Vec<&Span> = spans
        .filter(|span| !span.waits && span.name.starts_with("task "))
        .filter(|span| !span.cut_off || options.retries == 0) // it was begun again
        .collect();
    tasks.sort_by(|a, b| a.begin.total_cmp(&b.begin));

    let names: HashSet<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let number = usize::from(options.tasks);
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    check!(
        "every task ran exactly once, and to completion",
        format!(
            "{done} done, {} begun, {} different",
            tasks.len(),
            names.len()
        ),
        format!("{number} done, {number} begun, {number} different")
    );

    let workers = events.iter().filter(|event| event.cat == "started");
    let workers: HashSet<u32> = workers.map(Event::process).collect();
    let ran_in = outcomes.iter().flatten();
    let elsewhere: Vec<u32> = ran_in
        .filter(|pid| !workers.contains(pid))
        .copied()
        .collect();
    check!(
        "every task ran in a worker process, not in the parent",
        elsewhere,
        Vec::<u32>::new()
    );

    let workers = usize::from(options.workers);
    // Of times on two hosts it is not known better which was first.
    let slack = 2.0 * timeline.exact_to;
    let ends = tasks.iter().map(|task| (task.end - slack).max(task.begin));
    let mut ends: Vec<f64> = ends.collect();
    ends.sort_by(f64::total_cmp);
    let running = (1..).zip(&tasks).map(|(begun, task)| {
        let ended = ends.partition_point(|end| *end <= task.begin);
        usize::max(begun - ended.min(begun), 1) // itself
    });
    let most = running.max().unwrap_or(0);
    let at_least = if slack > 0.0 { "at least " } else { "" };
    report!("most tasks running at once: {at_least}{most}");
    fact!("most_tasks_at_once", most);
    check!(
        "never more tasks at once than workers",
        most,
        most <= workers,
        format!("at most {workers}")
    );

    if let (Some(waited), Some(first_end)) = (tasks.get(workers), ends.first()) {
        check!(
            "a task that had to wait began only after another had ended",
            format!("{:.3} ms", waited.begin / 1e3),
            waited.begin >= *first_end,
            format!("{:.3} ms or later", first_end / 1e3)
        );
    }
    Ok(())
}
