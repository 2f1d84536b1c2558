//! What only Unix has.

use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::AsFd;

/// A child's stdin is a socket here. It is made as small as a pipe: 64 KiB (pipe(7)).
pub fn hold_as_much_as_a_pipe(socket: &impl AsFd) {
    // If the system refuses, it holds what it held before.
    let _ = setsockopt(socket, sockopt::SndBuf, &(64 << 10));
}
