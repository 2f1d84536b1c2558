//! The Windows side: what the standard library can tell, and `None` for the
//! rest. There is no fork, and a console ends its processes together: of
//! signals and of children that must be swept away there is nothing to do.

#![allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "the shape of the Unix side"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::ptr::null_mut;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};
use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, WAIT_ABANDONED, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Console::{
    CTRL_C_EVENT, GetStdHandle, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleCtrlHandler, SetConsoleOutputCP, SetStdHandle,
};
use windows_sys::Win32::System::Threading::{
    CreateMutexW, GetCurrentProcess, INFINITE, ReleaseMutex, WaitForSingleObject,
};

/// What a child is known by.
pub type Pid = u32;

/// Not available here.
#[must_use]
pub fn ppid() -> Option<u32> {
    None
}

/// A number of our own; that of the main thread is the PID.
#[must_use]
pub fn tid() -> u64 {
    super::own_thread_number()
}

/// Not available here.
#[must_use]
pub fn threads() -> Option<usize> {
    None
}

/// Not available here.
#[must_use]
pub fn cpu() -> Option<usize> {
    None
}

/// Not available here.
#[must_use]
pub fn cpus() -> Option<Vec<usize>> {
    None
}

/// Not available here.
///
/// # Errors
/// Always.
pub fn stay_on(_: &[usize]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not available here.
#[must_use]
pub fn switches() -> Option<super::Switches> {
    None
}

/// Not available here.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    None
}

/// There is no fork here.
#[must_use]
pub fn was_forked() -> bool {
    false
}

/// Not available here.
#[must_use]
pub fn exists(_: u32) -> Option<bool> {
    None
}

/// Here the system reaps.
pub(crate) fn reap_zombies() {}

/// Not available here.
#[must_use]
pub fn state(_: u32) -> Option<char> {
    None
}

pub(crate) fn pid_of(number: i32) -> Pid {
    number.cast_unsigned()
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

/// Ends this process.
pub fn exit_now(status: i32) -> ! {
    std::process::exit(status)
}

pub(crate) fn errno() -> i32 {
    0
}

pub(crate) fn set_errno(_: i32) {}

pub(crate) fn signal_of(_: ExitStatus) -> Option<String> {
    None
}

pub(crate) fn kill_and_reap(_: i32) -> Option<ExitStatus> {
    None
}

pub(crate) fn each_child(_: impl FnMut(i32)) {}

pub(crate) fn become_subreaper() {}

pub(crate) fn die_with(_: u32) {}

/// Not known here.
#[must_use]
pub fn ignores_ctrl_c() -> bool {
    false
}

/// Lines are UTF-8 and a terminal's colours are escape sequences: a console
/// must be told of the one, and switched on for the other.
pub(crate) fn prepare_signals() -> io::Result<()> {
    let _ = anstyle_query::windows::enable_ansi_colors();
    // SAFETY: the call takes a number; where there is no console it fails,
    // which does no harm. 65001 is UTF-8.
    unsafe { SetConsoleOutputCP(65001) };
    Ok(())
}

pub(crate) unsafe fn on_end_of_run(_: extern "C" fn(i32)) -> io::Result<()> {
    Ok(())
}

pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    Ok(())
}

pub(crate) fn die_of(_: i32) {}

pub(crate) fn send(_: i32, _: i32) {}

/// Not available here: a console program cannot be asked.
pub(crate) fn ask_to_end(_: i32) {}

/// Not available here.
#[must_use]
pub fn become_program(_: &mut Command, _: u32) -> io::Error {
    io::ErrorKind::Unsupported.into()
}

/// What this host calls itself.
pub(crate) fn host() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

pub(crate) fn pause_100_ms() {}

/// Ctrl-C at a console goes to every process of the run, and the first one
/// decides what happens: from here on this process does nothing about it.
///
/// # Errors
/// When the system refuses.
pub fn disregard_ctrl_c() -> io::Result<()> {
    extern "system" fn nothing(event: u32) -> i32 {
        i32::from(event == CTRL_C_EVENT)
    }
    // SAFETY: the handler only compares a number.
    match unsafe { SetConsoleCtrlHandler(Some(nothing), 1) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Lets standard handle `which` be `new` from here on, and returns a copy of
/// what it was.
fn exchange(which: STD_HANDLE, new: HANDLE) -> io::Result<File> {
    // SAFETY: the call only looks up a handle of this process, which stays
    // open: nothing here closes a standard handle.
    let old = unsafe { BorrowedHandle::borrow_raw(GetStdHandle(which)) };
    let old = old.try_clone_to_owned()?;
    // SAFETY: `new` stays open as long as the process, as callers see to.
    match unsafe { SetStdHandle(which, new) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(File::from(old)),
    }
}

/// Points stdout at stderr and returns what it was: from here on what this
/// process prints cannot mix with what it answers over its stdout.
///
/// # Errors
/// When the system refuses.
pub fn redirect_stdout_to_stderr() -> io::Result<File> {
    exchange(STD_OUTPUT_HANDLE, io::stderr().as_raw_handle())
}

/// Points stdin at nothing and returns what it was, so that a program which
/// this process executes neither reads it nor holds it open.
///
/// # Errors
/// When the system refuses.
pub fn take_stdin() -> io::Result<File> {
    let nothing = std::mem::ManuallyDrop::new(File::open("NUL")?); // open for good
    exchange(STD_INPUT_HANDLE, nothing.as_raw_handle())
}

/// A file that is gone with the last process that holds it.
pub(crate) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Copies of stdout and stderr.
pub(crate) fn standard_files() -> io::Result<[File; 2]> {
    let stdout = io::stdout().as_handle().try_clone_to_owned()?;
    let stderr = io::stderr().as_handle().try_clone_to_owned()?;
    Ok([File::from(stdout), File::from(stderr)])
}

/// Where lines go: stdout of the first process.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn stdout() -> io::Result<Self> {
        let stdout = io::stdout().as_handle().try_clone_to_owned()?;
        Ok(Self(File::from(stdout)))
    }

    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        (&self.0).write_all(text.as_bytes())
    }

    pub(crate) fn write_if_ready(&self, bytes: &[u8]) {
        let _ = (&self.0).write(bytes);
    }
}

/// The event log of a run: a file that the system deletes when the last
/// process lets go of it.
pub(crate) struct EventLog {
    file: File,
    /// Held by who reads or writes: appending is not atomic for everybody (Wine
    /// looks up the length, then writes). A mutex of the system, for the threads
    /// of all processes; if its holder dies, the next one has it.
    mutex: OwnedHandle,
}

impl EventLog {
    pub(crate) fn create() -> io::Result<Self> {
        let file = unnamed_file()?;
        // SAFETY: no attributes, no name; the call has no other conditions.
        let mutex = unsafe { CreateMutexW(null_mut(), 0, null_mut()) };
        if mutex.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mutex was made just now, and nobody else has its handle.
        let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
        Ok(Self { file, mutex })
    }

    pub(crate) fn append(&self, record: &[u8]) -> io::Result<()> {
        self.locked(|file| {
            let mut end = file.metadata()?.len();
            let mut rest = record;
            while !rest.is_empty() {
                let written = file.seek_write(rest, end)?;
                rest = &rest[written..];
                end += written as u64;
            }
            Ok(())
        })
    }

    /// All bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        self.locked(|file| {
            let length = file.metadata()?.len().saturating_sub(offset);
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            let mut done = 0;
            while done < bytes.len() {
                match file.seek_read(&mut bytes[done..], offset + done as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => done += read,
                }
            }
            Ok(bytes)
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mutex = self.mutex.as_raw_handle();
        // SAFETY: the mutex is open as long as `self`.
        match unsafe { WaitForSingleObject(mutex, INFINITE) } {
            WAIT_OBJECT_0 | WAIT_ABANDONED => {}
            _ => return Err(io::Error::last_os_error()),
        }
        let result = work(&self.file);
        // SAFETY: this thread holds the mutex.
        unsafe { ReleaseMutex(mutex) };
        result
    }
}

/// What a message says of the log and the output: handles of them, which the
/// parent has made for the child.
pub(crate) type Handles = [isize; 3];

/// The parent's end of the pipe that is the child's stdin.
pub(crate) type ToChild = ChildStdin;

/// A child's stdin to be: a pipe.
pub(crate) struct Link(());

impl Link {
    pub(crate) fn of(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::piped());
        Ok(Self(()))
    }

    /// The parent's end, with nothing sent.
    pub(crate) fn take(self, child: &mut Child) -> io::Result<ToChild> {
        let stdin = child.stdin.take();
        stdin.ok_or_else(|| io::Error::other("its stdin is not a pipe"))
    }

    /// Makes handles of `log` and `output` that are the child's own.
    pub(crate) fn send(
        self,
        child: &mut Child,
        log: &EventLog,
        output: &Output,
    ) -> io::Result<(ToChild, Handles)> {
        let files = [
            &log.file.as_handle(),
            &log.mutex.as_handle(),
            &output.0.as_handle(),
        ];
        let mut handles = Handles::default();
        for (handle, file) in handles.iter_mut().zip(files) {
            *handle = give(file, child)?;
        }
        Ok((self.take(child)?, handles))
    }
}

/// Here a write to a child fails when the child has ended: no other process has a
/// handle of its stdin.
pub struct BreakOff(());

impl BreakOff {
    /// For this stdin.
    ///
    /// # Errors
    /// None here.
    pub fn of(_: &ToChild) -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Nothing to do here.
    pub fn now(&self) {}
}

/// What a child writes to its stdout, until that ends.
pub struct FromChild(ChildStdout);

/// Of no use here: when a child has ended, no other process has its stdout.
pub struct StopReading(());

impl FromChild {
    /// Takes what the parent holds of a child's stdout.
    ///
    /// # Errors
    /// None here.
    pub fn new(stdout: ChildStdout) -> io::Result<(Self, StopReading)> {
        Ok((Self(stdout), StopReading(())))
    }
}

impl Read for FromChild {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

fn give(file: &BorrowedHandle<'_>, child: &Child) -> io::Result<isize> {
    let mut copy: HANDLE = null_mut();
    // SAFETY: all four handles are open, the child's since it was not waited
    // for, and `copy` has room for one.
    let done = unsafe {
        let (source, target) = (GetCurrentProcess(), child.as_raw_handle());
        let same = DUPLICATE_SAME_ACCESS;
        DuplicateHandle(
            source,
            file.as_raw_handle(),
            target,
            &raw mut copy,
            0,
            0,
            same,
        )
    };
    match done {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(copy as isize),
    }
}

/// The child's side of [`Link`]: makes files of the handles that its first
/// message names; `None` if stdin has ended.
pub(crate) fn receive() -> io::Result<Option<impl FnOnce(&Handles) -> (EventLog, Output)>> {
    Ok(Some(|handles: &Handles| {
        // SAFETY: the parent made these handles for this process and told
        // nobody else; the message is taken once.
        let [file, mutex, output] =
            handles.map(|handle| unsafe { OwnedHandle::from_raw_handle(handle as HANDLE) });
        let file = File::from(file);
        (EventLog { file, mutex }, Output(File::from(output)))
    }))
}
