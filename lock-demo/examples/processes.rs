//! A lock on a file, for which any program can ask; the kernel releases it when
//! the file is closed, however its owner ends. (Unix; run it twice at once.)
//!
//! Nothing to `cargo add`.

use std::fs::File;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io, process, thread};

fn main() -> io::Result<()> {
    if let Some(path) = env::args().nth(1) {
        // The child: it takes the lock, and is killed while it holds it.
        let file = File::open(path)?;
        file.lock()?;
        println!("child: locked");
        // Break it: remove the next line; the child ends by itself, which
        // releases the lock, too, and the parent may never see it locked.
        thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let path = env::temp_dir().join(format!("lock-{}", process::id()));
    File::create_new(&path)?;
    let file = File::open(&path)?;
    let mut child = Command::new(env::current_exe()?).arg(&path).spawn()?;
    while file.try_lock().is_ok() {
        file.unlock()?; // the child has not come to it yet
        if child.try_wait()?.is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    println!("parent: it is locked: {}", file.try_lock().is_err());
    child.kill()?;
    child.wait()?;
    file.lock()?;
    println!("parent: the child has ended, and I have locked it");
    fs::remove_file(path)
}
