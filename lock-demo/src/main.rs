//! Lock: why, which, and what goes wrong with locks.

mod balance;
mod condition;
mod deadlock;
mod exclusive;
mod interleavings;
mod kinds;
mod lost_update;
mod poison;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "processes_elsewhere.rs"]
mod processes;
mod refused;
mod rustc;
#[cfg(target_os = "linux")]
mod shared_mutex;

use shared_core::cli::{Files, Question};
use shared_core::{Lessons, Result, again, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    Balance(balance::Options),
    LostUpdate(lost_update::Options),
    Interleavings(interleavings::Options),
    Exclusive(exclusive::Options),
    Refused(refused::Options),
    Kinds(kinds::Options),
    Condition(condition::Options),
    Poison(poison::Options),
    Deadlock(deadlock::Options),
    #[cfg(unix)]
    Processes(processes::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::Balance(options) => balance::run(options),
            Self::LostUpdate(options) => lost_update::run(options),
            Self::Interleavings(options) => interleavings::run(options),
            Self::Exclusive(options) => exclusive::run(options),
            Self::Refused(options) => refused::run(options),
            Self::Kinds(options) => kinds::run(options),
            Self::Condition(options) => condition::run(options),
            Self::Poison(options) => poison::run(options),
            Self::Deadlock(options) => deadlock::run(options),
            #[cfg(unix)]
            Self::Processes(options) => processes::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::Balance(_) => balance::QUESTIONS,
            Self::LostUpdate(_) => lost_update::QUESTIONS,
            Self::Interleavings(_) => interleavings::QUESTIONS,
            Self::Exclusive(_) => exclusive::QUESTIONS,
            Self::Refused(_) => refused::QUESTIONS,
            Self::Kinds(_) => kinds::QUESTIONS,
            Self::Condition(_) => condition::QUESTIONS,
            Self::Poison(_) => poison::QUESTIONS,
            Self::Deadlock(_) => deadlock::QUESTIONS,
            #[cfg(unix)]
            Self::Processes(_) => processes::QUESTIONS,
        }
    }

    fn files(&self) -> Files {
        match self {
            Self::Balance(_) => files!("balance", "lock"),
            Self::LostUpdate(_) => files!("lost_update", "lost_update"),
            Self::Interleavings(_) => files!("interleavings", "interleavings"),
            Self::Exclusive(_) => files!("exclusive", "exclusive"),
            Self::Refused(_) => files!("refused", "refused"),
            Self::Kinds(_) => files!("kinds", "kinds"),
            Self::Condition(_) => files!("condition", "condition"),
            Self::Poison(_) => files!("poison", "poison"),
            Self::Deadlock(_) => files!("deadlock", "deadlock"),
            #[cfg(unix)]
            Self::Processes(_) => files!("processes", "processes"),
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
    let parts: &[(&str, again::Part)] = &[("deadlock", deadlock::look_on)];
    if let Some(status) = again::main(parts) {
        return status;
    }
    shared_core::main::<Lesson>()
}
