//! Processes that are all started before the first is joined live at the same
//! time; started and joined one by one they follow each other. (note 12)
//!
//! cargo run -p process-demo -- many --processes 4
//!
//! To copy: examples/many.rs, both halves without the reporting.

use crate::child::{pipes, wait_for};
use crate::process::Process;
use shared_core::cli::Question;
use shared_core::report::{Phase, events, require};
use shared_core::{Context, Result, check, fact, report, span, waiting};
use std::collections::HashSet;
use std::io::pipe;
use std::thread;
use std::time::{Duration, Instant};

/// Start all, then join all: the processes overlap
///
/// start() does not wait: the parent goes on while the child runs. join() does: it
/// returns only after the child has ended (wait(2)). So between start() and join()
/// there is time to start others, and their lifetimes overlap: they are concurrent.
/// Where join() follows each start(), there is never more than one child.
///
/// Try: cargo run -p process-demo -- many --processes 8
#[derive(clap::Args)]
pub struct Options {
    /// How many processes, each time (2 to 100)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(2..=100))]
    processes: u16,
    /// How long each of them works, in ms (0 to 10000)
    #[arg(long, default_value_t = 50, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    work_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "{processes} processes are started, then all are joined. How many live at once, at most?",
        choices: &[],
        fact: "most_together",
        is_a_race: false,
    },
    Question {
        text: "Each of the {processes} is joined before the next is started. How many live at once?",
        choices: &[],
        fact: "most_in_turn",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    report!("start all, then join all");
    let start = Instant::now();
    let mut processes = Vec::new();
    for n in 1..=options.processes {
        let (begun, tell) = pipe().context("failed to make a pipe")?;
        let process = Process::new(work, options.work_ms);
        let mut process = process.named(&format!("together {n}")).piped(tell);
        process.start()?;
        processes.push((process, begun));
    }
    // None may go on before all have begun: so they live at the same time.
    for (process, begun) in &mut processes {
        wait_for(begun, process.name())?;
    }
    for (process, _) in &mut processes {
        process.send("all have begun")?;
    }
    for (process, _) in &mut processes {
        let _wait = waiting!("join");
        process.join()?;
    }
    report!("most alive at once: {}", most_alive("together")?);
    fact!("together_ms", ms(start.elapsed()));

    report!("start one, join it, start the next");
    let start = Instant::now();
    for n in 1..=options.processes {
        let (_begun, tell) = pipe().context("failed to make a pipe")?;
        let process = Process::new(work, options.work_ms);
        let mut process = process.named(&format!("in turn {n}")).piped(tell);
        process.start()?;
        process.send("go on")?;
        let _wait = waiting!("join");
        process.join()?; // only now is the next one started
    }
    report!("most alive at once: {}", most_alive("in turn")?);
    fact!("in_turn_ms", ms(start.elapsed()));

    judge(options);
    Ok(())
}

/// What runs in each child process.
pub fn work(ms: u32) {
    let Ok(mut pipes) = pipes() else { return };
    pipes.send("I have begun");
    // None: the parent is gone, and nobody needs the work.
    if pipes.receive().is_some() {
        let _span = span!("work");
        thread::sleep(Duration::from_millis(ms.into()));
    }
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    check!(
        "all started, then all joined: all were alive at once",
        require("most_together"),
        options.processes
    );
    check!(
        "started and joined one by one: never more than one was alive",
        require("most_in_turn"),
        1
    );
    let sum = f64::from(options.processes) * f64::from(options.work_ms);
    let in_turn_ms = require("in_turn_ms");
    check!(
        "one by one it took at least as long as all the work together",
        in_turn_ms.clone(),
        in_turn_ms.as_f64() >= Some(sum),
        format!("at least {sum} ms")
    );
}

/// How many processes whose names begin with `name` were alive at once, at most,
/// from the beginnings and ends of their lives in the event log.
fn most_alive(name: &str) -> Result<usize> {
    let (mut alive, mut most) = (HashSet::new(), 0);
    for event in events()?.iter().filter(|event| event.cat == "life") {
        match event.ph {
            Phase::Begin if event.name.starts_with(name) => alive.insert(event.pid),
            _ => alive.remove(&event.pid),
        };
        most = most.max(alive.len());
    }
    let name = name.replace(' ', "_");
    fact!("most_{name}", most);
    Ok(most)
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
