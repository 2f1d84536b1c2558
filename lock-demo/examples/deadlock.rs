//! A deadlock, found by parking_lot's detector; and one that it does not find.
//! (The detector slows down every lock: it is for tests.)
//!
//! cargo add parking_lot@0.11 --rename detecting --features deadlock_detection

use detecting::{Condvar, Mutex, deadlock::check_deadlock};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

static LEFT: Mutex<()> = detecting::const_mutex(());
static RIGHT: Mutex<()> = detecting::const_mutex(());
static NOBODY_NOTIFIES: Condvar = Condvar::new();

fn main() {
    let both = &*Box::leak(Box::new(Barrier::new(2)));
    thread::spawn(|| {
        let _left = LEFT.lock();
        both.wait(); // the other one holds RIGHT
        let _right = RIGHT.lock();
    });
    thread::spawn(|| {
        // Break it: take LEFT first here, too, and remove both lines with
        // wait(): then nothing is found.
        let _right = RIGHT.lock();
        both.wait();
        let _left = LEFT.lock();
    });
    println!("opposite orders: {} threads in a circle", found());

    // One waits for a notify, and holds what the one who would notify needs.
    let table = &*Box::leak(Box::new(Mutex::new(())));
    let (waits, until_it_waits) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let _table = table.lock();
        let mutex = Mutex::new(());
        let mut guard = mutex.lock();
        let _ = waits.send(());
        NOBODY_NOTIFIES.wait(&mut guard);
    });
    let _ = until_it_waits.recv();
    thread::spawn(|| {
        let _table = table.lock();
        NOBODY_NOTIFIES.notify_all();
    });
    println!("a lock and a condition: {} threads", found());
    // When main returns, the threads end, though they wait.
}

/// How many threads wait for one another, as far as the detector sees: it looks
/// for half a second.
fn found() -> usize {
    let begin = Instant::now();
    loop {
        let threads = check_deadlock().iter().map(Vec::len).sum();
        if threads > 0 || begin.elapsed() > Duration::from_millis(500) {
            return threads;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
