//! The event log: what is recorded arrives, whoever is killed, and nobody else
//! gets hold of it.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use tests::{Run, lessons};

fn storm(args: &str) -> Run {
    Run::program("examples/storm").args(args.split(' '))
}

#[test]
fn a_kill_in_the_middle_of_a_write_costs_one_record_at_most() {
    let run = storm("kill-writers --json").run().expect_status(0);
    let cut_off = run.summary()["cut_off"].as_u64().expect("a count");
    assert!(cut_off <= 60, "30 kills of 2 children: {cut_off}");
}

#[test]
fn a_cut_off_record_is_an_error_unless_something_was_killed() {
    let run = storm("garble --with-a-kill --json").run().expect_status(0);
    assert_eq!(run.summary()["cut_off"], 1);
    let run = storm("garble --json").run().expect_status(1);
    assert_eq!(run.summary()["cut_off"], 1);
    let error = "storm: damaged event: {\"name\":\"half\n";
    assert_eq!(run.stderr, error);
}

#[test]
fn a_fact_that_was_recorded_is_there_whoever_else_writes() {
    let run = storm("require --json").run().expect_status(0);
    assert_eq!(run.summary()["facts"]["missing"], 0);
}

#[test]
fn a_program_that_a_lesson_executes_has_none_of_our_descriptors() {
    let _ = storm("execute").run().expect_status(0);
}

#[test]
fn processes_of_a_run_keep_their_descriptors_to_themselves() {
    let args = ["tasks", "--workers", "2", "--work-ms", "3600000"];
    let mut run = Run::program("pool-demo").args(args).start();
    let parent = run.speaker("I am the parent");
    let workers = [0; 2].map(|_| run.speaker("begins"));
    for pid in [parent, workers[0], workers[1]] {
        let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process");
        for info in infos.flatten() {
            let number: u32 = info
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a number");
            let text = fs::read_to_string(info.path()).expect("fdinfo");
            let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("octal");
            // O_CLOEXEC, as open(2) has it on Linux (proc_pid_fdinfo(5)).
            let closed = flags & 0o2_000_000 != 0;
            assert!(number <= 2 || closed, "{pid}: {number}");
        }
    }
    // The stdin of a worker is nothing: what it executes cannot read its tasks.
    let stdin = fs::read_link(format!("/proc/{}/fd/0", workers[0])).expect("a link");
    assert_eq!(stdin.to_string_lossy(), "/dev/null");
    let parent = nix::unistd::Pid::from_raw(parent);
    nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGTERM).expect("kill");
    let _ = run.finish().expect_status(143);
}

#[test]
fn the_picture_tells_the_ends_apart() {
    let run = storm("ends").run().expect_status(0);
    let lane = |name: &str, sign: &str| {
        let named = |line: &&str| line.trim_start().starts_with(name) && line.contains('┃');
        let found = run
            .stdout
            .lines()
            .filter(named)
            .any(|line| line.contains(sign));
        assert!(found, "{name} with {sign}: {}", run.stdout);
    };
    lane("child ", "╳");
    lane("true ", "┤");
    lane("detached ", "▶");
    // (Where a bar is short there may be no room for the signal's name beside it.)
    assert_eq!(run.stdout.matches('╳').count(), 3, "{}", run.stdout);
    let legend = "╳ killed by SIGKILL, SIGTERM   ┤ exited   ▶ still there";
    assert!(run.stdout.contains(legend), "{}", run.stdout);

    let events = storm("ends --json").run().expect_status(0).json();
    let reaped = events.iter().filter(|event| event["cat"] == "reaped");
    let told: Vec<Value> = reaped
        .map(|event| event["args"].clone())
        .map(|args| {
            args.get("signal")
                .or(args.get("status"))
                .cloned()
                .expect("an end")
        })
        .collect();
    assert_eq!(told, ["SIGTERM".into(), "SIGKILL".into(), Value::from(0)]);

    let script = "{examples/storm} ends --svg x.svg > /dev/null && cat x.svg && rm x.svg";
    let svg = Run::shell(script).run().expect_status(0).stdout;
    let picture = roxmltree::Document::parse(&svg).expect("XML");
    let texts: HashSet<&str> = picture.descendants().filter_map(|n| n.text()).collect();
    for text in [
        "SIGTERM",
        "SIGKILL",
        "killed by SIGTERM",
        "exited with status 0",
        "still there",
    ] {
        assert!(texts.contains(text), "no {text} in {texts:?}");
    }
}

#[test]
fn a_scope_s_threads_are_never_drawn_as_killed() {
    for _ in 0..50 {
        let args = ["balance", "--iterations", "1"];
        let run = Run::program("lock-demo").args(args).run().expect_status(0);
        assert!(!run.stdout.contains("killed"), "{}", run.stdout);
    }
}

#[test]
fn what_was_read_once_is_not_read_again() {
    let run = storm("record --facts 50000 --json").run().expect_status(0);
    let facts = &run.summary()["facts"];
    let [first, second] = ["first_read_us", "second_read_us"].map(|name| facts[name].as_u64());
    // A ratio within one run: reading 50,000 events against reading none.
    assert!(
        second.expect("a time") * 2 < first.expect("a time"),
        "{facts}"
    );
}

#[test]
fn each_lesson_of_all_runs_in_a_process_of_its_own() {
    let run = Run::program("process-demo").args(["all", "--json"]).run();
    let lines = run.expect_status(0).json();
    let mut first_processes = Vec::new();
    let mut is_first = true;
    for line in &lines {
        if std::mem::take(&mut is_first) {
            first_processes.push(line["pid"].as_u64().expect("a PID"));
        }
        is_first = line.get("summary").is_some();
    }
    let different: HashSet<u64> = first_processes.iter().copied().collect();
    let lessons = lessons("process-demo").len();
    assert_eq!((first_processes.len(), different.len()), (lessons, lessons));
}
