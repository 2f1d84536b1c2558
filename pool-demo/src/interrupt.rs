//! Ctrl-C terminates the pool that is running.

use pool_demo::{Pool, Task, Terminator};
use shared_core::ending::{ignores_ctrl_c, stop};
use shared_core::{Context, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

static RUNNING: Mutex<Option<Terminator>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C terminates `pool`, whose lesson says then what was done
/// and what was not. A second Ctrl-C, or one that comes when no pool is
/// running any more, ends the run at once.
///
/// # Errors
/// When the system refuses the handler or its thread.
pub fn terminates<T: Task>(pool: &Pool<T>) -> Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    *running() = Some(pool.terminator());
    if ignores_ctrl_c() || INSTALLED.swap(true, SeqCst) {
        return Ok(());
    }
    let installed = ctrlc::set_handler(|| {
        if let Some(pool) = running().take() {
            INTERRUPTED.store(true, SeqCst);
            pool.terminate();
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

/// The pool has ended: whether that was Ctrl-C.
pub fn happened() -> bool {
    running().take();
    INTERRUPTED.load(SeqCst)
}

fn running() -> MutexGuard<'static, Option<Terminator>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
