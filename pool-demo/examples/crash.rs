//! A worker dies in the middle of a task: that task is an error, and a new
//! worker goes on with the next one.
//!
//! Nothing to `cargo add`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Command, ExitStatus, Stdio};
use std::{env, thread, time::Duration};

fn main() -> io::Result<()> {
    // In a worker this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("worker") {
        return work();
    }
    let mut tasks = 1..=6;
    // Break it: write if instead of while, and two tasks are never begun.
    while let Some((task, how)) = feed_a_worker(&mut tasks)? {
        println!("task {task}: error, its worker died, {how}");
    }
    println!("all tasks are done, or have failed");
    Ok(())
}

/// Starts a worker and gives it one task after the other. Returns the task with
/// which it died, and how; nothing if it has done them all.
fn feed_a_worker<I>(tasks: &mut I) -> io::Result<Option<(u32, ExitStatus)>>
where
    I: Iterator<Item = u32>,
{
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipes = (worker.stdin.take(), worker.stdout.take());
    if let (Some(mut to), Some(from)) = pipes {
        let mut answers = BufReader::new(from).lines();
        for task in tasks {
            // If the worker is gone this fails, and no answer comes.
            let _ = writeln!(to, "{task}");
            match answers.next() {
                Some(answer) => println!("task {task}: {}", answer?),
                None => return Ok(Some((task, worker.wait()?))),
            }
        }
    } // here its input ends, and so does the worker
    worker.wait()?;
    Ok(None)
}

/// What runs in a worker process.
fn work() -> io::Result<()> {
    for task in io::stdin().lines() {
        thread::sleep(Duration::from_millis(50));
        if task? == "4" {
            process::exit(9); // or it aborts, or somebody kills it
        }
        println!("done in pid {}", process::id());
    }
    Ok(())
}
