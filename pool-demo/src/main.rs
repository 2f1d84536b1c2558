//! Pool: many tasks on a few worker processes.

mod backpressure;
mod crash;
mod elsewhere;
mod interrupt;
mod speed;
mod system;
mod tasks;
mod wordcount;

use pool_demo::worker;
use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    Tasks(tasks::Options),
    Crash(crash::Options),
    Backpressure(backpressure::Options),
    Wordcount(wordcount::Options),
    Speed(speed::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::Tasks(options) => tasks::run(options),
            Self::Crash(options) => crash::run(options),
            Self::Backpressure(options) => backpressure::run(options),
            Self::Wordcount(options) => wordcount::run(options),
            Self::Speed(options) => speed::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::Tasks(_) => tasks::QUESTIONS,
            Self::Crash(_) => crash::QUESTIONS,
            Self::Backpressure(_) => backpressure::QUESTIONS,
            Self::Wordcount(_) => wordcount::QUESTIONS,
            Self::Speed(_) => speed::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::Tasks(_) => files!("tasks", "pool"),
            Self::Crash(_) => files!("crash", "crash"),
            Self::Backpressure(_) => files!("backpressure", "backpressure"),
            Self::Wordcount(_) => files!("wordcount", "wordcount"),
            Self::Speed(_) => files!("speed", "speed"),
        }
    }
}

fn main() -> ExitCode {
    // A worker is this same program, started as `pool-demo worker`.
    let tasks = [
        worker::of::<tasks::Sleep>(),
        worker::of::<crash::Square>(),
        worker::of::<backpressure::Work>(),
        worker::of::<speed::Work>(),
        worker::of::<wordcount::Piece>(),
    ];
    if let Some(status) = worker::main(&tasks) {
        return status;
    }
    shared_core::main::<Lesson>()
}
