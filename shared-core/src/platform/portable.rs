//! The side for systems that are not Unix: what the standard library can tell,
//! and `None` for the rest.

#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the shape of the Unix side"
)]

use crate::who;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// Not available here.
#[must_use]
pub fn ppid() -> Option<u32> {
    None
}

/// A number of our own; that of the main thread is the PID.
#[must_use]
pub fn tid() -> u64 {
    who::own_thread_number()
}

/// Not available here.
#[must_use]
pub fn cpu() -> Option<usize> {
    None
}

/// Not available here.
#[must_use]
pub fn exists(_: u32) -> Option<bool> {
    None
}

/// Not available here: what a worker prints would mix with its answers.
///
/// # Errors
/// None here.
pub fn redirect_stdout_to_stderr() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

/// Wall-clock time at the first call, monotonic from there: comparable between
/// processes as long as nobody sets the clock while they start.
pub(crate) fn now() -> Duration {
    static START: LazyLock<(Duration, Instant)> = LazyLock::new(|| {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        (since_1970.unwrap_or_default(), Instant::now())
    });
    START.0 + START.1.elapsed()
}

/// How a re-executed process finds what its parent hands on: a path.
pub(crate) type Handle = String;

/// Where lines go: stdout in the first process, stderr in a re-executed one.
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self::Stdout)
    }

    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(text.as_bytes()),
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new()
    }

    pub(crate) fn adopt(_: &Handle) -> io::Result<Self> {
        Ok(Self::Stderr)
    }
}

/// The event log of a run: a temporary file that the first process removes.
pub(crate) struct EventLog {
    file: File,
    path: PathBuf,
    created_here: bool,
}

impl EventLog {
    pub(crate) fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("event-log-{}", who::pid()));
        let file = File::options().append(true).create_new(true).open(&path)?;
        Ok(Self {
            file,
            path,
            created_here: true,
        })
    }

    pub(crate) fn append(&self, line: &str) -> io::Result<()> {
        (&self.file).write_all(line.as_bytes())
    }

    /// All bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn clear(&self) -> io::Result<()> {
        File::options()
            .write(true)
            .truncate(true)
            .open(&self.path)
            .map(drop)
    }

    pub(crate) fn handle(&self) -> Handle {
        self.path.display().to_string()
    }

    pub(crate) fn adopt(handle: &Handle) -> io::Result<Self> {
        let file = File::options().append(true).open(handle)?;
        Ok(Self {
            file,
            path: PathBuf::from(handle),
            created_here: false,
        })
    }

    pub(crate) fn remove(&self) {
        if self.created_here {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Does nothing here: a child is killed through `std::process::Child`.
#[derive(Debug)]
#[must_use]
pub struct ChildGuard(());

/// Does nothing here.
#[derive(Debug)]
pub struct Starting(());

/// Does nothing here: a console ends its processes together.
#[must_use]
pub fn starting() -> Starting {
    Starting(())
}

impl Starting {
    /// Takes the PID of a child.
    pub fn guard(self, _: impl TryInto<i32>) -> ChildGuard {
        ChildGuard(())
    }
}

impl ChildGuard {
    /// Does nothing here.
    pub fn reaped(self) {}
}

/// Does nothing here.
pub fn hold_if_ending() {}

/// Not known here.
#[must_use]
pub fn ignores_ctrl_c() -> bool {
    false
}

/// Ends the run at once.
pub fn stop(status: i32) -> ! {
    std::process::exit(status)
}

/// Ctrl-C reaches every process of a console here, and ends it.
pub(crate) fn catch_interrupts() -> io::Result<()> {
    Ok(())
}
