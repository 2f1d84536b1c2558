//! Parent and child send each other a message that is larger than a pipe.
//!
//! Nothing to `cargo add`.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::{env, thread};

const SIZE: usize = 1 << 20; // 1 MiB; a pipe holds much less

fn main() -> io::Result<()> {
    // In a child this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("child") {
        return child();
    }

    let mut command = Command::new(env::current_exe()?);
    command.arg("child").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let (to, from) = (child.stdin.take(), child.stdout.take());
    let (Some(mut to_child), Some(mut from_child)) = (to, from) else {
        return Err(io::Error::other("no pipes"));
    };

    // Break it: write before the thread is spawned (move the line with
    // write_all up here): both processes wait for ever, until Ctrl-C.
    let reader = thread::spawn(move || {
        let mut message = Vec::new();
        from_child.read_to_end(&mut message).map(|_| message.len())
    });
    to_child.write_all(&vec![b'p'; SIZE])?;
    drop(to_child); // the child reads the end
    let read = reader.join().unwrap_or(Ok(0))?;
    child.wait()?;
    println!("the parent has read {read} bytes");
    Ok(())
}

/// What runs in the child process: it writes before it reads.
fn child() -> io::Result<()> {
    io::stdout().write_all(&vec![b'c'; SIZE])?;
    io::stdout().flush()?;
    let mut message = Vec::new();
    let read = io::stdin().read_to_end(&mut message)?;
    eprintln!("the child has read {read} bytes");
    Ok(())
}
