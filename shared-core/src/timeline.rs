//! The reading side: the events of a run as lanes, one per process or thread,
//! drawn in the terminal ([`text`]), as a picture ([`svg`]) and on a page,
//! or given on as data ([`json_lines`], [`trace`]).

mod bars;
mod drawing;
pub(crate) mod page;
mod sheet;
pub mod svg;
pub mod text;

use crate::report::{End, Event, Phase};
pub use bars::Bar;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The lanes of a run, in the order in which they began; a queue follows the
/// first one.
#[derive(Debug)]
pub struct Timeline {
    /// One for each process, for each thread that said something, and for the queue
    /// if there is one.
    pub lanes: Vec<Lane>,
    /// When the last thing happened, in microseconds. The time that the first
    /// process took to judge at the end is not part of the picture.
    pub length: f64,
    /// What was measured, in this order.
    pub bars: Vec<Bar>,
    /// How far the times of other hosts may be from those of this one, in
    /// microseconds; 0 if there are none.
    pub exact_to: f64,
}

/// The life of one process or thread. Times are in microseconds since the
/// start of the run.
#[derive(Debug)]
pub struct Lane {
    /// How many lanes began before it: this gives its colour.
    pub number: usize,
    /// A number for the process that is unique in the run: its PID, or that of its
    /// launcher.
    pub process: u32,
    /// Its PID.
    pub pid: u32,
    /// The thread; the main thread has the PID.
    pub tid: u64,
    /// The host, if a launcher started it.
    pub host: Option<String>,
    /// `parent 4242`, or `LoopThread 4242/4243` where there are several
    /// threads.
    pub label: String,
    /// From its start, as its parent saw it, or its first word, to its end.
    pub life: Span,
    /// What it did in between, in the order of beginning.
    pub spans: Vec<Span>,
    /// When it was on a CPU, if it looked.
    pub slices: Vec<Span>,
    /// What it said, and when.
    pub reports: Vec<(f64, String)>,
    /// Moments with a label that is drawn.
    pub moments: Vec<(f64, String)>,
    /// When its parent reaped it: from its end to here it was a zombie.
    pub reaped: Option<f64>,
    /// When it was started and reaped, and by which thread.
    pub marks: Vec<(f64, u64)>,
    /// How it ended.
    pub end: LaneEnd,
}

/// How a lane ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneEnd {
    /// It said so itself.
    Said,
    /// It did not come to say so; this is what wait told of its process.
    Told(End),
    /// Not at all: the process or the thread was there to the last.
    StillThere,
}

impl LaneEnd {
    /// The signal that killed it.
    #[must_use]
    pub fn signal(&self) -> Option<&str> {
        match self {
            Self::Told(End::Killed(signal)) => Some(signal),
            _ => None,
        }
    }
}

/// `killed by SIGKILL`
impl fmt::Display for LaneEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said => f.write_str("ended"),
            Self::Told(end) => end.fmt(f),
            Self::StillThere => f.write_str("still there"),
        }
    }
}

/// A stretch of time with a name.
#[derive(Debug)]
pub struct Span {
    /// What was being done.
    pub name: String,
    /// When it began, in microseconds.
    pub begin: f64,
    /// When it ended, in microseconds; for one that was cut off, when the
    /// process was reaped.
    pub end: f64,
    /// It never ended: the process was killed, or is there still.
    pub cut_off: bool,
    /// Nothing was being done: the thread waited.
    pub waits: bool,
    /// How many spans of the lane it stands in.
    pub depth: usize,
    /// The processor it began on.
    pub cpu: Option<u64>,
}

impl Timeline {
    /// Reads `events`, which are in order of time.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let length = last_moment(events);
        let mut order = Vec::new();
        let mut by_thread: HashMap<(u32, Option<u64>), Vec<&Event>> = HashMap::new();
        for event in events {
            let key = (event.process(), event.thread());
            let lane = by_thread.entry(key).or_insert_with(|| {
                order.push(key);
                Vec::new()
            });
            lane.push(event);
        }
        let mut lanes: Vec<Lane> = order.iter().map(|key| Lane::new(&by_thread[key])).collect();
        if let Some(first) = lanes.first_mut() {
            first.life.begin = 0.0; // the first process was there before the run
        }
        let mut reaped: HashMap<u32, &Event> = HashMap::new();
        for event in events.iter().filter(|event| event.cat == "reaped") {
            reaped.entry(event.process()).or_insert(event);
        }
        for lane in &mut lanes {
            lane.find_out_end(reaped.get(&lane.process).copied(), length);
        }
        order_threads(&mut lanes);
        let mut threads: HashMap<u32, usize> = HashMap::new();
        for lane in &lanes {
            *threads.entry(lane.process).or_default() += 1;
        }
        for index in 0..lanes.len() {
            let several = threads[&lanes[index].process] > 1;
            let Lane {
                pid,
                tid,
                host,
                life,
                label,
                ..
            } = &mut lanes[index];
            life.end = life.end.min(length);
            *label = match host {
                Some(host) => format!("{} {host}:{pid}", life.name),
                None => format!("{} {pid}", life.name),
            };
            if several {
                *label += &format!("/{tid}");
            }
        }
        number_the_silent(&mut lanes);
        if let Some(queue) = queue(events, lanes.len(), length) {
            lanes.insert(lanes.len().min(1), queue);
        }
        let measured = events.iter().filter(|event| event.cat == "measured");
        let bars = measured.filter_map(Bar::of).collect();
        Self {
            lanes,
            length,
            bars,
            exact_to: exact_to(events),
        }
    }

    /// Whether some process was ended by another, or with threads that were not
    /// done yet: in the middle of whatever it was writing.
    #[must_use]
    pub fn something_was_cut_off(&self) -> bool {
        let told = |lane: &Lane| matches!(lane.end, LaneEnd::Told(_));
        self.lanes.iter().any(told)
    }

    /// Who was on which CPU and when: the lanes and their slices, by the number of the
    /// CPU.
    #[must_use]
    pub fn cpus(&self) -> BTreeMap<u64, Vec<(&Lane, &Span)>> {
        let mut cpus: BTreeMap<u64, Vec<(&Lane, &Span)>> = BTreeMap::new();
        for lane in &self.lanes {
            for slice in &lane.slices {
                if let Some(cpu) = slice.cpu {
                    cpus.entry(cpu).or_default().push((lane, slice));
                }
            }
        }
        for slices in cpus.values_mut() {
            slices.sort_by(|(_, a), (_, b)| a.begin.total_cmp(&b.begin));
        }
        cpus
    }

    /// How exact it is, if there are times of other hosts.
    fn exactness(&self) -> Option<String> {
        let ms = self.exact_to / 1e3;
        (ms > 0.0).then(|| format!("times of launched processes: ± {ms:.3} ms"))
    }

    /// The signals that killed processes, by name.
    fn signals(&self) -> Vec<&str> {
        let signals = self.lanes.iter().filter_map(|lane| lane.end.signal());
        signals.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The threads of a process in the order in which they were made, which is that of
/// their TIDs: from the PID upwards, and on from 1 behind the highest number. They may
/// begin in another order.
fn order_threads(lanes: &mut [Lane]) {
    let made = |lane: &Lane| (lane.tid < u64::from(lane.pid), lane.tid);
    let mut processes = BTreeSet::new();
    for index in 0..lanes.len() {
        let (before, [lane, ..]) = lanes.split_at(index) else {
            return;
        };
        if processes.insert(lane.process) {
            continue; // it is the first one of its process
        }
        let is_later = |other: &Lane| {
            let is_main = other.tid == u64::from(other.pid);
            other.process == lane.process && !is_main && made(other) > made(lane)
        };
        if let Some(place) = before.iter().position(is_later) {
            lanes[place..=index].rotate_right(1);
        }
    }
}

/// Processes that never came to speak have no number yet.
fn number_the_silent(lanes: &mut [Lane]) {
    let spoke = |lane: &Lane| lane.number != usize::MAX;
    let spoken = lanes.iter().filter(|lane| spoke(lane)).count();
    let silent = lanes.iter_mut().filter(|lane| !spoke(lane));
    for (number, lane) in (spoken..).zip(silent) {
        lane.number = number;
    }
}

/// How well the clocks of other hosts are known: the worst of them.
fn exact_to(events: &[Event]) -> f64 {
    let clocks = events.iter().filter(|event| event.cat == "clock");
    let within = clocks.filter_map(|event| event.args.get("within_us")?.as_f64());
    within.fold(0.0, f64::max)
}

/// The lane of the queue: what waits in it, by name if it is one, else counted.
/// It leaves the queue when a thread begins a span of its name.
fn queue(events: &[Event], number: usize, length: f64) -> Option<Lane> {
    let mut waiting: Vec<&str> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for event in events {
        let name = event.name.as_str();
        let index = waiting.iter().position(|waits| *waits == name);
        match (event.cat.as_str(), event.ph, index) {
            ("queued", _, _) => waiting.push(name),
            ("span", Phase::Begin, Some(index)) => _ = waiting.remove(index),
            _ => continue,
        }
        if let Some(last) = spans.last_mut() {
            last.end = last.end.min(event.ts);
        }
        let name = match waiting.as_slice() {
            [] => continue,
            [one] => (*one).to_owned(),
            several => format!("{} waiting", several.len()),
        };
        spans.push(Span {
            name,
            begin: event.ts,
            end: length,
            cut_off: false,
            waits: true,
            depth: 0,
            cpu: None,
        });
    }
    let (begin, end) = (spans.first()?.begin, spans.last()?.end);
    Some(Lane {
        number,
        process: 0,
        pid: 0,
        tid: 0,
        host: None,
        label: "queue".to_owned(),
        life: Span {
            name: "queue".to_owned(),
            begin,
            end,
            cut_off: false,
            waits: false,
            depth: 0,
            cpu: None,
        },
        spans,
        slices: Vec::new(),
        reports: Vec::new(),
        moments: Vec::new(),
        reaped: None,
        marks: Vec::new(),
        end: LaneEnd::Said,
    })
}

/// When the last thing happened. What the first process did afterwards was to
/// judge: that is not part of the picture.
fn last_moment(events: &[Event]) -> f64 {
    let judging =
        |event: &Event| matches!(event.cat.as_str(), "check" | "fact" | "life" | "measured");
    let last = events
        .iter()
        .rposition(|event| !judging(event))
        .unwrap_or(0);
    let ends_of_lives = events
        .iter()
        .skip(last + 1)
        .take_while(|event| event.cat == "life");
    let moment = ends_of_lives.last().or(events.get(last));
    moment.map_or(0.0, |event| event.ts)
}

impl Lane {
    fn new(events: &[&Event]) -> Self {
        let first = events[0];
        let mut lane = Self {
            number: usize::MAX,
            process: first.process(),
            pid: first.pid,
            tid: first.tid,
            host: None,
            label: String::new(),
            life: Span::begin(first, 0),
            spans: Vec::new(),
            slices: Vec::new(),
            reports: Vec::new(),
            moments: Vec::new(),
            reaped: None,
            marks: Vec::new(),
            end: LaneEnd::StillThere,
        };
        let mut open = Vec::new();
        for event in events {
            if let Some(host) = &event.host {
                // Until it speaks only its launcher is known.
                (lane.pid, lane.tid, lane.host) = (event.pid, event.tid, Some(host.clone()));
            }
            match (event.ph, event.cat.as_str()) {
                (Phase::Begin, "life") => {
                    lane.life.name.clone_from(&event.name);
                    lane.life.cpu = number(event, "cpu");
                    let order = number(event, "lane").and_then(|order| order.try_into().ok());
                    lane.number = order.unwrap_or(lane.number);
                }
                (Phase::End, "life") => {
                    lane.life.close(event);
                    // Who looked from outside knows how.
                    match End::from_args(&event.args) {
                        Some(killed @ End::Killed(_)) => {
                            lane.life.cut_off = true;
                            lane.end = LaneEnd::Told(killed);
                        }
                        Some(_) => lane.end = LaneEnd::Said,
                        None => {}
                    }
                }
                (Phase::Metadata, _) => {
                    let name = event.args.get("name").and_then(Value::as_str);
                    name.unwrap_or_default().clone_into(&mut lane.life.name);
                }
                (Phase::Begin, "slice") => lane.slices.push(Span::begin(event, 0)),
                (Phase::End, "slice") => {
                    if let Some(slice) = lane.slices.last_mut() {
                        slice.close(event);
                    }
                }
                (Phase::Begin, _) => {
                    lane.spans.push(Span::begin(event, open.len()));
                    open.push(lane.spans.len() - 1);
                }
                (Phase::End, _) => {
                    if let Some(span) = open.pop() {
                        lane.spans[span].close(event);
                    }
                }
                (Phase::Instant, "report") => {
                    lane.reports.push((event.ts, event.name.clone()));
                }
                (Phase::Instant, "moment") => {
                    lane.moments.push((event.ts, event.name.clone()));
                }
                (Phase::Instant, "started" | "reaped") => {
                    let by = number(event, "by");
                    lane.marks.push((event.ts, by.unwrap_or_default()));
                    if event.cat == "reaped" {
                        lane.reaped = Some(event.ts);
                    }
                }
                _ => {}
            }
        }
        lane
    }

    /// What stands for its name where there is little room: the digit at its end, or
    /// the first letter.
    fn letter(&self) -> Option<char> {
        let name = &self.life.name;
        let digit = name.chars().last().filter(char::is_ascii_digit);
        digit.or_else(|| name.chars().next())
    }

    /// [`Event::process`] and [`Event::thread`] of its events.
    fn key(&self) -> (u32, Option<u64>) {
        let thread = (self.tid != u64::from(self.pid)).then_some(self.tid);
        (self.process, thread)
    }

    /// How long.
    fn lived(&self) -> f64 {
        self.life.end - self.life.begin
    }

    /// Whether it ended, and was a zombie until it was reaped.
    fn was_a_zombie(&self) -> bool {
        let ended_before = |reaped| self.end == LaneEnd::Said || reaped > self.life.end;
        self.reaped.is_some_and(ended_before)
    }

    /// A lane that did not say that it ended has ended with its process, or is
    /// there still.
    fn find_out_end(&mut self, reaped: Option<&Event>, length: f64) {
        let told = reaped.and_then(|event| Some((event.ts, End::from_args(&event.args)?)));
        if let Some((time, End::Exited(status @ 1..))) = told
            && self.tid == u64::from(self.pid)
        {
            let ended = if self.life.cut_off {
                time
            } else {
                self.life.end
            };
            self.moments.push((ended, format!("exit {status}")));
        }
        if self.end != LaneEnd::StillThere {
            return;
        }
        let last = match told {
            // A process may be killed after its last word, and before its end.
            Some((time, end)) if self.life.cut_off || matches!(end, End::Killed(_)) => {
                self.end = LaneEnd::Told(end);
                time
            }
            _ if self.life.cut_off => length,
            _ => {
                self.end = LaneEnd::Said;
                return;
            }
        };
        self.life.cut_off = self.end.signal().is_some();
        self.life.end = last;
        for span in self.spans.iter_mut().filter(|span| span.cut_off) {
            span.end = last;
        }
    }
}

fn number(event: &Event, arg: &str) -> Option<u64> {
    event.args.get(arg).and_then(Value::as_u64)
}

impl Span {
    fn begin(event: &Event, depth: usize) -> Self {
        Self {
            name: event.name.clone(),
            begin: event.ts,
            end: event.ts,
            cut_off: true,
            waits: event.cat == "wait",
            depth,
            cpu: number(event, "cpu"),
        }
    }

    fn close(&mut self, event: &Event) {
        self.end = event.ts;
        self.cut_off = false;
    }
}

/// The events as they are, one JSON object per line.
#[must_use]
pub fn json_lines(events: &[Event]) -> String {
    events.iter().map(|event| event.to_json() + "\n").collect()
}

/// The events as a file that Perfetto (<https://ui.perfetto.dev>) and <chrome://tracing>
/// open, in the Trace Event Format.
#[must_use]
pub fn trace(events: &[Event]) -> String {
    let lines = numbered(events);
    let lines: Vec<String> = lines.iter().map(Event::to_json).collect();
    format!(
        "{{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n{}\n]}}\n",
        lines.join(",\n")
    )
}

/// A viewer tells processes and threads apart by their numbers, and does not know of
/// hosts: those of other hosts are given others, which no PID here can have.
fn numbered(events: &[Event]) -> Vec<Event> {
    /// PIDs are below this on Linux (`PID_MAX_LIMIT`, proc(5)).
    const NO_PID: u64 = 1 << 22;
    let mut numbers: BTreeMap<(u32, Option<u64>), u64> = BTreeMap::new();
    let launched = events.iter().filter(|event| event.via.is_some());
    for lane in launched.map(|event| (event.process(), event.thread())) {
        let next = NO_PID + numbers.len() as u64;
        numbers.entry(lane).or_insert(next);
    }
    let mut events = events.to_vec();
    for event in &mut events {
        let process = event.process();
        let Some(main) = numbers.get(&(process, None)) else {
            continue;
        };
        let own = numbers.get(&(process, event.thread()));
        event.tid = *own.unwrap_or(main);
        event.pid = u32::try_from(*main).unwrap_or(process);
    }
    events
}

/// Round times to mark on an axis of `length` microseconds, at most `count`
/// and one of them, from 0 on, each with its text.
fn ticks(length: f64, count: u32) -> Vec<(f64, String)> {
    let powers = (0..10).map(|power| 10_u32.pow(power));
    let steps = powers.flat_map(|power| [1, 2, 5].map(|factor| factor * u64::from(power)));
    let enough = |step: &u64| *step as f64 * f64::from(count.max(1)) >= length;
    let step = steps.clone().find(enough).or(steps.last()).unwrap_or(1);
    let text = |time: u64| match step {
        _ if length < 1e3 => format!("{time} µs"),
        _ if length >= 1e7 => format!("{} s", time as f64 / 1e6),
        _ => {
            let decimals = [1000, 100, 10].iter().position(|unit| step % unit == 0);
            format!("{:.*} ms", decimals.unwrap_or(3), time as f64 / 1e3)
        }
    };
    let times = (0..=count).map(|index| u64::from(index) * step);
    times
        .filter(|time| *time as f64 <= length)
        .map(|time| (time as f64, text(time)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn event(ph: Phase, cat: &str, name: &str, ts: f64, pid: u32) -> Event {
        Event {
            name: name.to_owned(),
            cat: cat.to_owned(),
            ph,
            ts,
            pid,
            tid: u64::from(pid),
            host: None,
            via: None,
            args: serde_json::Map::new(),
        }
    }

    /// Two threads take turns on CPU 0, the second moves to CPU 1.
    pub(super) fn two_on_a_cpu() -> Vec<Event> {
        let mut events = vec![event(Phase::Begin, "life", "main", 0.0, 1)];
        for (name, tid, slices) in [
            ("task 1", 11, &[(100.0, 300.0, 0), (500.0, 700.0, 0)][..]),
            ("task 2", 12, &[(300.0, 490.0, 0), (600.0, 900.0, 1)]),
        ] {
            let mut of_thread = vec![event(Phase::Begin, "life", name, 50.0, 1)];
            for (begin, end, cpu) in slices {
                let mut begins = event(Phase::Begin, "slice", "", *begin, 1);
                begins.args.insert("cpu".to_owned(), (*cpu).into());
                of_thread.extend([begins, event(Phase::End, "slice", "", *end, 1)]);
            }
            of_thread.push(event(Phase::End, "life", "", 950.0, 1));
            events.extend(of_thread.into_iter().map(|event| Event { tid, ..event }));
        }
        events.push(event(Phase::End, "life", "", 1000.0, 1));
        for (number, life) in events
            .iter_mut()
            .filter(|e| e.cat == "life" && e.ph == Phase::Begin)
            .enumerate()
        {
            life.args.insert("lane".to_owned(), number.into());
        }
        events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
        events
    }

    pub(super) fn killed_child() -> Vec<Event> {
        vec![
            event(Phase::Begin, "life", "parent", 0.0, 1),
            event(Phase::Begin, "life", "child", 100.0, 2),
            event(Phase::Begin, "span", "work", 200.0, 2),
            reaped("signal", "SIGTERM".into(), 800.0, 2),
            event(Phase::End, "life", "", 1000.0, 1),
        ]
    }

    fn reaped(name: &str, how: Value, ts: f64, pid: u32) -> Event {
        let mut event = event(Phase::Instant, "reaped", "child", ts, pid);
        event.args.insert(name.to_owned(), how);
        event
    }

    /// Children that end in each of the four ways, and a thread that does not.
    pub(super) fn four_ends() -> Vec<Event> {
        let mut events = vec![event(Phase::Begin, "life", "parent", 0.0, 1)];
        for pid in 2..=5 {
            events.push(event(Phase::Instant, "started", "child", 100.0, pid));
        }
        let mut thread = event(Phase::Begin, "life", "detached", 200.0, 1);
        thread.tid = 6;
        events.extend([
            thread,
            event(Phase::Begin, "life", "child", 200.0, 2),
            event(Phase::End, "life", "", 500.0, 2),
            reaped("status", 0.into(), 600.0, 2),
            reaped("status", 3.into(), 700.0, 3),
            reaped("signal", "SIGTERM".into(), 800.0, 4),
            reaped("signal", "SIGKILL".into(), 900.0, 5),
            event(Phase::End, "life", "", 1000.0, 1),
        ]);
        events
    }

    #[test]
    fn how_a_lane_ended_is_what_wait_told() {
        let timeline = Timeline::new(&four_ends());
        let ends = timeline.lanes.iter().map(|lane| lane.end.to_string());
        assert_eq!(
            ends.collect::<Vec<_>>(),
            [
                "ended",
                "ended",
                "exited with status 3",
                "killed by SIGTERM",
                "killed by SIGKILL",
                "still there"
            ]
        );
        assert!((timeline.lanes[5].life.end - timeline.length).abs() < f64::EPSILON);
        assert!(!timeline.lanes[2].life.cut_off && timeline.lanes[3].life.cut_off);
    }

    #[test]
    fn a_span_that_never_ended_is_cut_off_when_its_process_was_reaped() {
        let timeline = Timeline::new(&killed_child());
        assert_eq!(timeline.lanes[0].label, "parent 1");
        assert!(!timeline.lanes[0].life.cut_off);
        let child = &timeline.lanes[1];
        assert!(child.life.cut_off && child.spans[0].cut_off);
        assert!((child.spans[0].end - 800.0).abs() < f64::EPSILON);
    }

    /// What a launcher started on two hosts: the PIDs are the same.
    pub(super) fn on_two_hosts() -> Vec<Event> {
        let mut events = vec![event(Phase::Begin, "life", "parent", 0.0, 10)];
        for (host, launcher) in [("n1", 20), ("n2", 30)] {
            let started = event(Phase::Instant, "started", "worker", 100.0, launcher);
            let mut clock = event(Phase::Instant, "clock", host, 150.0, launcher);
            clock.args.insert("within_us".to_owned(), launcher.into());
            let there = |ph, cat, tid, ts| Event {
                tid,
                host: Some(host.to_owned()),
                via: Some(launcher),
                ..event(ph, cat, cat, ts, 1)
            };
            events.extend([
                started,
                clock,
                there(Phase::Begin, "life", 1, 200.0),
                there(Phase::Begin, "span", 1, 300.0),
                there(Phase::Begin, "life", 7, 310.0),
                there(Phase::End, "life", 7, 350.0),
                there(Phase::End, "span", 1, 400.0),
                reaped("signal", "SIGTERM".into(), 900.0, launcher),
            ]);
        }
        events.push(event(Phase::End, "life", "", 1000.0, 10));
        events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
        events
    }

    #[test]
    fn equal_pids_of_two_hosts_are_two_lanes() {
        let timeline = Timeline::new(&on_two_hosts());
        let lanes = timeline.lanes.iter();
        let lanes: Vec<_> = lanes.map(|lane| (&*lane.label, lane.process)).collect();
        assert_eq!(
            lanes,
            [
                ("parent 10", 10),
                ("life n1:1/1", 20),
                ("life n2:1/1", 30),
                ("life n1:1/7", 20),
                ("life n2:1/7", 30)
            ]
        );
        let killed = [1, 2].map(|lane| timeline.lanes[lane].end.signal());
        assert_eq!(
            killed,
            [Some("SIGTERM"); 2],
            "as wait told of the launchers"
        );
        assert!((timeline.exact_to - 30.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_trace_has_numbers_of_its_own_for_other_hosts() {
        let events = numbered(&on_two_hosts());
        let of = |name: &str| {
            let events = events.iter().filter(|event| event.name == name);
            events
                .map(|event| (event.pid, event.tid))
                .collect::<BTreeSet<_>>()
        };
        let main = 1 << 22;
        let lives = [(main, 0), (main, 2), (main + 1, 1), (main + 1, 3)];
        let lives = lives.map(|(pid, tid)| (pid, u64::from(main + tid)));
        assert_eq!(of("life"), BTreeSet::from(lives));
        assert_eq!(of("worker").len(), 2, "started");
        assert!(of("worker").is_subset(&of("life")));
        assert_eq!(of("parent"), BTreeSet::from([(10, 10)]), "one of this host");
    }

    #[test]
    fn what_waits_in_a_queue_is_named_if_it_is_one_and_counted_if_it_is_several() {
        let queued = |name, ts| event(Phase::Instant, "queued", name, ts, 1);
        let taken = |name, ts| event(Phase::Begin, "span", name, ts, 2);
        let timeline = Timeline::new(&[
            event(Phase::Begin, "life", "parent", 0.0, 1),
            event(Phase::Begin, "life", "worker", 0.0, 2),
            queued("task 0", 100.0),
            queued("task 1", 200.0),
            queued("task 2", 200.0),
            taken("task 0", 300.0),
            taken("task 1", 400.0),
            taken("task 2", 600.0),
            event(Phase::End, "life", "", 1000.0, 1),
        ]);
        let queue = &timeline.lanes[1];
        assert_eq!(queue.label, "queue");
        let spans = queue.spans.iter().filter(|span| span.end > span.begin);
        let spans = spans.map(|span| format!("{} {} to {}", span.name, span.begin, span.end));
        assert_eq!(
            spans.collect::<Vec<_>>(),
            [
                "task 0 100 to 200",
                "3 waiting 200 to 300",
                "2 waiting 300 to 400",
                "task 2 400 to 600"
            ]
        );
    }

    #[test]
    fn ticks_are_round() {
        let texts = |length| -> Vec<String> {
            let ticks = ticks(length, 4).into_iter();
            ticks.map(|(_, text)| text).collect()
        };
        assert_eq!(texts(420.0), ["0 µs", "200 µs", "400 µs"]);
        assert_eq!(texts(1_300.0), ["0.0 ms", "0.5 ms", "1.0 ms"]);
        assert_eq!(
            texts(2_000_000.0),
            ["0 ms", "500 ms", "1000 ms", "1500 ms", "2000 ms"]
        );
        assert_eq!(texts(0.0), ["0 µs"]);
    }
}
