//! Two threads deposit into one balance, and one of the deposits is lost, in every
//! run: it comes between the other one's read and write. (note 18)
//!
//! cargo run -p lock-demo -- lost-update --first 100 --second 1
//!
//! To copy: examples/lost_update.rs, the same steps without the reporting.

use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, check, fact, moment, report, span, waiting};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A deposit between another thread's read and write is lost
///
/// To deposit is to read the balance, to add, and to write the sum. Here the second
/// thread makes its whole deposit between the first thread's read and write. The first
/// thread then writes a sum of the old balance, and overwrites that deposit: a lost
/// update. Where the result depends on the order in which threads run, there is a race
/// condition. Usually the scheduler decides (sched(7)); here each thread waits for the
/// other, so that it happens in every run.
///
/// Try: cargo run -p lock-demo -- lost-update --first 100 --second 1
#[derive(clap::Args)]
pub struct Options {
    /// What the first thread deposits (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    first: i64,
    /// What the second thread deposits (1 to 1000)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    second: i64,
    /// How long a read and a write take, in ms (0 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    step_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "{first} and {second} are deposited into a balance of 0. What is it in the end?",
    choices: &[],
    fact: "balance",
    is_a_race: false,
}];

pub fn run(options: &Options) -> Result<()> {
    // Atomic, so that this is wrong and yet not undefined behaviour: each read and
    // each write is whole, only the two together are not.
    let balance = &AtomicI64::new(0);
    let step = Duration::from_millis(options.step_ms.into());
    let (has_read, wait_until_read) = channel();
    let (has_written, wait_until_written) = channel();

    thread::scope(|scope| -> Result<()> {
        let thread = thread::Builder::new().name("first".to_owned());
        let first = thread.spawn_scoped(scope, move || {
            let before = read(balance, step);
            fact!("first_read", before);
            let _ = has_read.send(());
            wait(&wait_until_written);
            // The balance is another one by now.
            write(balance, before + options.first, step);
        });
        let thread = thread::Builder::new().name("second".to_owned());
        let second = thread.spawn_scoped(scope, move || {
            wait(&wait_until_read);
            let before = read(balance, step);
            fact!("second_read", before);
            write(balance, before + options.second, step);
            let _ = has_written.send(());
        });
        for thread in [first, second] {
            let thread = thread.context("failed to start a thread")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Ok(())
    })?;

    let Options { first, second, .. } = options;
    let balance = balance.load(SeqCst);
    report!("{first} + {second} deposited, balance {balance}");
    fact!("balance", balance);
    judge(options);
    Ok(())
}

/// Slow, so that the picture shows it.
fn read(balance: &AtomicI64, step: Duration) -> i64 {
    let _span = span!("read");
    thread::sleep(step);
    let seen = balance.load(SeqCst);
    moment!("read {seen}");
    report!("I read {seen}");
    seen
}

fn write(balance: &AtomicI64, sum: i64, step: Duration) {
    let _span = span!("write");
    thread::sleep(step);
    balance.store(sum, SeqCst);
    moment!("wrote {sum}");
    report!("I write {sum}");
}

/// Waits for the other thread; goes on too if there is none.
fn wait(until: &Receiver<()>) {
    let _span = waiting!("wait");
    let _ = until.recv();
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    check!(
        "both threads read the balance before either had written it",
        vec![require("first_read"), require("second_read")],
        vec![0, 0]
    );
    check!(
        "of the two deposits only the first one is in the balance",
        require("balance"),
        options.first
    );
}
