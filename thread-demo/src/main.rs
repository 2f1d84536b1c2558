//! Threads: what they share, how they run, what they cost.

mod cost;
mod cpus;
mod ids;
mod join;
#[cfg(unix)]
mod levels;
mod main_ends;
mod parallel;
mod sharing;
mod start_join;
mod switch;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, again, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    StartJoin(start_join::Options),
    Ids(ids::Options),
    #[cfg(unix)]
    Levels(levels::Options),
    Join(join::Options),
    Sharing(sharing::Options),
    Parallel(parallel::Options),
    Switch(switch::Options),
    MainEnds(main_ends::Options),
    Cost(cost::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::StartJoin(options) => start_join::run(options),
            Self::Ids(options) => ids::run(options),
            #[cfg(unix)]
            Self::Levels(options) => levels::run(options),
            Self::Join(options) => join::run(options),
            Self::Sharing(options) => sharing::run(options),
            Self::Parallel(options) => parallel::run(options),
            Self::Switch(options) => switch::run(options),
            Self::MainEnds(options) => main_ends::run(options),
            Self::Cost(options) => cost::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::StartJoin(_) => start_join::QUESTIONS,
            Self::Ids(_) => ids::QUESTIONS,
            #[cfg(unix)]
            Self::Levels(_) => levels::QUESTIONS,
            Self::Join(_) => join::QUESTIONS,
            Self::Sharing(_) => sharing::QUESTIONS,
            Self::Parallel(_) => parallel::QUESTIONS,
            Self::Switch(_) => switch::QUESTIONS,
            Self::MainEnds(_) => main_ends::QUESTIONS,
            Self::Cost(_) => cost::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::StartJoin(_) => files!("start_join", "thread"),
            Self::Ids(_) => files!("ids", "ids"),
            #[cfg(unix)]
            Self::Levels(_) => files!("levels", "levels"),
            Self::Join(_) => files!("join", "join"),
            Self::Sharing(_) => files!("sharing", "sharing"),
            Self::Parallel(_) => files!("parallel", "parallel"),
            Self::Switch(_) => files!("switch", "switch"),
            Self::MainEnds(_) => files!("main_ends", "main_ends"),
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
    // Some lessons start this program once more.
    let parts: &[(&str, again::Part)] = &[
        ("ids", ids::run_again),
        ("main-returns", main_ends::main_returns),
        ("maker-ends", main_ends::maker_ends),
        ("parent-ends", main_ends::parent_ends),
        ("child", main_ends::be_the_child),
        ("cost", cost::help),
        ("idle", cost::idle),
        #[cfg(unix)]
        ("panic-low", levels::panic_at_the_low_level),
        #[cfg(unix)]
        ("panic-high", levels::panic_at_the_high_level),
    ];
    if let Some(status) = again::main(parts) {
        return status;
    }
    // The lesson `cost` starts this program as a process that does nothing.
    if cost::is_to_do_nothing() {
        return ExitCode::SUCCESS;
    }
    shared_core::main::<Lesson>()
}
