//! The threads of a process: one PID, and a number for each thread (Linux).
//!
//! Nothing to `cargo add`.

use std::sync::{Arc, Barrier};
use std::{fs, io, panic, process, thread};

fn main() -> io::Result<()> {
    println!("pid {}: {} thread", process::id(), numbers()?.len());
    // Nobody passes it before all four have come.
    let all_are_here = Arc::new(Barrier::new(4));
    let mut threads = Vec::new();
    for n in 1..=3 {
        let all_are_here = Arc::clone(&all_are_here);
        threads.push(thread::spawn(move || {
            println!("pid {}: thread {n}", process::id());
            all_are_here.wait();
            all_are_here.wait(); // until main has looked
        }));
    }
    all_are_here.wait();
    // Break it: remove both waits of main and of the threads: how many there
    // are just now is then a matter of luck.
    println!("pid {}: {} threads", process::id(), numbers()?.len());
    all_are_here.wait();
    for thread in threads {
        thread.join().unwrap_or_else(|p| panic::resume_unwind(p));
    }
    Ok(())
}

/// The numbers of this process's threads, as the kernel lists them: the TIDs.
fn numbers() -> io::Result<Vec<String>> {
    let listed = fs::read_dir("/proc/self/task")?;
    listed
        .map(|thread| Ok(thread?.file_name().to_string_lossy().into_owned()))
        .collect()
}
