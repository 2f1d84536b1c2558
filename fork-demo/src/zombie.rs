//! A child that has ended stays in the system's table as a zombie until somebody
//! waits for it. (beyond the notes)
//!
//! cargo run -p fork-demo -- zombie
//!
//! To copy: examples/zombie.rs, where ps shows the zombie.

use crate::common::{describe, refused, status_of};
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use shared_core::children::{about_to_fork, adopted};
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Result, check, fact, moment, report, waiting, who};

/// A child that has ended is a zombie until it is reaped
///
/// When a process ends, the kernel frees its memory and closes its files, but keeps
/// its PID and exit status for its parent: it is a zombie, in state Z (ps(1)).
/// waitpid() takes the status and frees the PID: it reaps the child. If the parent
/// ends first, its children, zombies too, go to the nearest subreaper or to init,
/// which reaps them (wait(2), prctl(2)).
///
/// Try: cargo run -p fork-demo -- zombie --status 9
#[derive(clap::Args)]
pub struct Options {
    /// What the child exits with (0 to 255)
    #[arg(long, default_value_t = 7, allow_negative_numbers = true)]
    status: u8,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The child has exited, and nobody has waited for it. Does its PID exist?",
        choices: &["yes", "no"],
        fact: "before_waitpid_the_pid_exists",
        is_a_race: false,
    },
    Question {
        text: "And after waitpid()?",
        choices: &["yes", "no"],
        fact: "after_waitpid_the_pid_exists",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let start = about_to_fork("child")?;
    // SAFETY: as in returns-twice: this process has one thread.
    let mut child = match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            report!("I exit with status {}", options.status);
            options.status.into()
        }),
        -1 => return Err(refused(Errno::last(), 0, 2)),
        child => start.made(child),
    };

    // Waits until it has ended, and leaves it unreaped.
    wait_until_ended(child.pid()).context("failed to wait for the child")?;
    let pid = child.pid().as_raw().unsigned_abs();
    look("before_waitpid", pid);
    let status = child.reap(|pid| waitpid(pid, None))?;
    report!("waitpid: {}", describe(status));
    look("after_waitpid", pid);
    fact!("status", describe(status));

    leave_a_zombie_behind()?;
    judge(options);
    Ok(())
}

/// What the kernel says of a process, as far as the system tells.
fn look(when: &str, pid: u32) {
    let state = who::state(pid);
    let exists = who::exists(pid) == Some(true);
    let state_in_words = match state {
        Some(state) => format!("in state {state}"),
        None if exists => "there".to_owned(),
        None => "gone".to_owned(),
    };
    report!("{pid} is {state_in_words}");
    fact!("{when}_state", state.map(String::from));
    fact!("{when}_the_pid_exists", if exists { "yes" } else { "no" });
}

/// A parent that never waits, and what becomes of its child.
fn leave_a_zombie_behind() -> Result<()> {
    let start = about_to_fork("careless")?;
    // SAFETY: as above.
    let mut parent = match unsafe { libc::fork() } {
        0 => start.in_child(|| status_of(never_wait())),
        -1 => return Err(refused(Errno::last(), 1, 2)),
        parent => start.made(parent),
    };
    {
        let _wait = waiting!("waitpid");
        parent.reap(|pid| waitpid(pid, None))?;
    }
    moment!("its parent is gone");

    let zombie = u32::try_from(require("left_behind").as_u64().unwrap_or(0))?;
    if let Some(mut zombie) = adopted(zombie, "zombie")? {
        report!("{zombie} is my child now");
        fact!("adopted", true);
        let status = zombie.reap(|pid| waitpid(pid, None))?;
        report!("waitpid: {}", describe(status));
        fact!("adopted_status", describe(status));
    } else {
        report!("{zombie} went to init, which reaps it");
        fact!("adopted", false);
    }
    Ok(())
}

/// What runs in a parent that does not care: it exits without waitpid().
fn never_wait() -> Result<()> {
    let start = about_to_fork("zombie")?.may_outlive_its_parent();
    // SAFETY: as above: this process has one thread too.
    match unsafe { libc::fork() } {
        0 => start.in_child(|| 0),
        -1 => Err(refused(Errno::last(), 0, 1)),
        child => {
            let child = start.made(child);
            fact!("left_behind", child.pid().as_raw());
            wait_until_ended(child.pid()).context("failed to wait for the child")?;
            report!("I exit and leave {child} behind");
            Ok(())
        }
    }
}

/// Waits until the process has ended, and does not reap it (`WNOWAIT`, waitid(2)).
fn wait_until_ended(pid: Pid) -> nix::Result<()> {
    let _wait = waiting!("waitid");
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOWAIT;
    loop {
        // SAFETY: the call writes at most one siginfo_t, and that is room for it.
        let result = unsafe {
            let pid = pid.as_raw().unsigned_abs();
            libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), options)
        };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            other => break other.map(drop),
        }
    }
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    check!(
        "a child that has ended still has its PID",
        require("before_waitpid_the_pid_exists"),
        "yes"
    );
    check!(
        "after waitpid() there is no such PID",
        require("after_waitpid_the_pid_exists"),
        "no"
    );
    check!(
        "waitpid() returned the exit status that the kernel had kept",
        require("status"),
        format!("exited with status {}", options.status)
    );
    // Only Linux tells the state of a process, and has subreapers.
    if who::state(who::pid()).is_some() {
        check!(
            "in between it was a zombie: state Z",
            require("before_waitpid_state"),
            "Z"
        );
    }
    if require("adopted") == true {
        check!(
            "a zombie whose parent has ended is reaped by its new parent",
            require("adopted_status"),
            "exited with status 0"
        );
    }
}
