//! Threads deposit and withdraw the same amounts, so the balance should be 0
//! in the end. Without a lock it is not: an update is a load and a store, and
//! another thread gets between.
//!
//! cargo run -p lock-demo -- balance --threads 4 --iterations 1000000

use parking_lot::{Mutex, RwLock};
use shared_core::{Context, Result, check, fact, report, span};
use std::io;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::thread;

#[derive(clap::Args)]
pub struct Options {
    /// How many threads
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(2..=64))]
    threads: u16,
    /// How often each thread deposits and withdraws
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    iterations: u64,
    /// Let others run between load and store (sched_yield(2))
    #[arg(long = "yield")]
    yields: bool,
}

pub fn run(options: &Options) -> Result<()> {
    lose_an_update_for_certain()?;
    run_without_lock(options)?;
    run_with_lock(options)
}

/// Two deposits; the barriers put the second one between load and store of the
/// first one. Nothing is left to chance.
fn lose_an_update_for_certain() -> Result<()> {
    // Atomic, so that this is wrong and yet no undefined behaviour: each load
    // and each store is whole, only the two together are not.
    let balance = AtomicI64::new(0);
    let (loaded, stored) = (Barrier::new(2), Barrier::new(2));
    on_threads("forced", 2, |number| {
        if number == 1 {
            let before = balance.load(Relaxed);
            report!("I read {before}, to deposit 5");
            loaded.wait();
            stored.wait();
            balance.store(before + 5, Relaxed);
            report!("I write {}", before + 5);
        } else {
            loaded.wait();
            let before = balance.load(Relaxed);
            balance.store(before + 8, Relaxed);
            report!("I read {before}, I write {}", before + 8);
            stored.wait();
        }
    })?;
    let balance = balance.into_inner();
    report!("deposited 5 and 8, balance {balance}: 8 is lost");
    fact!("forced_balance", balance);
    check!(
        "forced: 5 + 8 came out as 5, an update was lost",
        balance == 5
    );
    Ok(())
}

fn run_without_lock(options: &Options) -> Result<()> {
    let balance = AtomicI64::new(0);
    let lost = AtomicU64::new(0);
    let error = AtomicI64::new(0);

    // A load and a store. The store is a swap, which tells what it overwrote:
    // not what was loaded, and another thread's update is lost.
    let add = |amount: i64| {
        let before = balance.load(Relaxed);
        if options.yields {
            thread::yield_now();
        }
        let overwritten = balance.swap(before + amount, Relaxed);
        if overwritten != before {
            lost.fetch_add(1, Relaxed);
            error.fetch_add(before - overwritten, Relaxed);
        }
    };
    on_threads("unlocked", options.threads, |number| {
        for _ in 0..options.iterations {
            add(amount(number));
            add(-amount(number));
        }
    })?;
    let (balance, lost) = (balance.into_inner(), lost.into_inner());
    report!("without a lock: balance {balance}");
    report!("updates lost in this run: {lost}");
    fact!("unlocked_balance", balance);
    fact!("lost_updates", lost);
    check!(
        "without a lock: the lost updates explain the balance to the last unit",
        balance == error.into_inner()
    );
    Ok(())
}

fn run_with_lock(options: &Options) -> Result<()> {
    let balance = Mutex::new(0);
    let add = |amount: i64| {
        let mut balance = balance.lock();
        let before = *balance;
        if options.yields {
            thread::yield_now();
        }
        *balance = before + amount;
    };
    on_threads("locked", options.threads, |number| {
        for _ in 0..options.iterations {
            add(amount(number));
            add(-amount(number));
        }
    })?;
    let balance = balance.into_inner();
    report!("with a lock: balance {balance}");
    fact!("locked_balance", balance);
    check!("with a lock: the balance is exact", balance == 0);
    Ok(())
}

/// Runs `work` on threads 1 to `count`, which begin together, and waits for
/// all of them. If one of them cannot be made, none begins: they might wait
/// for each other.
fn on_threads(name: &str, count: u16, work: impl Fn(u16) + Sync) -> Result<()> {
    let gate = RwLock::new(false);
    let mut go = gate.write();
    thread::scope(|scope| {
        let (gate, work) = (&gate, &work);
        let start = |number| {
            let thread = thread::Builder::new().name(format!("{name} {number}"));
            thread.spawn_scoped(scope, move || {
                if *gate.read() {
                    let _span = span!("{name}");
                    work(number);
                }
            })
        };
        let threads: Vec<_> = (1..=count).map(start).collect();
        *go = threads.iter().all(io::Result::is_ok);
        drop(go);
        for thread in threads {
            let thread = thread.context("make a thread")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Ok(())
    })
}

/// What thread `number` deposits and withdraws: 5, 8, 11, …
fn amount(number: u16) -> i64 {
    i64::from(number) * 3 + 2
}
