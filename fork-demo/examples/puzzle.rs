//! Three letters, two processes: which outputs are possible? Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::wait;
#[cfg(unix)]
use nix::unistd::{ForkResult, fork};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    // SAFETY: this program has one thread.
    if let ForkResult::Child = unsafe { fork() }? {
        println!("A");
        // SAFETY: _exit takes a number and does not return.
        unsafe { nix::libc::_exit(0) }
    }
    println!("B");
    // Break it: remove the next line; now C may come before A.
    wait()?;
    println!("C"); // ABC or BAC
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
