//! However many threads ask for a lock, at most one holds it.
//!
//! Nothing to `cargo add`.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

static HOLDERS: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

fn main() {
    let (lock, everyone) = (Mutex::new(()), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                everyone.wait(); // all ask at the same time
                // Break it: write drop(lock.lock()); instead: the guard is gone
                // at once, and with it the lock.
                let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
                let holders = HOLDERS.fetch_add(1, SeqCst) + 1;
                MOST.fetch_max(holders, SeqCst);
                thread::sleep(Duration::from_millis(5));
                HOLDERS.fetch_sub(1, SeqCst);
            });
        }
    });
    println!("held by {} at once, at most", MOST.load(SeqCst));
}
