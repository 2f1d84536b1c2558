//! Who is speaking, when, and the picture of it.
//!
//! A lesson keeps `fork`, `spawn`, `join`, `lock` and `send` in plain view;
//! this crate only says who did what and when, and judges the evidence:
//!
//! - [`who`]: the process, the thread, the processor; children that must not
//!   outlive a run;
//! - [`mod@report`]: the writing side: [`report!`], [`span!`], [`fact!`], [`check!`];
//! - [`timeline`]: the reading side: terminal, SVG, JSON, trace file;
//! - [`timing`]: repeated measurement with median and spread;
//! - [`cli`]: the options that all demos share, and the flow of a run.

pub mod cli;
mod platform;
pub mod report;
pub mod timeline;
pub mod timing;
pub mod who;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};
pub use cli::{Lessons, main};

/// What an error says, without the number that the standard library appends:
/// `Resource temporarily unavailable`.
#[must_use]
pub fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    let number = text.find(" (os error");
    text[..number.unwrap_or(text.len())].to_owned()
}
