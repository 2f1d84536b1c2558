//! The event log, the run's stdout, and how both are handed to the processes
//! of the run and to nobody else: every descriptor here is closed on exec.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Points descriptor 1 at stderr and returns what it was: from here on what
/// this process prints cannot mix with what it answers over its stdout.
///
/// # Errors
/// When the descriptors cannot be duplicated (dup2(2)).
pub fn redirect_stdout_to_stderr() -> io::Result<File> {
    let answers = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(io::stderr())?;
    Ok(File::from(answers))
}

/// Points descriptor 0 at /dev/null and returns what it was, so that a program
/// which this process executes neither reads it nor holds it open.
///
/// # Errors
/// When the descriptors cannot be duplicated (dup2(2)).
pub fn take_stdin() -> io::Result<File> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(File::from(input))
}

/// Copies of stdout and stderr.
pub(crate) fn standard_files() -> io::Result<[File; 2]> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    Ok([File::from(stdout), File::from(stderr)])
}

/// Where lines go: stdout of the first process.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn stdout() -> io::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(File::from(stdout)))
    }

    /// One write(2), unless the system takes only a part. In a pipe up to
    /// `PIPE_BUF` bytes stay in one piece (4096 on Linux; pipe(7)). In a file
    /// that processes opened together writes do not overlap (POSIX, XSH 2.9.7).
    ///
    /// Somebody else who has the same pipe may have made it non-blocking: then
    /// this waits until there is room.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match (&self.0).write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let room = PollFd::new(self.0.as_fd(), PollFlags::POLLOUT);
                    match poll(&mut [room], PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes as a signal handler may: only if there is room, and without
    /// looking at what became of it.
    pub(crate) fn write_if_ready(&self, bytes: &[u8]) {
        let room = PollFd::new(self.0.as_fd(), PollFlags::POLLOUT);
        if poll(&mut [room], PollTimeout::ZERO) == Ok(1) {
            let _ = (&self.0).write(bytes);
        }
    }
}

/// The event log of a run: a file without a name, so that it is gone with the
/// last process that holds it, however that ends.
pub(crate) struct EventLog(File);

impl EventLog {
    pub(crate) fn create() -> io::Result<Self> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let file = unnamed_file()?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Ok(Self(file))
    }

    /// One write(2), which the kernel puts behind all others (`O_APPEND`,
    /// open(2)).
    pub(crate) fn append(&self, record: &[u8]) -> io::Result<()> {
        (&self.0).write_all(record)
    }

    /// All bytes from `offset` on.
    pub(crate) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = self.0.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// A file that is gone with the last process that holds it.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file() -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let descriptor = memfd_create(c"run", MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(descriptor))
}

/// A file that is gone with the last process that holds it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// What a message says of the log and the output: nothing, the descriptors
/// travel beside it.
pub(crate) type Handles = ();

/// The parent's end of the socket that is the child's stdin.
pub(crate) type ToChild = UnixStream;

/// A child's stdin to be: a socket, over which descriptors can be sent. Once the
/// child has been started only it holds the other end: what it reads ends
/// when its parent does.
pub(crate) struct Link(UnixStream);

impl Link {
    pub(crate) fn of(command: &mut Command) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        Ok(Self(ours))
    }

    /// The parent's end, with nothing sent.
    #[expect(clippy::unnecessary_wraps, reason = "the shape of the Windows side")]
    pub(crate) fn take(self, _: &mut Child) -> io::Result<ToChild> {
        Ok(self.0)
    }

    /// Sends the descriptors of `log` and `output` (`SCM_RIGHTS`, unix(7)) with a
    /// byte that means nothing.
    pub(crate) fn send(
        self,
        _: &mut Child,
        log: &EventLog,
        output: &Output,
    ) -> io::Result<(ToChild, Handles)> {
        let descriptors = [log.0.as_raw_fd(), output.0.as_raw_fd()];
        let rights = ControlMessage::ScmRights(&descriptors);
        let byte = [IoSlice::new(b"\n")];
        sendmsg::<()>(
            self.0.as_raw_fd(),
            &byte,
            &[rights],
            MsgFlags::empty(),
            None,
        )?;
        Ok((self.0, ()))
    }
}

/// Lets a thread that is writing to a child end, though the child, or one that it
/// forked, holds the other end open and does not read.
pub struct BreakOff(UnixStream);

impl BreakOff {
    /// For this stdin.
    ///
    /// # Errors
    /// When there are too many open files (dup(2)).
    pub fn of(to_child: &ToChild) -> io::Result<Self> {
        to_child.try_clone().map(Self)
    }

    /// From here on a write fails, also one that waits for room (shutdown(2)).
    pub fn now(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // an error means: it has ended
    }
}

/// What a child writes to its stdout, until that ends or its
/// [`StopReading`] is dropped: one that the child forked may hold the other end
/// open when the child has ended.
pub struct FromChild {
    stdout: File,
    stop: PipeReader,
    stopped: bool,
}

/// Dropped, it lets a [`FromChild`] read what is there already, and then end.
pub struct StopReading {
    _end: PipeWriter,
}

/// How much may wait in the pipe from a child.
#[cfg(target_os = "linux")]
const PIPE_BYTES: i32 = 1 << 18;

impl FromChild {
    /// Takes what the parent holds of a child's stdout.
    ///
    /// # Errors
    /// When there are too many open files (pipe(2)).
    pub fn new(stdout: ChildStdout) -> io::Result<(Self, StopReading)> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let stdout = File::from(OwnedFd::from(stdout));
        // Of this end only; the child's has flags of its own.
        fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // Long answers then need fewer turns of writer and reader; with more than the
        // system allows, the pipe stays as it is (pipe(7)).
        #[cfg(target_os = "linux")]
        let _ = fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let (stop, end) = io::pipe()?;
        let reader = Self {
            stdout,
            stop,
            stopped: false,
        };
        Ok((reader, StopReading { _end: end }))
    }
}

impl Read for FromChild {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stdout.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.stopped {
                return Ok(0);
            }
            let mut either = [self.stdout.as_fd(), self.stop.as_fd()]
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut either, PollTimeout::NONE) {
                Ok(_) => self.stopped = either[1].any() == Some(true),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The child's side of [`Link`]: the event log and the output of its run, which
/// stand before the first line of its stdin; `None` if that has ended.
pub(crate) fn receive() -> io::Result<Option<impl FnOnce(&Handles) -> (EventLog, Output)>> {
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; 2]);
    let stdin = io::stdin().as_raw_fd();
    let message = loop {
        match recvmsg::<()>(stdin, &mut into, Some(&mut space), close_on_exec()) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut files = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            // SAFETY: the kernel has just made these descriptors for this
            // process; nobody else knows of them.
            files.extend(
                descriptors
                    .iter()
                    .map(|fd| unsafe { File::from_raw_fd(*fd) }),
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    for file in &files {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    let [log, output] = <[File; 2]>::try_from(files)
        .map_err(|files| io::Error::other(format!("{} descriptors, not 2", files.len())))?;
    Ok(Some(move |(): &Handles| (EventLog(log), Output(output))))
}

fn close_on_exec() -> MsgFlags {
    #[cfg(target_os = "linux")]
    return MsgFlags::MSG_CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    return MsgFlags::empty();
}
