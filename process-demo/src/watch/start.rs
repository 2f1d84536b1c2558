//! A program is started so that no step of it is missed: its process waits until it is
//! followed.

use super::calls::filter;
use super::proc;
use super::ptrace::{self, exit, install};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::ptrace::{Options, seize};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{self, Pid, execvp, pipe2};
use seccompiler::BpfProgram;
use shared_core::{Context, Error, Result, anyhow};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// A program in a process of its own, which we follow.
pub struct Program {
    pub pid: i32,
    /// What kept the process from executing the program, if something did.
    failure: File,
}

/// Why a program was not started: the exit status is what a shell gives.
pub struct NotStarted {
    pub status: u8,
    pub error: Error,
}

impl From<Error> for NotStarted {
    fn from(error: Error) -> Self {
        Self { status: 1, error }
    }
}

/// Starts `words`, a program and its arguments, with its stdout on stderr if
/// `quiet_stdout`, and with these signals blocked. This process must have one thread.
pub fn start(
    words: &[OsString],
    quiet_stdout: bool,
    blocked: &SigSet,
) -> Result<Program, NotStarted> {
    let c_string = |word: &OsString| CString::new(word.as_bytes());
    let words = words.iter().map(c_string).collect::<Result<Vec<_>, _>>();
    let words = words.context("a word contains a zero byte")?;
    let filter = filter()?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).context("failed to make a pipe");
    let (wait, go) = pipe()?;
    let (failure, fails) = pipe()?;

    let Some(pid) = ptrace::fork().context("fork")? else {
        drop(go);
        let mut go = [0];
        if File::from(wait).read(&mut go).unwrap_or(0) == 0 {
            exit(1); // nobody is there to follow
        }
        let (step, error) = become_program(&words, quiet_stdout, blocked, &filter);
        let [a, b, c, d] = (error as i32).to_ne_bytes();
        let _ = File::from(fails).write_all(&[step, a, b, c, d]);
        exit(127);
    };
    drop((wait, fails));
    let program = Pid::from_raw(pid);
    let options = Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_EXITKILL;
    let seized = seize(program, options);
    let told = seized.and_then(|()| unistd::write(&go, &[1]));
    if let Err(error) = told {
        let why = why_refused(pid, error);
        let _ = kill(program, Signal::SIGKILL);
        let _ = waitpid(program, None);
        return Err(why.into());
    }
    Ok(Program {
        pid,
        failure: failure.into(),
    })
}

/// What a process that is to become a program has failed to do.
const PREPARE: u8 = 0;
const EXECUTE: u8 = 1;

/// Only returns what failed, and why. What Rust's runtime has set up for us is not for
/// others.
fn become_program(
    words: &[CString],
    quiet_stdout: bool,
    blocked: &SigSet,
    filter: &BpfProgram,
) -> (u8, Errno) {
    let prepare = || {
        if quiet_stdout {
            unistd::dup2_stdout(std::io::stderr())?;
        }
        ptrace::default_action(Signal::SIGPIPE)?;
        blocked.thread_set_mask()?;
        install(filter)
    };
    if let Err(error) = prepare() {
        return (PREPARE, error);
    }
    let Err(error) = execvp(&words[0], words);
    (EXECUTE, error)
}

/// The cause, as far as the system tells it.
fn why_refused(program: i32, error: Errno) -> Error {
    let another = proc::tracer(program).filter(|tracer| *tracer != 0);
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let why = match (another, yama.as_deref().map(str::trim)) {
        (Some(tracer), _) => format!(": process {tracer} follows it already"),
        (None, Ok(scope @ ("2" | "3"))) => {
            format!(": /proc/sys/kernel/yama/ptrace_scope is {scope}")
        }
        _ if error == Errno::EPERM => {
            ": this system, or this container, does not allow ptrace".to_owned()
        }
        _ => String::new(),
    };
    anyhow!("failed to follow the program: {}{why}", error.desc())
}

impl Program {
    /// Why the process that has ended did not execute its program, if it did not.
    pub fn failure(mut self, word: &OsString) -> Option<NotStarted> {
        let mut told = [0; 5];
        self.failure.read_exact(&mut told).ok()?;
        let [step, a, b, c, d] = told;
        let error = Errno::from_raw(i32::from_ne_bytes([a, b, c, d]));
        let status = match (step, error) {
            (PREPARE, _) => 1,
            (_, Errno::ENOENT) => 127,
            _ => 126,
        };
        let what = if step == PREPARE {
            "follow the calls of"
        } else {
            "start"
        };
        let error = anyhow!("failed to {what} {}: {}", word.display(), error.desc());
        Some(NotStarted { status, error })
    }
}

/// The file that these words execute, if it gives privileges that a watched program does
/// not get (execve(2)).
pub fn privileged(word: &OsString) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = if word.as_bytes().contains(&b'/') {
        Some(PathBuf::from(word))
    } else {
        let places = std::env::split_paths(&path).map(|place| place.join(word));
        places.into_iter().find(|place| place.is_file())
    };
    let found = found?;
    let file = std::fs::metadata(&found).ok()?;
    let own = std::fs::metadata("/proc/self").ok()?; // it belongs to who runs this
    if own.uid() == 0 {
        return None; // root may follow those, too (CAP_SYS_PTRACE)
    }
    let mode = file.permissions().mode();
    let set_uid = mode & 0o4000 != 0 && file.uid() != own.uid();
    let set_gid = mode & 0o2010 == 0o2010 && file.gid() != own.gid();
    (set_uid || set_gid).then_some(found)
}
