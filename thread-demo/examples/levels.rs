//! A thread by the low-level call, and by the high-level one (Unix only).
//!
//! cargo add nix

#[cfg(unix)]
use nix::libc;
#[cfg(unix)]
use std::ffi::c_void;
#[cfg(unix)]
use std::ptr::{null, null_mut};
#[cfg(unix)]
use std::{io, thread};

#[cfg(unix)]
struct Work {
    number: u32,
    square: u32,
}

#[cfg(unix)]
fn main() -> io::Result<()> {
    // Low: a function of one pointer; what that points to nobody checks.
    let mut work = Work {
        number: 7,
        square: 0,
    };
    let mut handle = 0;
    // SAFETY: `work` is what the function takes the pointer for; it lives, and
    // nobody else uses it, until the thread is joined.
    let error = unsafe {
        let argument = (&raw mut work).cast::<c_void>();
        libc::pthread_create(&raw mut handle, null(), square_it, argument)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the thread was created just now, and is joined once.
    unsafe { libc::pthread_join(handle, null_mut()) };
    println!("low:  {}", work.square);

    // High: a closure with what it owns, a result of any type.
    let number = 7_u32;
    let high = thread::Builder::new().spawn(move || number.pow(2))?;
    // Break it: write panic!() in the closure: here it is an Err. In square_it
    // it aborts the process.
    println!("high: {:?}", high.join());
    Ok(())
}

#[cfg(unix)]
extern "C" fn square_it(argument: *mut c_void) -> *mut c_void {
    // SAFETY: see where the thread is created.
    let work = unsafe { &mut *argument.cast::<Work>() };
    work.square = work.number.pow(2);
    null_mut()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("pthread_create() is a Unix call, this system has none");
}
