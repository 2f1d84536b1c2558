//! Signals: what the processes of a run do about them.

use nix::errno::Errno;
use nix::libc::{c_int, poll};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Those that end a run.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// Those that stay ignored where they were ignored when the run began: nohup
/// ignores SIGHUP, a shell ignores the others for what a script starts with `&`.
const MAY_BE_IGNORED: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

static IGNORES_CTRL_C: AtomicBool = AtomicBool::new(false);

/// Whether this process was started to ignore Ctrl-C, as the background of a
/// script is: then Ctrl-C must stay ignored.
#[must_use]
pub fn ignores_ctrl_c() -> bool {
    IGNORES_CTRL_C.load(Relaxed)
}

/// Brings the signals of the first process into a known state, whoever started
/// it and with what: none is blocked; none is ignored but those that may be
/// (and SIGPIPE, which the standard library ignores, here but not in what it
/// executes). Ignored signals outlive fork and exec (signal(7)), so children
/// begin with default signals too, and so does what a lesson executes.
pub(crate) fn prepare_signals() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for signal in 1..=most_signals() {
        if signal == Signal::SIGPIPE as c_int || !is_ignored(signal)? {
            continue;
        }
        if MAY_BE_IGNORED.iter().any(|may| *may as c_int == signal) {
            IGNORES_CTRL_C.fetch_or(signal == Signal::SIGINT as c_int, Relaxed);
        } else {
            // SAFETY: no handler is installed.
            unsafe { nix::libc::signal(signal, nix::libc::SIG_DFL) };
        }
    }
    survive_file_size_limit()
}

/// The highest number of a signal, those of real time included (signal(7)).
fn most_signals() -> c_int {
    #[cfg(target_os = "linux")]
    return nix::libc::SIGRTMAX();
    #[cfg(not(target_os = "linux"))]
    return Signal::iterator()
        .map(|signal| signal as c_int)
        .max()
        .unwrap_or(0);
}

/// A number that the C library keeps for itself counts as not ignored.
fn is_ignored(signal: c_int) -> io::Result<bool> {
    let mut now = std::mem::MaybeUninit::<nix::libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to
    // where the pointer points, and that is room for one.
    let result = unsafe { nix::libc::sigaction(signal, null_mut(), now.as_mut_ptr()) };
    match Errno::result(result) {
        Err(Errno::EINVAL) => return Ok(false),
        other => other?,
    };
    // SAFETY: zeroes are a valid sigaction, and the call wrote another one.
    Ok(unsafe { now.assume_init() }.sa_sigaction == nix::libc::SIG_IGN)
}

/// Calls `handler` for the signals that end a run, unless they are to be ignored.
///
/// # Safety
/// `handler` is async-signal-safe (signal-safety(7)) and leaves errno alone.
pub(crate) unsafe fn on_end_of_run(handler: extern "C" fn(c_int)) -> io::Result<()> {
    let end = SigHandler::Handler(handler);
    let end = SigAction::new(end, SaFlags::SA_RESTART, SigSet::all());
    for signal in ENDING {
        if !is_ignored(signal as c_int)? {
            // SAFETY: what a handler must be, the caller vouches for.
            unsafe { sigaction(signal, &end) }?;
        }
    }
    Ok(())
}

/// In a forked child: the signals that its parent catches do again what they do
/// by default. (Those that are ignored stay so.)
pub(crate) fn default_signals() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in ENDING {
        if !is_ignored(signal as c_int).unwrap_or(true) {
            // SAFETY: no handler is installed.
            let _ = unsafe { sigaction(signal, &default) };
        }
    }
}

/// In a handler that was inherited by fork: dies of the signal, as a process
/// without that handler does. (It is blocked while its handler runs, and kills
/// on return.)
pub(crate) fn die_of(signal: c_int) {
    let Ok(signal) = Signal::try_from(signal) else {
        return;
    };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    let _ = unsafe { sigaction(signal, &default) };
    let _ = signal::raise(signal);
}

/// Sends a signal to a child that was not reaped.
pub(crate) fn send(child: i32, signal: c_int) {
    if let Ok(signal) = Signal::try_from(signal) {
        let _ = signal::kill(nix::unistd::Pid::from_raw(child), signal);
    }
}

/// Waits, as a signal handler may (poll is async-signal-safe, signal-safety(7)).
pub(crate) fn pause_100_ms() {
    // SAFETY: poll may be given no descriptors at all.
    unsafe { poll(null_mut(), 0, 100) };
}

extern "C" fn nothing(_: c_int) {}

/// Lets a write beyond `ulimit -f` fail with EFBIG instead of killing this
/// process without a word (SIGXFSZ, setrlimit(2)). The signal is caught, not
/// ignored: what this process executes has its default action again.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    catch_with_nothing(Signal::SIGXFSZ)
}

/// Ctrl-C at a terminal goes to every process of the run, and the first one
/// decides what happens: from here on this process does nothing about it.
///
/// # Errors
/// None that is known: sigaction(2) refuses only signals that do not exist.
pub fn disregard_ctrl_c() -> io::Result<()> {
    if is_ignored(Signal::SIGINT as c_int)? {
        return Ok(());
    }
    catch_with_nothing(Signal::SIGINT)
}

fn catch_with_nothing(signal: Signal) -> io::Result<()> {
    let handler = SigHandler::Handler(nothing);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: a handler that does nothing is async-signal-safe.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}
