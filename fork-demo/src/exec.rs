//! exec puts another program into a process: the PID stays, the memory goes, and
//! some of what the process has is kept. (beyond the notes)
//!
//! cargo run -p fork-demo -- exec --word hello
//!
//! To copy: examples/exec.rs, fork and exec alone.

use crate::common::{describe, refused};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stdout, execve};
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::{failed, require};
use shared_core::{Context, Result, check, fact, moment, report, waiting, who};
use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, PipeWriter, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// After fork, exec runs another program in the same process
///
/// execve() replaces the program and its memory; the process stays, with its PID,
/// its parent and its working directory. Descriptors stay open unless they are
/// marked close-on-exec; a signal that is ignored stays ignored, one that is caught
/// gets its default action again, as its handler is gone; the environment is the one
/// that execve() is given (execve(2)).
///
/// Try: cargo run -p fork-demo -- exec --word hello
#[derive(clap::Args)]
pub struct Options {
    /// What the variable WORD is set to, in one line
    #[arg(long, default_value = "notes", value_parser = one_line)]
    word: String,
}

fn one_line(word: &str) -> Result<String, &'static str> {
    let is_one = !word.contains(['\n', '\r', '\0']);
    is_one.then(|| word.to_owned()).ok_or("more than one line")
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Does the new program have the PID that fork() returned?",
        choices: &["yes", "no"],
        fact: "same_pid",
        is_a_race: false,
    },
    Question {
        text: "The process caught SIGUSR2. Now the new program gets one. What happens?",
        choices: &["the handler is called", "it is killed", "nothing"],
        fact: "what_sigusr2_did",
        is_a_race: false,
    },
];

/// What the new program does: a shell tells who it is and what it has, sends itself
/// SIGUSR1, which was ignored, and then SIGUSR2, which was caught.
const SCRIPT: &str = r#"
echo pid $$
echo parent $PPID
printf 'word %s\n' "$WORD"
descriptor=0
while [ $descriptor -lt 64 ]; do
    if [ -e /dev/fd/$descriptor ]; then echo open $descriptor; fi
    descriptor=$((descriptor + 1))
done
kill -USR1 $$
echo survived SIGUSR1
kill -USR2 $$
echo survived SIGUSR2
"#;

pub fn run(options: &Options) -> Result<()> {
    let (answers, to_parent) = pipe().context("failed to make a pipe")?;
    let (kept, closed) = pipe().context("failed to make a pipe")?;
    // The standard library marks what it opens close-on-exec: `closed` stays so.
    fcntl(&kept, FcntlArg::F_SETFD(FdFlag::empty())).context("failed to clear FD_CLOEXEC")?;
    let open_before = open_across_exec();
    fact!("kept", kept.as_raw_fd());
    fact!("closed", closed.as_raw_fd());

    let start = about_to_fork("child")?;
    // SAFETY: as in returns-twice: this process has one thread.
    let mut child = match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            report!("I am a copy, about to exec");
            moment!("exec");
            let Err(error) = become_a_shell(&to_parent, &options.word);
            failed(format_args!("failed to exec sh: {error}"));
            127
        }),
        -1 => return Err(refused(Errno::last(), 0, 1)),
        child => start.made(child),
    };
    drop((to_parent, kept, closed));
    let waiting = waiting!("sh");
    let text = io::read_to_string(answers).context("failed to read what sh says")?;
    let status = child.reap(|pid| waitpid(pid, None))?;
    waiting.end();
    text.lines().for_each(|line| report!("sh says: {line}"));
    report!("sh {}", describe(status));
    fact!("end", describe(status));
    judge(options, &text, child.pid(), &open_before);
    Ok(())
}

/// What runs in the child, until another program takes its place.
fn become_a_shell(to_parent: &PipeWriter, word: &str) -> io::Result<Infallible> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    let catch = SigHandler::Handler(do_nothing);
    let catch = SigAction::new(catch, SaFlags::empty(), SigSet::empty());
    // SAFETY: a handler that does nothing is async-signal-safe.
    unsafe {
        sigaction(Signal::SIGUSR1, &ignore)?;
        sigaction(Signal::SIGUSR2, &catch)?;
    }
    dup2_stdout(to_parent.as_fd())?;
    let [program, name, option, script] = ["/bin/sh", "sh", "-c", SCRIPT].map(CString::new);
    let variables = [format!("WORD={word}"), "PATH=/usr/bin:/bin".to_owned()].map(CString::new);
    let [word, path] = variables;
    // Returns only if it fails.
    Ok(execve(
        &program?,
        &[name?, option?, script?],
        &[word?, path?],
    )?)
}

extern "C" fn do_nothing(_: libc::c_int) {}

// A first reading may skip the rest.

/// The descriptors of this process that are not closed on exec.
fn open_across_exec() -> Vec<i32> {
    let flags = |descriptor: &i32| {
        // SAFETY: F_GETFD only reads, and says so if there is no such descriptor.
        let flags = unsafe { libc::fcntl(*descriptor, libc::F_GETFD) };
        flags != -1 && flags & libc::FD_CLOEXEC == 0
    };
    (0..64).filter(flags).collect()
}

fn judge(options: &Options, text: &str, child: Pid, open_before: &[i32]) {
    let said = |what: &str| -> Vec<&str> {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|line| line.0 == what)
            .map(|line| line.1)
            .collect()
    };
    let same = said("pid") == [child.to_string()];
    fact!("same_pid", if same { "yes" } else { "no" });
    let open: Vec<i32> = said("open")
        .iter()
        .filter_map(|fd| fd.parse().ok())
        .collect();
    fact!("open_descriptors", open.clone());
    let what_sigusr2_did = match require("end").as_str() {
        Some("killed by SIGUSR2") => "it is killed",
        _ => "nothing",
    };
    fact!("what_sigusr2_did", what_sigusr2_did);

    check!(
        "the new program has the PID that fork() returned",
        said("pid"),
        vec![child.to_string()]
    );
    check!(
        "its parent is the process that forked",
        said("parent"),
        vec![who::pid().to_string()]
    );
    check!(
        "it has the environment that execve() was given",
        said("word"),
        vec![options.word.as_str()]
    );
    check!(
        "an ignored signal is ignored still",
        said("survived"),
        vec!["SIGUSR1"]
    );
    check!(
        "a caught signal has its default action again: it kills",
        require("end"),
        "killed by SIGUSR2"
    );
    if !Path::new("/dev/fd/0").exists() {
        report!("this system does not tell what is open");
        return;
    }
    let kept = |name: &str| open.iter().any(|fd| require(name) == *fd);
    check!(
        "a descriptor is open still, unless it is marked close-on-exec",
        vec![kept("kept"), kept("closed")],
        vec![true, false]
    );
    check!(
        "no other descriptor is open",
        open.clone(),
        open_before.to_vec()
    );
}
