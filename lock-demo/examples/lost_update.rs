//! What goes wrong without a lock, made certain: the second thread changes the
//! balance after the first has read it and before the first writes it.
//!
//! Nothing to `cargo add`.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;

static BALANCE: AtomicI64 = AtomicI64::new(0);

fn main() {
    let (has_read, wait_until_read) = channel();
    let (has_written, wait_until_written) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let before = BALANCE.load(SeqCst);
            let _ = has_read.send(());
            // Break it: remove the next line; mostly 13, but 5 and 8 may come.
            let _ = wait_until_written.recv();
            BALANCE.store(before + 5, SeqCst); // from a balance of before
        });
        scope.spawn(move || {
            let _ = wait_until_read.recv();
            let before = BALANCE.load(SeqCst);
            BALANCE.store(before + 8, SeqCst);
            let _ = has_written.send(());
        });
    });
    println!("5 + 8 deposited, balance {}", BALANCE.load(SeqCst));
}
