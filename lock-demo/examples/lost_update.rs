//! What goes wrong without a lock, made certain: the second thread changes the
//! balance after the first has read it and before the first writes it.
//!
//! Nothing to `cargo add`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::thread;

static BALANCE: AtomicI64 = AtomicI64::new(0);

fn main() {
    // Two threads pass a barrier only together.
    let (read, written) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let balance = BALANCE.load(SeqCst);
            read.wait();
            written.wait();
            BALANCE.store(balance + 5, SeqCst); // from a balance of before
        });
        scope.spawn(|| {
            read.wait();
            BALANCE.store(BALANCE.load(SeqCst) + 8, SeqCst);
            written.wait();
        });
    });
    println!("deposited 5 and 8, balance: {}", BALANCE.load(SeqCst));
}
