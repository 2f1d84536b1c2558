//! What two threads share, and what each has for itself.
//!
//! Nothing to `cargo add`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::{io, panic, thread};

// Shared by all threads; safe Rust asks for a type that threads may share.
// Break it: write `static mut SHARED: u32 = 1;`, and the compiler refuses.
static SHARED: AtomicU32 = AtomicU32::new(1);

thread_local! {
    // Each thread has one of its own, which begins with 1.
    static OWN: Cell<u32> = const { Cell::new(1) };
}

fn main() -> io::Result<()> {
    print("main, at first");
    let other = thread::Builder::new().spawn(|| {
        SHARED.store(2, SeqCst);
        OWN.set(2);
        print("thread");
    })?;
    other.join().unwrap_or_else(|p| panic::resume_unwind(p));
    print("main, after that");
    Ok(())
}

fn print(who: &str) {
    let on_the_stack = 0;
    println!("{who}: shared {}, own {}", SHARED.load(SeqCst), OWN.get());
    println!("  its stack is near {:p}", &raw const on_the_stack);
}
