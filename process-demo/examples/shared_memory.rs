//! A parent and its child add to one number in shared memory. Unix only.
//!
//! cargo add nix --features mman

#[cfg(unix)]
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
#[cfg(unix)]
use std::{env, fs::File, io, os::fd::AsFd, process::Command};
#[cfg(unix)]
use std::{num::NonZeroUsize, sync::atomic::AtomicI64, sync::atomic::Ordering};

#[cfg(unix)]
const SIZE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

#[cfg(unix)]
fn main() -> io::Result<()> {
    // In a child this is the same program, called with an argument more; its
    // stdin is the file.
    if env::args().nth(1).as_deref() == Some("child") {
        let number = map(io::stdin())?;
        let before = number.load(Ordering::SeqCst);
        number.store(before + 8, Ordering::SeqCst);
        println!("the child has read {before}, adds 8");
        return Ok(());
    }

    let file = file_without_a_name()?;
    let number = map(&file)?;
    let before = number.load(Ordering::SeqCst);
    println!("the parent has read {before}");
    let mut child = Command::new(env::current_exe()?);
    child.arg("child").stdin(file).status()?;

    // Break it: write number.fetch_add(5, Ordering::SeqCst), and it is 13.
    number.store(before + 5, Ordering::SeqCst);
    println!("5 + 8 added: {}", number.load(Ordering::SeqCst));
    Ok(())
}

/// The number in the file, which all who map the file share.
#[cfg(unix)]
fn map(file: impl AsFd) -> io::Result<&'static AtomicI64> {
    let rw = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses a free place, aligned to a page. The file has
    // the size of the number and keeps it. Nobody unmaps it.
    let mapped = unsafe { mmap(None, SIZE, rw, MapFlags::MAP_SHARED, file, 0) };
    // SAFETY: as above, and it is only used as an atomic.
    Ok(unsafe { mapped?.cast().as_ref() })
}

#[cfg(unix)]
fn file_without_a_name() -> io::Result<File> {
    let path = env::temp_dir().join(format!("number-{}", std::process::id()));
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let file = options.open(&path)?;
    std::fs::remove_file(path)?;
    file.set_len(8)?;
    Ok(file)
}

#[cfg(not(unix))]
fn main() {
    eprintln!("this maps memory in the way of Unix");
}
