//! What strace says of a run: the oracle.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A process, as both see it.
#[derive(Debug, Default, Clone)]
pub struct Process {
    /// The files that it executed, one after another.
    pub executed: Vec<String>,
    /// The processes that it made.
    pub children: Vec<i64>,
    /// The threads that it made.
    pub threads: usize,
    /// `exited with 3`, `killed by SIGTERM`.
    pub end: String,
}

/// By PID.
pub type Processes = BTreeMap<i64, Process>;

/// A run without its numbers, which differ from run to run: a process, and in brackets
/// what it made.
pub fn family(processes: &Processes, pid: i64, with_threads: bool) -> String {
    let Some(process) = processes.get(&pid) else {
        return "nobody".to_owned();
    };
    let children = process.children.iter();
    let children = children.map(|child| family(processes, *child, with_threads));
    let mut children: Vec<String> = children.collect();
    children.sort();
    let threads = match process.threads {
        threads @ 1.. if with_threads => format!(", {threads} threads"),
        _ => String::new(),
    };
    let Process { executed, end, .. } = process;
    format!("{} {end}{threads} {children:#?}", executed.join(" then "))
}

/// The file that a path executes: of a script it is the interpreter (execve(2)).
fn executed(path: &str) -> String {
    let begin = fs::read(path).unwrap_or_default();
    let line = begin.split(|byte| *byte == b'\n').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    match line.strip_prefix("#!") {
        Some(line) => executed(line.split_whitespace().next().unwrap_or_default()),
        None => fs::canonicalize(path)
            .unwrap_or_default()
            .display()
            .to_string(),
    }
}

/// Reads the log of `strace -f -q -o LOG -e trace=%process`. The process
/// that made the others comes first.
pub fn read(log: &Path) -> (i64, Processes) {
    let log = fs::read(log).expect("a log");
    let log = String::from_utf8_lossy(&log);
    let mut calls: Vec<(i64, String)> = Vec::new();
    let mut unfinished: BTreeMap<i64, String> = BTreeMap::new();
    for line in log.lines() {
        let (pid, text) = line.split_once(' ').expect("a PID");
        let (pid, text) = (pid.parse().expect("a PID"), text.trim_start());
        if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, begin.to_owned());
        } else if let Some((_, rest)) = text.split_once(" resumed>") {
            let begin = unfinished.remove(&pid).unwrap_or_default();
            calls.push((pid, begin + rest));
        } else if !text.starts_with("--- ") {
            calls.push((pid, text.to_owned())); // else it is a signal that it gets
        }
    }
    // A child's first words may come before those of its maker, so there are two rounds.
    let mut makers: BTreeMap<i64, i64> = BTreeMap::new();
    let mut threads: BTreeMap<i64, i64> = BTreeMap::new();
    for (pid, call) in &calls {
        let (name, args) = call.split_once('(').unwrap_or_default();
        if let ("fork" | "vfork" | "clone" | "clone3", Some(made @ 1..)) = (name, result(call)) {
            let is_thread = args.contains("CLONE_THREAD");
            let of = if is_thread { &mut threads } else { &mut makers };
            of.insert(made, *pid);
        }
    }
    let process_of = |mut task: i64| {
        while let Some(maker) = threads.get(&task) {
            task = *maker;
        }
        task
    };
    let first = calls.first().expect("a call").0;
    let mut processes = Processes::from([(first, Process::default())]);
    for (child, maker) in &makers {
        processes.entry(*child).or_default();
        let maker = processes.entry(process_of(*maker)).or_default();
        maker.children.push(*child);
    }
    for maker in threads.values() {
        processes.entry(process_of(*maker)).or_default().threads += 1;
    }
    for (pid, call) in &calls {
        if let Some(end) = call.strip_prefix("+++ ") {
            if let Some(process) = processes.get_mut(pid) {
                let end = end.trim_end_matches(" +++");
                end.trim_end_matches(" (core dumped)")
                    .clone_into(&mut process.end);
            }
        } else if call.starts_with("execve(") && result(call) == Some(0) {
            let path = call.split('"').nth(1).unwrap_or_default();
            let process = processes.entry(process_of(*pid)).or_default();
            process.executed.push(executed(path));
        }
    }
    (first, processes)
}

/// What a call returned.
fn result(call: &str) -> Option<i64> {
    let (_, result) = call.rsplit_once(" = ")?;
    result.split(' ').next()?.parse().ok()
}
