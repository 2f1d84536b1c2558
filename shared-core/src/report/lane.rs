//! The lane of a thread: who speaks in the event log, from when to when.

use super::event::{Event, Phase};
use super::run::{RUN, Run};
use crate::who;
use serde_json::{Map, Value};
use std::cell::RefCell;

/// Appends an event of the calling thread, and returns its time in
/// microseconds.
pub(super) fn record(phase: Phase, category: &str, name: &str, args: Map<String, Value>) -> f64 {
    let Some(run) = RUN.get() else { return 0.0 };
    open_lane();
    append(run, phase, category, name, args)
}

fn append(run: &Run, phase: Phase, category: &str, name: &str, args: Map<String, Value>) -> f64 {
    let event = Event {
        name: name.to_owned(),
        cat: category.to_owned(),
        ph: phase,
        ts: run.elapsed_us(),
        pid: who::pid(),
        tid: who::tid(),
        args,
    };
    run.append(&event);
    event.ts
}

/// One argument of an event.
pub(super) fn arg(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}

pub(super) fn cpu() -> Map<String, Value> {
    who::cpu().map(|cpu| arg("cpu", cpu)).unwrap_or_default()
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
        if let Some(run) = RUN.get().filter(|_| self.pid == who::pid()) {
            append(run, Phase::End, "life", "", Map::new());
        }
    }
}

pub(super) fn open_lane() {
    let Some(run) = RUN.get() else { return };
    let pid = who::pid();
    // An error means that this thread is ending: its lane is closed already.
    let _ = LANE.try_with(|lane| {
        if lane.borrow().as_ref().is_some_and(|lane| lane.pid == pid) {
            return;
        }
        let name = who::name();
        let name_it = |kind| {
            let named = arg("name", name.as_str());
            append(run, Phase::Metadata, "metadata", kind, named);
        };
        if who::is_main_thread() {
            name_it("process_name");
        }
        name_it("thread_name");
        append(run, Phase::Begin, "life", &name, cpu());
        *lane.borrow_mut() = Some(Lane { pid });
    });
}

/// Ends the lane of the calling thread.
pub(crate) fn close_lane() {
    let _ = LANE.try_with(RefCell::take);
}
