//! Ctrl-C terminates the pool that is running.

use pool_demo::{Pool, Task};
use shared_core::ending::{ignores_ctrl_c, stop};
use shared_core::{Context, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What Ctrl-C does to what is running.
type Stop = Box<dyn FnOnce() + Send>;

static RUNNING: Mutex<Option<Stop>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C terminates `pool`, whose lesson says then what was done
/// and what was not. A second Ctrl-C, or one that comes when no pool is
/// running any more, ends the run at once.
///
/// # Errors
/// When the system refuses the handler or its thread.
pub fn terminates<T: Task>(pool: &Pool<T>) -> Result<()> {
    let terminator = pool.terminator();
    calls(Box::new(move || terminator.terminate()))
}

/// The same where there is no pool, but threads: they ask whether it [`has_come`].
///
/// # Errors
/// When the system refuses the handler or its thread.
pub fn is_noticed() -> Result<()> {
    calls(Box::new(|| {}))
}

fn calls(stop_it: Stop) -> Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    *running() = Some(stop_it);
    if ignores_ctrl_c() || INSTALLED.swap(true, SeqCst) {
        return Ok(());
    }
    let installed = ctrlc::set_handler(|| {
        if let Some(stop_it) = running().take() {
            INTERRUPTED.store(true, SeqCst);
            stop_it();
        } else {
            stop(130); // without a word: stderr may be what is stuck
        }
    });
    // Its own text does not name the cause.
    let installed = installed.map_err(|error| match error {
        ctrlc::Error::System(cause) => cause.into(),
        other => Error::from(other),
    });
    installed.context("failed to catch Ctrl-C")
}

/// Whether Ctrl-C has come, while the work goes on.
pub fn has_come() -> bool {
    INTERRUPTED.load(SeqCst)
}

/// The pool has ended: whether that was Ctrl-C.
pub fn happened() -> bool {
    running().take();
    has_come()
}

fn running() -> MutexGuard<'static, Option<Stop>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
