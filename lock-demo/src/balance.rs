//! Threads deposit and withdraw the same amounts, so the balance should be 0
//! in the end. Without a lock it need not be: an update is a load and a store,
//! and another thread gets between. (notes 18, 19)
//!
//! cargo run -p lock-demo -- balance --threads 4 --iterations 1000
//!
//! To copy: examples/lock.rs, only the half with a lock;
//! examples/lost_update.rs is the other one.

use crossbeam::atomic::AtomicCell;
use parking_lot::Mutex;
use shared_core::cli::{Question, UNKNOWABLE};
use shared_core::{Context, Result, check, fact, report, span};
use std::panic::resume_unwind;
use std::sync::mpsc::channel;
use std::thread::{self, ScopedJoinHandle};

/// Without a lock updates are lost, with a lock none is
///
/// An update is a load, an addition and a store. If another thread stores in
/// between, its update is lost: a race condition, whose outcome depends on how the
/// scheduler interleaves the threads. Under a lock load and store are a critical
/// section, which one thread at a time may execute: mutual exclusion
/// (pthread_mutex_lock(3p)).
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
    /// How often each thread deposits and withdraws (1 to 1000000)
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Without a lock: what is the balance in the end?",
        choices: &["0", "not 0", UNKNOWABLE],
        fact: "unlocked_balance",
        is_a_race: true,
    },
    Question {
        text: "With a lock: what is the balance in the end?",
        choices: &[],
        fact: "locked_balance",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    lose_an_update_for_certain()?;
    run_without_lock(options)?;
    run_with_lock(options)
}

/// A balance, and the number of updates that are in it: an update that was
/// lost is missing in both. Aligned to its size, so that AtomicCell loads and
/// stores it with one instruction and needs no lock.
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

/// Two deposits. The second one is made between load and store of the first
/// one, because the first thread waits for it there: nothing is left to chance.
fn lose_an_update_for_certain() -> Result<()> {
    // Atomic, so that this is wrong and yet no undefined behaviour: each load
    // and each store is whole, only the two together are not.
    let account = &AtomicCell::new(Account::default());
    let (loaded, wait_until_loaded) = channel();
    let (stored, wait_until_stored) = channel();

    thread::scope(|scope| {
        let first = thread::Builder::new()
            .name("forced 1".to_owned())
            .spawn_scoped(scope, move || {
                let before = account.load();
                report!("I read {}, to deposit 5", before.balance);
                let _ = loaded.send(());
                let _ = wait_until_stored.recv();
                account.store(before.add(5));
                report!("I write {}", before.add(5).balance);
            });
        let second = thread::Builder::new()
            .name("forced 2".to_owned())
            .spawn_scoped(scope, move || {
                let _ = wait_until_loaded.recv();
                let before = account.load();
                account.store(before.add(8));
                report!(
                    "I read {}, I write {}",
                    before.balance,
                    before.add(8).balance
                );
                let _ = stored.send(());
            });
        join([first, second])
    })?;

    let Account { balance, updates } = account.load();
    report!("5 + 8 deposited, balance {balance}: 8 is lost");
    fact!("forced_balance", balance);
    check!(
        "forced: of two deposits, 5 and 8, only the 5 is in the balance",
        vec![i64::from(balance), updates.into()],
        vec![5, 1]
    );
    Ok(())
}

fn run_without_lock(options: &Options) -> Result<()> {
    let account = AtomicCell::new(Account::default());
    deposit_and_withdraw("unlocked", options, |amount| {
        let before = account.load();
        account.store(before.add(amount));
    })?;
    let account = account.load();
    let lost = report_outcome("without a lock", options, account);
    if lost == 0 {
        report!("luck: run it again, or more --iterations");
    } else if account.balance == 0 {
        report!("those that were lost cancel out");
    }
    fact!("unlocked_balance", account.balance);
    fact!("lost_updates", lost);
    check!(
        "without a lock: where the balance is wrong, updates were lost",
        lost,
        account.balance == 0 || lost > 0,
        "at least 1, as the balance is wrong"
    );
    Ok(())
}

fn run_with_lock(options: &Options) -> Result<()> {
    let account = Mutex::new(Account::default());
    deposit_and_withdraw("locked", options, |amount| {
        let mut account = account.lock();
        let before = *account;
        *account = before.add(amount);
    })?;
    let account = account.into_inner();
    let lost = report_outcome("with a lock", options, account);
    fact!("locked_balance", account.balance);
    check!(
        "with a lock: no update is lost, the balance is 0",
        vec![i64::from(lost), account.balance.into()],
        vec![0, 0]
    );
    Ok(())
}

/// Runs the threads; `update` adds an amount to the account.
fn deposit_and_withdraw(name: &str, options: &Options, update: impl Fn(i32) + Sync) -> Result<()> {
    let work = |number: u16| {
        let _span = span!("{name}: all updates");
        let amount = i32::from(number) * 3 + 2; // 5, 8, 11, …
        (0..options.iterations).for_each(|_| update(amount));
        (0..options.iterations).for_each(|_| update(-amount));
    };
    thread::scope(|scope| {
        let work = &work;
        let start = |number| {
            let thread = thread::Builder::new().name(format!("{name} {number}"));
            thread.spawn_scoped(scope, move || work(number))
        };
        let threads: Vec<_> = (1..=options.threads).map(start).collect();
        join(threads)
    })
}

type Started<'scope> = std::io::Result<ScopedJoinHandle<'scope, ()>>;

fn join<'scope>(threads: impl IntoIterator<Item = Started<'scope>>) -> Result<()> {
    for thread in threads {
        let thread = thread.context("make a thread")?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    }
    Ok(())
}

/// Returns how many updates were lost.
fn report_outcome(how: &str, options: &Options, account: Account) -> u32 {
    let made = 2 * u32::from(options.threads) * options.iterations;
    let lost = made - account.updates;
    report!("{how}: balance {}", account.balance);
    report!("updates lost: {lost} of {made}");
    lost
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
