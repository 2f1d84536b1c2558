//! Text that is in a buffer at fork is printed by both processes. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::waitpid;
#[cfg(unix)]
use nix::unistd::{ForkResult, fork};
#[cfg(unix)]
use std::io::{BufWriter, Write, stdout};

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    let mut out = BufWriter::new(stdout());
    writeln!(out, "once?")?; // in the buffer, printed when it is flushed
    // Break it: flush here, by the next line, and it is printed once.
    // out.flush()?;

    // SAFETY: this program has one thread.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        let _ = waitpid(child, None);
    }
    out.flush() // in both processes
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
