//! A child whose parent has ended lives on, and has another parent. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
#[cfg(unix)]
use std::io::{PipeReader, Read, pipe};

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    let (gone, open_in_parent) = pipe()?;
    let parent = getpid(); // the child may ask when it is gone already
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(open_in_parent);
            println!("child:  {parent} has made me");
            // Break it: remove the next line; the parent may still be there.
            wait_for_the_end_of(parent, gone);
            println!("child:  my parent is {}", getppid());
        }
        ForkResult::Parent { child } => {
            println!("parent {parent}: I leave my child {child}");
        }
    }
    Ok(())
}

/// The end of the parent closes the pipe; a moment later the parent is gone.
#[cfg(unix)]
fn wait_for_the_end_of(parent: Pid, mut gone: PipeReader) {
    let _ = gone.read(&mut [0]);
    while getppid() == parent {
        std::thread::yield_now();
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
