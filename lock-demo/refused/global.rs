//! Two threads change one global.

use std::thread;

// What a global variable is in C and in Python.
static mut BALANCE: i32 = 0;

fn deposit(amount: i32) {
    BALANCE += amount; // refused: E0133
    // use of mutable static is unsafe and requires unsafe block
}

fn main() {
    thread::scope(|scope| {
        scope.spawn(|| deposit(5));
        scope.spawn(|| deposit(8));
    });
}
