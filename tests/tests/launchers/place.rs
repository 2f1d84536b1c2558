//! Where a launcher starts workers, and what must hold there.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::{Run, Running, program};

pub struct Place {
    launcher: String,
    environment: Option<(String, String)>,
    /// Holds a name of the program that no other test has: by that its workers are
    /// found, wherever they are.
    folder: TempDir,
}

/// A worker at work, seen from this host.
pub struct Worker {
    pub pid: i32,
    /// The child of the pool that has started it.
    pub launcher: i32,
}

/// Nothing here takes so long.
const TOO_LONG: Duration = Duration::from_secs(120);

impl Place {
    pub fn new(launcher: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self {
            launcher: launcher.to_owned(),
            environment: None,
            folder,
        };
        symlink(program("pool-demo"), place.worker_program()).expect("a link");
        place
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment = Some((name.to_owned(), value.to_owned()));
        self
    }

    /// A shell would have to be told that this is one word.
    fn worker_program(&self) -> PathBuf {
        self.folder.path().join("it's a worker")
    }

    /// A lesson with its workers there.
    pub fn run(&self, lesson: &str) -> Run {
        self.run_with(lesson, &self.worker_program().display().to_string())
    }

    fn run_with(&self, lesson: &str, worker_program: &str) -> Run {
        let run = Run::program("pool-demo").args(lesson.split(' '));
        let run = run.args(["--launcher", &self.launcher]);
        let run = run.args(["--worker-program", worker_program]);
        match &self.environment {
            Some((name, value)) => run.env(name, value),
            None => run,
        }
    }

    pub fn gives_the_same_results(&self) {
        for lesson in [
            "tasks --work-ms 20",
            "crash",
            "wordcount",
            "speed --rounds 1 --primes-below 3000 --wait-ms 16 --mib 1",
        ] {
            let here = Run::program("pool-demo").args(lesson.split(' '));
            let here = here.args(["--json"]).run().expect_status(0);
            let there = self.run(lesson).args(["--json"]).run().expect_status(0);
            assert_eq!(results(&here), results(&there), "{lesson}");
            self.tells_lanes_apart(&there.json());
        }
        self.wait_until_all_are_gone();
    }

    /// Each worker has its own launcher, and its events are between its start and its
    /// end, though its clock shows something else.
    fn tells_lanes_apart(&self, events: &[Value]) {
        let started: Vec<&Value> = of(events, "started").collect();
        assert!(!started.is_empty());
        for start in &started {
            let launcher = &start["pid"];
            let clock = of(events, "clock").find(|event| event["pid"] == *launcher);
            let mut words = events.iter().filter(|event| event["via"] == *launcher);
            let Some(clock) = clock else {
                assert!(words.next().is_none(), "{start} speaks before all");
                continue; // it ended before it could speak
            };
            let within = clock["args"]["within_us"].as_f64().expect("a number");
            let ended = of(events, "reaped").find(|event| event["pid"] == *launcher);
            let ended = ended.expect("it was reaped");
            let time = |event: &Value| event["ts"].as_f64().expect("a time");
            for word in words {
                assert!(word["host"].is_string(), "{}: {word}", self.launcher);
                let early = time(word) + within < time(start);
                let late = time(word) - within > time(ended);
                assert!(!early && !late, "{}: {word}", self.launcher);
            }
        }
        let words = events.iter().filter(|event| event["via"].is_u64());
        assert!(words.count() > started.len(), "{}", self.launcher);
    }

    pub fn is_on_several_hosts(&self, hosts: &[&str]) {
        let run = self.run("tasks --workers 4 --tasks 8 --work-ms 50").run();
        let run = run.expect_status(0);
        for host in hosts {
            assert!(
                run.stdout.contains(&format!(" {host}:")),
                "{host}: {run:#?}"
            );
        }
        self.wait_until_all_are_gone();
    }

    pub fn refuses_programs_that_are_no_workers(&self) {
        for (program, says) in [
            ("/no/such/program", "ended before it was ready: "),
            (
                "/bin/true",
                "ended before it was ready: exit status: 0 (did it put the worker into the background?)",
            ),
            ("/bin/echo", " bytes is none: \"worker "),
        ] {
            let run = self.run_with("tasks", program).run().expect_status(1);
            let last = run.stderr.lines().last().unwrap_or_default();
            let named = last.contains("worker ") && last.contains(&self.first_word());
            assert!(named && last.contains(says), "{program}: {run:#?}");
            assert!(!run.stdout.contains(" begins"), "{program}: {run:#?}");
        }
    }

    fn first_word(&self) -> String {
        let words = self.launcher.split(' ').next();
        words.unwrap_or_default().to_owned()
    }

    /// Two tasks of this length on two workers, both at work.
    pub fn at_work(&self, options: &str) -> (Running, Vec<Worker>) {
        let lesson = format!("tasks --workers 2 --tasks 4 {options}");
        let mut run = self.run(&lesson).to_be_killed().start();
        run.line_with(" begins");
        run.line_with(" begins");
        let first = self.first_process();
        let launchers = children(first);
        let workers = launchers.into_iter().filter_map(|launcher| {
            let pid = self.workers().into_iter();
            // Under Slurm and ssh it is nobody's descendant here; then any will do.
            let own = pid.clone().find(|pid| is_descendant(*pid, launcher));
            let pid = own.or(self.workers().first().copied())?;
            Some(Worker { pid, launcher })
        });
        let workers: Vec<Worker> = workers.collect();
        assert_eq!(workers.len(), 2, "{}", self.launcher);
        (run, workers)
    }

    pub fn ends_with_its_parent(&self) {
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
            let (run, _) = self.at_work("--work-ms 3600000");
            kill(Pid::from_raw(self.first_process()), signal).expect("kill");
            let ended = run.finish();
            if signal == Signal::SIGKILL {
                assert_eq!(ended.signal, Some(signal as i32), "{ended:#?}");
            } else {
                assert_eq!(ended.status, Some(128 + signal as i32), "{ended:#?}");
            }
            self.wait_until_all_are_gone();
        }
    }

    /// All tasks are done in the end, each of them once, though `harm` is done to a
    /// worker in the middle of one.
    pub fn finishes_though(&self, what: &str, harm: impl FnOnce(&Worker)) {
        let (run, workers) = self.at_work("--work-ms 2000 --retries 1");
        harm(&workers[0]);
        let run = run.finish();
        assert_eq!(run.status, Some(0), "{what}, {}: {run:#?}", self.launcher);
        assert!(
            run.stdout.contains("tasks done: 4 of 4"),
            "{what}: {run:#?}"
        );
        self.wait_until_all_are_gone();
    }

    /// The PIDs of the workers that are there.
    fn workers(&self) -> Vec<i32> {
        let program = self.worker_program();
        let program = program.to_str().expect("UTF-8");
        processes(|words| words.first().is_some_and(|word| word == program))
    }

    /// The first process of the run that is under way.
    fn first_process(&self) -> i32 {
        let program = self.worker_program();
        let program = program.to_str().expect("UTF-8");
        let is_first = |words: &[String]| {
            let option = words.iter().position(|word| word == "--worker-program");
            let names_it = option.and_then(|at| words.get(at + 1)) == Some(&program.to_owned());
            names_it && words[0].ends_with("/pool-demo")
        };
        let found = processes(is_first);
        assert_eq!(found.len(), 1, "{}", self.launcher);
        found[0]
    }

    pub fn wait_until_all_are_gone(&self) {
        let start = Instant::now();
        while !self.workers().is_empty() {
            let left = self.workers();
            let launcher = &self.launcher;
            assert!(start.elapsed() < TOO_LONG, "left by {launcher}: {left:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Worker {
    /// Who runs it over there: slurmstepd, sshd.
    pub fn parent(&self) -> i32 {
        parent(self.pid).expect("it is there")
    }

    /// The first process of its run.
    pub fn first_process(&self) -> i32 {
        parent(self.launcher).expect("it is there")
    }

    pub fn wait_until_gone(&self) {
        let start = Instant::now();
        while state(self.pid).is_some_and(|state| state != 'Z') {
            assert!(start.elapsed() < TOO_LONG, "{} is still there", self.pid);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a run found out, measured figures and what only this host has apart.
fn results(run: &tests::Outcome) -> Vec<(String, Value)> {
    let summary = run.summary();
    let checks = summary["checks"].as_array().cloned().unwrap_or_default();
    let checks = checks.into_iter().map(|check| {
        let text = check["text"].as_str().unwrap_or_default().to_owned();
        (text, check["ok"].clone())
    });
    let facts = summary["facts"].as_object().cloned().unwrap_or_default();
    let same = [
        "results",
        "workers_started",
        "after_a_panic",
        "words_too_many",
        "reader",
        "copied_for_threads_bytes",
        "copied_for_processes_bytes",
    ];
    let facts = facts
        .into_iter()
        .filter(|(name, _)| same.contains(&name.as_str()));
    let events = run.json();
    let words = of(&events, "report").filter_map(|event| event["name"].as_str());
    let words = words.filter(|line| line.trim().starts_with(|c: char| c.is_ascii_digit()));
    let words = words.map(|line| (line.to_owned(), Value::Null));
    checks.chain(facts).chain(words).collect()
}

fn of<'a>(events: &'a [Value], category: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["cat"] == category)
}

/// The PIDs of processes with such a command line.
pub fn processes(wanted: impl Fn(&[String]) -> bool) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0);
        let words: Vec<String> = words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        if wanted(&words) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

/// A field of `/proc/PID/stat`, counted from behind the name.
fn stat(pid: i32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(field).map(str::to_owned)
}

fn state(pid: i32) -> Option<char> {
    stat(pid, 0)?.chars().next()
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid, 1)?.parse().ok()
}

fn children(pid: i32) -> Vec<i32> {
    let all = processes(|_| true).into_iter();
    all.filter(|child| parent(*child) == Some(pid)).collect()
}

fn is_descendant(pid: i32, of: i32) -> bool {
    let ancestors = std::iter::successors(Some(pid), |pid| parent(*pid).filter(|p| *p > 1));
    ancestors.into_iter().any(|ancestor| ancestor == of)
}
