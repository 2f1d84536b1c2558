//! When main returns, every thread ends, in the middle of its work.
//!
//! Nothing to `cargo add`.

use std::sync::mpsc::channel;
use std::time::Duration;
use std::{io, process, thread};

fn main() -> io::Result<()> {
    let (begins, begun) = channel();
    let _worker = thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            println!("pid {}: the worker begins", process::id());
            let _ = begins.send(());
            thread::sleep(Duration::from_secs(1));
            println!("pid {}: the worker ends", process::id());
        })?;
    let _ = begun.recv();
    // Break it: write `let worker` above, and here `let _ = worker.join();`:
    // then main waits, and the worker comes to its end.
    println!("pid {}: main returns", process::id());
    Ok(())
}
