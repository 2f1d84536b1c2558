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
    use nix::sys::signal::{Signal, kill, raise};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork, pause};
    use shared_core::children::{Child, WaitStatus as _, about_to_fork, about_to_spawn};
    use shared_core::cli::{Files, Question};
    use shared_core::ending::{MOST_CHILDREN, stop};
    use shared_core::report::{End, events, require};
    use shared_core::{Context, Lessons, Result, anyhow, check, fact, report, span, who};
    use std::fs::File;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::sync::Barrier;
    use std::thread;
    use std::time::Instant;

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
        /// Children are killed in the middle of whatever they are writing
        KillWriters {
            #[arg(long, default_value_t = 30)]
            kills: u32,
        },
        /// The parent requires its own facts while children record theirs
        Require {
            #[arg(long, default_value_t = 10_000)]
            facts: u32,
        },
        /// Half a record is written into the event log
        Garble {
            #[arg(long)]
            with_a_kill: bool,
        },
        /// Many facts are recorded, and what one costs
        Record {
            #[arg(long, default_value_t = 100_000)]
            facts: u32,
        },
        /// A program that is none of ours says what descriptors it has
        Execute,
        /// Children end in each way, and a thread does not
        Ends,
        /// A child reports between fork and guard, until nobody reads any more
        ReportWhileStarting,
        /// A child is being made, and never done
        NeverStarted,
        /// A child has a child of its own, and both wait for ever
        Grandchildren,
        /// A child ends, and its own child lives on
        Outlive,
        /// More children at one time than can be guarded
        TooMany,
        /// The parent forgets its child
        Forget,
        /// Two threads end the run at once
        TwoEnds,
        /// A thread starts a program that waits for ever, and ends
        ThreadEnds,
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
                    check!("the child survived", require("survived"), true);
                    Ok(())
                }
                Self::Hang => wait_for(&mut make(3, |_| wait_for_ever())?).map(drop),
                Self::Panic => {
                    let _children = make(1, |_| wait_for_ever())?;
                    panic!("the parent panics");
                }
                Self::ChildPanics => {
                    let ends = wait_for(&mut make(1, |_| panic!("the child panics"))?);
                    check!("it left with 101", ends? == [End::Exited(101)], true);
                    Ok(())
                }
                Self::NoCheck => Ok(()),
                Self::KillWriters { kills } => kill_writers(*kills),
                Self::Require { facts } => require_while_others_write(*facts),
                Self::Garble { with_a_kill } => garble(*with_a_kill),
                Self::Record { facts } => {
                    record(*facts);
                    Ok(())
                }
                Self::Execute => execute(),
                Self::Ends => ends(),
                Self::ReportWhileStarting => {
                    let _start = about_to_fork("child")?;
                    loop {
                        report!("a line for nobody");
                    }
                }
                Self::NeverStarted => {
                    let _start = about_to_fork("child")?;
                    report!("waiting");
                    loop {
                        pause();
                    }
                }
                Self::Grandchildren => {
                    let parents = make(1, |_| {
                        let Ok(_children) = make(1, |_| wait_for_ever()) else {
                            return 1;
                        };
                        wait_for_ever()
                    });
                    wait_for(&mut parents?).map(drop)
                }
                Self::Outlive => outlive(),
                Self::TooMany => {
                    let most = u32::try_from(MOST_CHILDREN)?;
                    make(most + 1, |_| {
                        loop {
                            pause();
                        }
                    })
                    .map(drop)
                }
                Self::Forget => {
                    std::mem::forget(make(1, |_| wait_for_ever())?);
                    check!("nothing", true, true);
                    Ok(())
                }
                Self::TwoEnds => {
                    let _children = make(1, |_| wait_for_ever())?;
                    let together = Barrier::new(2);
                    thread::scope(|scope| {
                        let ends = [3, 4].map(|status| {
                            let together = &together;
                            scope.spawn(move || {
                                together.wait();
                                stop(status);
                            })
                        });
                        drop(ends);
                    });
                    Ok(())
                }
                Self::ThreadEnds => thread_ends(),
            }
        }

        fn questions(&self) -> &'static [Question] {
            &[]
        }

        fn files(&self) -> Files {
            Files {
                source: "examples/storm.rs",
                source_text: "",
                snippet: "examples/storm.rs",
                text: "",
            }
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
        check!("all lines are in the event log", said == all, true);
        Ok(())
    }

    fn kill_writers(kills: u32) -> Result<()> {
        for number in 0..kills {
            let children = make(2, |_| {
                let text = "x".repeat(200);
                report!("writing");
                loop {
                    fact!("long", text.as_str());
                }
            })?;
            // Not before each writes; how far it has come then, is chance.
            let writing = |child: &Child| {
                let events = events().unwrap_or_default();
                let pid = child.pid().as_raw().unsigned_abs();
                events.iter().any(|e| e.pid == pid && e.cat == "fact")
            };
            while !children.iter().all(writing) {}
            for mut child in children {
                kill(child.pid(), Signal::SIGKILL)?;
                child.reap(|pid| waitpid(pid, None))?;
            }
            fact!("mine", number);
            check!("my own fact is there", require("mine") == number, true);
        }
        Ok(())
    }

    fn require_while_others_write(facts: u32) -> Result<()> {
        let _writers = make(2, |number| {
            for _ in 0..4 * facts {
                fact!(
                    "of_child_{number}",
                    "a text that takes its time to be written"
                );
            }
            wait_for_ever()
        })?;
        let mut missing = 0;
        for number in 0..facts {
            fact!("mine", number);
            missing += u32::from(require("mine") != number);
        }
        fact!("missing", missing);
        check!("every fact was there", missing == 0, true);
        Ok(())
    }

    fn garble(with_a_kill: bool) -> Result<()> {
        let log = std::fs::read_dir("/proc/self/fd")?.flatten().find(|entry| {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            target.to_string_lossy().contains("memfd:run")
        });
        let log = log.context("no event log among the descriptors")?;
        let mut log = File::options().append(true).open(log.path())?;
        log.write_all(b"\n{\"name\":\"half")?;
        if with_a_kill {
            wait_for(&mut make(1, |_| {
                let _ = raise(Signal::SIGKILL);
                0
            })?)?;
        }
        check!("nothing", true, true);
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "some hours are enough")]
    fn record(facts: u32) {
        let start = Instant::now();
        for number in 0..facts {
            fact!("number", number);
        }
        let each = start.elapsed() / facts;
        let start = Instant::now();
        check!("all are there", require("number") == facts - 1, true);
        let first = start.elapsed();
        let start = Instant::now();
        let again = require("number") == facts - 1;
        check!("again", again, true);
        fact!("record_ns", each.as_nanos() as u64);
        fact!("first_read_us", first.as_micros() as u64);
        fact!("second_read_us", start.elapsed().as_micros() as u64);
    }

    fn execute() -> Result<()> {
        let output = Command::new("ls").arg("/proc/self/fd").output()?;
        let list = String::from_utf8_lossy(&output.stdout);
        fact!("descriptors", list.split_whitespace().count());
        // 3 is the folder that ls reads.
        check!("0, 1, 2, and none of ours", list == "0\n1\n2\n3\n", true);
        Ok(())
    }

    fn ends() -> Result<()> {
        let mut raising = make(2, |number| {
            let _ = raise([Signal::SIGTERM, Signal::SIGKILL][number as usize]);
            0
        })?;
        let ended = wait_for(&mut raising)?;
        let killed = |by: &str| End::Killed(by.to_owned());
        check!(
            "killed",
            ended == [killed("SIGTERM"), killed("SIGKILL")],
            true
        );

        let start = about_to_spawn("true")?;
        let mut process = Command::new("true").spawn()?;
        let mut child = start.made(process.id());
        let status = child.reap(|_| process.wait())?;
        check!("exited", status.success(), true);

        let (said, wait) = std::sync::mpsc::channel();
        thread::Builder::new()
            .name("detached".to_owned())
            .spawn(move || {
                report!("I stay");
                let _ = said.send(());
                loop {
                    thread::park();
                }
            })?;
        wait.recv()?;
        Ok(())
    }

    fn outlive() -> Result<()> {
        wait_for(&mut make(1, |_| {
            let Ok(start) = about_to_fork("grandchild") else {
                return 1;
            };
            let start = start.may_outlive_its_parent();
            // SAFETY: this program makes no thread, as just confirmed.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => start.in_child(wait_for_ever),
                Ok(ForkResult::Parent { child }) => {
                    let child = start.made(child);
                    fact!("grandchild", child.pid().as_raw());
                    0
                }
                Err(_) => 1,
            }
        })?)?;
        let pid = require("grandchild").as_u64().unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let mut fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        check!(
            "it lives",
            fields.next().is_some_and(|state| state != "Z"),
            true
        );
        let parent = fields.next().and_then(|pid| pid.parse().ok());
        check!(
            "its parent is the subreaper",
            parent == Some(who::pid()),
            true
        );
        Ok(())
    }

    /// A program that waits for ever, started by a thread that ends: it goes on.
    fn thread_ends() -> Result<()> {
        let started = thread::spawn(|| -> Result<_> {
            let start = about_to_spawn("cat")?;
            let mut command = Command::new("cat");
            let process = command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            Ok((start.made(process.id()), process))
        });
        let (mut child, mut process) = started.join().map_err(|_| anyhow!("a panic"))??;
        let still_there = child.reap(|_| process.try_wait())?.is_none();
        check!("it goes on", still_there, true);
        drop(process.stdin.take());
        check!("and ends", child.reap(|_| process.wait())?.success(), true);
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
