//! A thread borrows what may end first.

use std::thread::{self, JoinHandle};

fn start() -> JoinHandle<()> {
    let mut balance = 5;
    // `balance` ends with this function; the thread need not.
    thread::spawn(|| balance += 8) // refused: E0373
    // closure may outlive the current function, but it borrows
    // `balance`, which is owned by the current function
}

fn main() {
    let thread = start();
    println!("the thread is started");
    thread.join().unwrap();
}
