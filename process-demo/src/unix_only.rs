//! What only Unix has.

use nix::sys::socket::{setsockopt, sockopt};
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
