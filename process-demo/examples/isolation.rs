//! A child process changes its own variable, a thread changes ours.
//!
//! Nothing to `cargo add`.

use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::{env, io, thread};

/// One variable in the program; one in each process that runs it.
static VARIABLE: AtomicI64 = AtomicI64::new(0);

fn main() -> io::Result<()> {
    // In a child this is the same program, called with an argument more.
    if env::args().nth(1).as_deref() == Some("child") {
        add_8("the child");
        return Ok(());
    }

    VARIABLE.store(5, SeqCst);
    println!("the parent has {}", VARIABLE.load(SeqCst));

    // Break it: call add_8("the parent") instead, and no process is made.
    Command::new(env::current_exe()?).arg("child").status()?;
    println!("after a process: {}", VARIABLE.load(SeqCst));

    thread::scope(|scope| {
        scope.spawn(|| add_8("the thread"));
    });
    println!("after a thread: {}", VARIABLE.load(SeqCst));
    Ok(())
}

fn add_8(who: &str) {
    let before = VARIABLE.fetch_add(8, SeqCst);
    println!("{who} has {before}, adds 8: {}", VARIABLE.load(SeqCst));
}
