//! Two threads, one balance, one lock: no update is lost.
//!
//! cargo add parking_lot

use parking_lot::Mutex;
use std::thread;

/// Whoever wants the balance must lock it: there is no other way to it.
static BALANCE: Mutex<i64> = Mutex::new(0);

fn main() {
    thread::scope(|scope| {
        scope.spawn(|| deposit_and_withdraw(5));
        scope.spawn(|| deposit_and_withdraw(8));
    });
    println!("balance: {}", *BALANCE.lock());
}

fn deposit_and_withdraw(amount: i64) {
    for _ in 0..100_000 {
        update(amount);
        update(-amount);
    }
}

fn update(amount: i64) {
    let mut balance = BALANCE.lock();
    let before = *balance;
    // Break it: uncomment the next line; it lets another thread in between.
    // (The balance may still be right: run it again.)
    // drop(balance); let mut balance = BALANCE.lock();
    *balance = before + amount;
    // Here `balance` is dropped, and with it the lock.
}
