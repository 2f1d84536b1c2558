//! fork(): one call, two returns.

#[cfg(unix)]
mod returns_twice;

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
    use crate::returns_twice;
    use shared_core::cli::{Files, Question};
    use shared_core::{Lessons, Result, files};

    #[derive(clap::Subcommand)]
    pub enum Lesson {
        ReturnsTwice(returns_twice::Options),
    }

    impl Lessons for Lesson {
        const DEMO: &str = env!("CARGO_PKG_NAME");
        const ABOUT: &str = env!("CARGO_PKG_DESCRIPTION");

        fn run(&self) -> Result<()> {
            match self {
                Self::ReturnsTwice(options) => returns_twice::run(options),
            }
        }

        fn questions(&self) -> &'static [Question] {
            match self {
                Self::ReturnsTwice(_) => returns_twice::QUESTIONS,
            }
        }

        fn files(&self) -> Files {
            match self {
                Self::ReturnsTwice(_) => files!("returns_twice", "fork"),
            }
        }
    }
}
