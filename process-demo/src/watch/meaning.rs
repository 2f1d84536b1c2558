//! From what the kernel did to the events of a run: lanes, spans, reports, and who was
//! reaped by whom.

use super::alive::Sample;
use super::calls::Call;
use super::events::{At, Events, arg};
use super::proc;
use super::tracer::{End, How, Made, Seen};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::{Map, Value};
use shared_core::report::{self, Event, Phase};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;

/// What is kept of a line of output.
const LONGEST_LINE: usize = 200;

/// What is known of a run while it goes on.
pub struct Meaning {
    events: Events,
    lanes: HashMap<i32, Lane>,
    processes: HashMap<i32, Process>,
    /// The threads that wake those who wait for their end, by process and address.
    ends_at: HashMap<(i32, u64), i32>,
    /// Lines that have no end yet, by process and stream.
    lines: HashMap<(i32, u64), Vec<u8>>,
    /// Processes that outlived their parents.
    orphaned: HashSet<i32>,
    story: Story,
}

/// What there was, in numbers and names.
#[derive(Default)]
pub struct Story {
    pub processes: usize,
    pub threads: usize,
    /// Tasks that were seen to end.
    pub ended: usize,
    /// Who has no parent in the picture.
    pub without_parent: Vec<String>,
    /// Who was a zombie until its parent ended.
    pub zombies: Vec<String>,
    /// Who outlived its parent, by PID.
    pub orphans: BTreeMap<i32, String>,
    /// Reaped by their parents.
    pub reaped: usize,
    /// Reaped by the kernel, as their parents ignore SIGCHLD.
    pub reaped_by_kernel: usize,
    /// Events that were too many.
    pub left_out: usize,
    /// Who wanted to trace, or to be traced by another.
    pub traces: Option<String>,
    /// How the program ended.
    pub end: Option<End>,
}

/// A task that is alive.
struct Lane {
    process: i32,
    name: String,
    waits: Option<(i64, Wait)>,
    /// What it waited for last, in case that it goes on with that.
    waited: Option<Wait>,
    writes: Option<(u64, Vec<u8>)>,
}

/// What a task waits for.
#[derive(Clone)]
struct Wait {
    name: String,
    /// That of the futex, if it is one.
    address: Option<u64>,
}

/// A process that nobody has reaped.
struct Process {
    /// Who made it; the first one was made by us.
    parent: Option<i32>,
    label: String,
    end: Option<(i64, End)>,
    /// How its parent ended, which did so before it, or before reaping it.
    parents_end: Option<End>,
    /// When it became ours as a zombie.
    left_behind: Option<i64>,
}

impl Meaning {
    /// Of a run that began when the clock showed `start`, in which `first` executes its
    /// program; with so many events at most.
    pub fn of(first: i32, start: i64, most: usize) -> Self {
        let mut meaning = Self {
            events: Events::of(start, most),
            lanes: HashMap::new(),
            processes: HashMap::new(),
            ends_at: HashMap::new(),
            lines: HashMap::new(),
            orphaned: HashSet::new(),
            story: Story::default(),
        };
        meaning.begins(start, first, first, None, proc::name(first));
        meaning
    }

    /// Takes what was seen when the clock showed `now`.
    pub fn take(&mut self, now: i64, seen: Seen) {
        match seen {
            Seen::Made(made) => self.made(now, made),
            Seen::Executes { process, former } => self.executes(now, process, former),
            Seen::Calls { task, call } => self.calls(now, task, call),
            Seen::Returns {
                task,
                value,
                reaped,
            } => self.returns(now, task, value, reaped),
            Seen::Stops { task, signal } => {
                self.wait_ends(now, task);
                let name = format!("stopped by {}", signal_name(signal));
                self.wait_begins(now, task, name, None);
            }
            Seen::GoesOn { task } => self.wait_ends(now, task),
            Seen::Ends { task, end } => self.ends(now, task, end),
            Seen::LeftBehind { process } => self.left_behind(now, process),
        }
    }

    /// All events, in order of time, once all tasks have ended.
    pub fn finish(mut self, samples: Vec<Sample>) -> (Vec<Event>, Story) {
        for sample in samples {
            let (begin, end) = (sample.begin, sample.end);
            if end > begin {
                let at = |now| At {
                    now,
                    task: sample.task,
                    process: sample.process,
                };
                self.span(at(begin), at(end), &sample.name, arg("sampled", true));
            }
        }
        // Who ended, was not seen to be reaped, and is no zombie any more: nobody waited,
        // nor had to.
        for (pid, process) in take(&mut self.processes) {
            if let (Some((time, end)), Some(_)) = (process.end, process.parent)
                && !self.orphaned.contains(&pid)
            {
                self.story.reaped_by_kernel += 1;
                self.reaped(time, pid, end, 0);
            }
        }
        let events;
        (events, self.story.left_out) = self.events.finish();
        (events, self.story)
    }

    fn made(&mut self, now: i64, made: Made) {
        let Made {
            task,
            process,
            by,
            how,
            end_at,
        } = made;
        if let Some(address) = end_at {
            self.ends_at.insert((process, address), task);
        }
        let (name, parent) = match self.lanes.get(&by) {
            Some(maker) => (maker.name.clone(), Some(maker.process)),
            None => (proc::name(task), self.processes.get(&by).map(|_| by)),
        };
        if parent.is_none() {
            self.story.without_parent.push(format!("{name} {task}"));
        }
        self.begins(now, task, process, parent.or(Some(by)), name);
        let mut args = arg("by", by);
        args.extend(arg("how", how.name()));
        self.instant(now, task, "started", "", args);
    }

    fn begins(&mut self, now: i64, task: i32, process: i32, parent: Option<i32>, name: String) {
        let number = self.story.processes + self.story.threads;
        if task == process {
            self.story.processes += 1;
            let new = Process {
                parent,
                label: String::new(),
                end: None,
                parents_end: None,
                left_behind: None,
            };
            self.processes.insert(process, new);
        } else {
            self.story.threads += 1;
        }
        self.events.begin(At { now, task, process }, &name, number);
        let lane = Lane {
            process,
            name,
            waits: None,
            waited: None,
            writes: None,
        };
        self.lanes.insert(task, lane);
        self.is_named(now, task);
    }

    /// A task is called as its lane says from here on.
    fn is_named(&mut self, now: i64, task: i32) {
        let Some(lane) = self.lanes.get(&task) else {
            return;
        };
        let (process, named) = (lane.process, arg("name", lane.name.as_str()));
        let mut kinds = vec!["thread_name"];
        if let Some(known) = self.processes.get_mut(&task) {
            known.label = format!("{} {task}", lane.name);
            if known.parents_end.is_some() {
                self.story.orphans.insert(task, known.label.clone());
            }
            kinds.insert(0, "process_name");
        }
        for kind in kinds {
            let at = At { now, task, process };
            let (phase, named) = (Phase::Metadata, named.clone());
            self.events.append(at, phase, "metadata", kind, named);
        }
    }

    fn executes(&mut self, now: i64, process: i32, former: i32) {
        let is_gone = |(task, lane): (&i32, &Lane)| {
            (lane.process == process && *task != process).then_some(*task)
        };
        let gone: Vec<i32> = self.lanes.iter().filter_map(is_gone).collect();
        for task in gone {
            self.ends(now, task, End::Exited(0));
        }
        if former != process && !self.lanes.contains_key(&process) {
            // The main thread had ended; the one that goes on has its number.
            let known = self.processes.get(&process);
            let parent = known.and_then(|process| process.parent);
            self.begins(now, process, process, parent, String::new());
        }
        self.wait_ends(now, process);
        let name = proc::name(process);
        let label = format!("exec {name}");
        if let Some(lane) = self.lanes.get_mut(&process) {
            lane.name = name;
        }
        self.is_named(now, process);
        let executable = arg("executable", proc::executable(process));
        self.instant(now, process, "moment", &label, executable);
    }

    fn calls(&mut self, now: i64, task: i32, call: Call) {
        match call {
            Call::Child {
                only_looks: true, ..
            } => {}
            Call::Child { pid, .. } => {
                let child = match pid {
                    1.. => format!("child {pid}"),
                    _ => "any child".to_owned(),
                };
                self.wait_begins(now, task, child, None);
            }
            Call::Futex { address } => {
                let process = self.process_of(task);
                let name = match self.ends_at.get(&(process, address)) {
                    Some(thread) => format!("join {thread}"),
                    None => format!("lock/condition {:06x}", address & 0xff_ffff),
                };
                self.wait_begins(now, task, name, Some(address));
            }
            Call::Wait(what) => self.wait_begins(now, task, what.to_owned(), None),
            Call::Again => {
                let waited = self.lanes.get(&task).and_then(|lane| lane.waited.clone());
                if let Some(Wait { name, address }) = waited {
                    self.wait_begins(now, task, name, address);
                }
            }
            Call::Write { stream, bytes } => {
                if let Some(lane) = self.lanes.get_mut(&task) {
                    lane.writes = Some((stream, bytes));
                }
            }
            Call::Name(name) => {
                if let Some(lane) = self.lanes.get_mut(&task) {
                    lane.name = name;
                }
                self.is_named(now, task);
            }
            Call::Trace => {
                let who = self.lanes.get(&task);
                let who = who.map(|lane| format!("{} {task}", lane.name));
                self.story.traces = self.story.traces.take().or(who);
            }
        }
    }

    fn returns(&mut self, now: i64, task: i32, value: i64, reaped: Option<i32>) {
        let Some(lane) = self.lanes.get_mut(&task) else {
            return;
        };
        let process = lane.process;
        let is_futex = |(_, wait): &(i64, Wait)| wait.address.is_some();
        if value == -i64::from(Errno::EAGAIN as i32) && lane.waits.as_ref().is_some_and(is_futex) {
            lane.waits = None; // it had another value already: there was no wait
        }
        let writes = lane.writes.take();
        self.wait_ends(now, task);
        if let Some((stream, mut bytes)) = writes {
            bytes.truncate(usize::try_from(value).unwrap_or(0));
            self.writes(At { now, task, process }, stream, &bytes);
        }
        if let Some(child) = reaped {
            let child = self.child_of(process, child);
            let end = self.processes.get(&child).and_then(|child| child.end);
            if let Some((_, end)) = end {
                self.processes.remove(&child);
                self.story.reaped += 1;
                self.reaped(now, child, end, task);
            }
        }
    }

    /// The child that a process calls so, or has reaped without a number (0): the one that
    /// ended first. In another PID namespace it has another number.
    fn child_of(&self, parent: i32, number: i32) -> i32 {
        let is_known = self.processes.contains_key(&number);
        if is_known || number != 0 && !proc::is_in_another_pid_namespace(parent) {
            return number;
        }
        let is_zombie = |known: &Process| known.parent == Some(parent) && known.end.is_some();
        let zombies = self.processes.iter().filter(|(_, known)| is_zombie(known));
        let earliest = zombies.min_by_key(|(_, known)| known.end.map(|(time, _)| time));
        earliest.map_or(number, |(pid, _)| *pid)
    }

    /// Reports the whole lines, and keeps what is left.
    fn writes(&mut self, at: At, stream: u64, bytes: &[u8]) {
        let key = (at.process, stream);
        let mut text = self.lines.remove(&key).unwrap_or_default();
        text.extend(bytes);
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        let rest = lines.pop().unwrap_or_default();
        for line in lines {
            self.says(at, stream, line);
        }
        if rest.len() > LONGEST_LINE * 4 {
            self.says(at, stream, rest);
        } else if !rest.is_empty() {
            self.lines.insert(key, rest.to_vec());
        }
    }

    fn says(&mut self, at: At, stream: u64, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let mut rest = line.trim_end().chars().map(visible);
        let mut line: String = rest.by_ref().take(LONGEST_LINE).collect();
        line.extend(rest.next().map(|_| '…')); // there is more
        let stream = arg("stream", if stream == 1 { "stdout" } else { "stderr" });
        self.events
            .append(at, Phase::Instant, "report", &line, stream);
    }

    fn ends(&mut self, now: i64, task: i32, end: End) {
        self.wait_ends(now, task);
        let Some(lane) = self.lanes.remove(&task) else {
            return;
        };
        let process = lane.process;
        let at = At { now, task, process };
        self.story.ended += 1;
        let mut args = Map::new();
        if task == process {
            for stream in [1, 2] {
                if let Some(rest) = self.lines.remove(&(process, stream)) {
                    self.says(at, stream, &rest);
                }
            }
            args = end.arg();
            self.process_ends(now, process, end);
        }
        self.events
            .append_in_any_case(at, Phase::End, "life", "", args);
    }

    fn process_ends(&mut self, now: i64, pid: i32, end: End) {
        let mut zombies = Vec::new();
        for (child, process) in &mut self.processes {
            if process.parent == Some(pid) {
                process.parents_end = Some(end);
                if process.end.is_none() {
                    self.story.orphans.insert(*child, process.label.clone());
                    self.orphaned.insert(*child);
                }
                zombies.extend(process.left_behind.map(|_| *child));
            }
        }
        for zombie in zombies {
            self.was_a_zombie(zombie);
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.end = Some((now, end));
            if process.died_with_its_parent() {
                self.story.orphans.remove(&pid);
            }
            if process.parent.is_none() {
                self.story.end = Some(end);
            }
        }
    }

    /// A zombie has become ours. Its parent has ended then, but we may hear of that later.
    fn left_behind(&mut self, now: i64, pid: i32) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.left_behind = Some(now);
            if process.parents_end.is_some() {
                self.was_a_zombie(pid);
            }
        }
    }

    fn was_a_zombie(&mut self, pid: i32) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        if let (Some((_, end)), Some(reaped)) = (process.end, process.left_behind) {
            if !process.died_with_its_parent() {
                self.story.zombies.push(process.label);
            }
            self.reaped(reaped, pid, end, 0);
        }
    }

    /// `by` is 0 where it was none of the program's tasks.
    fn reaped(&mut self, now: i64, pid: i32, end: End, by: i32) {
        let mut args = end.arg();
        args.extend(arg("by", by));
        let at = At {
            now,
            task: pid,
            process: pid,
        };
        self.events
            .append_in_any_case(at, Phase::Instant, "reaped", "", args);
    }

    fn wait_begins(&mut self, now: i64, task: i32, name: String, address: Option<u64>) {
        if let Some(lane) = self.lanes.get_mut(&task) {
            let wait = Wait { name, address };
            lane.waited = Some(wait.clone());
            lane.waits = Some((now, wait));
        }
    }

    fn wait_ends(&mut self, now: i64, task: i32) {
        let process = self.process_of(task);
        let lane = self.lanes.get_mut(&task);
        if let Some((begin, wait)) = lane.and_then(|lane| lane.waits.take()) {
            let address = wait.address.map(|address| format!("{address:#x}"));
            let args = address.map(|address| arg("address", address));
            let at = |now| At { now, task, process };
            self.span(at(begin), at(now), &wait.name, args.unwrap_or_default());
        }
    }

    fn span(&mut self, begin: At, end: At, name: &str, args: Map<String, Value>) {
        if self.events.append(begin, Phase::Begin, "wait", name, args) {
            self.events
                .append_in_any_case(end, Phase::End, "span", "", Map::new());
        }
    }

    fn process_of(&self, task: i32) -> i32 {
        self.lanes.get(&task).map_or(task, |lane| lane.process)
    }

    fn instant(
        &mut self,
        now: i64,
        task: i32,
        category: &str,
        name: &str,
        args: Map<String, Value>,
    ) {
        let process = self.process_of(task);
        let at = At { now, task, process };
        self.events.append(at, Phase::Instant, category, name, args);
    }
}

impl Process {
    /// Both were killed by the same signal, such as that of Ctrl-C: that nobody waited is
    /// no fault.
    fn died_with_its_parent(&self) -> bool {
        let end = self.end.map(|(_, end)| end);
        matches!(end, Some(End::Killed(_))) && end == self.parents_end
    }
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::Clone => "clone",
            Self::Unknown => "unknown",
        }
    }
}

impl End {
    /// As the lessons say it.
    pub fn told(self) -> report::End {
        match self {
            Self::Exited(status) => report::End::Exited(status),
            Self::Killed(signal) => report::End::Killed(signal_name(signal)),
        }
    }

    /// As an argument of an event.
    fn arg(self) -> Map<String, Value> {
        Map::from_iter([self.told().arg()])
    }
}

/// `SIGTERM`; the real-time signals have no names of their own.
fn signal_name(number: i32) -> String {
    let name = Signal::try_from(number).map(|signal| signal.to_string());
    name.unwrap_or_else(|_| match number - nix::libc::SIGRTMIN() {
        real_time @ 0.. => format!("SIGRTMIN+{real_time}"),
        _ => format!("signal {number}"),
    })
}
