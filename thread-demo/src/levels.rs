//! The low-level call that makes a thread, and the high-level one that wraps it, step
//! by step. (note 14)
//!
//! cargo run -p thread-demo -- levels --number 6
//!
//! To copy: examples/levels.rs, the same steps without the reporting.

use nix::libc;
use shared_core::again::{Again, say};
use shared_core::children::WaitStatus as _;
use shared_core::cli::Question;
use shared_core::report::{Input, fact, require};
use shared_core::{Context, Error, Result, check, fact, report, waiting, who};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::panic::{self, resume_unwind};
use std::ptr::{null, null_mut};
use std::thread;

/// The high-level call wraps the low-level one, and knows types
///
/// pthread_create(3) takes a function of one pointer that returns a pointer, and
/// thread::spawn calls it: its thread is a pthread too. What the wrapper adds: a name,
/// a closure with what it owns, a result of any type, a panic as a value (out of the
/// plain function it would abort the process), and with thread::scope what the caller
/// has may be borrowed. With the plain call all that is a matter of raw pointers, and
/// nobody checks them. (In Python `_thread` is the low level, `threading` the high one.)
///
/// Try: cargo run -p thread-demo -- levels --number 6
#[derive(clap::Args)]
pub struct Options {
    /// What both threads square (0 to 1000)
    #[arg(long, default_value_t = 7, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1000))]
    number: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Is a thread made by thread::spawn one that pthread_create has made?",
        choices: &["yes", "no"],
        fact: "spawned_is_a_pthread",
        is_a_race: false,
    },
    Question {
        text: "The function of a thread panics. With the plain call, what ends?",
        choices: &["the thread", PROCESS],
        fact: "a_panic_ended",
        is_a_race: false,
    },
];
const PROCESS: &str = "the process";

pub fn run(options: &Options) -> Result<()> {
    let Options { number } = *options;

    // Low: a function of one pointer, which stands for what it works on.
    let mut work = Work { number, square: 0 };
    let mut thread = 0;
    // SAFETY: the function takes the pointer for what it is, a pointer to `work`, which
    // lives until the thread is joined and which nobody else uses until then.
    let error = unsafe {
        let argument = (&raw mut work).cast::<c_void>();
        libc::pthread_create(&raw mut thread, null(), square_it, argument)
    };
    succeeded(error).context("failed to start a thread (pthread_create)")?;
    let joining = waiting!("pthread_join");
    // SAFETY: the thread was created just now, and is joined this once.
    let error = unsafe { libc::pthread_join(thread, null_mut()) };
    succeeded(error).context("failed to join a thread (pthread_join)")?;
    joining.end();
    report!("low: {number}² = {}", work.square);
    fact!("low_square", work.square);

    // High: a closure, a name, a result.
    let thread = thread::Builder::new().name("high".to_owned());
    let thread = thread.spawn(move || (number.pow(2), tell("high")));
    let thread = thread.context("failed to start a thread (thread::spawn)")?;
    let handle = thread.as_pthread_t();
    let joining = waiting!("join");
    let joined = thread.join();
    joining.end();
    let (square, itself) = joined.unwrap_or_else(|panic| resume_unwind(panic));
    report!("high: {number}² = {square}");
    fact!("high_square", square);
    fact!(
        "spawned_is_a_pthread",
        if itself == handle { "yes" } else { "no" }
    );

    borrow(number)?;
    a_panic()?;
    judge(options);
    Ok(())
}

/// With a scope a thread may use what belongs to its caller: it is joined before the
/// scope ends.
fn borrow(number: u32) -> Result<()> {
    let numbers = vec![number, number + 1];
    let sum = thread::scope(|scope| {
        let thread = thread::Builder::new().name("borrower".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            fact!("borrowed_at", address(&numbers));
            numbers.iter().sum::<u32>()
        });
        let thread = thread.context("failed to start a thread (in a scope)")?;
        Ok::<_, Error>(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    report!("high, in a scope: their sum is {sum}");
    fact!("owned_at", address(&numbers));
    Ok(())
}

/// A panic in each kind of thread, in a process of its own.
fn a_panic() -> Result<()> {
    for level in ["low", "high"] {
        let mut process = Again::start(&format!("{level} main"), &format!("panic-{level}"))?;
        let said = process.line()?;
        let end = process.end()?.end().map(|end| end.to_string());
        let then = if said.is_empty() { "nothing" } else { &said };
        report!("{level}: a panic, and then: {then}");
        report!("  the process: {}", end.as_deref().unwrap_or("?"));
        fact(format_args!("{level}_end"), end);
        fact(format_args!("{level}_said"), said);
    }
    Ok(())
}

/// What the low-level call is given to work on.
struct Work {
    number: u32,
    square: u32,
}

/// What runs in the thread of the low-level call.
extern "C" fn square_it(argument: *mut c_void) -> *mut c_void {
    // SAFETY: this is what pthread_create was given: a pointer to a `Work` that lives,
    // and that nobody else uses, until this thread is joined.
    let work = unsafe { &mut *argument.cast::<Work>() };
    work.square = work.number.pow(2);
    tell("low");
    null_mut() // a result would be a pointer too
}

/// What runs in both threads besides.
fn tell(level: &str) -> libc::pthread_t {
    report!("I run");
    fact(format_args!("{level}_pid"), who::pid());
    // SAFETY: the call takes nothing and always succeeds.
    unsafe { libc::pthread_self() }
}

/// In a process of its own: a panic in a thread that the plain call has made.
pub fn panic_at_the_low_level(_: Input) -> Result<()> {
    extern "C" fn panics(_: *mut c_void) -> *mut c_void {
        panic!("it has nowhere to go");
    }
    abort_in_silence();
    let mut thread = 0;
    // SAFETY: the function uses no argument.
    let error = unsafe { libc::pthread_create(&raw mut thread, null(), panics, null_mut()) };
    succeeded(error).context("failed to start a thread (pthread_create)")?;
    // SAFETY: the thread was created just now, and is joined this once.
    let error = unsafe { libc::pthread_join(thread, null_mut()) };
    succeeded(error).context("failed to join a thread (pthread_join)")?;
    say("it goes on");
    Ok(())
}

/// The same with the high-level call.
pub fn panic_at_the_high_level(_: Input) -> Result<()> {
    abort_in_silence();
    let thread = thread::Builder::new().spawn(|| -> () { panic!("{MESSAGE}") });
    let thread = thread.context("failed to start a thread (thread::spawn)")?;
    if let Err(panic) = thread.join() {
        let message = panic.downcast_ref::<String>();
        say(message.map_or("", String::as_str));
    }
    Ok(())
}

// A first reading may skip the rest.

const MESSAGE: &str = "join() returns it";

/// pthread calls return the error instead of setting errno (pthreads(7)).
fn succeeded(error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn address<T>(values: &[T]) -> String {
    format!("{:p}", values.as_ptr())
}

/// What a panic says, and what Rust says when it aborts, is not the point here.
fn abort_in_silence() {
    panic::set_hook(Box::new(|_| {}));
    if let Ok(nothing) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stderr(nothing);
    }
    leave_no_core_file();
}

/// A process that aborts may leave a file with its memory (core(5)); not this one.
fn leave_no_core_file() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
    #[cfg(not(target_os = "linux"))]
    let _ = {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_CORE, 0, 0)
    };
}

fn judge(options: &Options) {
    let square = options.number.pow(2);
    check!(
        "both calls ran the function",
        vec![require("low_square"), require("high_square")],
        vec![square, square]
    );
    check!(
        "both threads were in this process",
        vec![require("low_pid"), require("high_pid")],
        vec![who::pid(), who::pid()]
    );
    check!(
        "in the thread of thread::spawn pthread_self() was what the handle wraps",
        require("spawned_is_a_pthread"),
        "yes"
    );
    check!(
        "a thread in a scope used its caller's data where it is",
        require("borrowed_at"),
        require("owned_at")
    );
    let low = require("low_end");
    let ended = if low == "exited with status 0" {
        "the thread"
    } else {
        PROCESS
    };
    fact!("a_panic_ended", ended);
    check!(
        "a panic out of the plain function aborted the process",
        low,
        "killed by SIGABRT"
    );
    check!(
        "a panic in the other one was a value for the one who joined",
        vec![require("high_end"), require("high_said")],
        vec!["exited with status 0", MESSAGE]
    );
}
