//! A thread is created from a function, started and joined: the same process,
//! another thread. (notes 15, 23)
//!
//! cargo run -p thread-demo -- start-join --count 3
//!
//! To copy: examples/thread.rs, the same steps without the reporting.

use shared_core::cli::Question;
use shared_core::report::{Event, Phase, events, require};
use shared_core::{Context, Result, check, fact, report, span, waiting, who};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

/// A thread is created from a function, started and joined
///
/// A thread is a sequence of instructions inside a process. LoopThread has the PID
/// of its process and a number of its own, the TID (gettid(2)); the lifetimes of
/// the two threads overlap, so they are concurrent. join() makes the caller wait
/// until the thread has ended (pthread_join(3)).
///
/// Try: cargo run -p thread-demo -- start-join --count 10 --sleep-ms 5
#[derive(clap::Args)]
pub struct Options {
    /// How far the thread counts (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// How long the thread sleeps after each number, in ms (0 to 10000)
    #[arg(long, default_value_t = 50, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    sleep_ms: u32,
}

const JOINED: &str = "LoopThread has ended, so I go on";

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "How many different PIDs do the two threads report?",
        choices: &[],
        fact: "different_pids",
        is_a_race: false,
    },
    Question {
        text: "Who speaks last?",
        choices: &["MainThread", "LoopThread"],
        fact: "last_speaker",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    report!("I start a thread");
    let Options { count, sleep_ms } = *options;

    let thread = thread::Builder::new()
        .name("LoopThread".to_owned())
        .spawn(move || count_up(count, Duration::from_millis(sleep_ms.into())))
        .context("failed to start a thread")?;
    report!("it is started; now I wait until it ends");

    let joining = waiting!("join");
    // If the thread panicked, so do we.
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    joining.end();
    report!("{JOINED}");

    judge(count)
}

/// What runs in the thread.
fn count_up(count: u32, sleep: Duration) {
    fact!("thread_pid", who::pid());
    fact!("thread_tid", who::tid());
    for n in 1..=count {
        let _span = span!("{n}");
        report!("counting: {n}");
        thread::sleep(sleep);
    }
}

// A first reading may skip the rest.

fn judge(count: u32) -> Result<()> {
    check!(
        "both threads have the same PID",
        require("thread_pid"),
        who::pid()
    );
    if cfg!(target_os = "linux") {
        check!(
            "each has a TID of its own",
            require("thread_tid"),
            require("thread_tid") != who::tid(),
            format!("not {}", who::tid())
        );
    }

    let events = events()?;
    let said_by = |tid: u64| {
        let of = move |e: &&Event| e.tid == tid && e.cat == "report";
        events.iter().filter(of)
    };
    let pids: HashSet<u32> = events.iter().map(|event| event.pid).collect();
    fact!("different_pids", pids.len());
    let last = events.iter().rfind(|event| event.cat == "report");
    let is_main = last.is_some_and(|last| last.tid == who::tid());
    fact!(
        "last_speaker",
        if is_main { "MainThread" } else { "LoopThread" }
    );

    let thread = require("thread_tid").as_u64().unwrap_or_default();
    check!(
        "the thread counted to the end",
        said_by(thread).count(),
        count as usize
    );
    let ended = events
        .iter()
        .find(|e| e.tid == thread && e.cat == "life" && e.ph == Phase::End);
    let joined = said_by(who::tid()).find(|event| event.name == JOINED);
    check!(
        "MainThread went on only after LoopThread had ended",
        joined.map(|joined| joined.ts),
        ended
            .zip(joined)
            .is_some_and(|(ended, joined)| ended.ts <= joined.ts),
        ended.map_or("after an end".to_owned(), |ended| format!(
            "{} or later",
            ended.ts
        ))
    );
    Ok(())
}
