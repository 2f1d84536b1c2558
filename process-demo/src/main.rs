//! Process: a function, its arguments, start, join.

mod child;
mod ends;
mod isolation;
mod many;
#[cfg(unix)]
mod mapping;
mod message;
mod outlive;
mod process;
mod run;
#[cfg(unix)]
mod shared_memory;
#[cfg(unix)]
mod unix_only;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(not(target_os = "linux"))]
#[path = "watch_elsewhere.rs"]
mod watch;

use child::{child_main, target};
use shared_core::cli::{Files, Question, Tool};
use shared_core::{Lessons, Result, files};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
enum Lesson {
    Run(run::Options),
    Many(many::Options),
    Isolation(isolation::Options),
    Message(message::Options),
    #[cfg(unix)]
    SharedMemory(shared_memory::Options),
    Outlive(outlive::Options),
    Ends(ends::Options),
}

impl Lessons for Lesson {
    const DEMO: &str = env!("CARGO_PKG_NAME");
    const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

    fn run(&self) -> Result<()> {
        match self {
            Self::Run(options) => run::run(options),
            Self::Many(options) => many::run(options),
            Self::Isolation(options) => isolation::run(options),
            Self::Message(options) => message::run(options),
            #[cfg(unix)]
            Self::SharedMemory(options) => shared_memory::run(options),
            Self::Outlive(options) => outlive::run(options),
            Self::Ends(options) => ends::run(options),
        }
    }

    fn questions(&self) -> &'static [Question] {
        match self {
            Self::Run(_) => run::QUESTIONS,
            Self::Many(_) => many::QUESTIONS,
            Self::Isolation(_) => isolation::QUESTIONS,
            Self::Message(_) => message::QUESTIONS,
            #[cfg(unix)]
            Self::SharedMemory(_) => shared_memory::QUESTIONS,
            Self::Outlive(_) => outlive::QUESTIONS,
            Self::Ends(_) => ends::QUESTIONS,
        }
    }

    fn tools() -> Vec<Tool> {
        vec![watch::tool()]
    }

    fn files(&self) -> Files {
        match self {
            Self::Run(_) => files!("run", "process"),
            Self::Many(_) => files!("many", "many"),
            Self::Isolation(_) => files!("isolation", "isolation"),
            Self::Message(_) => files!("message", "message"),
            #[cfg(unix)]
            Self::SharedMemory(_) => files!("shared_memory", "shared_memory"),
            Self::Outlive(_) => files!("outlive", "outlive"),
            Self::Ends(_) => files!("ends", "process_ends"),
        }
    }
}

fn main() -> ExitCode {
    // The functions that a process can be made from. In a child process this
    // calls the one that its parent chose; in the first process it goes on.
    let targets = vec![
        target(run::run_process),
        target(many::work),
        target(isolation::add_in_child),
        target(message::double),
        target(message::produce),
        target(message::write_then_read),
        target(outlive::be_main),
        target(outlive::be_the_child),
        target(outlive::wait_for_parent),
        #[cfg(unix)]
        target(shared_memory::add_once),
        #[cfg(unix)]
        target(shared_memory::add_often),
        target(ends::return_with),
        target(ends::panic),
        target(ends::abort),
        target(ends::wait_for_ever),
    ];
    if let Some(status) = child_main(targets) {
        return status;
    }
    #[cfg(not(unix))]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == "shared-memory")
    {
        shared_core::complain(format_args!(
            "shared-memory maps memory in the way of Unix; what goes everywhere: \
             cargo run -p process-demo -- message"
        ));
        return ExitCode::from(2);
    }
    shared_core::main::<Lesson>()
}
