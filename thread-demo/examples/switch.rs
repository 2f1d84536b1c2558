//! How often a thread was switched out, as the kernel counts it (Linux).
//!
//! Nothing to `cargo add`.

use std::time::{Duration, Instant};
use std::{fs, thread};

const TIME: Duration = Duration::from_millis(100);

fn main() {
    // To let them share a CPU: taskset -c 0 cargo run
    thread::scope(|scope| {
        scope.spawn(|| {
            let begin = Instant::now();
            while begin.elapsed() < TIME {}
            println!("computing: {}", switches());
        });
        scope.spawn(|| {
            for _ in 0..10 {
                // Break it: remove this line, and there is nothing to wait for.
                thread::sleep(TIME / 10);
            }
            println!("sleeping: {}", switches());
        });
        scope.spawn(|| {
            let begin = Instant::now();
            while begin.elapsed() < TIME {
                thread::yield_now();
            }
            println!("yielding: {}", switches());
        });
    });
}

/// Those of the calling thread so far. (A yield counts as involuntary: the
/// thread could have gone on.)
fn switches() -> String {
    let status = fs::read_to_string("/proc/thread-self/status");
    let status = status.unwrap_or_else(|error| panic!("no /proc: {error}"));
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.collect::<Vec<_>>().join(", ")
}
