//! A child that has ended is a zombie until its parent waits for it. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::waitpid;
#[cfg(unix)]
use nix::unistd::{ForkResult, fork};
#[cfg(unix)]
use std::io::Read;
#[cfg(unix)]
use std::process::Command;

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    let (mut ended, open_in_child) = std::io::pipe()?;
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        // SAFETY: _exit takes a number and does not return.
        ForkResult::Child => unsafe { nix::libc::_exit(0) },
        ForkResult::Parent { child } => {
            drop(open_in_child);
            let _ = ended.read(&mut [0]); // until the child's end closes it
            ps(child)?; // state Z, <defunct>
            // Break it: remove the next line, and it is a zombie still.
            let _ = waitpid(child, None);
            ps(child)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn ps(pid: nix::unistd::Pid) -> std::io::Result<()> {
    println!("ps says of {pid}:");
    let pid = pid.to_string();
    let options = ["-o", "pid,ppid,state,comm", "-p", &pid];
    Command::new("ps").args(options).status().map(drop)
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
