//! Workers that are not handed the event log take part in the run all the same: what
//! they record and say comes as frames.

use pool_demo::{Launcher, Pool, Task, worker};
use serde::{Deserialize, Serialize};
use shared_core::cli::{Files, Question};
use shared_core::report::require;
use shared_core::{Lessons, Result, Value, check, fact, report, span, who};
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::thread;

fn main() -> ExitCode {
    if let Some(status) = worker::main(&[worker::of::<Speak>()]) {
        return status;
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [first, program, args @ ..] if first == LAUNCH => launch(program, args),
        _ => shared_core::main::<Lesson>(),
    }
}

/// What makes this program a launcher.
const LAUNCH: &str = "launch";

/// Only executes the worker.
fn launch(program: &OsString, args: &[OsString]) -> ExitCode {
    let status = Command::new(program).args(args).status();
    let code = status.ok().and_then(|status| status.code());
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[derive(clap::Subcommand)]
enum Lesson {
    /// Workers record and say from afar
    Speak,
}

/// Records and says something, from two threads.
#[derive(Serialize, Deserialize)]
struct Speak(u32);

impl Task for Speak {
    type Output = u32;
    const NAME: &'static str = "speak";

    fn run(self) -> u32 {
        let _span = span!("task {}", self.0);
        report!("task {} speaks", self.0);
        fact!("task_pid", who::process());
        let task = self.0;
        let thread = thread::spawn(move || fact!("task_{task}_in_a_thread", task));
        let _ = thread.join();
        who::process()
    }
}

impl Lessons for Lesson {
    const DEMO: &str = "from-afar";
    const ABOUT: &str = "Workers that are not handed the event log";

    fn run(&self) -> Result<()> {
        let own = std::env::current_exe()?.to_string_lossy().into_owned();
        let words = [own.as_str(), LAUNCH];
        let launcher = Launcher::new(&shell_words::join(words))?; // a path may have spaces
        let pool = Pool::builder().workers(2).launcher(Some(&launcher));
        let pool = pool.start()?;
        let mut pids: Vec<u32> = Vec::new();
        for outcome in pool.map((0..20).map(Speak), Some(1)) {
            pids.push(outcome?);
        }
        pool.join();
        let seen: Vec<Value> = (0..20)
            .map(|task| require(&format!("task_{task}_in_a_thread")))
            .collect();
        check!("all facts came", seen, (0..20).collect::<Vec<u32>>());
        let last = require("task_pid");
        let is_a_worker = pids.iter().any(|pid| last == *pid);
        check!("from a worker", last.clone(), is_a_worker, "a worker");
        Ok(())
    }

    fn questions(&self) -> &'static [Question] {
        &[]
    }

    fn files(&self) -> Files {
        let (source, snippet, text) = ("", "", "");
        Files {
            source,
            source_text: text,
            snippet,
            text,
        }
    }
}
