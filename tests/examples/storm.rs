//! Lessons that only a test would take: many processes that speak at once,
//! children that die or never end.

#[cfg(not(unix))]
fn main() {
    eprintln!("storm: needs fork");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    shared_core::main::<storm::Lesson>()
}

#[cfg(unix)]
mod storm {
    use nix::sys::signal::{Signal, raise};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork, pause};
    use shared_core::children::{Child, WaitStatus as _, about_to_fork};
    use shared_core::report::{End, events, require};
    use shared_core::{Lessons, Result, check, fact, report, span};

    #[derive(clap::Subcommand)]
    pub enum Lesson {
        /// Many processes report many lines
        Speak {
            #[arg(long, default_value_t = 64)]
            processes: u32,
            #[arg(long, default_value_t = 1000)]
            lines: u32,
        },
        /// The child dies in the middle of a span, before its fact
        Die,
        /// The children wait for ever
        Hang,
        /// The parent panics while its child waits for ever
        Panic,
        /// A child panics
        ChildPanics,
        /// Nothing is checked
        NoCheck,
    }

    impl Lessons for Lesson {
        const DEMO: &str = "storm";
        const ABOUT: &str = "Lessons that only a test would take";

        fn run(&self) -> Result<()> {
            match self {
                Self::Speak { processes, lines } => speak(*processes, *lines),
                Self::Die => {
                    wait_for(&mut make(1, |_| {
                        let _span = span!("dying");
                        let _ = raise(Signal::SIGKILL);
                        fact!("survived", true);
                        0
                    })?)?;
                    check!("the child survived", require("survived") == true);
                    Ok(())
                }
                Self::Hang => wait_for(&mut make(3, |_| wait_for_ever())?).map(drop),
                Self::Panic => {
                    let _children = make(1, |_| wait_for_ever())?;
                    panic!("the parent panics");
                }
                Self::ChildPanics => {
                    let ends = wait_for(&mut make(1, |_| panic!("the child panics"))?);
                    check!("it left with 101", ends? == [End::Exited(101)]);
                    Ok(())
                }
                Self::NoCheck => Ok(()),
            }
        }

        fn snippet(&self) -> &'static str {
            ""
        }
    }

    fn speak(processes: u32, lines: u32) -> Result<()> {
        let mut children = make(processes, |number| {
            for line in 0..lines {
                report!("process {number} line {line} end");
            }
            0
        })?;
        wait_for(&mut children)?;
        let said = events()?
            .iter()
            .filter(|event| event.cat == "report")
            .count();
        let all = processes as usize * lines as usize;
        check!("all lines are in the event log", said == all);
        Ok(())
    }

    fn wait_for_ever() -> i32 {
        report!("waiting");
        loop {
            pause();
        }
    }

    fn make(count: u32, body: impl Fn(u32) -> i32) -> Result<Vec<Child>> {
        let mut children = Vec::new();
        for number in 0..count {
            let start = about_to_fork("child")?;
            // SAFETY: this program makes no thread, as just confirmed.
            match unsafe { fork() }? {
                ForkResult::Child => start.in_child(|| body(number)),
                ForkResult::Parent { child } => children.push(start.made(child)),
            }
        }
        Ok(children)
    }

    fn wait_for(children: &mut [Child]) -> Result<Vec<End>> {
        let mut ends = Vec::new();
        for child in children {
            let status = child.reap(|pid| waitpid(pid, None))?;
            ends.extend(status.end());
        }
        Ok(ends)
    }
}
