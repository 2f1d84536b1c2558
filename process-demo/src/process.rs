//! A process made from a function and its arguments, after Python's
//! `multiprocessing.Process` with the start method `spawn`: the same program
//! is executed again and calls the function. No fork: it works on every
//! system, and in a process with threads.

use crate::child::{CHILD, find};
use serde::Serialize;
use serde_json::{Value, json};
use shared_core::children::{self, about_to_spawn};
use shared_core::report::Stdin;
use shared_core::{Context, Result, anyhow, bail, ensure};
use std::fmt;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// A process that runs one function.
///
/// Dropped, it is joined; a [`daemon`](Self::daemon) is killed and reaped, and so
/// is a [`piped`](Self::piped) process, which may be waiting for its parent, and
/// any process when the parent panics. (Python does the same, but only when
/// the whole program exits.) A process is killed when its parent is; on Linux
/// one that was started by another thread than the main one only notices it
/// (its stdin ends), so not while it is stopped.
#[derive(Debug)]
pub struct Process {
    target: &'static str,
    args: serde_json::Result<Value>,
    name: String,
    daemon: bool,
    /// What the function's stdout will be, until it was started.
    stdout: Option<Stdio>,
    piped: bool,
    in_a_group_of_its_own: bool,
    ends_with: EndsWith,
    started: Option<Started>,
}

/// What a process ends with if it has not ended before.
#[derive(Debug)]
enum EndsWith {
    Parent,
    #[cfg(target_os = "linux")]
    Thread,
    Nothing,
}

#[derive(Debug)]
struct Started {
    process: Child,
    guard: children::Child,
    /// When this is closed, also because the parent was killed, the child ends;
    /// a piped one reads the end of its input.
    stdin: Option<Stdin>,
    /// There once the child was reaped.
    status: Option<ExitStatus>,
}

impl Process {
    /// A process that will call `target` with `args`: one value, a tuple if
    /// there are several. The function must be among those that `main` gives to
    /// [`child_main`](crate::child::child_main).
    pub fn new<F, A, R>(_target: F, args: A) -> Self
    where
        F: Fn(A) -> R,
        A: Serialize,
    {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        Self {
            target: std::any::type_name::<F>(),
            args: serde_json::to_value(args),
            name: format!("Process-{}", COUNT.fetch_add(1, Relaxed)),
            daemon: false,
            stdout: None,
            piped: false,
            in_a_group_of_its_own: false,
            ends_with: EndsWith::Parent,
            started: None,
        }
    }

    /// The same process with a name of your own.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same process as a daemon: killed, not joined, when it is dropped.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// The same process with two pipes: the function reads what the parent
    /// [sends](Self::send), and what it writes goes to `stdout`, the end of a pipe
    /// made by [`std::io::pipe`]. See [`crate::child::pipes`].
    pub fn piped(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self.piped = true;
        self
    }

    /// The same process, which goes on when its parent ends; for one that is
    /// piped, and not the first process's.
    pub fn outlives_its_parent(mut self) -> Self {
        self.ends_with = EndsWith::Nothing;
        self
    }

    /// The same process, killed when the thread that starts it ends (Linux).
    #[cfg(target_os = "linux")]
    pub fn ends_with_this_thread(mut self) -> Self {
        self.ends_with = EndsWith::Thread;
        self
    }

    /// The same process as the leader of a process group (setpgid(2); Unix).
    pub fn in_a_group_of_its_own(mut self) -> Self {
        self.in_a_group_of_its_own = true;
        self
    }

    /// What the process is called: `Process-1` and so on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The PID; `None` before it was started.
    pub fn pid(&self) -> Option<u32> {
        self.started.as_ref().map(|started| started.process.id())
    }

    /// Starts the process.
    ///
    /// # Errors
    /// When it was started before, when the function is not among those of
    /// [`child_main`](crate::child::child_main), when the system refuses a process.
    #[track_caller]
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.started.is_none(), "{}: started already", self.name);
        let target = self.target;
        find(target)?;
        let args = self
            .args
            .as_ref()
            .map_err(|e| anyhow!("arguments of {target}: {e}"))?;

        let mut command =
            Command::new(std::env::current_exe().context("failed to find this program")?);
        let context = || format!("failed to start {}", self.name);

        #[cfg(unix)]
        if self.in_a_group_of_its_own {
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }

        let start = about_to_spawn(&self.name)?;
        let start = match self.ends_with {
            EndsWith::Parent => start,
            #[cfg(target_os = "linux")]
            EndsWith::Thread => start.ends_with_this_thread(),
            EndsWith::Nothing => start.may_outlive_its_parent(),
        };
        let hand_on = start.hand_on(command.arg(CHILD)).with_context(context)?;
        if let Some(stdout) = self.stdout.take() {
            command.stdout(stdout);
        }
        let mut process = command.spawn().with_context(context)?;
        let guard = start.made(process.id());
        drop(command); // it holds the end of a pipe that is the child's now

        let mut stdin = guard
            .takes_part(hand_on, &mut process)
            .with_context(context)?;
        let call = json!({ "target": target, "args": args, "piped": self.piped });
        writeln!(stdin, "{call}")
            .with_context(|| format!("failed to send its arguments to {}", self.name))?;
        self.started = Some(Started {
            process,
            guard,
            stdin: Some(stdin),
            status: None,
        });
        Ok(())
    }

    /// Writes a line to a piped process.
    ///
    /// # Errors
    /// When it is gone, or its input was taken.
    pub fn send(&mut self, line: impl fmt::Display) -> Result<()> {
        let name = &self.name;
        let started = self.started.as_mut();
        let Some(stdin) = started.and_then(|started| started.stdin.as_mut()) else {
            bail!("{name}: no input to send to");
        };
        let line = format!("{line}\n"); // one write, not one for each part
        stdin
            .write_all(line.as_bytes())
            .with_context(|| format!("failed to send to {name}"))
    }

    /// The input of a piped process, to write to it without lines or to end it:
    /// when this is dropped the process reads its end. It holds as much as a pipe
    /// does, where the system lets one say so.
    pub fn take_input(&mut self) -> Option<Stdin> {
        let stdin = self.started.as_mut()?.stdin.take()?;
        #[cfg(unix)]
        crate::unix_only::hold_as_much_as_a_pipe(&stdin);
        Some(stdin)
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When it was not started, when the system refuses.
    #[track_caller]
    pub fn join(&mut self) -> Result<ExitStatus> {
        let Some(started) = &mut self.started else {
            bail!("{}: join before start", self.name);
        };
        if let Some(status) = started.status {
            return Ok(status); // it was reaped before
        }
        let status = started.guard.reap(|_| started.process.wait())?;
        started.status = Some(status);
        Ok(status)
    }

    /// Waits until the process has ended, but no longer than `limit`; `None`
    /// if it has not ended by then. (The standard library has no such wait:
    /// this one looks every millisecond.)
    ///
    /// # Errors
    /// When it was not started, when the system refuses.
    #[track_caller]
    pub fn join_timeout(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        ensure!(self.started.is_some(), "{}: join before start", self.name);
        let start = Instant::now();
        while self.is_alive()? && start.elapsed() < limit {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(self.exit_status())
    }

    /// Whether the process was started and has not ended yet.
    ///
    /// # Errors
    /// When the system cannot tell.
    #[track_caller]
    pub fn is_alive(&mut self) -> Result<bool> {
        let Some(started) = &mut self.started else {
            return Ok(false);
        };
        if started.status.is_none() {
            started.status = started.guard.reap(|_| started.process.try_wait())?;
        }
        Ok(started.status.is_none())
    }

    /// How the process ended; `None` while that is not known: ask
    /// [`join`](Self::join) or [`is_alive`](Self::is_alive) first.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.started.as_ref()?.status
    }

    /// Asks the process to end: SIGTERM (on Windows the same as
    /// [`kill`](Self::kill)). It may still take its time: join it.
    ///
    /// # Errors
    /// When it was not started, when the system refuses.
    pub fn terminate(&mut self) -> Result<()> {
        #[cfg(unix)]
        return self.signal("terminate", |child| {
            use nix::sys::signal::{Signal, kill};
            let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
            Ok(kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?)
        });
        #[cfg(not(unix))]
        self.kill()
    }

    /// Ends the process: SIGKILL, which it cannot catch. Join it all the same.
    ///
    /// # Errors
    /// When it was not started, when the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.signal("kill", Child::kill)
    }

    /// Only a process that was not reaped yet is sent a signal: its PID cannot
    /// have been given to another one. To a process that has ended, nothing
    /// is done.
    fn signal(&mut self, verb: &str, send: fn(&mut Child) -> io::Result<()>) -> Result<()> {
        let name = &self.name;
        let Some(started) = &mut self.started else {
            bail!("{name}: {verb} before start");
        };
        if started.status.is_none() {
            send(&mut started.process).with_context(|| format!("failed to {verb} {name}"))?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to hear of an error: one that was never started has
        // nothing to join, and one that cannot be killed has ended.
        if self.daemon || self.piped || thread::panicking() {
            let _ = self.kill();
        }
        let _ = self.join();
    }
}
