//! The event log of a run: one append-only file, to which every process and
//! thread of the run appends whole records.
//!
//! A process may be killed in the middle of a write, and a reader may come in
//! the middle of one. So a record stands between two newlines: what was cut off
//! stays on a line of its own and costs nobody else's record, and what is
//! after the last newline is not read yet.

use super::clock::clock;
use super::event::{Event, LIFE_BEGINS, Phase};
use crate::ending::stop;
use crate::platform::EventLog;
use crate::{cause, complain};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) static LOG: OnceLock<Log> = OnceLock::new();

pub(super) struct Log {
    file: Place,
    start: i64,
    read: Mutex<Read>,
}

/// Where records go.
enum Place {
    File(EventLog),
    /// To a process that has the file.
    Elsewhere(Carry),
}

/// What carries events, in JSON, to the process that has the event log.
pub(super) type Carry = Box<dyn Fn(&str) + Send + Sync>;

/// What was read of the log: each byte once.
#[derive(Default)]
struct Read {
    bytes: u64,
    events: Arc<Vec<Event>>,
    facts: HashMap<String, Value>,
    /// How many lanes have begun.
    lanes: usize,
    cut_off: Vec<String>,
}

impl Log {
    pub(super) fn create() -> Result<Self> {
        let file = EventLog::create().context("failed to create the event log")?;
        Ok(Self::new(file, clock()))
    }

    /// `start` is what this host's [`clock`] showed when the run began.
    pub(super) fn new(file: EventLog, start: i64) -> Self {
        let (file, read) = (Place::File(file), Mutex::default());
        Self { file, start, read }
    }

    /// A log that another process has.
    pub(super) fn elsewhere(carry: Carry, start: i64) -> Self {
        let (file, read) = (Place::Elsewhere(carry), Mutex::default());
        Self { file, start, read }
    }

    pub(super) fn file(&self) -> Option<&EventLog> {
        match &self.file {
            Place::File(file) => Some(file),
            Place::Elsewhere(_) => None,
        }
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn elapsed_us(&self) -> f64 {
        clock().saturating_sub(self.start).max(0) as f64 / 1e3
    }

    pub(super) fn append(&self, event: &Event) {
        self.append_json(&event.to_json());
    }

    fn append_json(&self, event: &str) {
        let file = match &self.file {
            Place::File(file) => file,
            Place::Elsewhere(carry) => return carry(event),
        };
        let record = format!("\n{event}\n");
        if let Err(error) = file.append(record.as_bytes()) {
            let cause = cause(error);
            complain(format_args!("failed to write to the event log: {cause}"));
            stop(1);
        }
    }

    /// Appends an event that came from the process which this launcher started, and
    /// returns it; `None` if it is no such thing.
    pub(super) fn append_carried(&self, json: &str, launcher: u32) -> Option<Event> {
        let event = serde_json::from_str::<Event>(json).ok();
        let event = event.filter(|event| event.via == Some(launcher) && !json.contains('\n'))?;
        self.append_json(json);
        Some(event)
    }

    /// All events so far, in order of time.
    pub(super) fn events(&self) -> Result<Arc<Vec<Event>>> {
        let mut read = self.read();
        self.file().map_or(Ok(()), |file| read.go_on(file))?;
        if !read.events.is_sorted_by(|a, b| a.ts <= b.ts) {
            Arc::make_mut(&mut read.events).sort_by(|a, b| a.ts.total_cmp(&b.ts));
        }
        Ok(read.events.clone())
    }

    pub(super) fn fact(&self, name: &str) -> Result<Option<Value>> {
        let mut read = self.read();
        self.file().map_or(Ok(()), |file| read.go_on(file))?;
        Ok(read.facts.get(name).cloned())
    }

    /// How many lanes began before the one of this thread (of a process that came through
    /// this launcher). The order is that of the log, the same for every reader.
    pub(super) fn lane_number(&self, pid: u32, tid: u64, via: Option<u32>) -> usize {
        // It is only for a colour.
        let bytes = self.file().and_then(|file| file.read(0).ok());
        let bytes = bytes.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lives = text.lines().filter(|line| line.contains(LIFE_BEGINS));
        let mut lives = lives.filter_map(|life| serde_json::from_str::<Event>(life).ok());
        let own = lives.position(|life| (life.pid, life.tid, life.via) == (pid, tid, via));
        own.unwrap_or(0)
    }

    /// The records that [`events`](Self::events) found cut off.
    pub(super) fn cut_off(&self) -> Vec<String> {
        self.read().cut_off.clone()
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// Reads what was appended since the last time, up to the last newline.
    fn go_on(&mut self, file: &EventLog) -> Result<()> {
        let bytes = file
            .read(self.bytes)
            .context("failed to read the event log")?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = &bytes[..whole.map_or(0, |last| last + 1)];
        self.bytes += whole.len() as u64;
        let events = Arc::make_mut(&mut self.events);
        for line in whole.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Event>(line) {
                Ok(mut event) => {
                    if event.cat == "life" && event.ph == Phase::Begin {
                        event.args.insert("lane".to_owned(), self.lanes.into());
                        self.lanes += 1;
                    }
                    if event.cat == "fact"
                        && let Some(value) = event.args.get("value")
                    {
                        self.facts.insert(event.name.clone(), value.clone());
                    }
                    events.push(event);
                }
                Err(_) => self
                    .cut_off
                    .push(String::from_utf8_lossy(line).into_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(log: &Log) -> &EventLog {
        log.file().expect("its own file")
    }

    fn fact(name: &str, ts: f64) -> Event {
        Event {
            name: name.to_owned(),
            cat: "fact".to_owned(),
            ph: Phase::Instant,
            ts,
            pid: 1,
            tid: 1,
            host: None,
            via: None,
            args: serde_json::Map::from_iter([("value".to_owned(), ts.into())]),
        }
    }

    #[test]
    fn a_record_that_was_cut_off_costs_that_record_and_nothing_else() {
        let log = Log::create().expect("a log");
        log.append(&fact("first", 1.0));
        file(&log).append(b"\n{\"name\":\"cut o").expect("written");
        assert_eq!(log.fact("first").expect("a log"), Some(1.0.into()));
        assert!(log.cut_off().is_empty(), "it may still be going on");
        log.append(&fact("second", 2.0));
        assert_eq!(log.fact("second").expect("a log"), Some(2.0.into()));
        assert_eq!(log.events().expect("a log").len(), 2);
        assert_eq!(log.cut_off(), ["{\"name\":\"cut o"]);
    }

    #[test]
    fn a_record_is_read_when_it_is_there_as_a_whole() {
        let log = Log::create().expect("a log");
        let record = fact("torn", 1.0).to_json();
        let (begin, end) = record.split_at(20);
        file(&log)
            .append(format!("\n{begin}").as_bytes())
            .expect("written");
        assert_eq!(log.fact("torn").expect("a log"), None);
        file(&log)
            .append(format!("{end}\n").as_bytes())
            .expect("written");
        assert_eq!(log.fact("torn").expect("a log"), Some(1.0.into()));
        assert!(log.cut_off().is_empty());
    }

    #[test]
    fn a_lane_has_the_same_number_in_a_line_and_in_the_picture() {
        let log = Log::create().expect("a log");
        // The second one to write was the first one to begin.
        for (ts, tid) in [(2.0, 7), (1.0, 8)] {
            let (cat, ph) = ("life".to_owned(), Phase::Begin);
            let name = r#"","cat":"life","ph":"B","#.to_owned();
            log.append(&Event {
                name,
                cat,
                ph,
                tid,
                ..fact("", ts)
            });
        }
        let events = log.events().expect("a log");
        let number = |event: &Event| event.args["lane"].as_u64();
        assert_eq!(
            events.iter().map(number).collect::<Vec<_>>(),
            [Some(1), Some(0)]
        );
        assert_eq!([7, 8].map(|tid| log.lane_number(1, tid, None)), [0, 1]);
    }

    #[test]
    fn events_come_in_order_of_time() {
        let log = Log::create().expect("a log");
        for time in [3.0, 1.0, 2.0] {
            log.append(&fact("fact", time));
        }
        let events = log.events().expect("a log");
        let times: Vec<f64> = events.iter().map(|event| event.ts).collect();
        assert_eq!(times, [1.0, 2.0, 3.0]);
    }
}
