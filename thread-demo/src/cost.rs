//! To start and join a thread costs far less than to start and wait for a process.
//! (note 27)
//!
//! cargo run -p thread-demo -- cost --rounds 200
//!
//! To copy: examples/cost.rs, with medians only.

use shared_core::cli::Question;
use shared_core::timing::{Measurement, in_words, measure_in_turn};
use shared_core::{Context, Result, check, ensure, fact, report, span, who};
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A thread costs far less than a process
///
/// A new thread needs a stack and an entry in the scheduler; it shares memory and open
/// files (pthreads(7)). A new process needs its own copy of all that: the kernel makes
/// an address space, and here it also loads and links a program (execve(2)).
///
/// Try: cargo run -p thread-demo -- cost --rounds 500
#[derive(clap::Args)]
pub struct Options {
    /// How many of each are started, in turn (10 to 10000)
    #[arg(long, default_value_t = 100, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(10..=10_000))]
    rounds: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "How many threads can be started and joined in the time that one process takes?",
    choices: &["one", "a few", "ten or more"],
    fact: "threads_in_the_time_of_a_process",
    is_a_race: true, // a measurement
}];

pub fn run(options: &Options) -> Result<()> {
    let program = std::env::current_exe().context("failed to find this program")?;
    report!("I start threads and processes in turn");

    let measuring = span!("measure");
    let [thread, process] = measure_in_turn(
        options.rounds.into(),
        [
            &mut || {
                let thread = thread::Builder::new().spawn(|| ());
                let thread = thread.context("failed to start a thread")?;
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
                Ok(())
            },
            &mut || {
                let mut child = Command::new(&program)
                    .arg(NOTHING)
                    .spawn()
                    .context("failed to start a process")?;
                let status = child.wait().context("failed to wait for a process")?;
                ensure!(status.success(), "the process did not do nothing: {status}");
                Ok(())
            },
        ],
    )?;

    drop(measuring);
    judge(thread, process);
    Ok(())
}

/// What the process is started with.
const NOTHING: &str = "nothing";

/// What runs in the process: no more than in the thread.
pub fn is_to_do_nothing() -> bool {
    std::env::args_os().skip(1).eq([NOTHING])
}

// A first reading may skip the rest.

fn judge(thread: Measurement, process: Measurement) {
    report!("{} of each, on {}:", thread.runs, who::machine());
    for (name, measured) in [("thread", thread), ("process", process)] {
        report!("a {name}: {measured}");
        for (what, time) in [
            ("median", measured.median),
            ("lower_quartile", measured.lower_quartile),
            ("upper_quartile", measured.upper_quartile),
        ] {
            fact!("{name}_{what}_us", microseconds(time));
        }
    }
    let ratio = process.median.as_secs_f64() / thread.median.as_secs_f64();
    report!("a process takes {ratio:.1} times as long");
    let bar = |time: Duration| {
        let longest = process.median.max(thread.median);
        let columns = 28 * time.as_micros() / longest.as_micros().max(1);
        "█".repeat(usize::try_from(columns).unwrap_or(0).max(1))
    };
    report!("thread  {}", bar(thread.median));
    report!("process {}", bar(process.median));
    fact!("rounds", thread.runs);
    fact!("process_per_thread_ratio", ratio);
    let threads = match ratio {
        ..2.0 => "one",
        2.0..10.0 => "a few",
        _ => "ten or more",
    };
    fact!("threads_in_the_time_of_a_process", threads);
    check!(
        "a thread, started and joined, takes less time than a process",
        format!("{} at least", in_words(thread.shortest)),
        // On a busy machine a new thread may wait for its turn, again and again.
        thread.shortest < process.shortest,
        format!("less than {}", in_words(process.shortest))
    );
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
