//! The events of a run as they come to be, and no more of them than were asked for.

use super::proc;
use serde_json::{Map, Value};
use shared_core::report::{Event, Phase};
use std::collections::HashSet;

/// When the clock showed what, and the task whose event it is.
#[derive(Clone, Copy)]
pub struct At {
    pub now: i64,
    pub task: i32,
    pub process: i32,
}

/// The events so far.
pub struct Events {
    /// What the clock showed at the begin.
    start: i64,
    most: usize,
    so_far: Vec<Event>,
    /// Tasks whose begin was left out, and so is all of them.
    hidden: HashSet<i32>,
    left_out: usize,
}

impl Events {
    /// Of a run that began when the clock showed `start`; `most` of them, but for the
    /// ends of what has begun.
    pub fn of(start: i64, most: usize) -> Self {
        Self {
            start,
            most,
            so_far: Vec::new(),
            hidden: HashSet::new(),
            left_out: 0,
        }
    }

    /// A task begins, the `number`th of all; what it executes is said of the first one.
    pub fn begin(&mut self, at: At, name: &str, number: usize) {
        self.hidden.remove(&at.task); // that was another one, with the same number
        let mut args = arg("lane", number);
        if number == 0 {
            args.extend(arg("executable", proc::executable(at.process)));
        }
        if !self.append(at, Phase::Begin, "life", name, args) {
            self.hidden.insert(at.task);
        }
    }

    /// Appends an event if there is room for it, and says whether there was.
    pub fn append(
        &mut self,
        at: At,
        phase: Phase,
        category: &str,
        name: &str,
        args: Map<String, Value>,
    ) -> bool {
        let is_full = self.so_far.len() >= self.most;
        if is_full || self.hidden.contains(&at.task) {
            self.left_out += 1;
            return false;
        }
        self.append_in_any_case(at, phase, category, name, args);
        true
    }

    /// Appends what belongs to an event that is there: how a task has ended, say.
    pub fn append_in_any_case(
        &mut self,
        at: At,
        ph: Phase,
        category: &str,
        name: &str,
        args: Map<String, Value>,
    ) {
        if self.hidden.contains(&at.task) {
            return;
        }
        self.so_far.push(Event {
            name: name.to_owned(),
            cat: category.to_owned(),
            ph,
            ts: (at.now - self.start).max(0) as f64 / 1e3,
            pid: at.process.unsigned_abs(),
            tid: at.task.unsigned_abs().into(),
            host: None,
            via: None,
            args,
        });
    }

    /// All of them in order of time, and how many were left out.
    pub fn finish(mut self) -> (Vec<Event>, usize) {
        self.so_far.sort_by(|a, b| a.ts.total_cmp(&b.ts));
        (self.so_far, self.left_out)
    }
}

/// One argument of an event.
pub fn arg(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}
