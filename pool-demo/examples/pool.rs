//! A pool: five tasks on four worker processes.
//!
//! Nothing to `cargo add`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, panic, thread};

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("worker") {
        work();
        return Ok(());
    }
    println!("pid {}: I am the parent", process::id());
    let next_task = AtomicU32::new(0);
    thread::scope(|scope| {
        let feed = || scope.spawn(|| feed_a_worker(&next_task));
        // Break it: remove three of the four, and no two tasks run at once.
        let feeders = [feed(), feed(), feed(), feed()];
        println!("waiting for all tasks");
        for feeder in feeders {
            feeder.join().unwrap_or_else(|p| panic::resume_unwind(p))?;
        }
        println!("all tasks are done");
        Ok(())
    })
}

/// Starts a worker process and gives it a task whenever it is free.
fn feed_a_worker(next_task: &AtomicU32) -> io::Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipes = (worker.stdin.take(), worker.stdout.take());
    if let (Some(mut to), Some(from)) = pipes {
        let mut from = BufReader::new(from).lines();
        loop {
            let task = next_task.fetch_add(1, Ordering::Relaxed);
            if task >= 5 {
                break; // close: here `to` is dropped, the worker's input ends
            }
            writeln!(to, "{task}")?;
            for line in from.by_ref().take(2) {
                println!("{}", line?);
            }
        }
    }
    let _ = worker.wait(); // join; an error would mean: it is reaped
    Ok(())
}

/// What runs in a worker process: one task after the other.
fn work() {
    for task in io::stdin().lines().map_while(Result::ok) {
        println!("task {task} runs in pid {}", process::id());
        thread::sleep(Duration::from_millis(200));
        println!("task {task} is done");
    }
}
