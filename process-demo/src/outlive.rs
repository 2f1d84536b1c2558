//! A process goes on when its parent ends; and yet that may be its end too.
//! (note 28)
//!
//! cargo run -p process-demo -- outlive --work-ms 20
//!
//! To copy: examples/outlive.rs, a child that goes on, without the reporting.

#[cfg(target_os = "linux")]
use crate::child::wait_for;
use crate::child::{Pipes, pipes};
use crate::process::Process;
#[cfg(unix)]
use crate::unix_only;
#[cfg(unix)]
use shared_core::children::{WaitStatus as _, adopted};
use shared_core::cli::Question;
use shared_core::report::{failed, require};
use shared_core::{Context, Result, Value, bail, check, fact, moment, report, span, waiting, who};
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// A process outlives its parent, and may feel its end
///
/// Nothing ends a process because its parent has ended: it gets another parent
/// (_exit(2)). But a pipe from its parent ends. Ctrl-C at a terminal goes to a whole
/// group of processes, and when the one that leads a terminal's session ends, the
/// group in its foreground is sent SIGHUP: both kill by default (signal(7)). And a process may ask to
/// be killed then, on Linux; but "parent" means the thread that made it
/// (PR_SET_PDEATHSIG, prctl(2)).
///
/// Try: cargo run -p process-demo -- outlive --work-ms 200
#[derive(clap::Args)]
pub struct Options {
    /// Work of the one that goes on, in ms (0 to 500)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=500))]
    work_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "A process ends that has made another one. What becomes of that?",
    choices: &[GOES_ON, "it ends too"],
    fact: "returned_child_said",
    is_a_race: false,
}];
const GOES_ON: &str = "it goes on";

/// What becomes of a main process that has a child.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Case {
    /// It returns. Its child has so many ms of work left.
    Returns(u32),
    /// Ctrl-C is pressed.
    CtrlC,
    /// It returns, and was the leader of a session at this terminal.
    #[cfg(target_os = "linux")]
    LeadsASession(String),
}

pub fn run(options: &Options) -> Result<()> {
    // This process only looks on: it starts main processes that have a child each.
    let mut family = Family::start(1, Case::Returns(options.work_ms))?;
    family.main.send("return")?;
    family.ends("returned")?;

    #[cfg(unix)]
    {
        // From a terminal Ctrl-C goes to a group of processes, not to one.
        let mut family = Family::start(2, Case::CtrlC)?;
        moment!("SIGINT");
        unix_only::interrupt_group_of(family.main.pid())?;
        family.ends("interrupted")?;
    }
    #[cfg(target_os = "linux")]
    {
        // A terminal hangs up when the leader of its session ends.
        let terminal = unix_only::Terminal::open()?;
        let mut family = Family::start(3, Case::LeadsASession(terminal.path()?))?;
        family.main.send("return")?;
        family.ends("hung_up")?;

        a_thread_ends()?;
    }
    #[cfg(not(target_os = "linux"))]
    report!("only on Linux: SIGHUP, a thread's end");
    judge();
    Ok(())
}

/// What runs in each main process.
pub fn be_main((number, case): (u32, Case)) -> ExitCode {
    match try_main(number, &case) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failed(format_args!("main {number}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn try_main(number: u32, case: &Case) -> Result<()> {
    let Pipes { mut input, output } = pipes()?;
    #[cfg(unix)]
    unix_only::default_signals()?; // who started us may ignore them, as nohup(1) does
    #[cfg(target_os = "linux")]
    if let Case::LeadsASession(terminal) = case {
        unix_only::lead_a_session(terminal)?;
    }
    let work_ms = if let Case::Returns(work_ms) = case {
        Some(*work_ms)
    } else {
        None
    };
    let child = Process::new(be_the_child, work_ms).named(&format!("child {number}"));
    let mut child = child.piped(output).outlives_its_parent();
    child.start()?;

    let reading = waiting!("read");
    input
        .read_line(&mut String::new())
        .context("failed to read")?;
    reading.end();
    moment!("return");
    report!("I return, and leave a child");
    std::mem::forget(child); // dropped, it would be killed
    Ok(())
}

/// What runs in each child of a main process.
pub fn be_the_child(work_ms: Option<u32>) {
    let Ok(mut pipes) = pipes() else { return };
    let parent = who::ppid();
    report!("I have begun");
    pipes.send(who::pid());
    let reading = waiting!("read");
    let line = pipes.receive();
    reading.end();

    if let Some(work_ms) = work_ms {
        let line = line.unwrap_or_else(|| "end of file".to_owned());
        moment!("{line}");
        fact!("child_read", line.as_str());
        // Who ends closes its files first; then its children get another parent.
        until(|| parent.is_none() || who::ppid() != parent);
        report!("{line}: my parent has ended");
        fact!("new_parent", who::ppid());
        let work = span!("work");
        thread::sleep(Duration::from_millis(work_ms.into()));
        work.end();
        pipes.send(GOES_ON);
    } else {
        // The signal is on its way; if it does not come, this is the end too.
        thread::sleep(A_SECOND / 2);
        pipes.send("no signal came");
    }
}

/// Two children of a thread that ends. One has asked to be killed then.
#[cfg(target_os = "linux")]
fn a_thread_ends() -> Result<()> {
    let starter = thread::Builder::new().name("starter".to_owned());
    let starter = starter.spawn(|| -> Result<[Process; 2]> {
        let mut children = Vec::new();
        for name in ["tied", "free"] {
            let (mut begun, theirs) = pipe().context("failed to make a pipe")?;
            let mut child = Process::new(wait_for_parent, ()).named(name).piped(theirs);
            if name == "tied" {
                child = child.ends_with_this_thread();
            }
            child.start()?;
            wait_for(&mut begun, name)?;
            children.push(child);
        }
        report!("the thread that made two ends");
        moment!("end");
        children
            .try_into()
            .map_err(|_| shared_core::anyhow!("not two children"))
    });
    let starter = starter.context("failed to start a thread")?;
    let children = starter.join();
    let children = children.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let [mut tied, mut free] = children?;

    let end = tied.join_timeout(A_SECOND)?;
    let end = end.map_or_else(|| "alive".to_owned(), |end| end.to_string());
    let alive = free.is_alive()?;
    report!("tied: {end}");
    report!("free: alive: {alive}");
    fact!("tied_end", end);
    fact!("free_is_alive", alive);
    drop(free.take_input()); // now it ends by itself
    free.join()?;
    Ok(())
}

/// What runs in both: it ends when its parent does, being the whole process.
pub fn wait_for_parent(_nothing: ()) {
    let Ok(mut pipes) = pipes() else { return };
    pipes.send("I have begun");
    let _ = pipes.receive();
}

// A first reading may skip the rest.

fn judge() {
    check!(
        "a child went on when its parent had returned",
        require("returned_child_said"),
        GOES_ON
    );
    check!(
        "what it read from its parent had come to the end",
        require("child_read"),
        "end of file"
    );
    if cfg!(unix) {
        let (old, new) = (require("returned_main_pid"), require("new_parent"));
        check!(
            "it was given another parent",
            new.clone(),
            new.is_u64() && new != old,
            format!("not {old}")
        );
        check!(
            "Ctrl-C ended both, for they were in one group",
            vec![
                require("interrupted_main_end"),
                require("interrupted_child_said")
            ],
            vec!["signal: 2 (SIGINT)", ""]
        );
    }
    if cfg!(target_os = "linux") {
        let end = require("hung_up_child_end");
        let no_signal = require("hung_up_child_said") != "";
        check!(
            "the child of a session's leader was killed by SIGHUP",
            end.clone(),
            end == "killed by SIGHUP" || end == UNKNOWN && !no_signal,
            "killed by SIGHUP"
        );
        check!(
            "one that asked for it was killed when the thread that made it ended",
            require("tied_end"),
            "signal: 9 (SIGKILL)"
        );
        check!(
            "another one that the thread had made went on",
            require("free_is_alive"),
            true
        );
    }
}

/// A main process, the PID of its child, and the pipe that the child writes to.
struct Family {
    main: Process,
    child: u32,
    news: BufReader<PipeReader>,
}

impl Family {
    /// Returns when both have begun.
    fn start(number: u32, case: Case) -> Result<Self> {
        let (news, theirs) = pipe().context("failed to make a pipe")?;
        let group = case == Case::CtrlC;
        let main = Process::new(be_main, (number, case));
        let mut main = main.named(&format!("main {number}")).piped(theirs);
        if group {
            main = main.in_a_group_of_its_own();
        }
        main.start()?;
        let (mut news, mut line) = (BufReader::new(news), String::new());
        news.read_line(&mut line).context("failed to read")?;
        if line.is_empty() {
            let status = main.join()?;
            bail!("main {number} ended before it had a child: {status}");
        }
        let child = line.trim().parse().context("failed to read a PID")?;
        Ok(Self { main, child, news })
    }

    /// Waits for the end of both, and says what became of them.
    fn ends(&mut self, case: &str) -> Result<()> {
        let joining = waiting!("join");
        let main = self.main.join()?;
        joining.end();
        report!("{}: {main}", self.main.name());
        let reading = waiting!("read");
        let mut said = String::new();
        self.news
            .read_to_string(&mut said)
            .context("failed to read")?;
        reading.end();
        let name = self.main.name().replace("main", "child");
        let end = end_of_orphan(self.child, &name)?;
        report!("{name}: {end}");
        for (fact, value) in [
            ("main_pid", self.main.pid().into()),
            ("main_end", main.to_string().into()),
            ("child_said", said.trim().into()),
            ("child_end", Value::from(end)),
        ] {
            shared_core::report::fact(format_args!("{case}_{fact}"), value);
        }
        Ok(())
    }
}

const UNKNOWN: &str = "its end only init was told";

/// How an orphan ended. It came to the first process of the run, where the system
/// lets it (PR_SET_CHILD_SUBREAPER, prctl(2)); else to init, which tells nobody.
#[cfg(unix)]
fn end_of_orphan(pid: u32, name: &str) -> Result<String> {
    let Some(mut orphan) = adopted(pid, name)? else {
        return Ok(UNKNOWN.to_owned());
    };
    let status = orphan.reap(|pid| nix::sys::wait::waitpid(pid, None))?;
    let end = status.end().map(|end| end.to_string());
    Ok(end.unwrap_or_default())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the shape of the other one")]
fn end_of_orphan(_: u32, _: &str) -> Result<String> {
    Ok("its end is not available here".to_owned())
}

/// Longer than anything here takes; nothing lives longer than that.
const A_SECOND: Duration = Duration::from_secs(1);

/// Asks the kernel until it says so.
fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() && start.elapsed() < A_SECOND {
        thread::sleep(Duration::from_millis(1));
    }
}
