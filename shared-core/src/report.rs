//! The writing side: every process and thread of a run says what it does.
//!
//! [`report!`](crate::report!) puts a line on the terminal,
//! [`span!`](crate::span!) and [`waiting!`](crate::waiting!) mark a stretch of time,
//! [`moment!`](crate::moment!) labels a moment,
//! [`fact!`](crate::fact!) records what was seen, and
//! [`check!`](crate::check!) judges it; [`measured()`] gives a measurement. All of them append to the event log of
//! the run, one line and one write each, in the Trace Event Format.

mod clock;
mod event;
mod lane;
mod log;
mod session;
mod slices;

use crate::platform::ToChild;
use crate::timing::Measurement;
use crate::{cause, complain, who};
use anyhow::Result;
pub use clock::{Offset, clock};
pub use event::{End, Event, Phase};
pub(crate) use lane::Place;
pub(crate) use lane::close_lane;
use lane::{arg, at, cpu, line_of, record, record_from_nowhere};
use log::LOG;
use serde_json::{Map, Value};
use session::Speaker;
#[cfg(unix)]
pub(crate) use session::begin_part;
pub(crate) use session::{CLOSED_PIPE, Printed, Session, Settings, begin, connect, hand_on};
pub use session::{HandOn, Input, Part, about_run, carried, take_part, take_part_from_afar};
pub use slices::Slices;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Says one thing: a whole line on stdout, with the time, who says it, and the
/// text (arguments as for `format!`; up to 38 characters fit into 80 columns).
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

/// As [`span!`], for a stretch of time in which this thread only waits:
/// `let _wait = waiting!("join");`
#[macro_export]
macro_rules! waiting {
    ($($name:tt)*) => { $crate::report::Span::wait(format_args!($($name)*)) };
}

/// Marks a moment with a label that the pictures draw: `moment!("→ {returned}")`.
/// A word or two; more is what [`report!`] is for.
#[macro_export]
macro_rules! moment {
    ($($label:tt)*) => { $crate::report::moment(format_args!($($label)*)) };
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

/// Judges the facts: `check!("fork() returned 0 in the child", seen, expected)`.
/// For the first process, after the last join. One that fails says what was
/// expected and what was seen, and makes the exit status 1.
///
/// Where it is not enough that two values are the same, the condition stands in
/// the middle: `check!("no more than there are workers", most, most <= 4, "at
/// most 4")`.
#[macro_export]
macro_rules! check {
    ($text:literal, $seen:expr, $expected:expr $(,)?) => {{
        let (seen, expected) = ($crate::Value::from($seen), $crate::Value::from($expected));
        let ok = seen == expected;
        $crate::report::check($text, ok, expected, seen)
    }};
    ($text:literal, $seen:expr, $ok:expr, $expected:expr $(,)?) => {
        $crate::report::check($text, $ok, $expected.into(), $crate::Value::from($seen))
    };
}

/// A stretch of time in the life of a thread; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped: let _span = span!(…)"]
pub struct Span(());

impl Span {
    /// Begins a span; see [`span!`](crate::span!).
    #[track_caller]
    pub fn begin(name: fmt::Arguments<'_>) -> Self {
        record(Phase::Begin, "span", &name.to_string(), cpu());
        Self(())
    }

    /// Begins to wait; see [`waiting!`](crate::waiting!).
    #[track_caller]
    pub fn wait(name: fmt::Arguments<'_>) -> Self {
        record(Phase::Begin, "wait", &name.to_string(), cpu());
        Self(())
    }

    /// Ends it here: as `drop` does, and the event tells the line of source.
    #[track_caller]
    pub fn end(self) {
        record(Phase::End, "span", "", cpu());
        std::mem::forget(self);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        record_from_nowhere(Phase::End, "span", "", cpu());
    }
}

/// See [`report!`](crate::report!).
#[track_caller]
pub fn report(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let session = session::session();
    let later = session.filter(|session| session.settings.lines == Printed::Later);
    let args = later
        .filter(|session| !session.is_elsewhere())
        .map(|session| {
            let label = Speaker::Here.label(&session.settings);
            arg("speaker", label)
        });
    let time = record(Phase::Instant, "report", &text, args.unwrap_or_default());
    match session {
        Some(session) if session.settings.lines != Printed::AtOnce || session.is_elsewhere() => {}
        Some(session) => session.say(&session.line(&Speaker::Here, time, &text)),
        // Outside a run: a worker that a person started by hand, say.
        None => complain(format_args!("{text}")),
    }
}

/// Whether this process takes part in a run.
#[must_use]
pub fn in_a_run() -> bool {
    LOG.get().is_some()
}

/// See [`moment!`](crate::moment!).
#[track_caller]
pub fn moment(label: fmt::Arguments<'_>) {
    record(Phase::Instant, "moment", &label.to_string(), Map::new());
}

/// Marks that `work` waits in a queue from here on, until a thread begins a span of
/// the same name. The pictures give the queue a lane of its own.
#[track_caller]
pub fn queued(work: fmt::Arguments<'_>) {
    record(Phase::Instant, "queued", &work.to_string(), Map::new());
}

/// Records that this process could not do its part: the run fails with `error`, and
/// is not judged.
#[track_caller]
pub fn failed(error: impl fmt::Display) {
    record(Phase::Instant, "error", &cause(error), Map::new());
}

/// See [`fact!`](crate::fact!).
#[track_caller]
pub fn fact(name: fmt::Arguments<'_>, value: impl Into<Value>) {
    record(
        Phase::Instant,
        "fact",
        &name.to_string(),
        arg("value", value),
    );
}

/// Records a measurement: the pictures draw a bar for it, and its median and quartiles
/// are facts, for `fork, 64 MiB` these: `fork_64_mib_median_us`, `…_lower_quartile_us`
/// and `…_upper_quartile_us`.
#[track_caller]
pub fn measured(what: &str, measured: &Measurement) {
    let times = [
        ("median_us", measured.median),
        ("lower_quartile_us", measured.lower_quartile),
        ("upper_quartile_us", measured.upper_quartile),
    ]
    .map(|(name, time)| (name, time.as_secs_f64() * 1e6));
    let of_fact = what.replace(',', "").replace(' ', "_").to_lowercase();
    let mut args = arg("runs", measured.runs);
    for (name, time) in times {
        fact(format_args!("{of_fact}_{name}"), time);
        args.insert(name.to_owned(), time.into());
    }
    record(Phase::Instant, "measured", what, args);
}

/// See [`check!`](crate::check!).
#[track_caller]
pub fn check(text: &str, ok: bool, expected: Value, seen: Value) {
    // What was never seen is never right.
    let mut args = arg("ok", ok && !seen.is_null());
    args.extend([("expected".to_owned(), expected), ("seen".to_owned(), seen)]);
    record(Phase::Instant, "check", text, args);
}

/// The value of a fact, whoever recorded it; the last one if there are
/// several. A fact that never arrived is a failed check (one, however often it is
/// asked for), and `Value::Null`:
/// a child that died early cannot pass.
#[track_caller]
pub fn require(name: &str) -> Value {
    static MISSING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let value = LOG.get().map_or(Ok(None), |log| log.fact(name));
    let seen = match value {
        Ok(Some(value)) => return value,
        Ok(None) => Value::Null,
        Err(error) => cause(error).into(),
    };
    let mut missing = MISSING.lock().unwrap_or_else(PoisonError::into_inner);
    if missing.insert(name.to_owned()) {
        let text = format!("the fact {name} arrived");
        check(&text, false, "a value".into(), seen);
    }
    Value::Null
}

/// All events of the run so far, in order of time.
///
/// # Errors
/// When the event log cannot be read.
pub fn events() -> Result<Arc<Vec<Event>>> {
    LOG.get()
        .map_or_else(|| Ok(Arc::default()), log::Log::events)
}

/// All events of the run, once its threads have ended, and the records among
/// them that were cut off.
pub(crate) fn all_events() -> Result<(Arc<Vec<Event>>, Vec<String>)> {
    lane::let_lanes_close();
    let events = events()?;
    Ok((events, LOG.get().map(log::Log::cut_off).unwrap_or_default()))
}

/// Marks in the child's own lane that its parent, at this line of source, has started it;
/// a copy of the parent begins behind the line `copied`. `role` is what the child is called,
/// in case that it never comes to say so itself.
pub(crate) fn started(child: u32, role: &str, copied: Place, place: Place) {
    let mut args = arg("by", who::tid());
    if let Some(copied) = copied {
        args.extend(arg("from", line_of(copied)));
    }
    mark(child, "started", role, at(args, place));
}

/// Marks in the child's own lane that its parent has reaped it, and how it had
/// ended: between its last event and this one it was a zombie, or was killed.
pub(crate) fn reaped(child: u32, role: &str, end: &End, place: Place) {
    let mut args = arg("by", who::tid());
    args.extend([end.arg()]);
    mark(child, "reaped", role, at(args, place));
}

fn mark(child: u32, category: &str, role: &str, args: Map<String, Value>) {
    let Some(log) = LOG.get() else { return };
    log.append(&Event {
        name: role.to_owned(),
        cat: category.to_owned(),
        ph: Phase::Instant,
        ts: log.elapsed_us(),
        pid: child,
        tid: u64::from(child),
        host: None,
        via: None,
        args,
    });
}

/// The parent's end of the stdin of a process that takes part in the run.
pub type Stdin = ToChild;

pub use crate::platform::{disregard_ctrl_c, redirect_stdout_to_stderr};
