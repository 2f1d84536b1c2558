//! Two threads share what an Rc owns.

use std::rc::Rc;
use std::sync::Mutex;
use std::thread;

fn main() {
    let balance = Rc::new(Mutex::new(0));
    let theirs = Rc::clone(&balance);
    // The balance has a lock; the count of its owners has none.
    let deposit = move || *theirs.lock().unwrap() += 8;
    let thread = thread::spawn(deposit); // refused: E0277
    // `Rc<std::sync::Mutex<i32>>` cannot be sent between threads safely

    *balance.lock().unwrap() += 5;
    thread.join().unwrap();
    println!("balance {}", balance.lock().unwrap());
}
