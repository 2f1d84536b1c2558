//! Several processes: started all, then joined all; and one by one.
//!
//! Nothing to `cargo add`.

use std::process::{self, Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

fn main() -> io::Result<()> {
    // In a child this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("child") {
        println!("pid {}: at work", process::id());
        sleep(Duration::from_millis(200));
        return Ok(());
    }

    let start = Instant::now();
    let mut children: Vec<Child> = Vec::new();
    for _ in 1..=4 {
        // Break it: write start_child()?.wait()?; in the next line, and this
        // half takes as long as the other one.
        children.push(start_child()?);
    }
    for mut child in children {
        child.wait()?;
    }
    println!("start all, join all: {} ms", start.elapsed().as_millis());

    let start = Instant::now();
    for _ in 1..=4 {
        start_child()?.wait()?;
    }
    println!("one by one: {} ms", start.elapsed().as_millis());
    Ok(())
}

fn start_child() -> io::Result<Child> {
    Command::new(env::current_exe()?).arg("child").spawn()
}
