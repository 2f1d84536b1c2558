//! A run: its event log, its output, its clock.

use super::complain;
use super::event::{Event, Phase};
use super::lane::{close_lane, open_lane, record};
use crate::platform::{EventLog, Handle, Output, now, stop};
use crate::who;
use anstyle::AnsiColor::{Blue, Cyan, Green, Magenta, Red, Yellow};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How the processes of a run speak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The first process, which judges.
    pub(crate) first: u32,
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
    start_ns: AtomicU64,
    /// The facts in the first so many bytes of the log, by name.
    facts: Mutex<(u64, HashMap<String, Value>)>,
    pub(crate) settings: Settings,
}

impl Run {
    pub(crate) fn new(role: &str, settings: Settings) -> Result<Self> {
        who::set_role(role);
        Ok(Self {
            log: EventLog::create().context("create the event log")?,
            output: Output::stdout().context("stdout")?,
            start_ns: AtomicU64::new(0),
            facts: Mutex::default(),
            settings,
        })
    }

    /// Empties the log and sets the clock to 0: the next lesson begins.
    pub(crate) fn begin(&self) -> Result<()> {
        self.log.clear().context("empty the event log")?;
        *self.facts() = (0, HashMap::new());
        self.start_ns.store(nanoseconds(now()), Relaxed);
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
                complain(format_args!("write to stdout: {error}"));
            }
            self.remove_log();
            stop(i32::from(!closed));
        } else if !closed {
            let text = format!("write to stdout: {error}");
            record(Phase::Instant, "error", &text, Map::new());
        }
    }

    /// Who speaks stands in a column that is wide enough for two PIDs.
    pub(super) fn line(&self, time: f64, text: &str) -> String {
        let pid = who::pid();
        let mut speaker = format!("{:<6} {pid}", who::name());
        if self.settings.show_threads || !who::is_main_thread() {
            speaker += &format!("/{}", who::tid());
        }
        if let Some(parent) = who::ppid().filter(|_| !self.is_first_process()) {
            speaker += &format!(" ← {parent}");
        }
        let width = 13 + 2 * self.settings.first.to_string().len();
        let style = lane_style(self.settings.colour, who::tid());
        let ms = time / 1e3;
        format!("{ms:>8.3} ms {style}{speaker:<width$}{style:#} │ {text}\n")
    }

    fn facts(&self) -> MutexGuard<'_, (u64, HashMap<String, Value>)> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fact(&self, name: &str) -> Option<Value> {
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
    pub(super) fn events_from(&self, offset: u64) -> Result<(Vec<Event>, u64)> {
        let bytes = self.log.read(offset).context("read the event log")?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let events = lines.map(|line| {
            serde_json::from_slice(line)
                .with_context(|| format!("damaged event: {}", String::from_utf8_lossy(line)))
        });
        Ok((events.collect::<Result<_>>()?, bytes.len() as u64))
    }

    pub(super) fn elapsed_us(&self) -> f64 {
        let start = Duration::from_nanos(self.start_ns.load(Relaxed));
        now().saturating_sub(start).as_nanos() as f64 / 1e3
    }

    pub(super) fn append(&self, event: &Event) {
        let line = event.to_json() + "\n";
        if let Err(error) = self.log.append(&line) {
            complain(format_args!("write to the event log: {error}"));
            stop(1);
        }
    }
}

/// The colour of a lane, the same in the lines and in the timeline. There are
/// six: far from each other lanes share one.
pub(crate) fn lane_style(colour: bool, tid: u64) -> anstyle::Style {
    if !colour {
        return anstyle::Style::new();
    }
    let colours = [Cyan, Green, Yellow, Magenta, Blue, Red];
    let index = usize::try_from(tid).unwrap_or(0) % colours.len();
    colours[index].on_default()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets `command` start a process of this run: it finds the event log and the
/// run's stdout through its environment, and there takes part as `role` with
/// [`take_part`].
pub fn hand_on(command: &mut Command, role: &str) {
    let Some(run) = RUN.get() else { return };
    let handed_on = HandedOn {
        role: role.to_owned(),
        settings: run.settings.clone(),
        log: run.log.handle(),
        output: run.output.handle(),
        start: run.start_ns.load(Relaxed),
    };
    command.env(HANDED_ON, json!(handed_on).to_string());
}

/// Takes part in the run of the process that started this one. `None` when no
/// run handed anything on. The lane of this process ends when the returned
/// value is dropped.
///
/// # Errors
/// When what was handed on cannot be used.
pub fn take_part() -> Result<Option<TakingPart>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let Ok(text) = std::env::var(HANDED_ON) else {
        return Ok(None);
    };
    ensure!(
        !TAKEN.swap(true, Relaxed),
        "this process takes part in a run already"
    );
    let context = || format!("{HANDED_ON}={text}");
    let given: HandedOn = serde_json::from_str(&text).with_context(context)?;
    ensure!(
        given.log != given.output,
        "{}: one descriptor for two",
        context()
    );
    let run = Run {
        log: EventLog::adopt(&given.log).with_context(context)?,
        output: Output::adopt(&given.output).with_context(context)?,
        start_ns: AtomicU64::new(given.start),
        facts: Mutex::default(),
        settings: given.settings,
    };
    who::set_role(&given.role);
    ensure!(RUN.set(run).is_ok(), "this process is the first of a run");
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
    role: String,
    settings: Settings,
    log: Handle,
    output: Handle,
    start: u64,
}
