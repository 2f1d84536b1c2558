//! fork in a process with threads: the child has only the thread that called fork,
//! and the locks as they were. (beyond the notes)
//!
//! This lesson breaks a rule on purpose: fork while there is one thread. A watchdog
//! ends the children that hang.
//!
//! cargo run -p fork-demo -- with-threads
//!
//! To copy: examples/with_threads.rs, where rayon hangs in a child.

use crate::common::refused;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use shared_core::children::{Child, about_to_spawn};
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, check, fact, moment, report, waiting, who};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// With threads, a forked child may wait for ever
///
/// The child has one thread, the one that called fork(), and a copy of every lock as it
/// stood. A lock that another thread held stays locked for ever: nobody is there to
/// unlock it. Work that is given to a pool of threads, rayon's say, is never done.
/// Between fork and exec such a child may call only async-signal-safe functions
/// (fork(2), signal-safety(7)), and so fork() is unsafe in Rust. Fork before the first
/// thread, or spawn another program.
///
/// Try: cargo run -p fork-demo -- with-threads --held false
#[derive(clap::Args)]
pub struct Options {
    /// Whether the other thread holds the lock at fork
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    held: bool,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The parent has three threads. How many has its forked child?",
        choices: &[],
        fact: "threads_in_the_child",
        is_a_race: false,
    },
    Question {
        text: "Another thread holds the lock at fork: {held}. Is it locked in the child?",
        choices: &["yes", "no"],
        fact: "locked_in_the_child",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let lock = &Mutex::new(());
    let held = options.held;
    let (holds, wait_until_it_holds) = channel();
    let (unlock, wait_to_unlock) = channel::<()>();
    let (jobs, queue) = channel::<Job>();

    thread::scope(|scope| -> Result<()> {
        let holder = thread::Builder::new().name("holder".to_owned());
        let holder = holder.spawn_scoped(scope, move || {
            hold(held.then_some(lock), &holds, &wait_to_unlock);
        });
        let holder = holder.context("failed to start a thread")?;
        let worker = thread::Builder::new().name("worker".to_owned());
        let worker = worker.spawn_scoped(scope, || work(queue));
        worker.context("failed to start a thread")?;
        wait_until_it_holds.recv().context("failed to lock")?;
        fact!("threads_in_the_parent", who::threads());

        let mut locks = fork_with_threads("locks", || lock_it(lock))?;
        let mut asks = fork_with_threads("asks", || {
            fact!("answer_in_the_child", ask(&jobs));
        })?;

        // In the parent both are done at once.
        drop(unlock);
        holder.join().unwrap_or_else(|panic| resume_unwind(panic));
        drop(lock.lock().unwrap_or_else(PoisonError::into_inner));
        report!("I have locked it, and unlocked it");
        fact!("answer_in_the_parent", ask(&jobs));
        drop(jobs); // the worker ends

        fact!("locks_hangs", hangs(&mut locks)?);
        fact!("asks_hangs", hangs(&mut asks)?);
        Ok(())
    })?;
    judge(options);
    Ok(())
}

/// Forks, although there are other threads. They are blocked: the one waits to unlock,
/// the other for a job. So the only lock that is held is the lesson's.
fn fork_with_threads(role: &str, in_child: impl FnOnce()) -> Result<Child> {
    let start = about_to_spawn(role)?; // about_to_fork would refuse
    // SAFETY: sound for what is not async-signal-safe only because of what the comment
    // above says; that the child hangs where it uses the other threads is the lesson.
    match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            in_child();
            0
        }),
        -1 => Err(refused(Errno::last(), 0, 2)),
        child => Ok(start.made(child)),
    }
}

/// What runs in the first child.
fn lock_it(lock: &Mutex<()>) {
    fact!("threads_in_the_child", who::threads());
    let locked = lock.try_lock().is_err();
    fact!("locked_in_the_child", if locked { "yes" } else { "no" });
    report!("threads: 1, locked: {locked}");
    moment!("lock");
    let _wait = waiting!("lock");
    // For ever, if it is locked: who would unlock it is not in this process.
    drop(lock.lock());
    fact!("locks_went_on", true);
}

type Job = Sender<u32>;

/// Gives a job to the worker thread, and waits for its answer.
fn ask(jobs: &Sender<Job>) -> Option<u32> {
    let (answer, answers) = channel();
    let _wait = waiting!("answer");
    // A copy of `answer` stays in the queue, so the channel never closes.
    jobs.send(answer).ok()?;
    answers.recv().ok()
}

/// What runs in the worker thread.
fn work(queue: Receiver<Job>) {
    for answer in queue {
        let _ = answer.send(42);
    }
}

/// What runs in the thread that holds the lock, if there is one to hold.
fn hold(lock: Option<&Mutex<()>>, holds: &Sender<()>, wait_to_unlock: &Receiver<()>) {
    let guard = lock.map(Mutex::lock);
    report!("do I hold the lock? {}", guard.is_some());
    let _ = holds.send(());
    let _ = wait_to_unlock.recv();
}

// A first reading may skip the rest.

/// How long a child may take where the system does not tell that it hangs.
const LIMIT: Duration = Duration::from_secs(1);

/// The watchdog: whether the child waits for something that nobody will do. It is
/// killed then.
fn hangs(child: &mut Child) -> Result<bool> {
    let _watch = waiting!("watchdog");
    let start = Instant::now();
    loop {
        let status = child.reap(|pid| waitpid(pid, Some(WaitPidFlag::WNOHANG)))?;
        if status != WaitStatus::StillAlive {
            return Ok(false);
        }
        let waits = waits_for_a_thread(child);
        if waits.unwrap_or_else(|| start.elapsed() > LIMIT) {
            report!("{} waits for ever: I kill it", child.role());
            kill(child.pid(), Signal::SIGKILL).context("failed to kill a child")?;
            moment!("SIGKILL");
            child.reap(|pid| waitpid(pid, None))?;
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the process waits in futex(2), as one does for a lock or a channel: then
/// another of its threads would have to wake it, and it has none. (The system call
/// that a process is in: `/proc/PID/syscall`, proc_pid_syscall(5); Linux.)
#[cfg(target_os = "linux")]
fn waits_for_a_thread(child: &Child) -> Option<bool> {
    let call = std::fs::read_to_string(format!("/proc/{child}/syscall")).ok()?;
    let number = call.split_whitespace().next()?;
    Some(number == libc::SYS_futex.to_string())
}

#[cfg(not(target_os = "linux"))]
fn waits_for_a_thread(_: &Child) -> Option<bool> {
    None
}

fn judge(options: &Options) {
    if who::threads().is_some() {
        check!(
            "the child of a process with three threads has one",
            vec![
                require("threads_in_the_parent"),
                require("threads_in_the_child")
            ],
            vec![3, 1]
        );
    }
    check!(
        "the lock is in the child as it was at fork",
        require("locked_in_the_child"),
        if options.held { "yes" } else { "no" }
    );
    check!(
        "the child waits for ever for a lock that another thread held",
        require("locks_hangs"),
        options.held
    );
    check!(
        "a thread answers in the parent",
        require("answer_in_the_parent"),
        42
    );
    check!(
        "in the child nobody answers: it waits for ever too",
        require("asks_hangs"),
        true
    );
}
