//! Threads: what they share, how they run, what they cost.

mod start_join;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
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

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::StartJoin(_) => start_join::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::StartJoin(_) => files!("start_join", "thread"),
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
