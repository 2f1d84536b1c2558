//! Threads: what they share, how they run, what they cost.

mod start_join;

use shared_core::{Lessons, Result};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    /// A thread is made from a function, started, joined
    StartJoin(start_join::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::StartJoin(options) => start_join::run(options),
        }
    }

    fn snippet(&self) -> &'static str {
        match self {
            Self::StartJoin(_) => include_str!("../examples/thread.rs"),
        }
    }

    fn role(&self) -> &'static str {
        "MainThread"
    }

    fn shows_threads(&self) -> bool {
        true
    }
}

fn main() -> ExitCode {
    shared_core::main::<Lesson>()
}
