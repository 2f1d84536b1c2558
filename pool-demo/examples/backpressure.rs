//! Any number of tasks, at most ten of them on the way: a result makes room for
//! the next task.
//!
//! Nothing to `cargo add`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    // In a worker this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("worker") {
        return work();
    }
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipes = (worker.stdin.take(), worker.stdout.take());
    let (mut to, Some(from)) = pipes else {
        return Err("the worker has no pipes".into());
    };
    let mut results = BufReader::new(from).lines();

    // A lazy input: a number is made when somebody asks for it.
    let mut input = 1..=100_000_u64;
    let (mut sent, mut received, mut most, mut sum) = (0, 0, 0, 0);
    loop {
        // Break it: make it 1_000_000, and both wait for ever: this program
        // until its tasks are read, the worker until its results are.
        while sent - received < 10 {
            let (Some(number), Some(to)) = (input.next(), to.as_mut()) else {
                to = None; // close: its input ends, and so does the worker
                break;
            };
            writeln!(to, "{number}")?;
            sent += 1;
        }
        most = most.max(sent - received);
        let Some(result) = results.next() else { break };
        sum += result?.parse::<u64>()?;
        received += 1;
    }
    worker.wait()?;
    println!("{received} results, sum {sum}; at most {most} on the way");
    Ok(())
}

/// What runs in a worker process: the square of each number.
fn work() -> Result<(), Box<dyn Error>> {
    for number in io::stdin().lines() {
        println!("{}", number?.parse::<u64>()?.pow(2));
    }
    Ok(())
}
