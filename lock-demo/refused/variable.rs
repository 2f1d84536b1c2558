//! Two threads change one variable.

use std::thread;

fn main() {
    let mut balance = 0;
    thread::scope(|scope| {
        scope.spawn(|| balance += 5);
        scope.spawn(|| balance += 8); // refused: E0499
        // cannot borrow `balance` as mutable more than once at a time
    });
    // The scope has joined both.
    println!("balance {balance}");
}
