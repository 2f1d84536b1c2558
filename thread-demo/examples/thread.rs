//! A thread is created from a function, started and joined.
//!
//! Nothing to `cargo add`.

use std::time::Duration;
use std::{io, panic, process, thread};

fn main() -> io::Result<()> {
    println!("pid {}: the main thread runs", process::id());

    let thread = thread::Builder::new()
        .name("LoopThread".to_owned())
        .spawn(count_to_five)?;

    // Waits until the function has returned; if it panicked, so do we.
    // Break it: remove the next line; LoopThread dies with main before 5.
    thread.join().unwrap_or_else(|p| panic::resume_unwind(p));
    println!("pid {}: the main thread ends", process::id());
    Ok(())
}

/// What runs in the thread.
fn count_to_five() {
    let thread = thread::current();
    let name = thread.name().unwrap_or("?");
    println!("pid {}: {name} runs", process::id());
    for n in 1..=5 {
        println!("{name} counts {n}");
        thread::sleep(Duration::from_millis(20));
    }
    println!("pid {}: {name} ends", process::id());
}
