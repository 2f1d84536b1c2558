//! Memory that a parent and its child both have mapped is one memory, and a lost
//! update is possible there as between threads. (notes 16, 26)
//!
//! cargo run -p process-demo -- shared-memory --first 5 --second 8
//!
//! To copy: examples/shared_memory.rs, the same steps without the reporting.

use crate::child::pipes;
use crate::mapping::SharedNumber;
use crate::process::Process;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Result, cause, check, complain, fact, moment, report, span, waiting};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Processes may share memory, and lose updates there
///
/// A process has its own memory, unless it asks for memory that others have too:
/// mmap() with MAP_SHARED (mmap(2), shm_overview(7)). What one writes there the
/// other reads. And then all is as between threads: here the child adds after the
/// parent has read and before it writes, and the child's addition is lost. An atomic
/// addition reads and writes in one step, and nothing comes between.
///
/// Try: cargo run -p process-demo -- shared-memory --first 100 --second 1
#[derive(clap::Args)]
pub struct Options {
    /// What the parent adds (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    first: i64,
    /// What the child adds (1 to 1000)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    second: i64,
    /// Atomic additions of each (1 to 1000000)
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    times: u32,
    /// Time of a read or write, in ms (0 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    step_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The parent adds {first} to a shared 0, the child {second} in between. What is it?",
        choices: &[],
        fact: "sum",
        is_a_race: false,
    },
    Question {
        text: "Both add 1 atomically, {times} times each. What is it?",
        choices: &[],
        fact: "atomic_sum",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let step = Duration::from_millis(options.step_ms.into());
    let shared = SharedNumber::new()?;
    let number = shared.get();

    // Read, add, write: the child does all three between our read and our write.
    let mut child = Process::new(add_once, (options.second, options.step_ms));
    child = child.named("child").piped(shared.file()?);
    child.start()?;
    let before = read(number, step);
    fact!("parent_read", before);
    child.send("go on")?;
    let joining = waiting!("join");
    child.join()?;
    joining.end();
    fact!("parent_saw", number.load(SeqCst));
    write(number, before + options.first, step);
    fact!("sum", number.load(SeqCst));

    // One step each: nobody can come between.
    number.store(0, SeqCst);
    let mut child = Process::new(add_often, options.times);
    child = child.named("atomic").piped(shared.file()?);
    child.start()?;
    child.send("go on")?;
    let adding = span!("add");
    for _ in 0..options.times {
        number.fetch_add(1, SeqCst);
    }
    adding.end();
    child.join()?;
    let sum = number.load(SeqCst);
    report!("2 × {} atomic additions: {sum}", options.times);
    fact!("atomic_sum", sum);

    judge(options);
    Ok(())
}

/// What runs in the first child.
pub fn add_once((add, step_ms): (i64, u32)) -> ExitCode {
    let step = Duration::from_millis(step_ms.into());
    with_shared(|number| {
        let before = read(number, step);
        fact!("child_read", before);
        write(number, before + add, step);
    })
}

/// What runs in the second child.
pub fn add_often(times: u32) -> ExitCode {
    with_shared(|number| {
        let _span = span!("add");
        for _ in 0..times {
            number.fetch_add(1, SeqCst);
        }
    })
}

/// Slow, so that the picture shows it.
fn read(number: &AtomicI64, step: Duration) -> i64 {
    let _span = span!("read");
    thread::sleep(step);
    let seen = number.load(SeqCst);
    moment!("read {seen}");
    report!("the number at {:p} is {seen}", &raw const *number);
    seen
}

fn write(number: &AtomicI64, sum: i64, step: Duration) {
    let _span = span!("write");
    thread::sleep(step);
    number.store(sum, SeqCst);
    moment!("wrote {sum}");
    report!("I write {sum}");
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    check!(
        "what the child had written the parent saw",
        require("parent_saw"),
        options.second
    );
    check!(
        "both read the number before either had written it",
        vec![require("parent_read"), require("child_read")],
        vec![0, 0]
    );
    check!(
        "of the two additions only the parent's is in the sum",
        require("sum"),
        options.first
    );
    check!(
        "of the atomic additions none was lost",
        require("atomic_sum"),
        2 * options.times
    );
}

/// In a child: maps what its parent has sent in place of its stdout, and calls
/// `work` when the parent says so.
fn with_shared(work: impl FnOnce(&AtomicI64)) -> ExitCode {
    let shared = pipes().and_then(|pipes| {
        let shared = SharedNumber::of(pipes.output.try_clone()?.into())?;
        Ok((pipes, shared))
    });
    match shared {
        Ok((mut pipes, shared)) => {
            let waiting = waiting!("wait");
            let told = pipes.receive();
            waiting.end();
            if told.is_some() {
                work(shared.get());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(format_args!("child: {}", cause(error)));
            ExitCode::FAILURE
        }
    }
}
