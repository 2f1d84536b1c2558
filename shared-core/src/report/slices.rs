//! When a thread was on a CPU, by its own clock.

use super::event::{Event, Phase};
use super::lane::{arg, lane};
use super::log::LOG;
use crate::who;
use serde_json::Map;

/// Two looks at the clock that are further apart than this, in microseconds: in
/// between the thread was on no CPU. (An interrupt takes less.)
const GAP: f64 = 100.0;

/// The slices of time in which the calling thread runs on a CPU, as it finds them
/// itself: it computes, and [looks](Self::look) at the clock every few microseconds.
/// They are recorded when this is dropped.
#[derive(Debug)]
pub struct Slices {
    /// In order of time, the last one still going on.
    slices: Vec<Slice>,
}

#[derive(Debug)]
struct Slice {
    begin: f64,
    end: f64,
    cpu: Option<usize>,
}

impl Slices {
    /// The first look.
    #[must_use = "they are recorded when this is dropped"]
    pub fn begin() -> Self {
        let mut slices = Self { slices: Vec::new() };
        if let Some(log) = LOG.get() {
            lane(log, None); // it begins before they do
            slices.look();
        }
        slices
    }

    /// Looks at the clock, and which CPU this is.
    pub fn look(&mut self) {
        let Some(log) = LOG.get() else { return };
        let (now, cpu) = (log.elapsed_us(), who::cpu());
        match self.slices.last_mut() {
            Some(slice) if slice.cpu == cpu && now - slice.end < GAP => slice.end = now,
            _ => self.slices.push(Slice {
                begin: now,
                end: now,
                cpu,
            }),
        }
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        let Some(log) = LOG.get() else { return };
        let (pid, tid) = lane(log, None);
        for slice in &self.slices {
            let (name, args) = match slice.cpu {
                Some(cpu) => (format!("CPU {cpu}"), arg("cpu", cpu)),
                None => ("on a CPU".to_owned(), Map::new()),
            };
            let event = |ph, ts, args| Event {
                name: name.clone(),
                cat: "slice".to_owned(),
                ph,
                ts,
                pid,
                tid,
                host: who::elsewhere().map(|place| place.host.clone()),
                via: who::elsewhere().map(|place| place.launcher),
                args,
            };
            log.append(&event(Phase::Begin, slice.begin, args));
            log.append(&event(Phase::End, slice.end, Map::new()));
        }
    }
}
