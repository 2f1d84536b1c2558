//! A parent remembers the PID of each of its children, and reaps them all. Unix
//! only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::{WaitStatus, waitpid};
#[cfg(unix)]
use nix::unistd::{ForkResult, Pid, fork, getppid};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    let mut children: Vec<Pid> = Vec::new();
    for n in 1..=3 {
        // SAFETY: this program has one thread.
        match unsafe { fork() }? {
            ForkResult::Child => {
                println!("child {n}: my parent is {}", getppid());
                // SAFETY: _exit takes a number and does not return.
                unsafe { nix::libc::_exit(n) }
            }
            // Break it: remove the push, and nobody is reaped.
            ForkResult::Parent { child } => {
                children.push(child);
            }
        }
    }
    for child in children {
        if let Ok(WaitStatus::Exited(pid, status)) = waitpid(child, None) {
            println!("{pid} exited with status {status}");
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
