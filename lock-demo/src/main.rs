//! Lock: two threads, one balance.

mod balance;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
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

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::Balance(_) => balance::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::Balance(_) => files!("balance", "lock"),
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
