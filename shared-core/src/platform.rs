//! Everything that differs between systems. A leaf: it knows nothing of ours.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// How often a thread was taken off its CPU (getrusage(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    /// It had nothing to do but wait.
    pub voluntary: u64,
    /// It could have gone on: another one had its turn.
    pub involuntary: u64,
}

impl Switches {
    /// Of both kinds.
    #[must_use]
    pub fn all(self) -> u64 {
        self.voluntary + self.involuntary
    }

    /// Those after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
        }
    }
}

/// A number for the calling thread where the system's own cannot be had: the
/// PID for the main thread, 1, 2, 3 … for others in the order of asking.
#[cfg(not(target_os = "linux"))]
fn own_thread_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: Option<u64> = (std::thread::current().name() != Some("main"))
            .then(|| NEXT.fetch_add(1, Relaxed));
    }
    let number = NUMBER.try_with(|number| *number);
    number
        .ok()
        .flatten()
        .unwrap_or_else(|| u64::from(std::process::id()))
}
