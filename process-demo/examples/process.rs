//! A process is created from a function and its argument, started and joined.
//!
//! Nothing to `cargo add`.

use std::process::{self, Command};
use std::{env, io};

fn main() -> io::Result<()> {
    // In the child this is the same program, called with two arguments more.
    let mut args = env::args().skip(1);
    if args.next().as_deref() == Some("child") {
        run_process(&args.next().unwrap_or_default());
        return Ok(());
    }

    println!("pid {}: I am the parent", process::id());
    let mut command = Command::new(env::current_exe()?);
    command.args(["child", "test"]);

    println!("the child will start");
    let mut child = command.spawn()?;
    // Join: without it the child would stay a zombie. It fails only if the
    // system has reaped it already, as it does where SIGCHLD is ignored.
    // Break it: remove the next line; what the last one says is not true yet.
    let _ = child.wait();
    println!("the child has ended");
    Ok(())
}

/// What runs in the child process.
fn run_process(name: &str) {
    println!("pid {}: running {name}", process::id());
}
