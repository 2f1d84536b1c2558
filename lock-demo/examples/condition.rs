//! A bounded buffer: who finds it empty, or full, sleeps until it is woken.
//!
//! Nothing to `cargo add`.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

const CAPACITY: usize = 2;

static BUFFER: Mutex<VecDeque<u32>> = Mutex::new(VecDeque::new());
static NOT_EMPTY: Condvar = Condvar::new();
static NOT_FULL: Condvar = Condvar::new();

fn main() {
    thread::scope(|scope| {
        let consumers = [(); 2].map(|()| scope.spawn(take_five));
        (1..=10).for_each(put);
        let sums = consumers.map(|c| c.join().unwrap_or(0));
        println!("the items add up to {}", sums.iter().sum::<u32>());
    });
}

fn take_five() -> u32 {
    (0..5).map(|_| take()).sum()
}

fn put(item: u32) {
    let mut buffer = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    while buffer.len() == CAPACITY {
        // Releases the lock and sleeps, in one step.
        buffer = NOT_FULL
            .wait(buffer)
            .unwrap_or_else(PoisonError::into_inner);
    }
    buffer.push_back(item);
    NOT_EMPTY.notify_one();
}

fn take() -> u32 {
    let mut buffer = BUFFER.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(item) = buffer.pop_front() {
            // Break it: remove the next line: put() waits for ever.
            NOT_FULL.notify_one();
            return item;
        }
        buffer = NOT_EMPTY
            .wait(buffer)
            .unwrap_or_else(PoisonError::into_inner);
    }
}
