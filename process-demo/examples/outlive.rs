//! A process ends, and its child goes on.
//!
//! Nothing to `cargo add`.

use std::io::{self, Read};
use std::process::{self, Command, Stdio};
use std::{env, mem};

fn main() -> io::Result<()> {
    // This program, a main process that it starts, and a child of that one: the
    // same program, told apart by an argument.
    let mut command = Command::new(env::current_exe()?);
    match env::args().nth(1).as_deref() {
        Some("child") => return child(),
        Some("main") => {
            println!("pid {}: main, I make a child", process::id());
            // Break it: write Stdio::null(), whose end comes at once: the child
            // does not wait for the end of its parent.
            command.stdin(Stdio::piped());
            let child = command.arg("child").spawn()?;
            mem::forget(child); // until this process ends its pipe stays open
            println!("pid {}: main, I end", process::id());
            return Ok(());
        }
        _ => {}
    }

    // Who holds the other end of this pipe is still there: first both, then
    // the child alone.
    command.arg("main").stdout(Stdio::piped());
    let mut main = command.spawn()?;
    let Some(mut news) = main.stdout.take() else {
        return Err(io::Error::other("no pipe"));
    };
    let status = main.wait()?;
    let mut said = String::new();
    news.read_to_string(&mut said)?;
    println!("main: {status}, and then I read:");
    print!("{said}");
    Ok(())
}

fn child() -> io::Result<()> {
    // The input ends when the parent does.
    io::stdin().read_to_end(&mut Vec::new())?;
    println!("pid {}: my parent has ended, I go on", process::id());
    Ok(())
}
