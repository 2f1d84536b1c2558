//! A thread panics in the middle of a change, while it holds the lock: what the next
//! one finds.
//!
//! cargo run -p lock-demo -- poison --amount 30
//!
//! To copy: examples/poison.rs, the steps with std's Mutex.

use shared_core::cli::Question;
use shared_core::report::{fact, require};
use shared_core::{Context, Result, Value, check, ensure, fact, moment, report, span};
use std::sync::PoisonError;
use std::{panic, thread};

/// After a panic under a lock the data may be half changed
///
/// A panic ends the thread and releases what it held, the lock too: nobody waits for
/// ever. But the change stays as far as it was made. std::sync::Mutex remembers that: it
/// is poisoned, and lock() returns an error, which still gives access, to repair the
/// data. parking_lot::Mutex says nothing, nor does C's mutex (pthread_mutex_lock(3p)), so
/// there a change must be made whole: computed first, then stored at once.
///
/// Try: cargo run -p lock-demo -- poison --amount 100
#[derive(clap::Args)]
pub struct Options {
    /// How much is moved from one account to the other (1 to 100)
    #[arg(long, default_value_t = 30, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=100))]
    amount: i64,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "A thread panics while it holds a lock of std. What does the next lock() do?",
        choices: &[WAITS, LOCKS, REFUSES],
        fact: "lock_of_std",
        is_a_race: false,
    },
    Question {
        text: "The same with a lock of parking_lot?",
        choices: &[WAITS, LOCKS, REFUSES],
        fact: "lock_of_parking_lot",
        is_a_race: false,
    },
];

/// Two accounts; in all there is always as much as in the beginning.
#[derive(Clone, Copy)]
struct Accounts {
    first: i64,
    second: i64,
}

const ALL: i64 = 100;
const ACCOUNTS: Accounts = Accounts {
    first: ALL,
    second: 0,
};

pub fn run(options: &Options) -> Result<()> {
    let amount = options.amount;
    report_the_panics();

    // std: the panic poisons the lock.
    let accounts = std::sync::Mutex::new(ACCOUNTS);
    panics("std", || {
        let mut accounts = accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let _holding = span!("hold");
        accounts.first -= amount;
        panic!("{MESSAGE}"); // before the other half
    })?;
    match accounts.lock() {
        Ok(_) => fact!("lock_of_std", LOCKS),
        Err(poisoned) => {
            report!("std: lock() returned an error");
            fact!("lock_of_std", REFUSES);
            // The error holds the lock, for who can repair what it protects.
            let mut accounts = poisoned.into_inner();
            found("std", *accounts);
            accounts.second = ALL - accounts.first;
        }
    }
    accounts.clear_poison();
    if let Ok(accounts) = accounts.lock() {
        found("std, repaired", *accounts);
    }

    // parking_lot: the lock is released, and nothing is said.
    let accounts = parking_lot::Mutex::new(ACCOUNTS);
    panics("parking_lot", || {
        let mut accounts = accounts.lock();
        let _holding = span!("hold");
        accounts.first -= amount;
        panic!("{MESSAGE}");
    })?;
    let next = accounts.try_lock();
    fact!(
        "lock_of_parking_lot",
        if next.is_some() { LOCKS } else { WAITS }
    );
    found("parking_lot", next.map_or(ACCOUNTS, |accounts| *accounts));
    whole_change(amount)?;
    judge(amount);
    Ok(())
}

/// A change that is made whole: until it is stored, nothing is changed.
fn whole_change(amount: i64) -> Result<()> {
    let accounts = parking_lot::Mutex::new(ACCOUNTS);
    panics("whole change", || {
        let mut accounts = accounts.lock();
        let _holding = span!("hold");
        let mut changed = *accounts;
        changed.first -= amount;
        assert!(changed.first + changed.second == ALL, "{MESSAGE}");
        changed.second += amount;
        *accounts = changed;
    })?;
    found("whole change", accounts.into_inner());
    Ok(())
}

// A first reading may skip the rest.

const MESSAGE: &str = "in the middle of it";
const WAITS: &str = "it waits for ever";
const LOCKS: &str = "it returns the lock";
const REFUSES: &str = "it returns an error";

/// Runs `work` in a thread of this name, which panics.
fn panics(name: &str, work: impl FnOnce() + Send) -> Result<()> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn_scoped(scope, work);
        let joined = thread
            .with_context(|| format!("failed to start the thread {name}"))?
            .join();
        ensure!(joined.is_err(), "the thread did not panic");
        Ok(())
    })
}

/// The threads that panic say so themselves; by default a panic is told on stderr.
fn report_the_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<String>();
        if message.is_some_and(|message| message == MESSAGE) {
            report!("I panic, and hold the lock");
            moment!("panic");
        } else {
            usual(info);
        }
    }));
}

fn found(how: &str, accounts: Accounts) {
    let Accounts { first, second } = accounts;
    report!("{how}, found: {first} + {second} = {}", first + second);
    let how = how.replace(", ", "_").replace(' ', "_");
    fact(format_args!("{how}_sum"), first + second);
}

fn judge(amount: i64) {
    check!(
        "std: after the panic lock() returned an error",
        require("lock_of_std"),
        REFUSES
    );
    check!(
        "the data was as the panic left it: half of the change was made",
        require("std_sum"),
        ALL - amount
    );
    check!(
        "repaired, and no longer poisoned, it could be locked as before",
        require("std_repaired_sum"),
        ALL
    );
    check!(
        "parking_lot: lock() returned the lock, and the data was half changed, too",
        vec![require("lock_of_parking_lot"), require("parking_lot_sum")],
        vec![Value::from(LOCKS), (ALL - amount).into()]
    );
    check!(
        "a change that is stored at once is made whole or not at all",
        require("whole_change_sum"),
        ALL
    );
}
