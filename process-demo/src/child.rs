//! The child's side of a [`Process`](crate::process::Process): finds the
//! function that the parent chose, and calls it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_core::report::{self, Input, Part, failed};
use shared_core::{Context, Result, bail, cause, complain, ensure};
use std::fs::File;
use std::io::{BufRead, PipeReader, Read, Write};
use std::process::{ExitCode, Termination};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A function that a process can be made from; made by [`target`].
pub struct Target {
    name: &'static str,
    call: Box<dyn Fn(Value) -> Result<ExitCode> + Send + Sync>,
}

/// Makes a function known to [`child_main`]. It takes one value and returns
/// what `main` may return: nothing, a `Result`, an `ExitCode`.
pub fn target<F, A, R>(function: F) -> Target
where
    F: Fn(A) -> R + Send + Sync + 'static,
    A: DeserializeOwned,
    R: Termination,
{
    // Both processes are the same executable, so the compiler's name for the
    // function's type means the same in both. It need not be unique (two
    // closures may share one): find() refuses a name that means two.
    let name = std::any::type_name::<F>();
    let call = move |args| {
        let args = serde_json::from_value(args).with_context(|| format!("arguments of {name}"))?;
        Ok(function(args).report())
    };
    Target {
        name,
        call: Box::new(call),
    }
}

/// The argument with which a child process is started.
pub const CHILD: &str = "child";
static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();

/// The function of this name, among those given to [`child_main`].
///
/// # Errors
/// When there is none, or more than one.
pub fn find(name: &str) -> Result<&'static Target> {
    let mut found = TARGETS
        .get()
        .into_iter()
        .flatten()
        .filter(|target| target.name == name);
    match (found.next(), found.next()) {
        (Some(target), None) => Ok(target),
        (None, _) => bail!("{name} is not among the targets that main() names"),
        (Some(_), Some(_)) => bail!("{name} means two of the targets that main() names"),
    }
}

/// The first thing in `main`. In a child process it calls the function that
/// the parent chose and returns the status to exit with; in any other it
/// returns `None`.
pub fn child_main(targets: Vec<Target>) -> Option<ExitCode> {
    let _ = TARGETS.set(targets);
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let status = match report::take_part(args) {
        Ok(Some((part, input))) => call_target(&part, input).or_else(|error| {
            // Who started it by hand is told on stderr.
            ensure!(part.in_a_run, "{error:#}");
            failed(format_args!("{CHILD}: {error:#}"));
            Ok(ExitCode::FAILURE)
        }),
        Ok(None) => {
            complain(format_args!(
                "{CHILD} takes no arguments: a Process starts it"
            ));
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    };
    Some(status.unwrap_or_else(|error| {
        complain(format_args!("{CHILD}: {}", cause(error)));
        ExitCode::FAILURE
    }))
}

/// Waits until the child called `name` has written something.
pub fn wait_for(pipe: &mut PipeReader, name: &str) -> Result<()> {
    let read = pipe.read(&mut [0]).context("failed to read")?;
    ensure!(read == 1, "{name} ended before it had begun");
    Ok(())
}

fn call_target(part: &Part, mut input: Input) -> Result<ExitCode> {
    let mut line = String::new();
    let read = input
        .read_line(&mut line)
        .context("failed to read the call")?;
    if read == 0 && part.in_a_run {
        return Ok(ExitCode::FAILURE); // the parent is gone
    }
    let call: Value = serde_json::from_str(&line).context("failed to read the call from stdin")?;
    let target = find(call["target"].as_str().unwrap_or_default())?;
    if call["piped"] == true {
        let output =
            report::redirect_stdout_to_stderr().context("failed to duplicate descriptors")?;
        let pipes = Some(Pipes { input, output });
        *PIPES.lock().unwrap_or_else(PoisonError::into_inner) = pipes;
        return (target.call)(call["args"].clone());
    }

    // The parent writes no more, so this read ends when the parent does, or
    // lets go of the process; then nobody is left to work for.
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            let _ = input.read(&mut [0]);
            std::process::exit(1);
        })
        .context("failed to start a thread")?;
    (target.call)(call["args"].clone())
}

/// The two pipes of a [piped](crate::process::Process::piped) process, in the child.
pub struct Pipes {
    /// What the parent sends. It ends when the parent does.
    pub input: Input,
    /// What the parent, or whoever has the other end, reads.
    pub output: File,
}

static PIPES: Mutex<Option<Pipes>> = Mutex::new(None);

/// Takes the two pipes, once.
///
/// # Errors
/// In a process that is not piped, and the second time.
pub fn pipes() -> Result<Pipes> {
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    pipes.take().context("this process is not piped")
}

impl Pipes {
    /// Waits for the next line; `None` at the end.
    pub fn receive(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.input.read_line(&mut line);
        read.is_ok_and(|read| read > 0)
            .then(|| line.trim_end().to_owned())
    }

    /// Writes a line. It stays in one piece, whoever else writes to the same
    /// pipe, if it has no more than `PIPE_BUF` bytes (at least 512; pipe(7)).
    /// If nobody is left to read it, this process has nothing left to do.
    pub fn send(&mut self, line: impl std::fmt::Display) {
        let line = format!("{line}\n");
        if self.output.write_all(line.as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}
