//! Threads deposit and withdraw the same amounts, so the balance should be 0
//! in the end. Without a lock it need not be: an update is a load and a store,
//! and another thread gets between. (notes 18, 19)
//!
//! cargo run -p lock-demo -- balance --threads 4 --iterations 1000
//!
//! To copy: examples/lock.rs, only the half with a lock; where the other half
//! goes wrong for certain is the lesson lost-update.

use crossbeam::atomic::AtomicCell;
use crossbeam::sync::WaitGroup;
use parking_lot::Mutex;
use shared_core::cli::{Question, UNKNOWABLE};
use shared_core::{Context, Result, check, fact, report, span, waiting};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

/// Without a lock updates may be lost; with a lock none are
///
/// An update is a load, an addition and a store. If another thread stores between our
/// load and our store, our store overwrites its update: a race condition, whose
/// outcome depends on how the scheduler interleaves the threads. Under a lock, load
/// and store form a critical section, which only one thread at a time may execute:
/// mutual exclusion (pthread_mutex_lock(3p)).
///
/// Try: cargo run -p lock-demo -- balance --threads 8
///
/// Try: cargo run -p lock-demo -- balance --iterations 100
#[derive(clap::Args)]
pub struct Options {
    /// How many threads (2 to 16)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(2..=16))]
    threads: u16,
    /// How many times each thread deposits and withdraws (1 to 1000000)
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Without a lock: what is the balance in the end?",
        choices: &["0", "not 0", UNKNOWABLE],
        fact: "unlocked_balance_is",
        is_a_race: true,
    },
    Question {
        text: "With a lock: what is the balance in the end?",
        choices: &[],
        fact: "locked_balance",
        is_a_race: false,
    },
];

/// How long the first update of a thread holds the lock: long enough to be seen in
/// the picture.
const HOLD: Duration = Duration::from_millis(10);

pub fn run(options: &Options) -> Result<()> {
    let account = AtomicCell::new(Account::default());
    let made = deposit_and_withdraw("unlocked", "at the same time", options, |amount, _first| {
        let before = account.load();
        account.store(before.add(amount));
    })?;
    let unlocked = Outcome::of(account.load(), made);
    report_outcome("without a lock", unlocked);

    let account = Mutex::new(Account::default());
    let made = deposit_and_withdraw("locked", "take turns", options, |amount, first| {
        let waiting = first.then(|| waiting!("wait"));
        let mut account = account.lock();
        // From here on no other thread comes in, until `account` is dropped.
        drop(waiting);
        let _holding = first.then(|| span!("hold"));
        if first {
            thread::sleep(HOLD);
        }
        let before = *account;
        *account = before.add(amount);
    })?;
    let locked = Outcome::of(account.into_inner(), made);
    report_outcome("with a lock", locked);

    judge(unlocked, locked);
    Ok(())
}

/// Runs the threads, and returns how many updates they made. `update` adds an amount to
/// the account; it is told whether this is the first update of its thread. `how` the
/// others go is what the picture says.
fn deposit_and_withdraw(
    name: &str,
    how: &str,
    options: &Options,
    update: impl Fn(i32, bool) + Sync,
) -> Result<u32> {
    let work = |number: u16, everyone: WaitGroup| {
        let amount = i32::from(number) * 3 + 2; // 5, 8, 11, …
        let mut made = 0;
        let mut update = |amount, first| {
            update(amount, first);
            made += 1;
        };
        update(amount, true);
        let waiting = waiting!("wait");
        update(-amount, false);
        everyone.wait(); // until each thread is as far as this one
        waiting.end();
        let _span = span!("{how}");
        for _ in 1..options.iterations {
            update(amount, false);
            update(-amount, false);
        }
        made
    };
    thread::scope(|scope| {
        let everyone = WaitGroup::new();
        let start = |number| {
            let (work, everyone) = (&work, everyone.clone());
            let thread = thread::Builder::new().name(format!("{name} {number}"));
            thread.spawn_scoped(scope, move || work(number, everyone))
        };
        let threads: Vec<_> = (1..=options.threads).map(start).collect();
        drop(everyone);
        let _joining = waiting!("join");
        let mut made = 0;
        for thread in threads {
            let thread = thread.context("failed to start a thread")?;
            made += thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Ok(made)
    })
}

// A first reading may skip the rest.

/// A balance, and the number of updates that are in it: an update that was
/// lost is missing in both. Aligned to its size, so that AtomicCell loads and
/// stores it with one instruction and needs no lock: without ours, the lesson is
/// wrong and yet not undefined behaviour.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(align(8))]
struct Account {
    balance: i32,
    updates: u32,
}

impl Account {
    fn add(self, amount: i32) -> Self {
        Self {
            balance: self.balance + amount,
            updates: self.updates + 1,
        }
    }
}

/// What became of an account.
#[derive(Clone, Copy)]
struct Outcome {
    balance: i32,
    made: u32,
    lost: u32,
}

impl Outcome {
    fn of(account: Account, made: u32) -> Self {
        Self {
            balance: account.balance,
            made,
            lost: made - account.updates,
        }
    }
}

fn report_outcome(how: &str, outcome: Outcome) {
    let Outcome {
        balance,
        made,
        lost,
    } = outcome;
    report!("{how}: balance {balance}");
    report!("updates lost: {lost} of {made}");
    if lost > 0 && balance == 0 {
        report!("they happen to cancel out");
    }
}

fn judge(unlocked: Outcome, locked: Outcome) {
    let lost = unlocked.lost;
    if lost == 0 {
        report!("none was lost without a lock: luck");
    }
    fact!("unlocked_balance", unlocked.balance);
    let is = if unlocked.balance == 0 { "0" } else { "not 0" };
    fact!("unlocked_balance_is", is);
    fact!("lost_updates", lost);
    check!(
        "without a lock: a wrong balance means that updates were lost",
        lost,
        unlocked.balance == 0 || lost > 0,
        "at least 1, as the balance is wrong"
    );

    fact!("locked_balance", locked.balance);
    check!(
        "with a lock: no update is lost, and the balance is 0",
        format!("{} lost, balance {}", locked.lost, locked.balance),
        "0 lost, balance 0"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_has_atomic = "64")]
    fn an_account_is_loaded_and_stored_without_a_lock() {
        assert!(AtomicCell::<Account>::is_lock_free());
    }
}
