//! fork() is called once and returns twice. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::waitpid;
#[cfg(unix)]
use nix::unistd::{ForkResult, fork, getpid, getppid};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    println!("pid {}: about to fork", getpid());

    // SAFETY: this program has one thread, so the child may do whatever its
    // parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            println!("pid {}: I am the child of pid {}", getpid(), getppid());
            // The child leaves here: it must not go on in its parent's code.
            // Break it: remove the next two; the child prints the last line.
            // SAFETY: _exit takes a number and does not return.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            println!("pid {}: I am the parent of pid {child}", getpid());
            // Else the child would stay a zombie. It fails only if the system
            // has reaped it already, as it does where SIGCHLD is ignored.
            let _ = waitpid(child, None);
        }
    }
    println!("pid {}: I have reaped my child", getpid());
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
