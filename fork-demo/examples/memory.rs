//! After fork a variable is two variables, at one address. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::waitpid;
#[cfg(unix)]
use nix::unistd::{ForkResult, fork};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    let mut variable = 1;
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // Break it: remove the next line; both have the value from before.
            variable += 1;
            println!("child:  {variable} at {:p}", &raw const variable);
            // SAFETY: _exit takes a number and does not return.
            unsafe { nix::libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let _ = waitpid(child, None); // the child has written by now
            println!("parent: {variable} at {:p}", &raw const variable);
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
