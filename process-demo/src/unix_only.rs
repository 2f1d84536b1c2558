//! What only Unix has.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use shared_core::{Context, Result};
use std::os::fd::AsFd;

/// A child's stdin is a socket here. It is made as small as a pipe: 64 KiB (pipe(7)).
pub fn hold_as_much_as_a_pipe(socket: &impl AsFd) {
    // If the system refuses, it holds what it held before.
    let _ = setsockopt(socket, sockopt::SndBuf, &(64 << 10));
}

/// A process that aborts may leave a file with its memory (core(5)); not this one.
pub fn leave_no_core_file() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
    #[cfg(not(target_os = "linux"))]
    let _ = {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_CORE, 0, 0)
    };
}

/// What a terminal does when Ctrl-C is pressed: SIGINT to each process of a group.
/// `leader` is a child that leads one and was not reaped.
pub fn interrupt_group_of(leader: Option<u32>) -> Result<()> {
    let leader = leader.and_then(|pid| i32::try_from(pid).ok());
    let leader = leader.context("no PID")?;
    killpg(Pid::from_raw(leader), Signal::SIGINT).context("failed to send SIGINT")
}

/// Lets SIGINT and SIGHUP do what they do by default, here and in the children.
pub fn default_signals() -> Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: no handler is installed.
        unsafe { sigaction(signal, &default) }.context("failed to reset a signal")?;
    }
    Ok(())
}

/// Makes this process the leader of a session at `terminal`.
#[cfg(target_os = "linux")]
pub fn lead_a_session(terminal: &str) -> Result<()> {
    use nix::fcntl::{OFlag, open};
    nix::unistd::setsid().context("failed to begin a session")?;
    // The first terminal that the leader of a session opens is that session's
    // (tty(4)); it stays so when this descriptor is closed.
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let opened = open(terminal, flags, nix::sys::stat::Mode::empty());
    opened.with_context(|| format!("failed to open {terminal}"))?;
    Ok(())
}

/// A terminal without a screen (pty(7)). It hangs up when this is dropped.
#[cfg(target_os = "linux")]
pub struct Terminal(nix::pty::PtyMaster);

#[cfg(target_os = "linux")]
impl Terminal {
    pub fn open() -> Result<Self> {
        use nix::fcntl::OFlag;
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let terminal = nix::pty::posix_openpt(flags);
        let terminal = terminal.and_then(|terminal| {
            nix::pty::grantpt(&terminal)?;
            nix::pty::unlockpt(&terminal)?;
            Ok(Self(terminal))
        });
        terminal.context("failed to open a terminal")
    }

    pub fn path(&self) -> Result<String> {
        nix::pty::ptsname_r(&self.0).context("failed to find the name of a terminal")
    }
}
