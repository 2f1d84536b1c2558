//! What threads may change in safe Rust: what is locked, and what only one of
//! them uses. All else is not compiled.
//!
//! Nothing to `cargo add`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

fn main() {
    let locked = Mutex::new(0);
    let mut plain = 0;
    thread::scope(|scope| {
        scope.spawn(|| *lock(&locked) += 5);
        scope.spawn(|| *lock(&locked) += 8);
        scope.spawn(|| plain += 5);
        // Break it: uncomment the next line; rustc refuses it with E0499.
        // scope.spawn(|| plain += 8);
    });
    println!("locked: {}, plain: {plain}", lock(&locked));

    // A thread without a scope must own what it uses; with Rc: E0277.
    let balance = Arc::new(Mutex::new(5));
    let theirs = Arc::clone(&balance);
    let thread = thread::spawn(move || *lock(&theirs) += 8);
    if thread.join().is_ok() {
        println!("owned by both: {}", lock(&balance));
    }
}

/// A thread that panics leaves its lock poisoned; a sum is right all the same.
fn lock(balance: &Mutex<i64>) -> MutexGuard<'_, i64> {
    balance.lock().unwrap_or_else(PoisonError::into_inner)
}
