//! Three forks in a row make eight processes. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::wait;
#[cfg(unix)]
use nix::unistd::{fork, getpid, getppid};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    // Both processes go on behind each fork: 1, 2, 4, 8.
    // Break it: remove one of the forks, and there are half as many.
    // SAFETY: this program has one thread, and so have its children.
    unsafe {
        fork()?;
        fork()?;
        fork()?;
    }
    println!("pid {}, my parent is {}", getpid(), getppid());
    // Until there is no child left.
    while wait().is_ok() {}
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
