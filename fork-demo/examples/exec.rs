//! fork makes a process, exec puts another program into it. Unix only.
//!
//! cargo add nix --features process

#[cfg(unix)]
use nix::sys::wait::waitpid;
#[cfg(unix)]
use nix::unistd::{ForkResult, execvp, fork};

#[cfg(unix)]
fn main() -> nix::Result<()> {
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let words = [c"sh", c"-c", c"echo I am a shell, and my pid is $$"];
            // Break it: remove the next line, and the copy runs on as a copy.
            let _ = execvp(words[0], &words); // returns only if it fails
            println!("no shell here: this is still the program that forked");
            // SAFETY: _exit takes a number and does not return.
            unsafe { nix::libc::_exit(127) }
        }
        ForkResult::Parent { child } => {
            println!("my child is {child}");
            println!("{:?}", waitpid(child, None)?);
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fork() is a Unix call, this system has none");
}
