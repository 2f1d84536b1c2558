//! Lock: two threads, one balance.

mod balance;
mod lost_update;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    Balance(balance::Options),
    LostUpdate(lost_update::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::Balance(options) => balance::run(options),
            Self::LostUpdate(options) => lost_update::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::Balance(_) => balance::QUESTIONS,
            Self::LostUpdate(_) => lost_update::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::Balance(_) => files!("balance", "lock"),
            Self::LostUpdate(_) => files!("lost_update", "lost_update"),
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
