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
pub mod report;
pub mod timeline;
pub mod timing;
pub mod who;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};
pub use cli::{Lessons, main};
