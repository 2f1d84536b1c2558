//! Ends of a process that differ between systems.

use shared_core::ending::exit_now;

/// Ends this process as a failed assertion in C does: SIGABRT (abort(3)). A file
/// with its memory may be left (core(5)); not here.
pub fn abort_without_core_file() -> ! {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false); // an old kernel: there is a file
    #[cfg(all(unix, not(target_os = "linux")))]
    let _ = {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_CORE, 0, 0)
    };
    std::process::abort()
}

/// Ends this process as `kill -9` does, or the kernel when there is no memory left:
/// SIGKILL, which cannot be caught (signal(7)). Windows has no signals: there it
/// exits with 1, as a process does that another one terminates.
pub fn kill_this_process() -> ! {
    #[cfg(unix)]
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    exit_now(1)
}
