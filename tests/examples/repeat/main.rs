//! repeat [DEMO]…: runs lessons many times while every CPU is kept busy, and says
//! how often one failed or left something behind. With `--kill` and `--signal` a
//! signal comes at a random moment; with `--inject` the system refuses a call.
//!
//! ```text
//! cargo run -p tests --example repeat -- fork-demo --runs 1000
//! ```

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("repeat: only Linux has subreapers");
    std::process::exit(2);
}

#[cfg(target_os = "linux")]
mod guarded;
#[cfg(target_os = "linux")]
mod inject;
#[cfg(target_os = "linux")]
mod moments;
#[cfg(target_os = "linux")]
mod plain;
#[cfg(target_os = "linux")]
mod tally;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use crate::guarded::{Guarded, Orphans};
    use crate::tally::{Fault, Tally};
    use crate::{guarded, inject, moments, plain};
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser, ValueEnum};
    use nix::sys::signal::Signal;
    use shared_core::{Context, Result, cause, complain, ensure};
    use std::fmt;
    use std::hint::spin_loop;
    use std::io::{Write, stdout};
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode};
    use std::thread;
    use std::time::{Duration, Instant};
    use tests::{DEMOS, listed_lessons, program};

    /// Runs lessons many times while every CPU is kept busy, and says how often
    /// one failed or left something behind
    #[derive(Parser)]
    #[command(name = "repeat", max_term_width = 80)]
    pub struct Options {
        /// Whose lessons run; without any, those of all demos
        #[arg(value_name = "DEMO", value_parser = DEMOS)]
        demos: Vec<String>,
        /// Only the lesson of this name; may be given more than once
        #[arg(long = "lesson", value_name = "NAME")]
        lessons: Vec<String>,
        /// Not the lesson of this name; may be given more than once
        #[arg(long, value_name = "NAME")]
        skip: Vec<String>,
        /// Another program that lists lessons in its --help
        #[arg(long, value_name = "PATH", conflicts_with = "demos")]
        program: Option<PathBuf>,
        /// How many runs a lesson, or with --inject positions a call, at most
        /// [default: 1000; 200 with --kill or --signal; 64 with --inject]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        runs: Option<u32>,
        /// After so many seconds no further run of a lesson (with --inject: for a
        /// call) begins
        #[arg(long, value_name = "SECONDS")]
        limit: Option<u64>,
        /// Kill the first process (SIGKILL) at a random moment
        #[arg(long, group = "how")]
        kill: bool,
        /// Send this signal at a random moment, to the first process and to the
        /// whole group in turn
        #[arg(long, group = "how", ignore_case = true)]
        signal: Option<Handled>,
        /// Let the system refuse each call in turn that a lesson cannot do
        /// without (with strace; the CPUs are left alone)
        #[arg(long, group = "how")]
        inject: bool,
        /// Other random moments
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        seed: u64,
    }

    /// The signals that a run handles.
    #[derive(Clone, Copy, ValueEnum)]
    #[value(rename_all = "UPPER")]
    enum Handled {
        Int,
        Term,
        Hup,
    }

    impl From<Handled> for Signal {
        fn from(signal: Handled) -> Self {
            match signal {
                Handled::Int => Self::SIGINT,
                Handled::Term => Self::SIGTERM,
                Handled::Hup => Self::SIGHUP,
            }
        }
    }

    /// A lesson, and what runs it.
    pub struct Lesson {
        /// The path of the demo.
        pub program: PathBuf,
        /// How the demo calls the lesson.
        pub name: String,
    }

    impl Lesson {
        /// Starts it as it is.
        pub fn start(&self, orphans: Orphans) -> Result<Guarded> {
            Guarded::start(&[self.program.as_os_str(), self.name.as_ref()], orphans)
        }
    }

    impl fmt::Display for Lesson {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let program = self.program.file_name().unwrap_or_default();
            write!(f, "{} {}", program.display(), self.name)
        }
    }

    /// The whole program.
    pub fn main() -> ExitCode {
        let options = Options::parse();
        match try_main(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(format_args!("{}", cause(error)));
                let signal = guarded::interrupted_by().and_then(|signal| u8::try_from(signal).ok());
                signal.map_or(ExitCode::FAILURE, |signal| ExitCode::from(128 + signal))
            }
        }
    }

    /// Whether every run was as it should be.
    fn try_main(options: &Options) -> Result<bool> {
        guarded::end_on_signals()?;
        let lessons = options.chosen_lessons()?;
        if !options.inject {
            keep_cpus_busy();
        }
        print_row(options.headings())?;
        let mut faults = Vec::new();
        for lesson in &lessons {
            for tally in options.tallies(lesson)? {
                print_row(&tally.row)?;
                faults.extend(tally.faults);
            }
        }
        faults.iter().try_for_each(print_fault)?;
        Ok(faults.is_empty())
    }

    impl Options {
        fn chosen_lessons(&self) -> Result<Vec<Lesson>> {
            let programs: Vec<PathBuf> = match (&self.program, &self.demos[..]) {
                (Some(path), _) => {
                    // Runs have a folder of their own.
                    let found = path.canonicalize();
                    vec![found.with_context(|| format!("failed to find {}", path.display()))?]
                }
                (None, []) => DEMOS.map(|demo| program(demo).to_owned()).into(),
                (None, demos) => demos.iter().map(|demo| program(demo).to_owned()).collect(),
            };
            let mut lessons = Vec::new();
            for program in programs {
                lessons.extend(lessons_of(&program)?);
            }
            for name in self.lessons.iter().chain(&self.skip) {
                let is_there = lessons.iter().any(|lesson| lesson.name == *name);
                if !is_there {
                    let error = format!("there is no lesson {name}");
                    Self::command().error(ErrorKind::InvalidValue, error).exit();
                }
            }
            lessons.retain(|lesson| !self.skip.contains(&lesson.name));
            lessons.retain(|lesson| self.lessons.is_empty() || self.lessons.contains(&lesson.name));
            ensure!(!lessons.is_empty(), "there are no lessons");
            Ok(lessons)
        }

        fn headings(&self) -> &'static [&'static str] {
            match self {
                Self { inject: true, .. } => &inject::HEADINGS,
                Self { kill: true, .. }
                | Self {
                    signal: Some(_), ..
                } => &moments::HEADINGS,
                _ => &plain::HEADINGS,
            }
        }

        /// Runs the lesson, and says what came of it: a row of the table each.
        fn tallies(&self, lesson: &Lesson) -> Result<Vec<Tally>> {
            let limit = self.limit.map(Duration::from_secs);
            let times = |runs| Times {
                runs: self.runs.unwrap_or(runs),
                limit,
            };
            let signal = self.signal.map(Signal::from);
            let signal = signal.or(self.kill.then_some(Signal::SIGKILL));
            match signal {
                _ if self.inject => inject::tallies(lesson, times(64)),
                Some(signal) => {
                    let tally = moments::tally(lesson, signal, times(200), self.seed);
                    Ok(vec![tally?])
                }
                None => Ok(vec![plain::tally(lesson, times(1000))?]),
            }
        }
    }

    /// How often something is done, and for how long.
    #[derive(Clone, Copy)]
    pub struct Times {
        runs: u32,
        limit: Option<Duration>,
    }

    impl Times {
        /// The number of each run, from 1 on; there is always a first one.
        pub fn each(self) -> impl Iterator<Item = u32> {
            let until = self
                .limit
                .and_then(|limit| Instant::now().checked_add(limit));
            let in_time =
                move |run: &u32| *run == 1 || until.is_none_or(|until| Instant::now() < until);
            (1..=self.runs).take_while(in_time)
        }
    }

    fn lessons_of(program: &Path) -> Result<Vec<Lesson>> {
        let help = Command::new(program).arg("--help").output();
        let help = help.with_context(|| format!("failed to run {}", program.display()))?;
        let help = String::from_utf8_lossy(&help.stdout);
        let lesson = |name: &str| Lesson {
            program: program.to_owned(),
            name: name.to_owned(),
        };
        Ok(listed_lessons(&help).into_iter().map(lesson).collect())
    }

    /// From here on each CPU has something to do, besides: the scheduler then
    /// interrupts a lesson at moments at which it otherwise never does.
    fn keep_cpus_busy() {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cpus {
            // It ends with this process.
            thread::spawn(|| {
                loop {
                    spin_loop();
                }
            });
        }
    }

    /// A row of the table: a name, and right of it numbers.
    fn print_row<S: AsRef<str>>(cells: &[S]) -> Result<()> {
        let mut cells = cells.iter().map(AsRef::as_ref);
        let mut row = format!("{:28}", cells.next().unwrap_or_default());
        for cell in cells {
            row += &format!(" {cell:>11}");
        }
        writeln!(stdout(), "{row}").context("failed to write to stdout")
    }

    fn print_fault(Fault { what, output }: &Fault) -> Result<()> {
        writeln!(stdout(), "\n--- {what}\n{output}").context("failed to write to stdout")
    }
}
