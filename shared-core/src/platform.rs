//! Everything that differs between systems, behind the module `who`.

#[cfg(unix)]
mod children;
#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use children::{ChildGuard, Starting, starting};
#[cfg(unix)]
pub(crate) use children::{asked_to_end, catch_interrupts, stop};
#[cfg(not(unix))]
pub use portable::*;
#[cfg(unix)]
pub use unix::*;
