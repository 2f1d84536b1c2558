//! A forked child has none of its parent's other threads: what it gives to
//! rayon is never done. Unix only.
//!
//! cargo add nix --features process,signal
//! cargo add rayon

#[cfg(unix)]
fn main() -> nix::Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::{thread, time::Duration};

    // Starts rayon's threads; then they are idle.
    // Break it: remove the next line, and the child starts threads of its own.
    rayon::broadcast(|_| ());

    // SAFETY: not sound! The other threads hold no lock, as they are idle; but
    // the child must not do what it does here, and it hangs.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let sum: i32 = rayon::scope(|_| 3);
            println!("child: {sum}");
            // SAFETY: _exit takes a number and does not return.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            thread::sleep(Duration::from_secs(1)); // time enough for an answer
            let status = waitpid(child, Some(WaitPidFlag::WNOHANG))?;
            if status == WaitStatus::StillAlive {
                println!("parent: my child waits for a thread that it has not");
                kill(child, Signal::SIGKILL)?;
                let _ = waitpid(child, None);
            }
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
