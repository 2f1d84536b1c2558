//! What Rust does not compile: five programs in which threads share what they must not,
//! and beside them what to write instead. (note 17)
//!
//! cargo run -p lock-demo -- refused --first 100 --second 1
//!
//! To copy: examples/refused.rs, what may be written, without the compiler.

use crate::rustc::{REFUSED, Rustc};
use parking_lot::Mutex;
use shared_core::cli::Question;
use shared_core::report::{fact, require};
use shared_core::{Context, Result, check, moment, report};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, Scope};

/// What threads cannot share safely, Rust does not compile
///
/// Threads share the memory of their process (pthreads(7)), and C lets two of them
/// change one variable at the same time: a data race. In safe Rust either one thread may
/// change a variable or several may read it, and its type says whether it may go to
/// another thread (Send) and whether several may use it (Sync). The compiler sees to
/// both, so to change what others use takes a lock, or an atomic. A race condition it
/// does not see: the lesson lost-update is safe Rust.
///
/// Try: cargo run -p lock-demo -- refused --first 100 --second 1
#[derive(clap::Args)]
pub struct Options {
    /// What is deposited first, where Rust allows it (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    first: i32,
    /// What is deposited second, where Rust allows it (1 to 1000)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    second: i32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Two threads change one `let mut balance` without a lock. What comes of it?",
        choices: &["the right balance", "a wrong balance, at times", REFUSED],
        fact: "variable",
        is_a_race: false,
    },
    Question {
        text: "One thread adds {second} to a plain variable that is {first}, without a lock; then \
               its scope ends. What is the variable now?",
        choices: &[],
        fact: "scope_balance",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let Options { first, second } = *options;
    let mut rustc = Rustc::default();

    rustc.is_given("variable", include_str!("../refused/variable.rs"));
    rustc.is_given("global", include_str!("../refused/global.rs"));
    // The balance is inside the lock: there is no other way to it.
    let balance = Mutex::new(0);
    thread::scope(|scope| {
        start(scope, "first", || *balance.lock() += first)?;
        start(scope, "second", || *balance.lock() += second)
    })?;
    instead("a Mutex", "mutex_balance", balance.into_inner());

    rustc.is_given("guard", include_str!("../refused/guard.rs"));
    let balance = Mutex::new(0);
    thread::scope(|scope| {
        let mut guard = balance.lock();
        *guard += first;
        drop(guard); // who locked unlocks; the other thread locks for itself
        start(scope, "locks too", || *balance.lock() += second)
    })?;
    instead("two guards", "guards_balance", balance.into_inner());

    rustc.is_given("rc", include_str!("../refused/rc.rs"));
    instead("an Arc", "arc_balance", with_two_owners(first, second)?);

    rustc.is_given("borrow", include_str!("../refused/borrow.rs"));
    // The scope joins its thread, so `balance` is there as long as it is borrowed.
    let mut balance = first;
    thread::scope(|scope| start(scope, "borrower", || balance += second))?;
    instead("a scope, no lock", "scope_balance", balance);

    judge(options, &rustc);
    Ok(())
}

/// An Arc is an Rc whose count of owners is atomic, hence the A.
fn with_two_owners(first: i32, second: i32) -> Result<i32> {
    let balance = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&balance);
    let owner = thread::Builder::new().name("owner".to_owned());
    let owner = owner.spawn(move || {
        moment!("deposit");
        *theirs.lock() += second;
    });
    let owner = owner.context("failed to start the thread owner")?;
    *balance.lock() += first;
    owner.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(*balance.lock())
}

/// Starts a thread that the scope joins.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn_scoped(scope, || {
        moment!("deposit");
        work();
    });
    thread.with_context(|| format!("failed to start the thread {name}"))?;
    Ok(())
}

/// What has come of a program that is compiled.
fn instead(what: &str, name: &str, balance: i32) {
    moment!("{balance}");
    report!("instead, {what}: balance {balance}");
    fact(format_args!("{name}"), balance);
}

// A first reading may skip the rest.

fn judge(options: &Options, rustc: &Rustc) {
    if rustc.is_missing {
        report!("what rustc refuses is not checked");
    } else {
        check!(
            "rustc refuses each program, at the marked line",
            rustc.seen.clone(),
            rustc.expected.clone()
        );
    }
    let sum = options.first + options.second;
    check!(
        "with a Mutex both deposits are in the balance",
        require("mutex_balance"),
        sum
    );
    check!(
        "when each thread has a guard of its own, too",
        require("guards_balance"),
        sum
    );
    check!(
        "what an Arc holds is one balance for both its owners",
        require("arc_balance"),
        sum
    );
    check!(
        "in a scope a thread changed its caller's variable itself",
        require("scope_balance"),
        sum
    );
}
