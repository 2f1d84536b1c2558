//! One run under the example `guard`, the subreaper of all that the run starts:
//! who is left is the kernel's word, not a guess.

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use serde_json::Value;
use shared_core::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::program;

/// Only against a run that hangs: far longer than any should take.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Between two looks at something that cannot be waited for with a limit.
const A_MOMENT: Duration = Duration::from_micros(500);

/// What the guard does with a process whose parent is gone.
#[derive(Clone, Copy)]
pub enum Orphans {
    /// It is left behind.
    AreLeft,
    /// It may still end by itself.
    MayEnd,
}

/// A run under way. Dropped, it is killed.
pub struct Guarded {
    guard: Child,
    start: Instant,
    folder: TempDir,
}

/// How a run ended.
pub struct Ended {
    /// The exit status of its first process, unless a signal killed it.
    pub status: Option<i32>,
    /// The signal that killed its first process.
    pub signal: Option<i32>,
    /// Processes, zombies and temporary files.
    pub left: Vec<String>,
    /// From the start until nothing of it was there any more.
    pub took: Duration,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// Whether it says so.
    pub fn has_failed_check(&self) -> bool {
        self.stdout.contains('✘')
    }
}

impl Guarded {
    /// Starts a command.
    pub fn start(words: &[impl AsRef<OsStr>], orphans: Orphans) -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to create a temporary folder")?;
        let start = Instant::now();
        let guard = guard(&folder, words, orphans).context("failed to start the guard")?;
        Ok(Self {
            guard,
            start,
            folder,
        })
    }

    /// The first process of the run, as soon as it is there; `None` if it has
    /// ended.
    pub fn first_process(&mut self) -> Result<Option<Pid>> {
        while self.is_running()? {
            if let Some(first) = children(self.pid()).first() {
                return Ok(Some(*first));
            }
            sleep(A_MOMENT / 10);
        }
        Ok(None)
    }

    /// Sends a signal to the first process, or to its whole group; `false` if it
    /// has ended.
    pub fn send(&self, first: Pid, signal: Signal, to_the_group: bool) -> Result<bool> {
        // While the guard has it among its children, the PID is nobody else's.
        if !children(self.pid()).contains(&first) {
            return Ok(false);
        }
        let to = if to_the_group {
            -first.as_raw()
        } else {
            first.as_raw()
        };
        match kill(Pid::from_raw(to), signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => bail!("failed to send {signal} to {to}: {}", errno.desc()),
        }
    }

    /// Waits until nothing of the run is there any more. What still is when the
    /// time is up is left behind, and killed.
    pub fn end_within(mut self, limit: Duration) -> Result<Ended> {
        let until = Instant::now() + limit;
        let mut left = Vec::new();
        while self.is_running()? {
            if Instant::now() >= until {
                for killed in kill_descendants(self.pid()) {
                    if !left.contains(&killed) {
                        left.push(killed); // not again until it is reaped
                    }
                }
            }
            sleep(A_MOMENT);
        }
        let took = self.start.elapsed();
        let text = |name| fs::read(self.folder.path().join(name)).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&text("stderr")).into_owned();
        let Ok(report) = serde_json::from_slice::<Value>(&text("report")) else {
            bail!("failed to run it: {}", stderr.trim_end()); // the guard says why
        };
        let said = report["left_behind"].as_array().into_iter().flatten();
        left.extend(said.filter_map(|left| Some(left.as_str()?.to_owned())));
        left.extend(self.files()?);
        let number = |name| report[name].as_i64().and_then(|n| i32::try_from(n).ok());
        Ok(Ended {
            status: number("status"),
            signal: number("signal"),
            left,
            took,
            stdout: String::from_utf8_lossy(&text("stdout")).into_owned(),
            stderr,
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.guard.id().cast_signed())
    }

    fn is_running(&mut self) -> Result<bool> {
        if interrupted_by().is_some() {
            bail!("interrupted");
        }
        let ended = self.guard.try_wait();
        Ok(ended.context("failed to wait for the guard")?.is_none())
    }

    /// What the run left in its folder for temporary files.
    fn files(&self) -> Result<Vec<String>> {
        let files = fs::read_dir(self.folder.path().join("tmp"));
        let files = files.context("failed to read the temporary folder")?;
        let name = |file: fs::DirEntry| format!("the file {}", file.file_name().display());
        Ok(files.flatten().map(name).collect())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard ends when it has no children, unless it is one that hangs.
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.guard.try_wait(), Ok(None)) && Instant::now() < until {
            kill_descendants(self.pid());
            sleep(A_MOMENT);
        }
        let _ = self.guard.kill(); // an error means that it has ended
        let _ = self.guard.wait();
    }
}

fn guard(folder: &TempDir, words: &[impl AsRef<OsStr>], orphans: Orphans) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    let folder = folder.path();
    let temporary = folder.join("tmp");
    fs::create_dir(&temporary)?;
    Command::new(program("examples/guard"))
        .arg(folder.join("report"))
        .arg(match orphans {
            Orphans::AreLeft => "now",
            Orphans::MayEnd => "wait",
        })
        .args(words)
        .env("TMPDIR", &temporary)
        .current_dir(&temporary)
        // Ctrl-C is for this program, which then ends the run.
        .process_group(0)
        .stdin(Stdio::null())
        // Files, unlike pipes, need nobody who reads meanwhile.
        .stdout(File::create(folder.join("stdout"))?)
        .stderr(File::create(folder.join("stderr"))?)
        .spawn()
}

/// The children of all threads of a process, as the kernel lists them (proc(5)).
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| -> Vec<i32> {
        let pids = list.split_whitespace();
        pids.filter_map(|pid| pid.parse().ok()).collect()
    };
    lists.flat_map(pids).map(Pid::from_raw).collect()
}

/// Kills all descendants of the guard, and says who they were.
fn kill_descendants(guard: Pid) -> Vec<String> {
    let mut killed = Vec::new();
    let mut parents = vec![guard];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            parents.push(child);
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if kill(child, Signal::SIGKILL).is_ok() {
                killed.push(format!("{child} {}, killed", name.trim_end()));
            } // else it has ended
        }
    }
    killed
}

/// The signal that ends this program, 0 while there was none.
static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// From here on a signal ends this program only after the run under way.
pub fn end_on_signals() -> Result<()> {
    extern "C" fn note(signal: i32) {
        INTERRUPTED.store(signal, Relaxed);
    }
    let handler = SigHandler::Handler(note);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores a number in an atomic.
        unsafe { sigaction(signal, &action) }.context("failed to catch signals")?;
    }
    Ok(())
}

/// The signal that ends this program.
pub fn interrupted_by() -> Option<i32> {
    Some(INTERRUPTED.load(Relaxed)).filter(|signal| *signal != 0)
}
