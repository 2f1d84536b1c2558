//! The lane of a thread: who speaks in the event log, from when to when.

use super::event::{Event, Phase};
use super::log::{LOG, Log};
use crate::who;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::panic::Location;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The life of a thread in the log: begun by its first event, ended when the
/// thread is, by the destructor of its thread-local storage.
struct Lane {
    pid: u32,
    tid: u64,
    /// Once somebody asked for it.
    number: Option<usize>,
}

thread_local! {
    static LANE: RefCell<Option<Lane>> = const { RefCell::new(None) };
}

/// How many threads of this process have a lane that has not ended.
static OPEN: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// Appends an event of the calling thread, with the line of source that it comes from,
/// and returns its time in microseconds.
#[track_caller]
pub(super) fn record(phase: Phase, category: &str, name: &str, args: Map<String, Value>) -> f64 {
    let place = Some(Location::caller());
    let Some(log) = LOG.get() else { return 0.0 };
    append(
        log,
        phase,
        category,
        name,
        lane(log, place),
        at(args, place),
    )
}

/// The same, where no line of source is at work: a span ends with its block.
pub(super) fn record_from_nowhere(
    phase: Phase,
    category: &str,
    name: &str,
    args: Map<String, Value>,
) {
    let Some(log) = LOG.get() else { return };
    append(log, phase, category, name, lane(log, None), args);
}

/// `args`, with a line of source.
pub(super) fn at(mut args: Map<String, Value>, place: Place) -> Map<String, Value> {
    args.extend(place.map(|place| ("at".to_owned(), line_of(place).into())));
    args
}

/// `fork-demo/src/returns_twice.rs:71`, on every system.
pub(super) fn line_of(place: &Location<'_>) -> String {
    format!("{}:{}", place.file().replace('\\', "/"), place.line())
}

/// A line of source, if one is at work.
pub(crate) type Place = Option<&'static Location<'static>>;

/// The PID and the TID of the calling thread, whose lane begins here, at `place`, if it
/// has not begun.
pub(super) fn lane(log: &Log, place: Place) -> (u32, u64) {
    // Asked for each event: this may be a child that came from a fork of which
    // nobody told us, with a copy of its parent's lane.
    let pid = who::pid();
    let tid = LANE.try_with(|lane| {
        let known = lane
            .borrow()
            .as_ref()
            .filter(|lane| lane.pid == pid)
            .map(|lane| lane.tid);
        known.unwrap_or_else(|| {
            let opened = Lane::open(log, pid, place);
            let tid = opened.tid;
            // A copy of the parent's lane ends without a word.
            drop(lane.replace(Some(opened)));
            tid
        })
    });
    // An error means that this thread is ending: its lane is closed already.
    let tid = tid.unwrap_or_else(|_| who::tid());
    (pid, tid)
}

fn append(
    log: &Log,
    phase: Phase,
    category: &str,
    name: &str,
    (pid, tid): (u32, u64),
    args: Map<String, Value>,
) -> f64 {
    let event = Event {
        name: name.to_owned(),
        cat: category.to_owned(),
        ph: phase,
        ts: log.elapsed_us(),
        pid,
        tid,
        host: who::elsewhere().map(|place| place.host.clone()),
        via: who::elsewhere().map(|place| place.launcher),
        args,
    };
    log.append(&event);
    event.ts
}

/// One argument of an event.
pub(super) fn arg(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}

pub(super) fn cpu() -> Map<String, Value> {
    who::cpu().map(|cpu| arg("cpu", cpu)).unwrap_or_default()
}

impl Lane {
    fn open(log: &Log, pid: u32, place: Place) -> Self {
        let (tid, name) = (who::tid(), who::name());
        let name_it = |kind| {
            let named = arg("name", name.as_str());
            append(log, Phase::Metadata, "metadata", kind, (pid, tid), named);
        };
        if tid == u64::from(pid) {
            name_it("process_name");
        }
        name_it("thread_name");
        append(
            log,
            Phase::Begin,
            "life",
            &name,
            (pid, tid),
            at(cpu(), place),
        );
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let number = None;
        Self { pid, tid, number }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // In a forked child this may be a copy of the parent's lane.
        if self.pid != who::pid() {
            return;
        }
        if let Some(log) = LOG.get() {
            append(
                log,
                Phase::End,
                "life",
                "",
                (self.pid, self.tid),
                Map::new(),
            );
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        CLOSED.notify_all();
    }
}

/// Begins the lane of the calling thread, at `place`, if there is a run.
pub(super) fn open_lane(place: Place) {
    let Some(log) = LOG.get() else { return };
    let lane = Lane::open(log, who::pid(), place);
    let _ = LANE.try_with(|place| drop(place.replace(Some(lane))));
}

/// How many lanes began before that of the calling thread.
pub(super) fn lane_number() -> usize {
    let number = LANE.try_with(|lane| {
        let mut lane = lane.borrow_mut();
        let (lane, log) = (lane.as_mut()?, LOG.get()?);
        let number = || log.lane_number(lane.pid, lane.tid, None);
        Some(*lane.number.get_or_insert_with(number))
    });
    number.ok().flatten().unwrap_or(0)
}

/// Ends the lane of the calling thread.
pub(crate) fn close_lane() {
    let _ = LANE.try_with(RefCell::take);
}

/// Waits until the threads of this process have closed their lanes, but not for
/// long: some may go on. (A scope ends before the thread-local storage of its
/// threads does.)
pub(super) fn let_lanes_close() {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = Duration::from_millis(50);
    let _ = CLOSED.wait_timeout_while(open, limit, |open| *open > 0);
}

/// In a forked child: the lanes of its parent's threads are none of its own.
pub(super) fn forget_parents_lanes() {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = 0;
}
