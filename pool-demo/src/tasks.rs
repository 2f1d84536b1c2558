//! Each worker takes a task, the rest wait until a worker is free.
//!
//! cargo run -p pool-demo -- tasks --workers 2 --tasks 6 --work-ms 100

use crate::interrupt;
use crate::pool::Pool;
use crate::protocol::Task;
use crate::worker;
use shared_core::cli::Interrupted;
use shared_core::report::{events, require};
use shared_core::timeline::{Span, Timeline};
use shared_core::{Result, check, fact, report, span, who};
use std::collections::HashSet;

#[derive(clap::Args)]
pub struct Options {
    /// How many worker processes
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: u16,
    /// How many tasks
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    tasks: u16,
    /// How long a task takes, in ms
    #[arg(long, default_value_t = 200, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    work_ms: u64,
}

pub fn run(options: &Options) -> Result<()> {
    report!("I am the parent");
    let mut pool = Pool::start(options.workers.into(), worker::command)?;
    interrupt::terminates(&pool)?;
    report!("workers started: {}", options.workers);

    let mut submitted = Ok(());
    for _ in 0..options.tasks {
        submitted = submitted.and_then(|()| pool.submit(Task::SleepMs(options.work_ms)));
    }
    pool.close();
    match &submitted {
        Ok(()) => report!("all tasks submitted; close, then join"),
        Err(error) => report!("{error}"),
    }
    let joining = span!("join");
    let outcomes = pool.join();
    drop(joining);

    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let total = usize::from(options.tasks);
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
    submitted?;
    judge(options, done == total)
}

fn judge(options: &Options, all_done: bool) -> Result<()> {
    let timeline = Timeline::new(&events()?);
    let spans = timeline.lanes.iter().flat_map(|lane| &lane.spans);
    let mut tasks: Vec<&Span> = spans
        .filter(|span| span.name.starts_with("task "))
        .collect();
    tasks.sort_by(|a, b| a.begin.total_cmp(&b.begin));

    let names: HashSet<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let number = usize::from(options.tasks);
    check!(
        "every task ran exactly once, to its end",
        all_done && tasks.len() == number && names.len() == number
    );

    let pids: HashSet<u64> = (0..options.tasks)
        .filter_map(|id| require(&format!("task_{id}_pid")).as_u64())
        .collect();
    let workers = usize::from(options.workers);
    check!(
        "in worker processes, not in the parent",
        pids.len() <= workers && !pids.contains(&who::pid().into())
    );

    let mut ends: Vec<f64> = tasks.iter().map(|task| task.end).collect();
    ends.sort_by(f64::total_cmp);
    let running = (1..).zip(&tasks).map(|(begun, task)| {
        let ended = ends.partition_point(|end| *end <= task.begin);
        begun - ended
    });
    let most = running.max().unwrap_or(0);
    report!("most tasks at one time: {most}");
    fact!("most_tasks_at_once", most);
    check!("never more tasks at once than workers", most <= workers);

    if let (Some(waited), Some(first_end)) = (tasks.get(workers), ends.first()) {
        check!(
            "a task more than workers began only when one had ended",
            waited.begin >= *first_end
        );
    }
    Ok(())
}
