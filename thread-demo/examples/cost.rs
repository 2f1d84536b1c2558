//! What it costs to start and join a thread, and a process.
//!
//! Nothing to `cargo add`.

use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, io, panic, thread};

const ROUNDS: usize = 100;

fn main() -> io::Result<()> {
    // In the child this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("nothing") {
        process::exit(0);
    }
    let program = env::current_exe()?;
    let (mut threads, mut processes) = (Vec::new(), Vec::new());
    // In turn: what disturbs the one disturbs the other.
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let thread = thread::Builder::new().spawn(|| ())?;
        // Break it: remove the next line, and only the start is timed.
        thread.join().unwrap_or_else(|p| panic::resume_unwind(p));
        threads.push(start.elapsed());

        let start = Instant::now();
        let mut child = Command::new(&program).arg("nothing").spawn()?;
        let _ = child.wait(); // an error would mean: it is reaped
        processes.push(start.elapsed());
    }
    println!("{ROUNDS} threads: median {:?}", median(threads));
    println!("{ROUNDS} processes: median {:?}", median(processes));
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
