//! The writing side: every process and thread of a run says what it does.
//!
//! [`report!`](crate::report!) puts a line on the terminal,
//! [`span!`](crate::span!) marks a stretch of time,
//! [`fact!`](crate::fact!) records what was seen, and
//! [`check!`](crate::check!) judges it. All four append to the event log of
//! the run, one line and one write each, in the Trace Event Format.

mod event;
mod lane;
mod run;

use crate::who;
use anyhow::Result;
pub use event::{Event, Phase};
pub(crate) use lane::close_lane;
use lane::{arg, cpu, record};
pub(crate) use run::{RUN, Run, Settings, lane_style};
pub use run::{TakingPart, hand_on, take_part};
use serde_json::{Map, Value};
use std::fmt;
use std::io::{self, Write};

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
    let time = record(Phase::Instant, "report", &text, Map::new());
    match RUN.get() {
        Some(run) if run.settings.quiet => {}
        Some(run) => run.print(&run.line(time, &text)),
        // Outside a run: a worker that a person started by hand, say.
        None => complain(format_args!("{} {}: {text}", who::name(), who::pid())),
    }
}

/// Writes a line to stderr: for what went wrong, and is no part of the run. (A
/// stderr that cannot be written is no reason to panic, as `eprintln!` does.)
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// See [`fact!`](crate::fact!).
pub fn fact(name: fmt::Arguments<'_>, value: impl Into<Value>) {
    record(
        Phase::Instant,
        "fact",
        &name.to_string(),
        arg("value", value),
    );
}

/// See [`check!`](crate::check!).
pub fn check(text: fmt::Arguments<'_>, ok: bool) {
    record(Phase::Instant, "check", &text.to_string(), arg("ok", ok));
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

/// Marks in the child's own lane that its parent has started it. `role` is
/// what the child is called, in case that it never comes to say so itself.
pub fn started(child: u32, role: &str) {
    mark(child, "started", role);
}

/// Marks in the child's own lane that its parent has reaped it: between its
/// last event and this one it had ended and was a zombie, or it was killed.
pub fn reaped(child: u32, role: &str) {
    mark(child, "reaped", role);
}

fn mark(child: u32, category: &str, role: &str) {
    let Some(run) = RUN.get() else { return };
    run.append(&Event {
        name: role.to_owned(),
        cat: category.to_owned(),
        ph: Phase::Instant,
        ts: run.elapsed_us(),
        pid: child,
        tid: u64::from(child),
        args: arg("by", who::tid()),
    });
}

/// The part of a forked child: runs `body` in the role `role` and leaves with
/// the status that it returns (101 after a panic), never returning into code
/// that is its parent's.
#[cfg(unix)]
pub fn in_child(role: &str, body: impl FnOnce() -> i32) -> ! {
    who::set_role(role);
    lane::open_lane();
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    close_lane();
    who::exit_now(status.unwrap_or(101))
}
