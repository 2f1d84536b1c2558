//! Threads: what they share, how they run, what they cost.

mod cost;
mod start_join;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    StartJoin(start_join::Options),
    Cost(cost::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::StartJoin(options) => start_join::run(options),
            Self::Cost(options) => cost::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::StartJoin(_) => start_join::QUESTIONS,
            Self::Cost(_) => cost::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::StartJoin(_) => files!("start_join", "thread"),
            Self::Cost(_) => files!("cost", "cost"),
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
    // The lesson `cost` starts this program as a process that does nothing.
    if cost::is_to_do_nothing() {
        return ExitCode::SUCCESS;
    }
    shared_core::main::<Lesson>()
}
