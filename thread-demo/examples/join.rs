//! A join with a time limit: the end of a channel is the end of a thread.
//!
//! Nothing to `cargo add`.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{io, panic, thread};

fn main() -> io::Result<()> {
    let (stop, told_to_stop) = channel::<()>();
    let (alive, end) = channel::<()>();
    let worker = thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            // Break it: write drop(alive), and it has ended, as it seems, in
            // 50 ms, though it still works.
            let _alive = alive; // dropped when this function ends
            let _ = told_to_stop.recv(); // ends when `stop` is dropped
            20 + 22
        })?;
    println!("worker has ended: {}", worker.is_finished());

    let limit = Duration::from_millis(50);
    match end.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => println!("not ended in {limit:?}"),
        _ => println!("ended in {limit:?}"),
    }
    drop(stop);
    let _ = end.recv(); // nothing is ever sent: this is the end
    let sum = worker.join().unwrap_or_else(|p| panic::resume_unwind(p));
    println!("worker has ended, it returned {sum}");
    Ok(())
}
