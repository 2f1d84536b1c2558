//! A run, as one of its processes sees it: how it speaks, and how it is handed
//! on to other processes.

use super::clock::Offset;
use super::event::{Event, Phase};
use super::lane::{Place, arg, close_lane, lane_number, open_lane, record};
use super::log::{LOG, Log};
use crate::ending::{self, is_first_process, stop};
use crate::platform::{self, Handles, Link, Output, ToChild, receive, take_stdin};
use crate::who::{self, Elsewhere};
use crate::{cause, complain, lane_style, pad};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::panic::Location;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, PoisonError};
use textwrap::core::display_width;

/// How the processes of a run speak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The first process, which judges.
    pub(crate) first: u32,
    /// When lines go to stdout.
    pub(crate) lines: Printed,
    /// Lines in the colour of their lane.
    pub(crate) colour: bool,
    /// The columns of the terminal; `None` where the output is not a terminal, and
    /// lines are as long as they are.
    pub(crate) width: Option<usize>,
    /// TIDs on every line, from the first on.
    pub(crate) show_threads: bool,
}

/// When what is reported is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Printed {
    /// When it is said.
    AtOnce,
    /// Slowly, after the run: `--slow`.
    Later,
    /// Not as a line: `--json`.
    Never,
}

static SESSION: OnceLock<Session> = OnceLock::new();

pub(crate) struct Session {
    output: Lines,
    pub(crate) settings: Settings,
}

/// Where lines go.
enum Lines {
    Here(Output),
    /// Out of the events, by the process that has the event log.
    Elsewhere,
}

/// Begins a run, of which this is the first process.
pub(crate) fn begin(role: &str, settings: Settings) -> Result<&'static Session> {
    who::set_role(role);
    let log = Log::create()?;
    let output = Lines::Here(Output::stdout().context("failed to open stdout")?);
    LOG.get_or_init(|| log);
    let session = SESSION.get_or_init(|| Session { output, settings });
    open_lane(None);
    Ok(session)
}

/// The run that this process takes part in.
pub(super) fn session() -> Option<&'static Session> {
    SESSION.get()
}

impl Session {
    /// Writes `text`, which is one line or several, to the run's stdout.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        match &self.output {
            Lines::Here(output) => output.write(text),
            Lines::Elsewhere => Ok(()),
        }
    }

    /// Prints while the run goes on. In the first process an error ends it: with
    /// the status of a SIGPIPE, and quietly, if nobody reads any more. In
    /// another process it is kept for the first to find.
    pub(crate) fn say(&self, text: &str) {
        let Err(error) = self.print(text) else { return };
        let closed = error.kind() == ErrorKind::BrokenPipe;
        let text = format!("failed to write to stdout: {}", cause(error));
        if is_first_process() {
            if !closed {
                complain(format_args!("{text}"));
            }
            stop(if closed { CLOSED_PIPE } else { 1 });
        } else if !closed {
            record(Phase::Instant, "error", &text, Map::new());
        }
    }

    /// The line of a report in a run that is over. `lane` tells the number of the lane of
    /// a thread.
    pub(crate) fn line_of(&self, report: &Event, lane: impl Fn(&Event) -> usize) -> String {
        let label = report.args.get("speaker").and_then(Value::as_str);
        let speaker = match label {
            Some(label) => Speaker::Once(label, lane(report)),
            None => Speaker::Elsewhere(report),
        };
        self.line(&speaker, report.ts, &report.name)
    }

    /// Whether the event log and the terminal are out of reach.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.output, Lines::Elsewhere)
    }

    /// Who speaks stands in a column that is wide enough for two PIDs, of which the
    /// second may have a digit more, and a name of ten letters; a text that is too
    /// long for the terminal goes on below itself.
    pub(super) fn line(&self, speaker: &Speaker<'_>, time: f64, text: &str) -> String {
        let digits = (self.settings.first + PIDS_OF_A_RUN).to_string().len();
        let width = 14 + 2 * digits;
        let style = if self.settings.colour {
            lane_style(speaker.lane())
        } else {
            anstyle::Style::new()
        };
        let ms = time / 1e3;
        let speaker = pad(&speaker.label(&self.settings), width);
        let column = 12 + display_width(&speaker);
        let indent = format!("\n{:column$} │ ", "");
        let room = self
            .settings
            .width
            .and_then(|width| width.checked_sub(column + 3));
        let text = match room.filter(|room| *room >= 10) {
            Some(room) => textwrap::wrap(text, room).join(&indent),
            None => text.to_owned(),
        };
        format!("{ms:>8.3} ms {style}{speaker}{style:#} │ {text}\n")
    }
}

/// Who says a line.
pub(super) enum Speaker<'a> {
    /// The calling thread.
    Here,
    /// The thread of a launched worker whose event this is.
    Elsewhere(&'a Event),
    /// Who said it in a run that is over: its label and the number of its lane.
    Once(&'a str, usize),
}

/// The names and the numbers of lanes that began elsewhere, by launcher, PID and TID.
type LanesElsewhere = BTreeMap<(Option<u32>, u32, u64), (String, usize)>;

static ELSEWHERE: Mutex<LanesElsewhere> = Mutex::new(BTreeMap::new());

impl Speaker<'_> {
    /// `child  4243 ← 4242`, or `worker 1 n2:4243`.
    pub(super) fn label(&self, settings: &Settings) -> String {
        let (name, process, tid, is_main) = match self {
            Self::Here => {
                let (pid, is_main) = (who::pid().to_string(), who::is_main_thread());
                (who::name(), pid, who::tid(), is_main)
            }
            Self::Elsewhere(event) => {
                let host = event.host.as_deref().unwrap_or_default();
                let process = format!("{host}:{}", event.pid);
                let name = self.lane_elsewhere().unwrap_or_default().0;
                (name, process, event.tid, event.thread().is_none())
            }
            Self::Once(label, _) => return (*label).to_owned(),
        };
        let mut label = format!("{name:<6} {process}");
        if settings.show_threads || !is_main {
            label += &format!("/{tid}");
        }
        if matches!(self, Self::Here)
            && settings.first != who::pid()
            && let Some(parent) = who::ppid()
        {
            label += &format!(" ← {parent}");
        }
        label
    }

    /// How many lanes began before it.
    fn lane(&self) -> usize {
        match self {
            Self::Here => lane_number(),
            Self::Elsewhere(_) => self.lane_elsewhere().unwrap_or_default().1,
            Self::Once(_, lane) => *lane,
        }
    }

    fn lane_elsewhere(&self) -> Option<(String, usize)> {
        let Self::Elsewhere(event) = self else {
            return None;
        };
        let lanes = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(&(event.via, event.pid, event.tid)).cloned()
    }
}

/// The status of a program whose reader is gone: 128 + SIGPIPE.
pub(crate) const CLOSED_PIPE: i32 = 141;

/// The PIDs that a run takes are hardly more than these after its own.
const PIDS_OF_A_RUN: u32 = 1000;

/// The last argument of a process that takes part in the run of its parent; after
/// it stands the PID of the parent if it is to end with it.
const TAKES_PART: &str = "--takes-part";

/// The same where there is no run, and the child only ends with its parent.
const ENDS_WITH: &str = "--ends-with";

/// A process to be started; see [`Start::hand_on`](crate::children::Start::hand_on).
pub struct HandOn {
    link: Link,
    takes_part: bool,
}

/// Lets `command` start a process of this run, which calls [`take_part`]. If
/// `ends_with` names this process, the other one is killed when the thread that
/// starts it ends (Linux).
///
/// The event log and the run's stdout are closed on exec, so that no other
/// program holds them open: a process of the run is sent them over its stdin.
pub(crate) fn hand_on(command: &mut Command, ends_with: Option<u32>) -> io::Result<HandOn> {
    let takes_part = LOG.get().is_some();
    match (takes_part, ends_with) {
        (true, None) => command.arg(TAKES_PART),
        (true, Some(parent)) => command.arg(format!("{TAKES_PART}={parent}")),
        (false, None) => command,
        (false, Some(parent)) => command.arg(format!("{ENDS_WITH}={parent}")),
    };
    let link = Link::of(command)?;
    Ok(HandOn { link, takes_part })
}

/// Lets `command` start a program that knows nothing of the run.
pub(crate) fn connect(command: &mut Command) -> io::Result<HandOn> {
    let (link, takes_part) = (Link::of(command)?, false);
    Ok(HandOn { link, takes_part })
}

impl HandOn {
    /// Lets `process`, just started, take part as `role`, and returns the end of
    /// its stdin.
    pub(crate) fn to(self, process: &mut Child, role: &str) -> io::Result<ToChild> {
        if !self.takes_part {
            return self.link.take(process);
        }
        let (Some(log), Some(session)) = (LOG.get(), session()) else {
            return Err(io::Error::other("there is no run to take part in"));
        };
        let (Some(file), Lines::Here(output)) = (log.file(), &session.output) else {
            return Err(io::Error::other("the event log is not here"));
        };
        let (mut to_child, handles) = self.link.send(process, file, output)?;
        let run = About::of(log, session, role);
        let handed_on = HandedOn { run, handles };
        to_child.write_all(format!("{}\n", json!(handed_on)).as_bytes())?;
        Ok(to_child)
    }
}

#[derive(Serialize, Deserialize)]
struct HandedOn {
    run: About,
    handles: Handles,
}

/// What a process must know of a run to take part in it.
#[derive(Serialize, Deserialize)]
struct About {
    role: String,
    settings: Settings,
    /// What the clock of its host showed when the run began.
    start: i64,
    /// Where it is, if a launcher started it.
    elsewhere: Option<Elsewhere>,
}

impl About {
    fn of(log: &Log, session: &Session, role: &str) -> Self {
        Self {
            role: role.to_owned(),
            settings: session.settings.clone(),
            start: log.start(),
            elsewhere: None,
        }
    }
}

/// What a process must be told to take part in this run as `role` from wherever it
/// is: see [`take_part_from_afar`]. Records how well its host's clock is known. `None`
/// if there is no run.
#[must_use]
pub fn about_run(role: &str, elsewhere: &Elsewhere, clock: &Offset) -> Option<String> {
    let log = LOG.get()?;
    let exactness = arg("within_us", clock.within().as_nanos() as f64 / 1e3);
    super::mark(elsewhere.launcher, "clock", &elsewhere.host, exactness);
    let about = About {
        start: clock.there(log.start()),
        elsewhere: Some(elsewhere.clone()),
        ..About::of(log, session()?, role)
    };
    serde_json::to_string(&about).ok()
}

/// Takes part in a run whose event log is out of reach: `carry` brings all that this
/// process records to one that [takes](carried) it. `about` is what [`about_run`] said
/// there.
///
/// # Errors
/// When `about` is no such thing, or this process is in a run already.
#[track_caller]
pub fn take_part_from_afar(
    about: &str,
    carry: impl Fn(&str) + Send + Sync + 'static,
) -> Result<()> {
    let about: About = serde_json::from_str(about).context("failed to take part in a run")?;
    let log = Log::elsewhere(Box::new(carry), about.start);
    enter(about, log, Lines::Elsewhere)
}

/// Takes an event, in JSON, that was carried from the process which `launcher` started:
/// it is in the event log then, and on the terminal if it is a report. Returns whether
/// it was what it should be.
pub fn carried(event: &str, launcher: u32) -> bool {
    let (Some(log), Some(session)) = (LOG.get(), session()) else {
        return true;
    };
    let Some(event) = log.append_carried(event, launcher) else {
        return false;
    };
    if event.cat == "life" && event.ph == Phase::Begin {
        let number = log.lane_number(event.pid, event.tid, event.via);
        let mut lanes = ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert((event.via, event.pid, event.tid), (event.name, number));
    } else if event.cat == "report" && session.settings.lines == Printed::AtOnce {
        let speaker = Speaker::Elsewhere(&event);
        session.say(&session.line(&speaker, event.ts, &event.name));
    }
    true
}

/// Takes part in a run.
#[track_caller]
fn enter(about: About, log: Log, output: Lines) -> Result<()> {
    if let Some(place) = about.elsewhere {
        who::set_elsewhere(place);
    }
    let (settings, place) = (about.settings, Some(Location::caller()));
    let set = LOG.set(log).is_ok() && SESSION.set(Session { output, settings }).is_ok();
    ensure!(set, "this process is in a run already");
    begin_part(&about.role, place);
    Ok(())
}

/// That a process was started by another one that had something to say to it. Its
/// lane ends when this is dropped.
#[derive(Debug)]
pub struct Part {
    /// Whether there is a run; a person may start the program by hand.
    pub in_a_run: bool,
}

/// What stdin was, in a process that another one started: it ends when the parent
/// does.
pub type Input = BufReader<File>;

/// Takes part in the run of the process that started this one, if there is one:
/// then `args`, the rest of the command line, says so; or only ends with that
/// process. `None` if it says anything else. Stdin is taken in any case: what this
/// process executes has none.
///
/// Ends at once if the parent has ended.
///
/// # Errors
/// When what was handed on cannot be used.
#[track_caller]
pub fn take_part(
    mut args: impl Iterator<Item = std::ffi::OsString>,
) -> Result<Option<(Part, Input)>> {
    let arg = args.next();
    let arg = arg.as_deref().unwrap_or_default().to_str();
    let (word, parent) = match arg.map(|arg| arg.split_once('=').unwrap_or((arg, ""))) {
        Some(word) if args.next().is_none() => word,
        _ => return Ok(None),
    };
    let in_a_run = match word {
        TAKES_PART => true,
        ENDS_WITH | "" => false,
        _ => return Ok(None),
    };
    match parent.parse() {
        Ok(parent) if !word.is_empty() => platform::die_with(parent),
        Err(_) if parent.is_empty() => {}
        _ => return Ok(None),
    }
    let receive = if in_a_run {
        let received = receive().context("failed to take part in a run")?;
        Some(received.unwrap_or_else(|| platform::exit_now(1)))
    } else {
        None
    };
    let mut input = BufReader::new(take_stdin().context("failed to open stdin")?);
    if let Some(receive) = receive {
        let mut line = String::new();
        let read = input
            .read_line(&mut line)
            .context("failed to take part in a run")?;
        if read == 0 {
            platform::exit_now(1); // the parent is gone
        }
        let given: HandedOn =
            serde_json::from_str(&line).context("failed to take part in a run")?;
        let (file, output) = receive(&given.handles);
        platform::survive_file_size_limit().context("failed to catch SIGXFSZ")?;
        let log = Log::new(file, given.run.start);
        enter(given.run, log, Lines::Here(output))?;
    }
    Ok(Some((Part { in_a_run }, input)))
}

/// The part of a process other than the first one, in the role `role`.
pub(crate) fn begin_part(role: &str, place: Place) {
    who::set_role(role);
    super::lane::forget_parents_lanes();
    open_lane(place);
}

impl Drop for Part {
    fn drop(&mut self) {
        close_lane();
        if self.in_a_run {
            ending::sweep(); // this process's own children go with it
        }
    }
}
