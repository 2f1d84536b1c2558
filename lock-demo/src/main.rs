//! Lock: two threads, one balance.

mod balance;

use shared_core::{Lessons, Result};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    /// Without a lock updates are lost, with a lock none is
    Balance(balance::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::Balance(options) => balance::run(options),
        }
    }

    fn snippet(&self) -> &'static str {
        match self {
            Self::Balance(_) => include_str!("../examples/lock.rs"),
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
