//! The same pool on threads: five tasks on four threads of one process.
//!
//! cargo add rayon

use std::time::Duration;
use std::{process, thread};

fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    println!("pid {}: I am the parent", process::id());
    // Break it: make it one thread, and no two tasks run at once.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build()?;

    // The scope ends when all that was spawned in it has.
    pool.in_place_scope(|scope| {
        for task in 0..5 {
            scope.spawn(move |_| run(task));
        }
        println!("waiting for all tasks");
    });
    println!("all tasks are done");
    Ok(())
}

fn run(task: u32) {
    println!("task {task} runs in pid {}", process::id());
    thread::sleep(Duration::from_millis(200));
    println!("task {task} is done");
}
