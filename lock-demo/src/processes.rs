//! Between processes: a variable of each own needs no lock, memory that they share needs
//! one that works between them, and survives its owner.
//!
//! cargo run -p lock-demo -- processes --children 2
//!
//! To copy: examples/processes.rs, a lock on a file, which any program can take.

use crate::shared_mutex::{Kind, SharedMutex};
use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use shared_core::children::{Child, about_to_fork};
use shared_core::cli::Question;
use shared_core::report::{fact, failed, require};
use shared_core::{Context, Result, Value, bail, cause, check, fact, report, span, waiting};
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// A lock between processes must survive its owner
///
/// After fork each process has its own variable, and no lock is needed. Memory that is
/// mapped as shared is one for all (mmap(2)), and needs a mutex that lies in it, too. A
/// process that is killed runs no code that could release it: others would wait for ever.
/// A robust mutex is released by the kernel, and tells the next one that its owner has
/// died, and the data may be half changed (pthread_mutexattr_setrobust(3)). The
/// kernel releases a lock on a file when the file is closed, and so when its owner ends,
/// however it ends (flock(2)).
///
/// Try: cargo run -p lock-demo -- processes --children 8
#[derive(clap::Args)]
pub struct Options {
    /// How many children add to one number (1 to 16)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=16))]
    children: u16,
    /// How often each of them adds 1 (1 to 100000)
    #[arg(long, default_value_t = 50_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    iterations: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "A child of fork adds 5 to a variable, which was 0. What does its parent see?",
        choices: &[],
        fact: "parents_own",
        is_a_race: false,
    },
    Question {
        text: "A process is killed while it holds a default mutex. What does the next one do?",
        choices: &[WAITS, GOES_ON],
        fact: "after_default",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    // A variable of its own.
    let mut own = 0;
    let child = start("own", || {
        own += 5;
        fact!("childs_own", own);
        Ok(())
    })?;
    end(child)?;
    report!("own variable: the parent's is {own}");
    fact!("parents_own", own);

    // A number in shared memory, and a mutex beside it.
    let shared = SharedMutex::new(Kind::Robust).context("failed to make a mutex")?;
    let add = || -> Result<()> {
        let _span = span!("add");
        for _ in 0..options.iterations {
            *shared.lock().context("failed to lock")? += 1;
        }
        Ok(())
    };
    let names = (1..=options.children).map(|number| format!("child {number}"));
    let children = names
        .map(|name| start(&name, add))
        .collect::<Result<Vec<_>>>()?;
    children.into_iter().try_for_each(end)?;
    let sum = *shared.lock().context("failed to lock")?;
    report!("shared, under a mutex: {sum}");
    fact!("sum", sum);

    owner_is_killed("default", Kind::Default)?;
    owner_is_killed("robust", Kind::Robust)?;
    let file = owner_of_a_file_is_killed()?;
    judge(options, file);
    Ok(())
}

/// The child holds the mutex, is in the middle of a change, and is killed.
fn owner_is_killed(name: &str, kind: Kind) -> Result<()> {
    let shared = SharedMutex::new(kind).context("failed to make a mutex")?;
    *shared.lock().context("failed to lock")? = WHOLE;
    let owner = start_owner(name, |holds| {
        let mut number = shared.lock().context("failed to lock")?;
        *number = HALF; // it never comes to the other half
        hold(holds)
    })?;
    end_by_force(owner)?;

    let waiting = waiting!("lock");
    let locked = shared.lock_for(LIMIT);
    waiting.end();
    let next = match locked {
        Ok(mut number) => {
            report!("{name}: locked; owner died: {}", number.owner_died());
            fact!("owner_died", number.owner_died());
            fact!("found", *number);
            *number = WHOLE;
            number.repaired().context("failed to repair a mutex")?;
            GOES_ON
        }
        Err(Errno::ETIMEDOUT) => {
            report!("{name}: still locked after {LIMIT:?}");
            WAITS
        }
        Err(error) => return Err(error).context("failed to lock"),
    };
    fact(format_args!("after_{name}"), next);
    if kind == Kind::Robust {
        match shared.lock_for(LIMIT) {
            Ok(again) => {
                report!("repaired: {}, and locked as before", *again);
                fact!("repaired", *again);
            }
            Err(error) => report!("not repaired: {}", cause(error)),
        }
    }
    Ok(())
}

/// The same with a lock on a file. Returns whether it was locked before and after the
/// end of its owner; nothing where there is no such file.
fn owner_of_a_file_is_killed() -> Result<Option<[bool; 2]>> {
    let file = memfd_create(c"lock", MFdFlags::MFD_CLOEXEC).context("failed to make a file")?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Opened twice: such a lock belongs to what was opened, not to a process.
    let (Ok(ours), Ok(theirs)) = (File::open(&path), File::open(&path)) else {
        report!("without /proc I have no file to lock");
        return Ok(None);
    };
    let owner = start_owner("file", move |holds| {
        theirs.lock().context("failed to lock a file")?;
        hold(holds)
    })?;
    let before = ours.try_lock().is_err();
    end_by_force(owner)?;
    let after = ours.try_lock().is_err();
    report!("file: locked {before}, after the end {after}");
    Ok(Some([before, after]))
}

/// A child made by fork, which does its part and leaves.
fn start(name: &str, part: impl FnOnce() -> Result<()>) -> Result<Child> {
    let start = about_to_fork(name)?;
    // SAFETY: this process has one thread (that was just confirmed), so no lock and no
    // piece of the heap can be half-changed in the child's copy.
    match unsafe { libc::fork() } {
        0 => start.in_child(|| match part() {
            Ok(()) => 0,
            Err(error) => {
                failed(format_args!("{name}: {error:#}"));
                1
            }
        }),
        -1 => Err(io::Error::last_os_error()).with_context(|| format!("fork {name}")),
        child => Ok(start.made(child)),
    }
}

/// A child that says when it holds what it is to hold.
fn start_owner(name: &str, part: impl FnOnce(PipeWriter) -> Result<()>) -> Result<Child> {
    let (mut says, holds) = pipe().context("failed to make a pipe")?;
    // Our copy of `holds` goes with the part, so an early end of the child is seen, too.
    let mut owner = start(name, move || part(holds))?;
    if says.read_exact(&mut [0]).is_err() {
        owner.reap(|pid| waitpid(pid, None))?;
        bail!("{name} ended before it held anything");
    }
    Ok(owner)
}

/// Says that it holds, and waits to be killed.
fn hold(mut holds: PipeWriter) -> Result<()> {
    let _span = span!("hold");
    holds.write_all(b"!").context("failed to say so")?;
    loop {
        nix::unistd::pause();
    }
}

// A first reading may skip the rest.

const WAITS: &str = "it waits for ever";
const GOES_ON: &str = "it goes on";
/// Instead of for ever.
const LIMIT: Duration = Duration::from_millis(30);
const WHOLE: i64 = 100;
const HALF: i64 = 50;

fn end(mut child: Child) -> Result<()> {
    let _wait = waiting!("waitpid");
    child.reap(|pid| waitpid(pid, None))?;
    Ok(())
}

fn end_by_force(mut child: Child) -> Result<()> {
    child.reap(|pid| {
        kill(pid, Signal::SIGKILL)?;
        waitpid(pid, None)
    })?;
    Ok(())
}

fn judge(options: &Options, file: Option<[bool; 2]>) {
    check!(
        "after fork the child's variable changed, the parent's did not",
        vec![require("childs_own"), require("parents_own")],
        vec![5, 0]
    );
    check!(
        "under a mutex in shared memory no addition was lost",
        require("sum"),
        u64::from(options.children) * u64::from(options.iterations)
    );
    check!(
        "a default mutex stayed locked when its owner had been killed",
        require("after_default"),
        WAITS
    );
    check!(
        "a robust one was locked next, and told of the owner's death in mid-change",
        vec![
            require("after_robust"),
            require("owner_died"),
            require("found")
        ],
        vec![Value::from(GOES_ON), true.into(), HALF.into()]
    );
    check!(
        "repaired, it could be locked as before",
        require("repaired"),
        WHOLE
    );
    if let Some(file) = file {
        check!(
            "a file was locked by its owner, and by nobody when that was killed",
            file.to_vec(),
            vec![true, false]
        );
    }
}
