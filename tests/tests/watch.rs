//! `process-demo watch`: any program, seen from outside.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

#[path = "watch/strace.rs"]
mod strace;

use nix::libc::{SYS_futex, SYS_read};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use strace::{Process, Processes, family};
use tempfile::TempDir;
use tests::{DEMOS, Outcome, Run, Running, program, python3, root, tool, workspace};

fn watch(options: &[&str], words: &[&str]) -> Run {
    let run = Run::program("process-demo").args(["watch"]);
    run.args(options).args(["--"]).args(words)
}

/// A program of `tests/python/watched`.
fn python(name: &str) -> String {
    let path = workspace().join("tests/python/watched").join(name);
    path.to_string_lossy().into_owned()
}

fn of<'a>(events: &'a [Value], category: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["cat"] == category)
}

fn int(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

/// The waits by name, in order, of one task.
fn waits(events: &[Value], tid: i64) -> Vec<&str> {
    let own = of(events, "wait").filter(|event| int(&event["tid"]) == tid);
    own.filter_map(|event| event["name"].as_str()).collect()
}

/// The checks that failed.
fn failed(summary: &Value) -> Vec<&str> {
    let checks = summary["checks"].as_array().expect("checks").iter();
    let failed = checks.filter(|check| check["ok"] == false);
    failed.filter_map(|check| check["text"].as_str()).collect()
}

const ZOMBIE: &str = "no parent left a zombie: every child that ended was reaped";
const ORPHAN: &str = "no parent left an orphan: every child ended before its parent";

/// What `watch --json` says of the processes.
fn seen(events: &[Value]) -> (i64, Processes) {
    let mut processes = Processes::new();
    let first = int(&events[0]["pid"]);
    let mut process_of = BTreeMap::new();
    for event in events {
        let (pid, tid) = (int(&event["pid"]), int(&event["tid"]));
        process_of.insert(tid, pid);
        let by = event["args"]["by"].as_i64();
        let by = by.and_then(|by| process_of.get(&by).copied());
        let executable = event["args"]["executable"].as_str().map(str::to_owned);
        let process: &mut Process = processes.entry(pid).or_default();
        process.executed.extend(executable);
        let args = &event["args"];
        if event["cat"] == "life" && event["ph"] == "E" && pid == tid {
            process.end = match (args["status"].as_i64(), args["signal"].as_str()) {
                (Some(status), _) => format!("exited with {status}"),
                (_, Some(signal)) => format!("killed by {signal}"),
                _ => "nothing".to_owned(),
            };
        }
        if event["cat"] == "started" {
            let maker = processes.entry(by.expect("a maker")).or_default();
            if pid == tid {
                maker.children.push(pid);
            } else {
                maker.threads += 1;
            }
        }
    }
    (first, processes)
}

/// The programs whose processes are compared, and whether their threads are, too: how
/// many a compiler makes depends on what it finds.
fn programs(folder: &Path, python3: &str) -> Vec<(Vec<String>, bool)> {
    let notes = |name: &str| {
        let path = workspace().join("tests/python").join(name);
        vec![python3.to_owned(), path.to_string_lossy().into_owned()]
    };
    let sh = |script: &str| ["bash", "-c", script].map(str::to_owned).to_vec();
    let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let inline = |script: &str| [python3, "-c", script].map(str::to_owned).to_vec();
    let makefile = folder.join("Makefile");
    let rules = "all: a b c d\na b c d:\n\t@sleep 0.01; true $@\n";
    fs::write(&makefile, rules).expect("a Makefile");
    let project = folder.join("small");
    fs::create_dir_all(project.join("src")).expect("a project");
    let manifest = "[package]\nname = \"small\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(project.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(project.join("src/main.rs"), "fn main() {}\n").expect("a program");
    let project = project.display();
    let make = makefile.display();
    vec![
        (sh("ls / | sort -r | head -n 1 > /dev/null"), true),
        (sh("(exit 3) & (exit 4) & wait; exit 5"), true),
        (sh("(sh -c 'kill -TERM $$'); :"), true),
        (
            sh("printf '1\\n2\\n3\\n4\\n' | xargs -P 2 -n 1 sh -c 'exit 0'"),
            true,
        ),
        (sh("x=$(echo $(echo in)); exec echo $x"), true),
        (words("timeout 5 true"), true),
        (words("timeout 0.05 sleep 60"), true),
        (words("setsid -w sh -c true"), true),
        (words("nice nohup true"), true),
        (words("find / -maxdepth 0 -exec true {} ;"), true),
        (words(&format!("make -s -j 2 -f {make}")), true),
        (
            words(&format!(
                "{} build -q --manifest-path {project}/Cargo.toml",
                env!("CARGO")
            )),
            false,
        ),
        (notes("fork.py"), true),
        (notes("process.py"), true),
        (notes("pool.py"), true),
        (notes("thread.py"), true),
        (notes("lock.py"), true),
        (
            inline(
                "import subprocess as s; s.run(['true']); s.run('exit 2', shell=True); \
                 s.Popen(['sleep', '0'], start_new_session=True).wait()",
            ),
            true,
        ),
        (
            inline(
                // (Its resource tracker would outlive it for a moment.)
                "import multiprocessing as m\nfrom multiprocessing.resource_tracker import \
                 _resource_tracker as r\nif __name__ == '__main__':\n c = \
                 m.get_context('spawn')\n p = c.Process(target=print)\n p.start()\n p.join()\n \
                 r._stop()",
            ),
            true,
        ),
    ]
}

#[test]
fn processes_parents_ends_and_executables_are_those_that_strace_sees() {
    let Some(python3) = python3().filter(|_| tool("strace") && tool("make")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (words, with_threads) in programs(folder.path(), &python3) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let clean = || {
            let _ = fs::remove_dir_all(folder.path().join("small/target"));
        };
        let log = folder.path().join("log");
        let options = "-f -q -e trace=%process -o";
        clean();
        let run = Run::command("strace").args(options.split(' '));
        let alone = run.args([&log]).args(&words).run();
        clean();
        let watched = watch(&["--json"], &words).run();
        assert_eq!(watched.status, alone.status, "{words:?}");
        let mut events = watched.json();
        let summary = events.pop().expect("a summary")["summary"].take();
        assert_eq!(summary["ok"], true, "{words:?}: {summary:#}");
        let [(their, theirs), (our, ours)] = [strace::read(&log), seen(&events)];
        assert_eq!(
            family(&ours, our, with_threads),
            family(&theirs, their, with_threads),
            "{words:?}"
        );
        assert_eq!(ours.len(), theirs.len(), "{words:?}");
    }
}

#[test]
fn a_watched_program_does_what_it_does_alone() {
    let Some(python3) = python3() else {
        return;
    };
    for name in [
        "exec_from_a_thread",
        "main_thread_ends",
        "signals",
        "stops",
        "sigchld_handled",
        "sigchld_blocked",
        "sigchld_ignored",
        "timer",
        "many_threads",
    ] {
        let awkward = python("awkward.py");
        let words = [python3.as_str(), &awkward, name];
        let alone = Run::command(words[0]).args(&words[1..]).run();
        let watched = watch(&[], &words).run();
        assert_eq!(watched.stdout, alone.stdout, "{name}: {watched:#?}");
        assert_eq!(watched.status, alone.status, "{name}: {watched:#?}");
        assert!(!watched.stderr.contains('✘'), "{name}: {watched:#?}");
    }
}

#[test]
fn who_ends_in_the_middle_of_making_others_is_followed_to_the_end() {
    let Some(python3) = python3() else {
        return;
    };
    for _ in 0..20 {
        let words = [&python3, &python("awkward.py"), "ends_while_others_spawn"];
        let (run, _, summary) = wrong(&words);
        assert_eq!(run.status, Some(5));
        let all_ended = &summary["checks"][0];
        assert_eq!(all_ended["ok"], true, "{summary:#}");
    }
}

#[test]
fn a_child_is_reaped_by_who_reaps_it_and_not_by_who_looks() {
    let Some(python3) = python3() else {
        return;
    };
    let awkward = python("awkward.py");
    let (_, _, summary) = wrong(&[&python3, &awkward, "stops_beside_a_zombie"]);
    assert_eq!(failed(&summary), [ZOMBIE]);
    assert_eq!(summary["facts"]["children_reaped_by_their_parents"], 1);
    let (_, _, summary) = wrong(&[&python3, &awkward, "sigchld_ignored"]);
    assert!(failed(&summary).is_empty(), "{summary:#}");
    assert_eq!(summary["facts"]["children_reaped_by_the_kernel"], 3);
}

#[test]
fn children_that_the_watcher_had_before_are_not_waited_for() {
    // The shell's cat ends when nobody writes to it any more.
    let script = "exec {process-demo} watch -- echo watched > >(cat)";
    let end = Run::shell(script).to_be_killed().run().expect_status(0);
    assert_eq!(end.stdout, "watched\n");
}

#[test]
fn ten_thousand_short_processes_are_followed() {
    let script = "i=0; while [ $i -lt 10000 ]; do (:); i=$((i+1)); done";
    let run = watch(&["--json"], &["sh", "-c", script]).run();
    let summary = run.expect_status(0).summary();
    assert_eq!(summary["facts"]["processes"], 10_001);
    assert_eq!(summary["facts"]["children_reaped_by_their_parents"], 10_000);
    assert_eq!(summary["facts"]["events_left_out"], 0);
    assert!(failed(&summary).is_empty(), "{summary:#}");
}

#[test]
fn pids_that_programs_print_are_those_of_the_lanes() {
    let notes = fs::read_dir(workspace().join("tests/python")).expect("the notes' programs");
    let notes = notes.flatten().map(|file| file.path());
    let notes = notes.filter(|path| path.extension().is_some_and(|end| end == "py"));
    let mut programs: Vec<Vec<PathBuf>> = Vec::new();
    if let Some(python3) = python3() {
        programs.extend(notes.map(|path| vec![python3.clone().into(), path]));
    }
    for demo in DEMOS {
        let snippets = fs::read_dir(workspace().join(demo).join("examples")).expect("snippets");
        for snippet in snippets.flatten() {
            let name = snippet.path().file_stem().expect("a name").to_os_string();
            programs.push(vec![
                program(&format!("examples/{}", name.display())).into(),
            ]);
        }
    }
    let mut pids = 0;
    for words in programs {
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        let run = watch(&["--json"], &words).run().expect_status(0);
        let events = run.json();
        let lanes: HashSet<i64> = of(&events, "life")
            .map(|event| int(&event["tid"]))
            .collect();
        let texts = of(&events, "report").filter_map(|event| event["name"].as_str());
        for text in texts {
            for part in text.split("pid ").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_digit());
                let pid = part[..end.unwrap_or(part.len())].parse();
                let Ok(pid) = pid else { continue };
                assert!(lanes.contains(&pid), "{words:?}: {pid} in {text:?}");
                pids += 1;
            }
        }
    }
    assert!(pids > 20, "only {pids} PIDs were printed");
}

#[test]
fn its_streams_stay_its_own() {
    let script = "read line; echo \"got $line\"; echo wrong >&2; printf 'no newline'; exit 3";
    let mut run = watch(&[], &["sh", "-c", script]).start();
    run.write("a line\n");
    let end = run.finish().expect_status(3);
    assert_eq!(end.stdout, "got a line\nno newline");
    assert!(
        end.stderr
            .starts_with("wrong\n\nprocess-demo watch: sh -c "),
        "{end:#?}"
    );

    // With --json stdout is for events alone.
    let mut run = watch(&["--json"], &["sh", "-c", script]).start();
    run.write("a line\n");
    let end = run.finish().expect_status(3);
    let events = end.json();
    let reports: Vec<_> = of(&events, "report").map(|event| &event["name"]).collect();
    assert_eq!(reports, ["got a line", "wrong", "no newline"]);
    assert_eq!(end.stderr, "got a line\nwrong\nno newline");
}

#[test]
fn the_exit_status_is_the_program_s() {
    let sh = |options: &[&str], script: &str| watch(options, &["sh", "-c", script]).run();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        let _ = sh(&[], script).expect_status(status);
    }
    for (program, status, why) in [
        (
            "./none",
            127,
            "failed to start ./none: No such file or directory",
        ),
        (
            "/etc/passwd",
            126,
            "failed to start /etc/passwd: Permission denied",
        ),
        ("/", 126, "failed to start /: Permission denied"),
    ] {
        let end = watch(&[], &[program]).run().expect_status(status);
        assert_eq!(end.stderr, format!("process-demo: {why}\n"));
    }
    let _ = sh(&["--check"], "exit 0").expect_status(0);
    let _ = sh(&["--check"], "sleep 0.05 & exit 0").expect_status(1);
    let _ = Run::program("process-demo")
        .args(["watch"])
        .run()
        .expect_status(2);
}

/// What --json says of a program that is wrong.
fn wrong(words: &[&str]) -> (Outcome, Vec<Value>, Value) {
    let run = watch(&["--json"], words).run();
    let mut events = run.json();
    let summary = events.pop().expect("a summary")["summary"].take();
    (run, events, summary)
}

#[test]
fn a_zombie_is_named() {
    let Some(python3) = python3() else {
        return;
    };
    let (_, events, summary) = wrong(&[&python3, &python("zombie.py")]);
    assert_eq!(failed(&summary), [ZOMBIE]);
    let zombie = summary["facts"]["zombies_left"][0]
        .as_str()
        .expect("a name");
    let (_, pid) = zombie.rsplit_once(' ').expect("a PID");
    let pid: i64 = pid.parse().expect("a PID");
    let time = |category, phase| {
        let mut own = of(&events, category).filter(|event| event["pid"] == pid);
        let event = own.find(|event| event["ph"] == phase).expect("an event");
        event["ts"].as_f64().expect("a time")
    };
    // It ended while its parent slept for 200 ms, and was there as long as that.
    assert!(
        time("reaped", "i") - time("life", "E") >= 100_000.0,
        "{events:#?}"
    );

    let end = watch(&[], &[&python3, &python("zombie.py")]).run();
    let advice = "process-demo: wait for each child: p.join(), child.wait(), waitpid(2)\n";
    assert!(end.stderr.contains(advice), "{end:#?}");
}

/// A program under way that will not end by itself.
struct UnderWay {
    run: Running,
    watcher: Pid,
    program: Pid,
    folder: TempDir,
}

impl UnderWay {
    fn start(python3: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let trace = folder.path().join("trace").display().to_string();
        let script = format!("echo $PPID; echo $$; exec '{python3}' '{}'", python(name));
        let run = "{process-demo} watch --trace \"$TRACE\" -- sh -c \"$SCRIPT\" 2>&1";
        let run = Run::shell(run).env("TRACE", &trace).env("SCRIPT", &script);
        let mut run = run.start();
        let [watcher, program] = [(), ()].map(|()| number(&run.line_with("")));
        Self {
            run,
            watcher,
            program,
            folder,
        }
    }

    /// Interrupts it, and then the child that it leaves, if it leaves one; returns the
    /// events, and what the watcher said.
    fn interrupt(mut self, leaves_a_child: bool) -> (Vec<Value>, String) {
        kill(self.watcher, Signal::SIGINT).expect("kill");
        if leaves_a_child {
            // Not earlier: it would be for the program, which is gone; and not once too
            // often: it would end the watcher while it draws.
            self.run.line_with("Ctrl-C ends it");
            kill(self.watcher, Signal::SIGINT).expect("kill");
        }
        let end = self.run.finish().expect_status(130);
        let trace = fs::read(self.folder.path().join("trace")).expect("a trace");
        let mut trace: Value = serde_json::from_slice(&trace).expect("JSON");
        let events = trace["traceEvents"].take();
        (events.as_array().cloned().expect("events"), end.stdout)
    }
}

/// The system call in which each thread of a process is blocked: its number and
/// arguments (proc_pid_syscall(5)).
fn blocked(process: Pid) -> Vec<Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let calls = threads.filter_map(|thread| fs::read_to_string(thread.path().join("syscall")).ok());
    let words = |call: String| call.split_whitespace().map(str::to_owned).collect();
    calls.map(words).collect()
}

#[test]
fn threads_in_a_deadlock_are_seen_to_wait_for_two_locks() {
    let Some(python3) = python3() else {
        return;
    };
    let run = UnderWay::start(&python3, "deadlock.py");
    // Three threads that wait for a futex without a limit.
    let waits = |call: &Vec<String>| {
        call[0] == SYS_futex.to_string() && call.get(4).is_some_and(|limit| limit == "0x0")
    };
    while blocked(run.program)
        .iter()
        .filter(|call| waits(call))
        .count()
        < 3
    {
        std::thread::yield_now();
    }
    let (events, said) = run.interrupt(false);
    let made = of(&events, "started").filter(|event| event["pid"] != event["tid"]);
    let threads: Vec<i64> = made.map(|event| int(&event["tid"])).collect();
    assert_eq!(threads.len(), 2, "{said}");
    // The wait that took longest: after the lock there may be others, for Python's own.
    let longest = |tid: &i64| {
        let own = events.iter().filter(|event| int(&event["tid"]) == *tid);
        let own: Vec<&Value> = own.collect();
        let time = |event: &Value| event["ts"].as_f64().expect("a time");
        let waits = own.windows(2).filter(|pair| pair[0]["cat"] == "wait");
        let length = |pair: &&[&Value]| time(pair[1]) - time(pair[0]);
        let longest = waits.max_by(|a, b| length(a).total_cmp(&length(b)));
        longest.expect("a wait")[0]["args"]["address"].to_string()
    };
    let futexes: HashSet<String> = threads.iter().map(longest).collect();
    assert_eq!(futexes.len(), 2, "{said}");
    assert!(said.contains("killed by SIGINT"), "{said}");
}

#[test]
fn who_reads_from_a_pipe_is_seen_to_wait_by_looking() {
    let Some(python3) = python3() else {
        return;
    };
    let run = UnderWay::start(&python3, "pipe.py");
    let child = || {
        let list = format!("/proc/{0}/task/{0}/children", run.program);
        fs::read_to_string(list).ok()?.trim().parse().ok()
    };
    let reads = |call: &Vec<String>| call[0] == SYS_read.to_string();
    let child = loop {
        if let Some(child) = child().map(Pid::from_raw)
            && blocked(child).first().is_some_and(reads)
        {
            break child;
        }
        std::thread::yield_now();
    };
    // Until the watcher has slept ten times between two looks.
    let looks = looks(run.watcher);
    while self::looks(run.watcher) < looks + 10 {
        std::thread::yield_now();
    }
    let (events, said) = run.interrupt(true);
    let reads = waits(&events, child.as_raw().into());
    let sampled = reads.iter().filter(|name| **name == "read pipe (sampled)");
    assert_eq!(sampled.count(), 1, "{reads:?} {said}");
}

/// How often the thread of the watcher that looks has slept.
fn looks(watcher: Pid) -> u64 {
    let threads = fs::read_dir(format!("/proc/{watcher}/task")).expect("threads");
    let is_sampler = |path: &PathBuf| {
        let name = fs::read_to_string(path.join("comm"));
        name.is_ok_and(|name| name == "sampler\n")
    };
    let mut threads = threads.flatten().map(|thread| thread.path());
    let sampler = threads.find(is_sampler).expect("the sampler");
    let status = fs::read_to_string(sampler.join("status")).expect("its status");
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count
        .and_then(|count| count.trim().parse().ok())
        .expect("a count")
}

#[test]
fn who_asks_again_and_again_does_not_wait() {
    let Some(python3) = python3() else {
        return;
    };
    let (_, events, summary) = wrong(&[&python3, &python("busy.py")]);
    let first = int(&of(&events, "life").last().expect("a life")["pid"]);
    assert!(
        waits(&events, first)
            .iter()
            .all(|name| !name.contains("child"))
    );
    assert!(failed(&summary).is_empty(), "{summary:#}");
}

#[test]
fn a_thread_s_end_is_told_from_a_lock() {
    let thread = program("examples/thread").to_string_lossy().into_owned();
    let (_, events, _) = wrong(&[&thread]);
    let made = of(&events, "started").next().expect("a thread");
    let join = format!("join {}", made["tid"]);
    let first = int(&made["pid"]);
    assert!(
        waits(&events, first).contains(&join.as_str()),
        "{events:#?}"
    );
}

#[test]
fn an_orphan_is_followed_to_its_end_or_to_ctrl_c() {
    let script = "setsid sh -c 'sleep 0.1; echo orphan' & exit 6";
    let (run, events, summary) = wrong(&["sh", "-c", script]);
    assert_eq!(run.status, Some(6));
    assert_eq!(failed(&summary), [ORPHAN]);
    let said = of(&events, "report").any(|event| event["name"] == "orphan");
    assert!(said, "{events:#?}");

    // Ctrl-C ends it, also if it ignores all signals that one can.
    let script = "echo $PPID; trap '' INT TERM HUP QUIT; \
        (while kill -0 $$ 2> /dev/null; do sleep 0.01; done; echo alone; sleep 3600) & exit 6";
    let run = Run::shell("{process-demo} watch -- sh -c \"$SCRIPT\" 2>&1");
    let mut run = run.env("SCRIPT", script).start();
    let watcher = number(&run.line_with(""));
    // Once it has said so it knows that the first process is gone. A second Ctrl-C would end
    // it while it draws.
    run.line_with("Ctrl-C ends it");
    kill(watcher, Signal::SIGINT).expect("kill");
    let end = run.finish().expect_status(6);
    assert!(end.stdout.contains("alone\n"), "{end:#?}");
    assert!(end.stdout.contains(ORPHAN), "{end:#?}");
}

fn number(line: &str) -> Pid {
    Pid::from_raw(line.trim().parse().expect("a PID"))
}

#[test]
fn a_program_decides_what_ctrl_c_does() {
    let script = "trap 'echo caught; exit 9' INT; echo $PPID; while :; do sleep 0.05; done";
    let mut run = watch(&[], &["sh", "-c", script]).start();
    let watcher = number(&run.line_with(""));
    kill(watcher, Signal::SIGINT).expect("kill");
    let end = run.finish().expect_status(9);
    assert!(end.stdout.ends_with("caught\n"), "{end:#?}");
    assert!(
        end.stderr.contains("\nprocess-demo watch: sh -c "),
        "{end:#?}"
    );
}

#[test]
fn when_the_watcher_is_killed_so_is_what_it_follows() {
    let script = "echo $PPID; setsid sleep 3600 & sleep 3600 & echo ready; wait";
    let run = watch(&[], &["sh", "-c", script]);
    let mut run = run.to_be_killed().start();
    let watcher = number(&run.line_with(""));
    run.line_with("ready");
    kill(watcher, Signal::SIGKILL).expect("kill");
    assert_eq!(run.finish().signal, Some(9));
}

#[test]
fn who_cannot_follow_says_why_before_the_program_starts() {
    if !tool("strace") {
        return;
    }
    let script = "strace -f -o /dev/null {process-demo} watch -- touch started";
    let end = Run::shell(script).run().expect_status(1);
    let refused = "process-demo: failed to follow the program: Operation not permitted: process ";
    assert!(end.stderr.starts_with(refused), "{end:#?}");
    assert!(end.stderr.ends_with(" follows it already\n"), "{end:#?}");
}

#[test]
fn a_program_that_traces_gets_a_message_and_no_hang() {
    if !tool("strace") {
        return;
    }
    let end = watch(&[], &["strace", "-o", "/dev/null", "true"]).run();
    assert_eq!(end.status, Some(1));
    let told = " uses ptrace(2) itself, which cannot be while it is watched\n";
    assert!(end.stderr.contains(told), "{end:#?}");
}

#[test]
fn more_events_than_were_asked_for_are_counted() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (:); done";
    let all = watch(&["--json"], &["sh", "-c", script]).run();
    let some = watch(&["--json", "--max-events", "20"], &["sh", "-c", script]).run();
    let [all, some] = [all, some].map(|run| (run.json(), run.summary()));
    let events = |(events, _): &(Vec<Value>, Value)| {
        events
            .iter()
            .filter(|event| event["cat"] != "check" && event["cat"] != "fact")
            .count()
    };
    // The ends of what is there come in any case.
    assert!(events(&all) > 40 && events(&some) < 30, "{some:#?}");
    assert_eq!(all.1["facts"]["events_left_out"], 0);
    assert!(some.1["facts"]["events_left_out"].as_u64() > Some(10));
    for fact in [
        "processes",
        "children_reaped_by_their_parents",
        "program_end",
    ] {
        assert_eq!(all.1["facts"][fact], some.1["facts"][fact]);
    }
    assert!(failed(&some.1).is_empty(), "{some:#?}");
}

#[test]
fn processes_of_another_pid_namespace_are_reaped_like_others() {
    if !tool("unshare") || !root() {
        return;
    }
    let script = "(exit 3) & (exit 4) & wait; (exit 5); exit 6";
    let words = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        script,
    ];
    let (run, _, summary) = wrong(&words);
    assert_eq!(run.status, Some(6));
    assert_eq!(summary["facts"]["children_reaped_by_their_parents"], 4);
    assert!(failed(&summary).is_empty(), "{summary:#}");
}

#[test]
fn a_timeline_goes_to_files_as_that_of_a_lesson_does() {
    let script = "{process-demo} watch --svg x.svg --trace x.json -- sh -c 'true | cat'; \
        cat x.svg x.json; rm x.svg x.json";
    let end = Run::shell(script).run().expect_status(0);
    assert!(end.stdout.contains("<svg") && end.stdout.contains("traceEvents"));
    assert!(end.stdout.contains("exec cat"), "{end:#?}");
    let script = "{process-demo} watch --svg none/x.svg -- touch started";
    let end = Run::shell(script).run().expect_status(1);
    let why = "process-demo: failed to write none/x.svg: No such file or directory\n";
    assert_eq!(end.stderr, why);
    let snippet = Run::program("process-demo").args(["watch", "--snippet", "true"]);
    let _ = snippet.run().expect_status(2);
}
