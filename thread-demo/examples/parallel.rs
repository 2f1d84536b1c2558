//! Two threads hand a turn back and forth, on one CPU or at the same instant.
//!
//! Nothing to `cargo add`.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_millis(200);

fn main() {
    let turn = AtomicU64::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for me in 0..2 {
            let turn = &turn;
            scope.spawn(move || {
                while begin.elapsed() < TIME {
                    if turn.load(SeqCst) % 2 == me {
                        turn.fetch_add(1, SeqCst); // now it is the other one's
                    }
                    // Break it: add thread::yield_now(); here, and compare on
                    // one CPU: who has no turn then leaves it to who has.
                }
            });
        }
    });
    let hand_overs = turn.into_inner();
    // Compare: taskset -c 0 cargo run (Linux). On one CPU the threads take
    // turns, and a hand-over takes some milliseconds.
    println!("{hand_overs} hand-overs in {TIME:?}");
}
