//! fork() is called once and returns twice. Unix only.
//!
//! cargo add nix --features process

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, getpid, getppid};

fn main() -> nix::Result<()> {
    println!("pid {}: about to fork", getpid());

    // SAFETY: this program has one thread, so the child may do whatever its
    // parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            println!("pid {}: I am the child of pid {}", getpid(), getppid());
            // The child leaves here: it must not go on in its parent's code.
            // SAFETY: _exit takes a number and does not return.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            println!("pid {}: I am the parent of pid {child}", getpid());
            waitpid(child, None)?; // else the child would stay a zombie
        }
    }
    Ok(())
}
