//! One balance, protected in four ways: each is right in the end.
//!
//! cargo add crossbeam

use crossbeam::channel::bounded;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;

const TIMES: u64 = 100_000;

fn main() {
    // A lock: one at a time.
    let balance = Mutex::new(0);
    in_threads(|| {
        for _ in 0..TIMES {
            *balance.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    });
    println!("lock: {}", balance.lock().map_or(0, |balance| *balance));

    // An atomic addition: one instruction, and no lock.
    let balance = AtomicU64::new(0);
    in_threads(|| {
        for _ in 0..TIMES {
            // Break it: let n = balance.load(Relaxed); balance.store(n + 1,
            // Relaxed); is two instructions, and loses some.
            balance.fetch_add(1, Relaxed);
        }
    });
    println!("atomic: {}", balance.load(Relaxed));

    // A channel: only one thread has the balance.
    let (sender, receiver) = bounded(100);
    let owner = thread::spawn(move || receiver.iter().sum::<u64>());
    in_threads(|| {
        for _ in 0..TIMES {
            let _ = sender.send(1);
        }
    });
    drop(sender); // the end
    println!("channel: {}", owner.join().unwrap_or(0));

    // A total for each thread, merged at the end.
    let balance = AtomicU64::new(0);
    in_threads(|| {
        let total = (0..TIMES).map(|_| 1).sum();
        balance.fetch_add(total, Relaxed);
    });
    println!("total per thread: {}", balance.load(Relaxed));
}

/// Runs `work` in four threads, and waits for them.
fn in_threads(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(&work);
        }
    });
}
