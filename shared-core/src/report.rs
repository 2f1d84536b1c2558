//! The writing side: every process and thread of a run says what it does.
//!
//! [`report!`](crate::report!) puts a line on the terminal,
//! [`span!`](crate::span!) marks a stretch of time,
//! [`fact!`](crate::fact!) records what was seen, and
//! [`check!`](crate::check!) judges it. All four append to the event log of
//! the run, one line and one write each, in the Trace Event Format.

use crate::who::{self, EventLog, Output};
use anstyle::AnsiColor::{Blue, Cyan, Green, Magenta, Red, Yellow};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Says one thing: a whole line on stdout, with the time, who says it, and the
/// text (arguments as for `format!`; keep it below 42 characters and the line
/// fits into 80 columns).
#[macro_export]
macro_rules! report {
    ($($text:tt)*) => { $crate::report::report(format_args!($($text)*)) };
}

/// Marks a stretch of time, from here to where the returned [`Span`] is
/// dropped: `let _span = span!("task {id}");`
#[macro_export]
macro_rules! span {
    ($($name:tt)*) => { $crate::report::Span::begin(format_args!($($name)*)) };
}

/// Records what this process or thread saw: `fact!("child_getppid", ppid)`.
/// The name is `snake_case` and ends in the unit where there is one; the value
/// is whatever `serde_json::Value` can be made from.
#[macro_export]
macro_rules! fact {
    ($name:literal, $value:expr) => {
        $crate::report::fact(format_args!($name), $value)
    };
}

/// Judges the facts: `check!("fork() returned 0 in the child", a == b)`. For
/// the first process, after the last join. One that fails makes the exit
/// status 1.
#[macro_export]
macro_rules! check {
    ($text:literal, $ok:expr) => {
        $crate::report::check(format_args!($text), $ok)
    };
}

/// One line of the event log, in the Trace Event Format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The span, the fact, the check, the text of a report, or the role of
    /// who was reaped.
    pub name: String,
    /// `life`, `span`, `report`, `fact`, `check`, `reaped`, `error` or
    /// `metadata`.
    pub cat: String,
    /// What kind of event this is.
    pub ph: Phase,
    /// Microseconds since the start of the run.
    pub ts: f64,
    /// The process whose event this is.
    pub pid: u32,
    /// The thread whose event this is; the main thread has the PID.
    pub tid: u64,
    /// `value` of a fact, `ok` of a check, `cpu` of a span, `name` of a
    /// process or thread.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
}

impl Event {
    /// The event as one JSON object, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Ok(text) = serde_json::to_string(self) else {
            unreachable!("strings and numbers always become JSON");
        };
        text
    }
}

/// The phases of the Trace Event Format that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A span begins.
    #[serde(rename = "B")]
    Begin,
    /// The innermost open span of this thread ends.
    #[serde(rename = "E")]
    End,
    /// Something happened at one moment.
    #[serde(rename = "i")]
    Instant,
    /// A process or thread is given its name.
    #[serde(rename = "M")]
    Metadata,
}

/// A stretch of time in the life of a thread; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped: let _span = span!(…)"]
pub struct Span(());

impl Span {
    /// Begins a span; see [`span!`](crate::span!).
    pub fn begin(name: fmt::Arguments<'_>) -> Self {
        record(Phase::Begin, "span", &name.to_string(), cpu());
        Self(())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        record(Phase::End, "span", "", cpu());
    }
}

/// See [`report!`](crate::report!).
pub fn report(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    record(Phase::Instant, "report", &text, Map::new());
    match RUN.get() {
        Some(run) if run.settings.quiet => {}
        Some(run) => run.print(&run.line(&text)),
        // Outside a run: a worker that a person started by hand, say.
        None => eprintln!("{} {}: {text}", who::name(), who::pid()),
    }
}

/// See [`fact!`](crate::fact!).
pub fn fact(name: fmt::Arguments<'_>, value: impl Into<Value>) {
    let args = Map::from_iter([("value".to_owned(), value.into())]);
    record(Phase::Instant, "fact", &name.to_string(), args);
}

/// See [`check!`](crate::check!).
pub fn check(text: fmt::Arguments<'_>, ok: bool) {
    let args = Map::from_iter([("ok".to_owned(), ok.into())]);
    record(Phase::Instant, "check", &text.to_string(), args);
}

/// The value of a fact, whoever recorded it; the last one if there are
/// several. A fact that never arrived is a failed check, and `Value::Null`:
/// a child that died early cannot pass.
#[must_use]
pub fn seen(name: &str) -> Value {
    let value = RUN.get().and_then(|run| run.fact(name));
    if value.is_none() {
        crate::check!("the fact {name} arrived", false);
    }
    value.unwrap_or_default()
}

/// All events of the run so far, in order of time.
///
/// # Errors
/// When the event log cannot be read, or a line of it is damaged.
pub fn events() -> Result<Vec<Event>> {
    let Some(run) = RUN.get() else {
        return Ok(Vec::new());
    };
    let (mut events, _) = run.events_from(0)?;
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    Ok(events)
}

/// Marks, in the child's own lane, the moment in which its parent reaped it:
/// the timeline of a child that was killed ends there. `role` is what the
/// child is called, in case that it never came to say so itself.
pub fn reaped(child: u32, role: &str) {
    let Some(run) = RUN.get() else { return };
    run.append(&Event {
        name: role.to_owned(),
        cat: "reaped".to_owned(),
        ph: Phase::Instant,
        ts: run.elapsed_us(),
        pid: child,
        tid: u64::from(child),
        args: Map::new(),
    });
}

/// The part of a forked child: runs `body` in the role `role` and leaves with
/// the status that it returns (101 after a panic), never returning into code
/// that is its parent's.
#[cfg(unix)]
pub fn in_child(role: &str, body: impl FnOnce() -> i32) -> ! {
    who::set_role(role);
    open_lane();
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    close_lane();
    who::exit_now(status.unwrap_or(101))
}

/// Lets `command` start a process of this run: it finds the event log and the
/// run's stdout through its environment, and there takes part as `role` with
/// [`take_part`].
///
/// # Errors
/// When the descriptors cannot be handed on.
pub fn hand_on(command: &mut Command, role: &str) -> Result<()> {
    let Some(run) = RUN.get() else { return Ok(()) };
    let settings = Settings {
        role: role.to_owned(),
        ..run.settings.clone()
    };
    let (log, output) = run.handles()?;
    let start = run.start_ns.load(Relaxed);
    let handed_on = serde_json::to_string(&HandedOn {
        settings,
        log,
        output,
        start,
    })?;
    command.env(HANDED_ON, handed_on);
    Ok(())
}

/// Takes part in the run of the process that started this one. `None` when no
/// run handed anything on. The lane of this process ends when the returned
/// value is dropped.
///
/// # Errors
/// When what was handed on cannot be used.
pub fn take_part() -> Result<Option<TakingPart>> {
    let Ok(text) = std::env::var(HANDED_ON) else {
        return Ok(None);
    };
    let context = || format!("{HANDED_ON}={text}");
    let given: HandedOn = serde_json::from_str(&text).with_context(context)?;
    let run = Run {
        log: EventLog::adopt(&given.log).with_context(context)?,
        output: Output::adopt(&given.output).with_context(context)?,
        handles: OnceLock::new(),
        start_ns: AtomicU64::new(given.start),
        facts: Mutex::default(),
        settings: given.settings,
    };
    who::set_role(&run.settings.role);
    if RUN.set(run).is_err() {
        anyhow::bail!("this process takes part in a run already");
    }
    open_lane();
    Ok(Some(TakingPart(())))
}

/// That a re-executed process takes part in a run; ends its lane when dropped.
#[derive(Debug)]
pub struct TakingPart(());

impl Drop for TakingPart {
    fn drop(&mut self) {
        close_lane();
    }
}

const HANDED_ON: &str = "EXECUTABLE_NOTES_RUN";

#[derive(Serialize, Deserialize)]
struct HandedOn {
    settings: Settings,
    log: String,
    output: String,
    start: u64,
}

/// How the processes of a run speak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The first process, which judges.
    pub(crate) first: u32,
    /// What this process is called.
    pub(crate) role: String,
    /// No lines on stdout: `--json`.
    pub(crate) quiet: bool,
    /// Lines in the colour of their lane.
    pub(crate) colour: bool,
    /// TIDs on every line, from the first on.
    pub(crate) show_threads: bool,
}

pub(crate) static RUN: OnceLock<Run> = OnceLock::new();

pub(crate) struct Run {
    log: EventLog,
    output: Output,
    /// The numbers under which children find log and output, made once.
    handles: OnceLock<(String, String)>,
    start_ns: AtomicU64,
    /// The facts in the first so many bytes of the log, by name.
    facts: Mutex<(u64, HashMap<String, Value>)>,
    settings: Settings,
}

impl Run {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        who::set_role(&settings.role);
        Ok(Self {
            log: EventLog::create().context("create the event log")?,
            output: Output::stdout().context("stdout")?,
            handles: OnceLock::new(),
            start_ns: AtomicU64::new(0),
            facts: Mutex::default(),
            settings,
        })
    }

    /// Empties the log and sets the clock to 0: the next lesson begins.
    pub(crate) fn begin(&self) -> Result<()> {
        self.log.clear().context("empty the event log")?;
        *self.facts() = (0, HashMap::new());
        self.start_ns.store(nanoseconds(who::now()), Relaxed);
        open_lane();
        Ok(())
    }

    /// Leaves no event log behind, where that takes doing.
    pub(crate) fn remove_log(&self) {
        self.log.remove();
    }

    pub(crate) fn is_first_process(&self) -> bool {
        self.settings.first == who::pid()
    }

    /// Writes `text`, which is one line or several, to the run's stdout. In
    /// the first process an error ends the run: quietly if nobody reads any
    /// more. In another it is kept for the first to find.
    pub(crate) fn print(&self, text: &str) {
        let Err(error) = self.output.write(text) else {
            return;
        };
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        if self.is_first_process() {
            if !closed {
                eprintln!("write to stdout: {error}");
            }
            self.remove_log();
            who::stop(i32::from(!closed));
        } else if !closed {
            let text = format!("write to stdout: {error}");
            record(Phase::Instant, "error", &text, Map::new());
        }
    }

    fn line(&self, text: &str) -> String {
        let ms = self.elapsed_us() / 1e3;
        let pid = who::pid();
        let mut speaker = format!("{:<6} {pid}", who::name());
        if self.settings.show_threads || !who::is_main_thread() {
            speaker += &format!("/{}", who::tid());
        }
        if let Some(parent) = who::ppid().filter(|_| !self.is_first_process()) {
            speaker += &format!(" ← {parent}");
        }
        let style = lane_style(self.settings.colour, who::tid());
        format!("{ms:>8.3} ms  {style}{speaker:<22}{style:#} │ {text}\n")
    }

    fn facts(&self) -> MutexGuard<'_, (u64, HashMap<String, Value>)> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fact(&self, name: &str) -> Option<Value> {
        let (read, facts) = &mut *self.facts();
        // A log that cannot be read ends the run later, with the reason.
        if let Ok((events, length)) = self.events_from(*read) {
            *read += length;
            for mut event in events.into_iter().filter(|event| event.cat == "fact") {
                if let Some(value) = event.args.remove("value") {
                    facts.insert(event.name, value);
                }
            }
        }
        facts.get(name).cloned()
    }

    /// The events behind the first `offset` bytes of the log, as they were
    /// written, and how many bytes they take.
    fn events_from(&self, offset: u64) -> Result<(Vec<Event>, u64)> {
        let bytes = self.log.read(offset).context("read the event log")?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let events = lines.map(|line| {
            serde_json::from_slice(line)
                .with_context(|| format!("damaged event: {}", String::from_utf8_lossy(line)))
        });
        Ok((events.collect::<Result<_>>()?, bytes.len() as u64))
    }

    fn elapsed_us(&self) -> f64 {
        let start = Duration::from_nanos(self.start_ns.load(Relaxed));
        who::now().saturating_sub(start).as_nanos() as f64 / 1e3
    }

    fn append(&self, event: &Event) {
        let line = event.to_json() + "\n";
        if let Err(error) = self.log.append(&line) {
            eprintln!("write to the event log: {error}");
            who::stop(1);
        }
    }

    fn handles(&self) -> Result<(String, String)> {
        if self.handles.get().is_none() {
            let log = self.log.hand_on().context("hand on the event log")?;
            let output = self.output.hand_on().context("hand on stdout")?;
            let _ = self.handles.set((log, output));
        }
        Ok(self.handles.get().cloned().unwrap_or_default())
    }
}

/// One colour a lane, the same in the lines and in the timeline.
pub(crate) fn lane_style(colour: bool, tid: u64) -> anstyle::Style {
    if !colour {
        return anstyle::Style::new();
    }
    let colours = [Cyan, Green, Yellow, Magenta, Blue, Red];
    let index = usize::try_from(tid).unwrap_or(0) % colours.len();
    colours[index].on_default()
}

fn record(phase: Phase, category: &str, name: &str, args: Map<String, Value>) {
    if RUN.get().is_some() {
        open_lane();
        append(phase, category, name, args);
    }
}

fn append(phase: Phase, category: &str, name: &str, args: Map<String, Value>) {
    let Some(run) = RUN.get() else { return };
    run.append(&Event {
        name: name.to_owned(),
        cat: category.to_owned(),
        ph: phase,
        ts: run.elapsed_us(),
        pid: who::pid(),
        tid: who::tid(),
        args,
    });
}

fn cpu() -> Map<String, Value> {
    let cpu = who::cpu().map(|cpu| ("cpu".to_owned(), cpu.into()));
    cpu.into_iter().collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

thread_local! {
    static LANE: RefCell<Option<Lane>> = const { RefCell::new(None) };
}

/// The life of a thread in the log: begun by its first event, ended when the
/// thread is, by the destructor of its thread-local storage.
struct Lane {
    pid: u32,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // In a forked child this may be a copy of the parent's lane.
        if self.pid == who::pid() {
            append(Phase::End, "life", "", Map::new());
        }
    }
}

/// Ends the lane of the first process, and with it the run.
pub(crate) fn end() {
    close_lane();
}

fn open_lane() {
    let pid = who::pid();
    // An error means that this thread is ending: its lane is closed already.
    let _ = LANE.try_with(|lane| {
        if lane.borrow().as_ref().is_some_and(|lane| lane.pid == pid) {
            return;
        }
        let name = who::name();
        let named = json!({ "name": name });
        let named = named.as_object().cloned().unwrap_or_default();
        if who::is_main_thread() {
            append(Phase::Metadata, "metadata", "process_name", named.clone());
        }
        append(Phase::Metadata, "metadata", "thread_name", named);
        append(Phase::Begin, "life", &name, cpu());
        *lane.borrow_mut() = Some(Lane { pid });
    });
}

fn close_lane() {
    let _ = LANE.try_with(RefCell::take);
}
