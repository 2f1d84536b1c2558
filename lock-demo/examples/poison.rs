//! A thread panics while it holds a lock, in the middle of a change: std's lock
//! tells the next one, who can repair it.
//!
//! Nothing to `cargo add`.

use std::sync::Mutex;
use std::thread;

/// Two accounts, with 100 in both together.
static ACCOUNTS: Mutex<[i64; 2]> = Mutex::new([100, 0]);

fn main() {
    let thread = thread::spawn(|| {
        if let Ok(mut accounts) = ACCOUNTS.lock() {
            accounts[0] -= 30;
            // Break it: remove the next line, and no lock is poisoned.
            assert_eq!(accounts.iter().sum::<i64>(), 100, "money is missing");
            accounts[1] += 30;
        }
    });
    println!("the thread panicked: {}", thread.join().is_err());
    match ACCOUNTS.lock() {
        Ok(accounts) => println!("not poisoned: {accounts:?}"),
        Err(poisoned) => {
            println!("{poisoned}");
            // The error holds the lock, for who can repair the data.
            let mut accounts = poisoned.into_inner();
            println!("found {accounts:?}");
            accounts[1] = 100 - accounts[0];
        }
    }
    ACCOUNTS.clear_poison();
    if let Ok(accounts) = ACCOUNTS.lock() {
        println!("at the end {accounts:?}");
    }
}
