//! fork(): one call, two returns.

#[cfg(unix)]
mod buffer;
#[cfg(unix)]
mod common;
#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod family;
#[cfg(unix)]
mod memory;
#[cfg(unix)]
mod orphan;
#[cfg(unix)]
mod puzzle;
#[cfg(unix)]
mod returns_twice;
#[cfg(unix)]
mod tree;
#[cfg(unix)]
mod with_threads;
#[cfg(unix)]
mod zombie;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    shared_core::main::<lessons::Lesson>()
}

#[cfg(not(unix))]
fn main() -> std::process::ExitCode {
    eprintln!("fork-demo: fork() is a Unix call, this system has none;");
    eprintln!("the portable way to start a process: cargo run -p process-demo");
    std::process::ExitCode::from(2)
}

#[cfg(unix)]
mod lessons {
    use crate::{
        buffer, exec, family, memory, orphan, puzzle, returns_twice, tree, with_threads, zombie,
    };
    use shared_core::cli::{Files, Question};
    use shared_core::{Lessons, Result, files};

    #[derive(clap::Subcommand)]
    pub enum Lesson {
        ReturnsTwice(returns_twice::Options),
        Family(family::Options),
        Tree(tree::Options),
        Memory(memory::Options),
        Zombie(zombie::Options),
        Orphan(orphan::Options),
        Exec(exec::Options),
        Buffer(buffer::Options),
        WithThreads(with_threads::Options),
        Puzzle(puzzle::Options),
    }

    impl Lessons for Lesson {
        const DEMO: &str = env!("CARGO_PKG_NAME");
        const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

        fn run(&self) -> Result<()> {
            match self {
                Self::ReturnsTwice(options) => returns_twice::run(options),
                Self::Family(options) => family::run(options),
                Self::Tree(options) => tree::run(options),
                Self::Memory(options) => memory::run(options),
                Self::Zombie(options) => zombie::run(options),
                Self::Orphan(options) => orphan::run(options),
                Self::Exec(options) => exec::run(options),
                Self::Buffer(options) => buffer::run(options),
                Self::WithThreads(options) => with_threads::run(options),
                Self::Puzzle(options) => puzzle::run(options),
            }
        }

        fn questions(&self) -> &'static [Question] {
            match self {
                Self::ReturnsTwice(_) => returns_twice::QUESTIONS,
                Self::Family(_) => family::QUESTIONS,
                Self::Tree(_) => tree::QUESTIONS,
                Self::Memory(_) => memory::QUESTIONS,
                Self::Zombie(_) => zombie::QUESTIONS,
                Self::Orphan(_) => orphan::QUESTIONS,
                Self::Exec(_) => exec::QUESTIONS,
                Self::Buffer(_) => buffer::QUESTIONS,
                Self::WithThreads(_) => with_threads::QUESTIONS,
                Self::Puzzle(_) => puzzle::QUESTIONS,
            }
        }

        fn files(&self) -> Files {
            match self {
                Self::ReturnsTwice(_) => files!("returns_twice", "fork"),
                Self::Family(_) => files!("family", "family"),
                Self::Tree(_) => files!("tree", "tree"),
                Self::Memory(_) => files!("memory", "memory"),
                Self::Zombie(_) => files!("zombie", "zombie"),
                Self::Orphan(_) => files!("orphan", "orphan"),
                Self::Exec(_) => files!("exec", "exec"),
                Self::Buffer(_) => files!("buffer", "buffer"),
                Self::WithThreads(_) => files!("with_threads", "with_threads"),
                Self::Puzzle(_) => files!("puzzle", "puzzle"),
            }
        }

        fn exercise(&self) -> Option<String> {
            match self {
                Self::Puzzle(options) => Some(puzzle::exercise(options)),
                _ => None,
            }
        }

        fn role(&self) -> &'static str {
            match self {
                Self::Orphan(_) => "grandparent",
                _ => "parent",
            }
        }
    }
}
