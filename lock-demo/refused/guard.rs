//! One thread locks, another one unlocks.

use std::sync::Mutex;
use std::thread;

fn main() {
    let balance = Mutex::new(0);
    thread::scope(|scope| {
        let mut guard = balance.lock().unwrap();
        *guard += 5;
        scope.spawn(move || *guard += 8); // refused: E0277
        // `std::sync::MutexGuard<'_, i32>` cannot be sent between
        // threads safely
    });
    println!("balance {}", balance.lock().unwrap());
}
