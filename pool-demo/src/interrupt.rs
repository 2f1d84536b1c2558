//! Ctrl-C terminates the pool that is running.

use crate::pool::{Pool, Terminator};
use shared_core::{Context, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

static RUNNING: Mutex<Option<Terminator>> = Mutex::new(None);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C terminates `pool`.
///
/// # Errors
/// When the system refuses the handler or its thread.
pub fn terminates(pool: &Pool) -> Result<()> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    *running = Some(pool.terminator());
    if !INSTALLED.swap(true, SeqCst) {
        let installed = ctrlc::set_handler(|| {
            INTERRUPTED.store(true, SeqCst);
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(pool) = &*running {
                pool.terminate();
            }
        });
        // Its own text does not name the cause.
        installed
            .map_err(|error| match error {
                ctrlc::Error::System(cause) => cause.into(),
                other => Error::from(other),
            })
            .context("catch Ctrl-C")?;
    }
    Ok(())
}

/// Whether that has happened.
pub fn happened() -> bool {
    INTERRUPTED.load(SeqCst)
}
