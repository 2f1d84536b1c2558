//! Everything that differs between systems. What lessons need of it is public
//! in the module `who`.

#[cfg(unix)]
mod children;
#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use children::catch_interrupts;
#[cfg(unix)]
pub use children::{ChildGuard, Starting, hold_if_ending, ignores_ctrl_c, starting, stop};
#[cfg(not(unix))]
pub use portable::*;
#[cfg(unix)]
pub use unix::*;
