//! A process exits with a status, or it is killed: its parent is told which.
//!
//! Nothing to `cargo add`.

use std::process::{self, Command, Stdio};
use std::{env, io};

fn main() -> io::Result<()> {
    // In a child this is the same program, called with an argument more.
    match env::args().nth(1).as_deref() {
        Some("exits") => process::exit(3),
        Some("waits") => io::stdin().read_line(&mut String::new()).map(drop),
        _ => parent(),
    }
}

fn parent() -> io::Result<()> {
    let program = env::current_exe()?;

    let mut child = Command::new(&program).arg("exits").spawn()?;
    println!("one exits: {}", child.wait()?);

    // Its stdin stays open, so it waits.
    // Break it: remove child.kill(), and this program waits for ever.
    let mut waiting = Command::new(&program);
    let mut child = waiting.arg("waits").stdin(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    child.kill()?;
    println!("one is killed: {}", child.wait()?);
    drop(stdin);
    Ok(())
}
