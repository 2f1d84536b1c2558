//! A process has variables of its own: what a child changes stays as it was in the
//! parent. What a thread changes the parent sees. (note 16)
//!
//! cargo run -p process-demo -- isolation --value 5 --add 8
//!
//! To copy: examples/isolation.rs, the same steps without the reporting.

use crate::process::Process;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, check, fact, moment, report, span, waiting};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// A child process changes its own variable, a thread ours
///
/// Each process has an address space of its own: the same name, even the same
/// address, means another piece of memory in each of them. Here the child executes
/// the program anew (execve(2)), so its variable has its first value, not its
/// parent's. Threads share the address space of their process (pthreads(7)): one
/// variable for all, and hence atomic here.
///
/// Try: cargo run -p process-demo -- isolation --value 100 --add 1
#[derive(clap::Args)]
pub struct Options {
    /// The parent's variable at the beginning (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    value: i64,
    /// What the child adds, and the thread (1 to 1000)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(1..=1000))]
    add: i64,
    /// Time that it takes, in ms (0 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    step_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The variable is {value}. A child process adds {add}. What is it in the parent?",
        choices: &[],
        fact: "after_process",
        is_a_race: false,
    },
    Question {
        text: "It was 0 when the program began. What was it in the child, before it added?",
        choices: &[],
        fact: "child_began_with",
        is_a_race: false,
    },
    Question {
        text: "Then a thread adds {add}. What is it in the parent?",
        choices: &[],
        fact: "after_thread",
        is_a_race: false,
    },
];

/// One variable in the program; one in each process that runs it.
static VARIABLE: AtomicI64 = AtomicI64::new(0);

pub fn run(options: &Options) -> Result<()> {
    let &Options { add, step_ms, .. } = options;
    VARIABLE.store(options.value, SeqCst);
    fact!("parent_has", look());

    let mut process = Process::new(add_in_child, (add, step_ms)).named("child");
    process.start()?;
    let joining = waiting!("join");
    process.join()?;
    joining.end();
    fact!("after_process", look());

    let thread = thread::Builder::new().name("thread".to_owned());
    let thread = thread.spawn(move || add_in_thread(add, step_ms));
    let thread = thread.context("failed to start a thread")?;
    let joining = waiting!("join");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    joining.end();
    fact!("after_thread", look());

    fact!("parent_address", address());
    judge(options);
    Ok(())
}

/// What runs in the child process.
pub fn add_in_child((add, step_ms): (i64, u32)) {
    fact!("child_began_with", look());
    slowly_add(add, step_ms);
    fact!("child_has", look());
}

/// What runs in the thread: the same.
fn add_in_thread(add: i64, step_ms: u32) {
    fact!("thread_began_with", look());
    slowly_add(add, step_ms);
    fact!("thread_address", address());
}

/// Slowly, so that the picture shows it.
fn slowly_add(add: i64, step_ms: u32) {
    let _span = span!("add {add}");
    thread::sleep(Duration::from_millis(step_ms.into()));
    VARIABLE.fetch_add(add, SeqCst);
}

/// What the variable is, here and now.
fn look() -> i64 {
    let value = VARIABLE.load(SeqCst);
    moment!("{value}");
    report!("the variable at {} is {value}", address());
    value
}

fn address() -> String {
    format!("{:p}", &raw const VARIABLE)
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    let Options { value, add, .. } = options;
    check!(
        "the child began with the variable of a new program",
        require("child_began_with"),
        0
    );
    check!(
        "the child added to its own variable",
        require("child_has"),
        *add
    );
    check!(
        "in the parent it was not changed by the child",
        require("after_process"),
        *value
    );
    check!(
        "the thread began with the parent's variable",
        require("thread_began_with"),
        *value
    );
    check!(
        "what the thread added the parent sees",
        require("after_thread"),
        value + add
    );
    check!(
        "parent and thread found the variable at the same address",
        require("thread_address"),
        require("parent_address")
    );
}
