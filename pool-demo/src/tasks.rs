//! Each worker takes a task, the rest wait until a worker is free.
//!
//! cargo run -p pool-demo -- tasks --workers 2 --tasks 6 --work-ms 100

use crate::interrupt;
use crate::pool::Pool;
use crate::protocol::Task;
use shared_core::cli::Interrupted;
use shared_core::report::events;
use shared_core::timeline::{Span, Timeline};
use shared_core::{Result, check, fact, report, span, who};

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
    let mut pool = Pool::start(options.workers.into())?;
    interrupt::terminates(&pool)?;
    report!("started {} workers", options.workers);

    for _ in 0..options.tasks {
        if let Err(error) = pool.apply(Task::SleepMs(options.work_ms)) {
            report!("{error}");
            break;
        }
    }
    report!("applied all tasks; close, then join");
    pool.close();
    let joining = span!("join");
    let answers = pool.join();
    drop(joining);

    let done = answers
        .iter()
        .filter(|answer| answer.result.is_ok())
        .count();
    let total = usize::from(options.tasks);
    if interrupt::happened() {
        let rest = total - done;
        return Err(Interrupted(format!("{done} of {total} tasks done, {rest} not")).into());
    }
    for answer in &answers {
        if let Err(failure) = &answer.result {
            report!("task {}: {failure}", answer.id);
        }
    }
    report!("{done} of {total} tasks are done");
    judge(options, done == total)
}

fn judge(options: &Options, all_done: bool) -> Result<()> {
    let timeline = Timeline::new(&events()?);
    let workers = timeline.lanes.iter().filter(|lane| lane.pid != who::pid());
    let elsewhere = timeline.lanes.iter().filter(|lane| lane.pid == who::pid());
    let is_task = |span: &&Span| span.name.starts_with("task ");
    let mut tasks: Vec<&Span> = workers
        .flat_map(|lane| &lane.spans)
        .filter(is_task)
        .collect();
    let in_parent = elsewhere
        .flat_map(|lane| &lane.spans)
        .filter(is_task)
        .count();

    let mut names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    names.sort_unstable();
    let mut expected: Vec<String> = (0..options.tasks).map(|id| format!("task {id}")).collect();
    expected.sort_unstable();
    check!(
        "every task ran exactly once, to its end",
        all_done && names == expected
    );
    check!(
        "each in a worker process, none in the parent",
        in_parent == 0 && !tasks.is_empty()
    );

    let at_once = |moment: f64| {
        let running = |task: &&&Span| task.begin <= moment && moment < task.end;
        tasks.iter().filter(running).count()
    };
    let most = tasks
        .iter()
        .map(|task| at_once(task.begin))
        .max()
        .unwrap_or(0);
    let workers = usize::from(options.workers);
    fact!("most_tasks_at_once", most);
    check!(
        "at most {workers} tasks ran at a time, one a worker",
        most <= workers
    );

    tasks.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    if let Some(waited) = tasks.get(workers) {
        let first_end = tasks
            .iter()
            .map(|task| task.end)
            .fold(f64::INFINITY, f64::min);
        fact!("waited_for_a_worker_ms", waited.begin / 1e3);
        check!(
            "one task more than workers had to wait until another ended",
            waited.begin >= first_end
        );
    }
    Ok(())
}
