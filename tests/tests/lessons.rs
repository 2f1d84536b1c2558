//! Each headline lesson, and what every lesson has in common.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::process::Command;
use tests::{DEMOS, Outcome, Run, all_lessons, lessons, tool, workspace};

fn json(demo: &str, args: &[&str]) -> Outcome {
    Run::program(demo).args(args).args(["--json"]).run()
}

/// The one fact of this name in a summary.
fn number(summary: &Value, fact: &str) -> i64 {
    let value = summary["facts"][fact].as_i64();
    value.unwrap_or_else(|| panic!("no fact {fact} in {summary}"))
}

/// The events of a category.
fn of<'a>(events: &'a [Value], category: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["cat"] == category)
}

#[test]
fn without_arguments_a_demo_runs_its_headline_lesson() {
    for demo in DEMOS {
        let lesson = lessons(demo).swap_remove(0);
        let run = Run::program(demo).run().expect_status(0);
        assert!(
            run.stdout.starts_with(&format!("{demo} {lesson}: ")),
            "{run:#?}"
        );
        assert!(
            run.stdout.contains("\n  ✔ ") && !run.stdout.contains('✘'),
            "{run:#?}"
        );
        assert!(
            run.stdout.contains(&format!("\nLessons: {lesson}, ")),
            "{run:#?}"
        );
        assert!(!run.stdout.contains('\u{1b}'), "colour in a pipe: {run:#?}");
        let wide = run.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "wider than 80 columns");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn json_is_the_events_in_order_of_time_and_then_the_summary() {
    for (demo, lesson) in all_lessons() {
        let run = json(demo, &[&lesson]).expect_status(0);
        let mut lines = run.json();
        let summary = lines.pop().unwrap_or_default()["summary"].take();
        assert_eq!(
            (summary["demo"].as_str(), summary["lesson"].as_str()),
            (Some(demo), Some(&*lesson))
        );
        assert_eq!(summary["ok"], true);
        let checks = summary["checks"].as_array().expect("checks");
        assert!(!checks.is_empty() && checks.iter().all(|check| check["ok"] == true));
        assert!(summary["facts"].is_object() && summary["options"].is_object());
        assert_eq!(run.stderr, "");

        let times: Vec<f64> = lines
            .iter()
            .filter_map(|event| event["ts"].as_f64())
            .collect();
        assert_eq!(times.len(), lines.len(), "an event without a time");
        assert!(times.is_sorted(), "{times:?}");
        assert_spans_are_balanced(&lines);
    }
}

/// In each thread that did not end with its process every span that begins ends; and
/// the thread has a name, unless it is a program that knows nothing of the run: of that
/// one there is only what its parent says.
fn assert_spans_are_balanced(events: &[Value]) {
    let mut depth: HashMap<(i64, i64), i64> = HashMap::new();
    let (mut named, mut speakers) = (HashSet::new(), HashSet::new());
    for event in events {
        let lane = (
            event["pid"].as_i64().expect("pid"),
            event["tid"].as_i64().expect("tid"),
        );
        if event["cat"] != "started" && event["cat"] != "reaped" {
            speakers.insert(lane);
        }
        let depth = depth.entry(lane).or_default();
        match event["ph"].as_str().expect("ph") {
            "B" => *depth += 1,
            "E" => *depth -= 1,
            "M" => assert!(named.insert((lane, event["name"].to_string()))),
            "i" => {}
            other => panic!("phase {other}"),
        }
        assert!(*depth >= 0, "an end without a beginning: {event}");
    }
    for (lane, depth) in depth {
        let is_main = lane.0 == lane.1;
        let ended_with_it = of(events, "reaped").any(|reaped| {
            let killed = !reaped["args"]["signal"].is_null();
            reaped["pid"] == lane.0 && (killed || !is_main)
        });
        assert!(depth == 0 || ended_with_it, "{lane:?}");
        assert!(
            !speakers.contains(&lane) || named.contains(&(lane, "\"thread_name\"".to_owned())),
            "{lane:?}"
        );
    }
}

#[test]
fn all_gives_one_summary_a_lesson() {
    for demo in DEMOS {
        let run = json(demo, &["all"]).expect_status(0);
        let summaries: Vec<Value> = run
            .json()
            .iter_mut()
            .map(|line| line["summary"].take())
            .collect();
        let ran = summaries
            .iter()
            .filter_map(|summary| summary["lesson"].as_str());
        assert_eq!(ran.collect::<Vec<_>>(), lessons(demo));
    }
}

#[test]
fn fork_returns_twice_for_every_child() {
    for children in [1, 5] {
        let run = json(
            "fork-demo",
            &["returns-twice", "--children", &children.to_string()],
        );
        let summary = run.expect_status(0).summary();
        let parents: HashSet<i64> = (1..=children)
            .map(|n| number(&summary, &format!("child_{n}_getppid")))
            .collect();
        assert_eq!(parents.len(), 1);
        let pids: HashSet<i64> = (1..=children)
            .map(|n| {
                assert_eq!(number(&summary, &format!("child_{n}_fork_returned")), 0);
                let pid = number(&summary, &format!("child_{n}_getpid"));
                assert_eq!(pid, number(&summary, &format!("parent_{n}_fork_returned")));
                pid
            })
            .collect();
        assert_eq!(
            pids.len(),
            usize::try_from(children).expect("a small number")
        );
        assert!(pids.is_disjoint(&parents));
    }
}

#[test]
fn a_parent_is_told_how_each_child_of_its_family_ended() {
    let summary = json("fork-demo", &["family", "--children", "258"]);
    let summary = summary.expect_status(0).summary();
    assert_eq!(number(&summary, "different_parents"), 1);
    assert_eq!(summary["facts"]["last_end"], "killed by SIGTERM");
    let ends = summary["checks"][2]["seen"].as_array().expect("ends");
    assert_eq!(ends.len(), 257);
    for (index, status) in [(0, 1), (254, 255), (255, 0), (256, 1)] {
        assert_eq!(ends[index], format!("exited with status {status}"));
    }
}

#[test]
fn a_thousand_children_are_reaped() {
    let run = json("fork-demo", &["family", "--children", "1000"]).expect_status(0);
    let events = run.json();
    assert_eq!(of(&events, "reaped").count(), 1000);
}

#[test]
fn forks_in_a_row_make_a_tree() {
    for forks in ["1", "4", "8"] {
        let summary = json("fork-demo", &["tree", "--forks", forks]);
        let summary = summary.expect_status(0).summary();
        let forks: u32 = forks.parse().expect("a number");
        assert_eq!(number(&summary, "processes"), 1 << forks);
    }
}

#[test]
fn a_page_is_copied_when_it_is_written_to() {
    for (mib, touch) in [("1", "1"), ("8", "50"), ("8", "100")] {
        let args = ["memory", "--mib", mib, "--touch", touch];
        let summary = json("fork-demo", &args).expect_status(0).summary();
        assert_eq!(number(&summary, "copied_before"), 0);
        let pages = number(&summary, "copied_after");
        let [mib, touch] = [mib, touch].map(|text| text.parse::<i64>().expect("a number"));
        let expected = mib * 256 * touch / 100;
        assert!((expected - 1..=expected).contains(&pages), "{pages} pages");
    }
}

#[test]
fn a_zombie_is_there_until_it_is_reaped_by_whoever_is_its_parent() {
    let facts = json("fork-demo", &["zombie", "--status", "255"]).expect_status(0);
    let facts = facts.summary()["facts"].take();
    assert_eq!(facts["before_waitpid_state"], "Z");
    assert_eq!(facts["after_waitpid_state"], Value::Null);
    assert_eq!(facts["adopted"], true);
}

#[test]
fn an_orphan_goes_to_the_nearest_subreaper() {
    let run = json("fork-demo", &["orphan", "--status", "4"]).expect_status(0);
    let facts = run.summary()["facts"].take();
    assert_eq!(facts["parent_after"], run.json()[0]["pid"]);
    assert_eq!(facts["orphan_end"], "exited with status 4");
}

#[test]
fn an_executed_program_has_nothing_of_the_run() {
    let run = json("fork-demo", &["exec", "--word", "two 'words'"]).expect_status(0);
    let facts = run.summary()["facts"].take();
    let kept = facts["kept"].as_i64().expect("a descriptor");
    assert_eq!(
        facts["open_descriptors"],
        serde_json::json!([0, 1, 2, kept])
    );
    assert_eq!(facts["what_sigusr2_did"], "it is killed");
}

#[test]
fn what_is_in_a_buffer_at_fork_is_printed_twice() {
    let summary = json("fork-demo", &["buffer", "--lines", "100"])
        .expect_status(0)
        .summary();
    let lines = ["unflushed_lines", "flushed_lines", "exited_lines"];
    assert_eq!(lines.map(|lines| number(&summary, lines)), [200, 100, 100]);
}

#[test]
fn a_child_that_waits_for_a_thread_is_ended_by_a_watchdog() {
    for held in [true, false] {
        let args = ["with-threads", "--held", &held.to_string()];
        let facts = json("fork-demo", &args).expect_status(0).summary()["facts"].take();
        assert_eq!(
            (&facts["locks_hangs"], &facts["asks_hangs"]),
            (&held.into(), &true.into())
        );
    }
}

#[test]
fn a_puzzle_is_the_same_everywhere_and_what_it_prints_is_possible() {
    for (seed, size, lines) in [("7", "6", 7), ("1", "3", 4), ("1000000", "12", 0)] {
        let args = ["puzzle", "--seed", seed, "--size", size, "--runs", "100"];
        let summary = json("fork-demo", &args).expect_status(0).summary();
        if lines > 0 {
            assert_eq!(number(&summary, "lines"), lines, "seed {seed}");
        }
        assert!(number(&summary, "outputs_seen") >= 1);
    }
    let mut run = Run::program("fork-demo")
        .args(["puzzle", "--predict"])
        .start();
    run.write("7\nYES\n9\n");
    let run = run.finish().expect_status(0);
    let program = " 1  if fork() == 0:\n 2      print A\n";
    assert!(run.stderr.starts_with(program), "{run:#?}");
    for answer in [
        "you said 7; this run: 7",
        "you said yes; this run: yes",
        "you said 9; this run: 9",
    ] {
        assert!(run.stdout.contains(answer), "{run:#?}");
    }
}

#[test]
fn a_process_is_given_its_argument() {
    for name in ["test", "two words", "“quoted”\n{}", ""] {
        let events = json("process-demo", &["run", "--name", name])
            .expect_status(0)
            .json();
        let given = of(&events, "fact").find(|fact| fact["name"] == "child_was_given");
        assert_eq!(
            given.map(|fact| &fact["args"]["value"]),
            Some(&Value::from(name))
        );
    }
}

#[test]
fn processes_overlap_if_all_are_started_first() {
    for processes in ["2", "20"] {
        let args = ["many", "--work-ms", "1", "--processes", processes];
        let summary = json("process-demo", &args).expect_status(0).summary();
        assert_eq!(number(&summary, "most_together").to_string(), processes);
        assert_eq!(number(&summary, "most_in_turn"), 1);
    }
}

#[test]
fn a_child_changes_its_own_variable_and_a_thread_ours() {
    let args = ["isolation", "--step-ms", "0", "--value", "7", "--add", "2"];
    let summary = json("process-demo", &args).expect_status(0).summary();
    let facts = ["child_has", "after_process", "after_thread"];
    assert_eq!(facts.map(|fact| number(&summary, fact)), [2, 7, 9]);
}

#[test]
fn each_message_arrives_once_and_two_writers_wait_for_ever() {
    let args = ["message", "--messages", "300", "--producers", "7"];
    let summary = json("process-demo", &args).expect_status(0).summary();
    assert_eq!(number(&summary, "right_replies"), 300);
    assert_eq!(number(&summary, "queue_arrived"), 2100);
    assert_eq!(summary["facts"]["both_write_first"], "both wait for ever");
}

#[test]
fn a_child_outlives_its_parent_and_not_its_signals() {
    for work_ms in ["0", "50"] {
        let args = ["outlive", "--work-ms", work_ms];
        let facts = json("process-demo", &args).expect_status(0).summary()["facts"].take();
        for (fact, value) in [
            ("returned_main_end", "exit status: 0"),
            ("returned_child_said", "it goes on"),
            ("returned_child_end", "exited with status 0"),
            ("interrupted_child_end", "killed by SIGINT"),
            ("hung_up_main_end", "exit status: 0"),
            ("hung_up_child_end", "killed by SIGHUP"),
            ("tied_end", "signal: 9 (SIGKILL)"),
        ] {
            assert_eq!(facts[fact], value, "{fact}");
        }
    }
    // Whoever has started it ignores them.
    let script = "trap '' INT HUP; exec {process-demo} outlive";
    let _ = Run::shell(script).run().expect_status(0);
}

#[test]
fn what_a_child_adds_to_shared_memory_is_lost_by_construction() {
    for (first, second) in [("5", "8"), ("1000", "1")] {
        let args = ["shared-memory", "--step-ms", "0"];
        let numbers = ["--times", "1000", "--first", first, "--second", second];
        let summary = json("process-demo", &[&args[..], &numbers].concat());
        let summary = summary.expect_status(0).summary();
        assert_eq!(number(&summary, "parent_saw").to_string(), second);
        assert_eq!(number(&summary, "sum").to_string(), first);
        assert_eq!(number(&summary, "atomic_sum"), 2000);
    }
}

#[test]
fn a_process_speaks_in_the_order_of_the_notes() {
    // The order is certain: start comes before the child, join after it.
    let run = Run::program("process-demo")
        .args(["run", "--name", "test"])
        .run()
        .expect_status(0);
    let said = run.stdout.lines().filter_map(|line| line.split_once(" │ "));
    let said: Vec<&str> = said.map(|(_, text)| text).collect();
    assert_eq!(
        said,
        [
            "I am the parent process",
            "the child process will start",
            "running with the name \"test\"",
            "Process-1 has ended, exit status: 0"
        ]
    );
}

#[test]
fn a_pool_runs_every_task_once_on_few_workers() {
    for (workers, tasks) in [("4", "5"), ("1", "3"), ("3", "40"), ("5", "2")] {
        let args = [
            "tasks",
            "--work-ms",
            "2",
            "--workers",
            workers,
            "--tasks",
            tasks,
        ];
        let run = json("pool-demo", &args).expect_status(0);
        let (events, summary) = (run.json(), run.summary());
        let [workers, tasks]: [usize; 2] = [workers, tasks].map(|n| n.parse().expect("a number"));

        let parent = events[0]["pid"].clone();
        let began = |event: &&Value| event["ph"] == "B" && event["name"] != "join";
        let began: Vec<&Value> = of(&events, "span").filter(began).collect();
        let names: HashSet<&str> = began.iter().filter_map(|e| e["name"].as_str()).collect();
        let pids: HashSet<i64> = began.iter().filter_map(|e| e["pid"].as_i64()).collect();
        assert_eq!((began.len(), names.len()), (tasks, tasks));
        assert!(pids.len() <= workers && !pids.contains(&parent.as_i64().expect("a PID")));
        assert!(number(&summary, "most_tasks_at_once") <= workers.try_into().expect("small"));
        let checks = summary["checks"].as_array().map(Vec::len);
        assert_eq!(checks, Some(if tasks > workers { 4 } else { 3 }));
    }
}

#[test]
fn a_worker_that_dies_takes_one_task_with_it_and_is_replaced() {
    for (workers, tasks) in [("4", "20"), ("1", "4"), ("3", "9")] {
        let args = ["crash", "--workers", workers, "--tasks", tasks];
        let run = json("pool-demo", &args).expect_status(0);
        let (events, summary) = (run.json(), run.summary());
        let [workers, tasks]: [i64; 2] = [workers, tasks].map(|n| n.parse().expect("a number"));
        assert_eq!(number(&summary, "results"), tasks - 4);
        assert_eq!(number(&summary, "workers_started"), workers + 3);
        assert_eq!(summary["facts"]["after_a_panic"], "it goes on");

        let signals = of(&events, "reaped").filter_map(|event| event["args"]["signal"].as_str());
        let mut signals: Vec<&str> = signals.collect();
        signals.sort_unstable();
        assert_eq!(signals, ["SIGABRT", "SIGKILL", "SIGKILL"]);
        // A successor has the name of the one before it: there are no others.
        let names: HashSet<&str> = of(&events, "started")
            .filter_map(|event| event["name"].as_str())
            .collect();
        let expected: Vec<String> = (1..=workers).map(|n| format!("worker {n}")).collect();
        assert_eq!(names, expected.iter().map(String::as_str).collect());
        // What panics, aborts and is killed leaves no words of its own there.
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn an_input_is_ahead_of_the_results_by_no_more_than_the_workers_may_have() {
    for (workers, tasks) in [("1", "1000"), ("3", "60000")] {
        let args = ["backpressure", "--workers", workers, "--tasks", tasks];
        let summary = json("pool-demo", &args).expect_status(0).summary();
        let workers: i64 = workers.parse().expect("a number");
        assert_eq!(number(&summary, "slow_most_ahead"), 2 * workers);
        assert!(number(&summary, "many_most_ahead") <= 2050 * workers);
        assert_eq!(number(&summary, "read_in_the_pauses"), 0);
        assert_eq!(summary["checks"].as_array().map(Vec::len), Some(6));
    }
}

#[test]
fn words_are_counted_by_workers_or_by_threads_of_the_parent() {
    for (mode, reader) in [("--workers=3", "the workers"), ("--threads", "the parent")] {
        let run = json("pool-demo", &["wordcount", mode]).expect_status(0);
        let (events, summary) = (run.json(), run.summary());
        let parent = &events[0]["pid"];
        let began = |event: &&Value| event["ph"] == "B" && event["name"] != "alone";
        let pieces: Vec<&Value> = of(&events, "span").filter(began).collect();
        assert_eq!(pieces.len(), 12);
        let by_parent = |event: &&Value| event["pid"] == *parent;
        let by_parent = pieces.iter().copied().filter(by_parent).count();
        assert_eq!(by_parent, if reader == "the parent" { 12 } else { 0 });
        assert_eq!(summary["facts"]["reader"], reader);
        assert_eq!(summary["facts"]["words_too_many"], 0);
        assert_eq!(summary["checks"].as_array().map(Vec::len), Some(4));
    }
}

#[test]
fn the_same_tasks_run_in_the_parent_on_its_threads_and_in_processes() {
    let args = ["--workers", "3", "--tasks", "5", "--rounds", "2"];
    let sizes = ["--primes-below", "100", "--wait-ms", "20", "--mib", "1"];
    let run = json("pool-demo", &[&["speed"], &args[..], &sizes].concat());
    let run = run.expect_status(0);
    let (events, summary) = (run.json(), run.summary());
    let moved = 2 * 5 * ((1 << 20) / 5);
    assert_eq!(number(&summary, "copied_for_threads_bytes"), 0);
    assert_eq!(number(&summary, "copied_for_processes_bytes"), moved);
    let waited = &summary["facts"]["waiting_sequential_ms"];
    assert!(waited.as_f64() >= Some(20.0), "{waited}");

    // Two rounds of three kinds of work in five tasks, each of them in each way.
    let parent = &events[0]["pid"];
    let names = ["compute", "wait", "move"];
    let tasks = events.iter().filter(|event| event["ph"] == "B");
    let tasks = tasks.filter(|event| names.iter().any(|name| event["name"] == *name));
    let mut counts = HashMap::new();
    for task in tasks {
        let way = match (&task["pid"] == parent, &task["tid"] == parent) {
            (true, true) => "main thread",
            (true, false) => "threads",
            (false, _) => "processes",
        };
        *counts.entry(way).or_insert(0) += 1;
    }
    let each = ["main thread", "threads", "processes"].map(|way| (way, 2 * 3 * 5));
    assert_eq!(counts, HashMap::from(each));
}

#[test]
fn a_thread_has_the_pid_of_its_process_and_a_tid_of_its_own() {
    let run = json(
        "thread-demo",
        &["start-join", "--count", "3", "--sleep-ms", "0"],
    );
    let events = run.expect_status(0).json();
    let lanes: HashSet<(i64, i64)> = of(&events, "report")
        .filter_map(|event| event["pid"].as_i64().zip(event["tid"].as_i64()))
        .collect();
    let pids: HashSet<i64> = lanes.iter().map(|(pid, _)| *pid).collect();
    assert_eq!((pids.len(), lanes.len()), (1, 2));
}

#[test]
fn the_parent_is_told_how_each_process_ended() {
    let args = ["ends", "--status", "255"];
    let summary = json("process-demo", &args).expect_status(0).summary();
    assert_eq!(number(&summary, "returned_status"), 255);
    assert_eq!(number(&summary, "panicked_status"), 101);
    assert_eq!(summary["facts"]["aborted_end"], "signal: 6 (SIGABRT)");
    assert_eq!(summary["facts"]["asked_end"], "signal: 15 (SIGTERM)");
    assert_eq!(summary["facts"]["killed_end"], "signal: 9 (SIGKILL)");
    assert_eq!(summary["facts"]["dropped_daemon"], "it ends");
}

#[test]
fn the_second_deposit_is_lost_by_construction() {
    for (first, second) in [("5", "8"), ("1000", "1")] {
        let args = [
            "lost-update",
            "--step-ms",
            "0",
            "--first",
            first,
            "--second",
            second,
        ];
        let summary = json("lock-demo", &args).expect_status(0).summary();
        assert_eq!(number(&summary, "balance").to_string(), first);
    }
}

#[test]
fn a_run_of_a_program_is_a_process_with_as_many_threads_as_it_starts() {
    for threads in [1, 64] {
        let run = json("thread-demo", &["ids", "--threads", &threads.to_string()]);
        let summary = run.expect_status(0).summary();
        assert_eq!(number(&summary, "threads_at_first"), 1);
        assert_eq!(number(&summary, "different_pids"), 3);
        let tid = |n| number(&summary, &format!("thread_{n}_tid"));
        let tids: HashSet<i64> = (0..=threads).map(tid).collect();
        assert_eq!(tids.len(), threads + 1);
        assert!(tids.contains(&number(&summary, "thread_0_pid")));
    }
}

#[test]
fn a_plain_thread_and_a_wrapped_one_do_the_same_but_for_a_panic() {
    let summary = json("thread-demo", &["levels", "--number", "1000"]);
    let summary = summary.expect_status(0).summary();
    for level in ["low", "high"] {
        assert_eq!(number(&summary, &format!("{level}_square")), 1_000_000);
    }
    let facts = &summary["facts"];
    assert_eq!(facts["low_end"], "killed by SIGABRT");
    assert_eq!(facts["high_end"], "exited with status 0");
}

#[test]
fn a_join_returns_what_became_of_the_thread_and_may_have_a_limit() {
    for limit in ["0", "50"] {
        let summary = json("thread-demo", &["join", "--limit-ms", limit]);
        let facts = summary.expect_status(0).summary()["facts"].take();
        assert_eq!(facts["sum"], 42);
        assert_eq!(facts["panic"], "no sum today");
        assert_eq!(facts["ended_in_time"], false);
    }
}

#[test]
fn a_thread_changes_what_is_shared_and_a_child_its_copy() {
    let here = json("thread-demo", &["sharing", "--value", "99"]);
    // From there another folder must be found to change to.
    let script = "cd /; exec {thread-demo} sharing --value 99 --json";
    for run in [here, Run::shell(script).run()] {
        let facts = run.expect_status(0).summary()["facts"].take();
        assert_eq!(facts["heap_after_thread"], "99");
        assert_eq!(facts["descriptor_after_thread"], "closed");
        assert_eq!(facts["thread_local_after_thread"], "1");
    }
}

#[test]
fn who_was_on_which_cpu_is_recorded_and_drawn() {
    let run = json("thread-demo", &["parallel", "--tasks", "3"]);
    let run = run.expect_status(0);
    assert_eq!(number(&run.summary(), "waited_at_once"), 3);
    let slices: Vec<Value> = run
        .json()
        .into_iter()
        .filter(|e| e["cat"] == "slice")
        .collect();
    let begun = slices.iter().filter(|slice| slice["ph"] == "B");
    assert_eq!(begun.clone().count() * 2, slices.len());
    assert!(begun.clone().all(|slice| slice["args"]["cpu"].is_u64()));
    let threads: HashSet<u64> = begun.filter_map(|slice| slice["tid"].as_u64()).collect();
    assert_eq!(threads.len(), 3);
}

#[test]
fn on_one_cpu_nothing_is_parallel_and_the_lesson_says_so() {
    if !tool("taskset") {
        return;
    }
    let run = Run::shell("taskset -c 0 {thread-demo} parallel").run();
    let run = run.expect_status(0);
    let says = |text: &str| run.stdout.contains(text);
    assert!(says("I have one CPU: nothing is parallel"), "{run:#?}");
    assert!(
        says("✔ on one CPU each hand-over needed a switch"),
        "{run:#?}"
    );
    assert!(!says("apart"), "{run:#?}");
}

#[test]
fn a_lesson_that_may_not_choose_its_cpu_says_so_and_shows_the_rest() {
    if !tool("strace") {
        return;
    }
    let script = "strace -f --seccomp-bpf -qq -o /dev/null -e trace=sched_setaffinity \
                  -e inject=sched_setaffinity:error=EPERM {thread-demo} parallel";
    let run = Run::shell(script).run().expect_status(0);
    let says = |text: &str| run.stdout.contains(text);
    assert!(says("I may not choose a CPU:"), "{run:#?}");
    assert!(says("Operation not permitted"), "{run:#?}");
    assert!(says("✔ all tasks waited at the same time"), "{run:#?}");
    assert!(!says("on one CPU each hand-over"), "{run:#?}");
}

#[test]
fn the_kernel_counts_the_switches_of_each_thread() {
    let args = ["switch", "--sleeps", "50", "--rounds", "5"];
    let summary = json("thread-demo", &args).expect_status(0).summary();
    let switches = |who: &str| {
        let of = |kind| number(&summary, &format!("{who}_{kind}"));
        of("voluntary") + of("involuntary")
    };
    assert!(switches("sleeping") >= 50, "{summary}");
    assert!(number(&summary, "computing_involuntary") >= 10, "{summary}");
    let facts = &summary["facts"];
    assert_eq!(facts["cpu_time_of_waiting"], "next to none");
    for name in ["threads_one_cpu", "processes_one_cpu"] {
        let quartiles = ["lower_quartile", "median", "upper_quartile"];
        let quartiles = quartiles.map(|of| facts[format!("{name}_{of}_us")].as_f64());
        assert!(quartiles.is_sorted() && quartiles[0] > Some(0.0), "{facts}");
    }
}

#[test]
fn main_s_threads_end_with_it_and_no_others_with_who_made_them() {
    let summary = json("thread-demo", &["main-ends", "--threads", "32"]);
    let facts = summary.expect_status(0).summary()["facts"].take();
    assert_eq!(
        (&facts["began"], &facts["came_to_their_end"]),
        (&32.into(), &0.into())
    );
    assert_eq!(facts["made_thread"], "it goes on");
    assert_eq!(facts["child_said"], "it goes on");
}

#[test]
fn what_a_thread_and_a_process_cost_is_measured_as_often_as_asked() {
    let args = ["cost", "--rounds", "5", "--heap-mib", "0,1"];
    let facts = json("thread-demo", &args).expect_status(0).summary()["facts"].take();
    assert!(facts["rounds"].as_u64() >= Some(5), "{facts}");
    for name in [
        "call",
        "rayon_task",
        "thread",
        "fork",
        "spawn",
        "fork_1_mib",
    ] {
        let quartiles = ["lower_quartile", "median", "upper_quartile"];
        let quartiles = quartiles.map(|of| facts[format!("{name}_{of}_us")].as_f64());
        assert!(quartiles.is_sorted() && quartiles[0] > Some(0.0), "{facts}");
    }
}

#[test]
fn the_balance_is_exact_with_a_lock() {
    for args in [
        &["balance"][..],
        &["balance", "--threads", "7", "--iterations", "3000"],
    ] {
        let summary = json("lock-demo", args).expect_status(0).summary();
        assert_eq!(number(&summary, "locked_balance"), 0);
        let lost = number(&summary, "lost_updates");
        assert!(lost > 0 || number(&summary, "unlocked_balance") == 0);
    }
}

/// The errors that the compiler finds in a program, as `9: E0499`. As cargo does, it
/// takes what RUSTC names, or else rustc.
fn errors_in(program: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("program.rs"), program).expect("a file");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--emit", "metadata", "program.rs"])
        .args(["--error-format", "short"])
        .current_dir(folder.path())
        .output()
        .expect("rustc");
    let errors = String::from_utf8_lossy(&output.stderr);
    let error = |line: &str| {
        let (place, error) = line.split_once(": error[")?;
        let line = place.split(':').nth(1)?;
        Some(format!("{line}: {}", error.split(']').next()?))
    };
    errors.lines().filter_map(error).collect()
}

#[test]
fn what_must_not_be_compiled_is_refused_at_the_marked_line() {
    let folder = fs::read_dir(workspace().join("lock-demo/refused")).expect("programs");
    let mut refused = Vec::new();
    for file in folder.flatten() {
        let program = fs::read_to_string(file.path()).expect("a program");
        let lines = (1..).zip(program.lines());
        let marked = lines.filter_map(|(n, line)| Some((n, line.split_once(" // refused: ")?.1)));
        let marked: Vec<String> = marked.map(|(n, error)| format!("{n}: {error}")).collect();
        assert_eq!(errors_in(&program), marked, "{:?}", file.file_name());
        let name = file.file_name().to_string_lossy().into_owned();
        refused.extend(marked.iter().map(|error| format!("{name}:{error}")));
    }
    // The lesson has given the same programs to the compiler, and all of them.
    let args = ["refused", "--first", "2", "--second", "3"];
    let summary = json("lock-demo", &args).expect_status(0).summary();
    let seen = summary["checks"][0]["seen"].as_array().expect("a list");
    let mut seen: Vec<&str> = seen.iter().filter_map(Value::as_str).collect();
    seen.sort_unstable();
    refused.sort_unstable();
    assert_eq!(seen, refused);
    assert!(seen.len() >= 4, "{seen:?}");
    assert_eq!(number(&summary, "arc_balance"), 5);
}

#[test]
fn the_snippet_is_refused_with_the_line_that_breaks_it() {
    let snippet = workspace().join("lock-demo/examples/refused.rs");
    let snippet = fs::read_to_string(snippet).expect("a snippet");
    assert_eq!(errors_in(&snippet), [""; 0]);
    let broken = snippet.replace("// scope.spawn", "scope.spawn");
    let line = broken.lines().position(|line| line.contains("plain += 8"));
    let line = line.expect("the line to uncomment") + 1;
    assert_eq!(errors_in(&broken), [format!("{line}: E0499")]);
}

#[test]
fn without_a_compiler_nothing_is_said_to_be_refused() {
    // No file, and a program that is no compiler.
    for rustc in ["/nonexistent/rustc", "/bin/false"] {
        let run = Run::program("lock-demo").args(["refused"]);
        let run = run.env("RUSTC", rustc).run().expect_status(0);
        let says = |text: &str| run.stdout.contains(text);
        assert!(says("There is no rustc that works here:"), "{run:#?}");
        assert!(says("recorded for variable.rs:9: E0499"), "{run:#?}");
        assert!(says("✔ with a Mutex both deposits"), "{run:#?}");
        assert!(!says("rustc refuses variable.rs"), "{run:#?}");
        assert!(!says("✔ rustc refuses"), "{run:#?}");
    }
}

#[test]
fn every_interleaving_is_known_and_any_can_be_made() {
    for (operations, all, right) in [("1", 20, 2), ("2", 924, 6), ("3", 48_620, 20)] {
        let args = ["interleavings", "--operations", operations];
        let summary = json("lock-demo", &args).expect_status(0).summary();
        let numbers = ["interleavings", "nothing_lost"].map(|fact| number(&summary, fact));
        assert_eq!(numbers, [all, right]);
    }
    for (schedule, balance, refused) in [
        ("AAABBB", 13, 0),
        ("BBBAAA", 13, 0),
        ("ABBAAB", 8, 2),
        ("ABABAB", 8, 2),
        ("BABBAA", 5, 1),
        ("AABBBBBBAAAA", 10, 6),
    ] {
        let args = ["interleavings", "--schedule", schedule];
        let facts = json("lock-demo", &args).expect_status(0).summary()["facts"].take();
        assert_eq!(
            (&facts["balance"], &facts["order"]),
            (&balance.into(), &schedule.into())
        );
        let args = [&args[..], &["--lock"]].concat();
        let summary = json("lock-demo", &args).expect_status(0).summary();
        let all = 13 * i64::try_from(schedule.len() / 6).expect("small");
        assert_eq!(number(&summary, "balance"), all);
        assert_eq!(number(&summary, "refused"), refused, "{schedule}");
    }
}

#[test]
fn a_person_can_be_the_scheduler() {
    let mut run = Run::program("lock-demo")
        .args(["interleavings", "--play", "--json"])
        .start();
    // Nothing but 1 and 2 counts; B has ended after three; the second round, under the
    // lock, ends without a person.
    run.write("1\n2\nthree\n\n2\nB\n2\n1\na\n1\n2\n");
    let summary = run.finish().expect_status(0).summary();
    let facts = &summary["facts"];
    assert_eq!(
        (&facts["order"], &facts["balance"]),
        (&"ABBBAA".into(), &5.into())
    );
    assert_eq!(
        (&facts["order_under_a_lock"], &facts["refused"]),
        (&"AAABBB".into(), &1.into())
    );
}

#[test]
fn one_thread_holds_a_lock_however_many_ask() {
    for threads in ["2", "32"] {
        let args = ["exclusive", "--threads", threads, "--hold-ms", "1"];
        let summary = json("lock-demo", &args).expect_status(0).summary();
        assert_eq!(number(&summary, "most_holders"), 1);
        assert_eq!(number(&summary, "asked_at_once").to_string(), threads);
    }
}

#[test]
fn a_panic_under_a_lock_leaves_half_of_a_change() {
    let args = ["poison", "--amount", "1"];
    let run = json("lock-demo", &args).expect_status(0);
    assert_eq!(run.stderr, "", "the panics are reported");
    let summary = run.summary();
    let sums = ["std", "std_repaired", "parking_lot", "whole_change"];
    let sums = sums.map(|name| number(&summary, &format!("{name}_sum")));
    assert_eq!(sums, [99, 100, 99, 100]);
}

#[test]
fn a_wake_up_is_lost_and_a_loop_finds_out() {
    for args in [
        &["condition"][..],
        &["condition", "--items", "100", "--consumers", "8"],
    ] {
        let facts = json("lock-demo", args).expect_status(0).summary()["facts"].take();
        assert_eq!(facts["wait_after_notify"], "it waits for ever");
        assert!(facts["most_items"].as_u64() <= Some(2), "{facts}");
    }
}

#[test]
fn who_is_in_a_deadlock_is_found_and_the_run_ends() {
    for (threads, circle) in [
        ("2", "A → 2 → B → 1 → A"),
        ("4", "A → 2 → B → 3 → C → 4 → D → 1 → A"),
    ] {
        let args = ["deadlock", "--threads", threads];
        let facts = json("lock-demo", &args).expect_status(0).summary()["facts"].take();
        assert_eq!(facts["opposite_circle"], circle);
        let done =
            ["opposite", "same", "limit"].map(|way| facts[format!("{way}_done")].to_string());
        assert_eq!(done, ["0", threads, threads]);
    }
}

#[test]
fn every_kind_of_protection_keeps_every_addition() {
    for threads in ["1", "3", "16"] {
        let args = [
            "kinds",
            "--threads",
            threads,
            "--iterations",
            "1000",
            "--rounds",
            "2",
        ];
        let summary = json("lock-demo", &args).expect_status(0).summary();
        for kind in [
            "std_mutex",
            "fairmutex",
            "compare_and_swap",
            "channel",
            "total_per_thread",
        ] {
            assert_eq!(number(&summary, &format!("{kind}_lost")), 0);
            let share = |of| summary["facts"][format!("{kind}_{of}_percent")].as_f64();
            assert!(share("least") <= share("most") && share("most") <= Some(100.0));
        }
    }
}

#[test]
fn a_lock_between_processes_outlives_its_owner_if_it_is_robust() {
    let args = ["processes", "--children", "16", "--iterations", "100"];
    let facts = json("lock-demo", &args).expect_status(0).summary()["facts"].take();
    assert_eq!(
        (&facts["sum"], &facts["found"], &facts["repaired"]),
        (&1600.into(), &50.into(), &100.into())
    );
    assert_eq!(facts["after_default"], "it waits for ever");
    assert_eq!(facts["after_robust"], "it goes on");
}

#[test]
fn a_summary_has_the_options_and_every_fact() {
    let args = ["run", "--name", "Ada"];
    let summary = json("process-demo", &args).expect_status(0).summary();
    assert_eq!(summary["options"], serde_json::json!({ "name": "Ada" }));
    assert_eq!(summary["facts"]["child_was_given"], "Ada");
    let summary = json("pool-demo", &["--work-ms", "1"])
        .expect_status(0)
        .summary();
    let defaults = serde_json::json!({ "workers": 4, "tasks": 5, "work_ms": 1, "retries": 0 });
    assert_eq!(summary["options"], defaults);
}

#[test]
fn a_failed_check_says_what_was_expected_and_what_was_seen() {
    let run = json("examples/storm", &["die"]).expect_status(1);
    let check = run.summary()["checks"][1].clone();
    assert_eq!(
        (&check["expected"], &check["seen"]),
        (&true.into(), &Value::Null)
    );
    let run = Run::program("examples/storm").args(["die"]).run();
    let lines = "  ✘ the child survived\n      expected: true\n      seen:     nothing\n";
    assert!(run.stdout.contains(lines), "{run:#?}");
}

#[test]
fn a_run_says_why_and_what_to_try_next() {
    for (demo, lesson) in all_lessons() {
        let run = Run::program(demo).args([&lesson]).run().expect_status(0);
        let help = Run::program(demo).args([&*lesson, "--help"]).run();
        let (_, after) = run.stdout.rsplit_once("✔ ").expect("a check");
        let (_, after) = after.split_once("\n\n").expect("why");
        let (why, rest) = after.split_once("\n\n").expect("a paragraph");
        // The same text, however it is wrapped; with its source.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words(&help.stdout).contains(&words(why)),
            "{demo} {lesson}: {why}"
        );
        let has_source = ["(2)", "(3)", "(7)", "(3p)", "(5)"]
            .iter()
            .any(|s| why.contains(s));
        assert!(has_source, "{demo} {lesson} names no source: {why}");
        let tries = rest.lines().filter(|line| line.contains("cargo run -p "));
        for line in tries.clone() {
            let (_, args) = line.split_once(" -- ").expect("arguments");
            let _ = Run::program(demo)
                .args(args.split(' '))
                .run()
                .expect_status(0);
        }
        assert!(tries.count() >= 1, "{demo} {lesson} has nothing to try");
        let files = rest
            .lines()
            .find(|line| line.starts_with("Code: "))
            .expect("files");
        for file in files.split_whitespace().filter(|word| word.contains('/')) {
            assert!(tests::workspace().join(file).is_file(), "{file}");
        }
        // What lessons there are is said only to who has named none.
        assert!(!run.stdout.contains("\nLessons: "), "{}", run.stdout);
    }
}

/// The options of a lesson that have a default: name, default, and the text of
/// its help.
fn options(demo: &str, lesson: &str) -> Vec<(String, String, String)> {
    let help = Run::program(demo).args([lesson, "-h"]).run();
    let help = help.expect_status(0).stdout;
    let (_, options) = help.split_once("Options:\n").expect("options");
    let (options, _) = options.split_once("\nOutput:").expect("output");
    let options = options.replace("\n          ", " ");
    let options = options.lines().filter_map(|line| {
        let (text, default) = line.rsplit_once("[default: ")?;
        let name = text.split_whitespace().next()?;
        Some((
            name.to_owned(),
            default.trim_end_matches(']').to_owned(),
            text.to_owned(),
        ))
    });
    options.collect()
}

#[test]
fn an_option_that_is_a_number_says_its_range_and_keeps_to_it() {
    for (demo, lesson) in all_lessons() {
        for (name, default, text) in options(demo, &lesson) {
            if default.parse::<i64>().is_err() {
                continue;
            }
            let range = text
                .rsplit_once('(')
                .and_then(|(_, range)| range.split_once(" to "));
            let (low, high) = range.expect("a range in brackets");
            let high = high.split(')').next().unwrap_or_default();
            let [low, high] =
                [low, high].map(|bound| bound.trim().parse::<i64>().expect("a bound"));
            for beyond in [low - 1, high + 1] {
                let run = Run::program(demo).args([&lesson, &name, &beyond.to_string()]);
                let run = run.run().expect_status(2);
                let range = format!("{beyond} is not in {low}..={high}");
                assert!(run.stderr.contains(&range), "{run:#?}");
                assert_eq!(run.stdout, "");
            }
        }
    }
}

#[test]
fn a_lesson_s_file_has_the_order_of_all_and_a_short_run() {
    for (demo, lesson) in all_lessons() {
        let file = format!("{demo}/src/{}.rs", lesson.replace('-', "_"));
        let text = fs::read_to_string(workspace().join(&file)).expect("a lesson");
        let places = [
            "//! cargo run -p ",
            "//! To copy: examples/",
            "pub struct Options",
            "pub const QUESTIONS",
            "pub fn run(",
            "// A first reading may skip the rest.",
            "fn judge(",
        ]
        .map(|part| {
            text.find(part)
                .unwrap_or_else(|| panic!("{file}: no {part}"))
        });
        assert!(places.is_sorted(), "{file}: another order: {places:?}");
        let (_, run) = text.split_once("pub fn run(").expect("run");
        let (run, _) = run.split_once("\n}\n").expect("its end");
        let lines = run.lines().count();
        assert!(lines <= 45, "{file}: run has {lines} lines");
    }
}

#[test]
fn a_lesson_has_a_section_with_a_transcript_and_a_test_of_its_own() {
    let tests = fs::read_to_string(workspace().join("tests/tests/lessons.rs"));
    let tests = tests.expect("these tests");
    for (demo, lesson) in all_lessons() {
        let readme = workspace().join(demo).join("README.md");
        let readme = fs::read_to_string(readme).expect("a README");
        let section = readme.split("\n## ").find(|section| {
            let title = section.lines().next();
            title == Some(&lesson)
        });
        let section = section.unwrap_or_else(|| panic!("{demo}: no section {lesson}"));
        let command = format!("```console\n$ cargo run -q -p {demo} -- {lesson}");
        assert!(section.contains(&command), "{demo} {lesson}: no transcript");
        let quoted = format!("\"{lesson}\"");
        assert!(tests.contains(&quoted), "{demo} {lesson} has no test here");
    }
}

#[test]
fn a_child_that_dies_early_cannot_pass() {
    let run = json("examples/storm", &["die"]).expect_status(1);
    let checks = &run.summary()["checks"];
    assert_eq!(checks[0]["text"], "the fact survived arrived");
    assert_eq!(
        (&checks[0]["ok"], &checks[1]["ok"]),
        (&Value::Bool(false), &Value::Bool(false))
    );

    let run = Run::program("examples/storm")
        .args(["die"])
        .run()
        .expect_status(1);
    let lane = run.stdout.lines().find(|line| line.starts_with("  child "));
    assert!(
        lane.is_some_and(|lane| lane.contains('╳')),
        "{}",
        run.stdout
    );
}

#[test]
fn a_panic_is_a_failure_and_no_child_is_left() {
    let run = json("examples/storm", &["panic"]).expect_status(1);
    assert_eq!(run.summary()["error"], "the lesson panicked");
    assert!(run.stderr.contains("the parent panics"));
    let run = json("examples/storm", &["child-panics"]).expect_status(0);
    assert!(run.stderr.contains("the child panics"));
}

#[test]
fn a_lesson_that_checks_nothing_fails() {
    assert_eq!(
        json("examples/storm", &["no-check"])
            .expect_status(1)
            .summary()["ok"],
        false
    );
}

#[test]
fn a_worker_can_be_talked_to_by_hand() {
    let mut worker = Run::program("pool-demo").args(["worker", "--json"]).start();
    assert_eq!(worker.line_with(""), "\"ready\"\n");
    worker.write("{\"id\": 7, \"ms\": 1}\n");
    assert!(worker.line_with("").starts_with("{\"result\":"));
    worker.write("{\"id\": 9, \"ms\": 0}\n");
    // The end of its input: what was asked for is still answered.
    let end = worker.finish().expect_status(0);
    assert_eq!(end.stdout.matches("{\"result\":").count(), 2, "{end:?}");
    // What the task printed went to stderr.
    assert!(end.stderr.contains("task 7 begins"), "{end:?}");
}

#[test]
fn a_worker_refuses_what_is_no_task() {
    let mut worker = Run::program("pool-demo").args(["worker", "--json"]).start();
    worker.write("hello\n");
    let end = worker.finish().expect_status(1);
    assert!(end.stderr.contains("task \"hello\": "), "{end:?}");
}
