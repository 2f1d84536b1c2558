//! Ctrl-C, and processes that are killed.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::{Run, Running, tool};

/// The PID of who says the next line with `text`.
fn speaker(run: &mut Running, text: &str) -> Pid {
    Pid::from_raw(run.speaker(text))
}

/// The PID of the parent of who says `line`.
fn parent_in(line: &str) -> Pid {
    let parent = line
        .split(" ← ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    Pid::from_raw(parent.and_then(|pid| pid.parse().ok()).expect("a PID"))
}

/// As a terminal does for Ctrl-C: to all of the foreground process group.
fn group(leader: Pid) -> Pid {
    Pid::from_raw(-leader.as_raw())
}

/// A pool of four, whose tasks take an hour.
fn pool_at_work() -> Run {
    let args = [
        "tasks",
        "--workers",
        "4",
        "--tasks",
        "6",
        "--work-ms",
        "3600000",
    ];
    Run::program("pool-demo").args(args)
}

fn wait_until_at_work(run: &mut Running) -> Pid {
    let parent = speaker(run, "I am the parent");
    for _ in 0..4 {
        run.line_with("begins");
    }
    parent
}

#[test]
fn ctrl_c_ends_a_pool_with_one_line() {
    for to_the_group in [true, false] {
        let mut run = pool_at_work().start();
        let parent = wait_until_at_work(&mut run);
        let target = if to_the_group { group(parent) } else { parent };
        kill(target, Signal::SIGINT).expect("kill");
        let end = run.finish().expect_status(130);
        let line = "pool-demo: interrupted: 0 of 6 tasks done, 6 not\n";
        assert_eq!(end.stderr, line, "{end:#?}");
    }
}

#[test]
fn ctrl_c_ends_a_count_of_words_with_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(1 << 40).expect("a size"); // it takes days
    for (mode, at_work) in [
        ("--workers=2", "worker processes: 2"),
        ("--threads", "threads"),
    ] {
        let run = Run::program("pool-demo").args(["wordcount", mode]);
        let mut run = run.args([&path]).start();
        let parent = speaker(&mut run, at_work);
        kill(parent, Signal::SIGINT).expect("kill");
        let end = run.finish().expect_status(130);
        let lines: Vec<&str> = end.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{end:#?}");
        let line = lines[0].strip_prefix("pool-demo: interrupted: ");
        assert!(line.is_some_and(|line| line.ends_with(" pieces counted, the others not")));
    }
}

#[test]
fn ctrl_c_ends_work_that_is_not_the_pool_s() {
    // Before and after there was a pool at work, which then is idle.
    for (option, size, line) in [
        ("--primes-below", "100000000", "computing: "),
        ("--wait-ms", "3600000", "waiting: "),
    ] {
        let args = ["speed", option, size, "--rounds", "1"];
        let mut run = Run::program("pool-demo").args(args).start();
        let parent = speaker(&mut run, line);
        kill(group(parent), Signal::SIGINT).expect("kill");
        let _ = run.finish().expect_status(130);
    }
}

#[test]
fn sigterm_ends_a_pool() {
    for _ in 0..20 {
        let mut run = pool_at_work().start();
        let parent = wait_until_at_work(&mut run);
        kill(parent, Signal::SIGTERM).expect("kill");
        let end = run.finish().expect_status(143);
        assert_eq!(end.stderr, "");
        let noise = ["died", "no new"]
            .iter()
            .any(|word| end.stdout.contains(word));
        assert!(!noise, "{end:#?}");
    }
}

#[test]
fn a_signal_to_all_of_a_big_pool_leaves_none_of_it() {
    // It kills the workers too, so that all feeders start new ones just when
    // the run ends; several at once, so that the CPUs are short.
    let one_run = || {
        for _ in 0..8 {
            let args = [
                "tasks",
                "--workers",
                "40",
                "--tasks",
                "60",
                "--work-ms",
                "3600000",
            ];
            let mut run = Run::program("pool-demo").args(args).start();
            let parent = wait_until_at_work(&mut run);
            kill(group(parent), Signal::SIGTERM).expect("kill");
            let _ = run.finish().expect_status(143);
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(one_run)));
    });
}

#[test]
fn workers_end_with_a_parent_that_is_killed() {
    let mut run = pool_at_work().to_be_killed().start();
    let parent = wait_until_at_work(&mut run);
    kill(parent, Signal::SIGKILL).expect("kill");
    // The guard waits until the last worker has ended by itself, in the middle
    // of a task that takes an hour.
    assert_eq!(run.finish().signal, Some(9));
}

#[test]
fn a_worker_that_is_killed_fails_its_task_and_no_other() {
    let args = [
        "tasks",
        "--workers",
        "2",
        "--tasks",
        "5",
        "--work-ms",
        "300",
    ];
    let mut run = Run::program("pool-demo").args(args).start();
    let victim = speaker(&mut run, "begins");
    kill(victim, Signal::SIGKILL).expect("kill");
    let end = run.finish().expect_status(1);
    let died = format!(" {victim} died: signal: 9 (SIGKILL)\n");
    // Once when the pool sees it, once as what became of the task.
    assert_eq!(end.stdout.matches(&died).count(), 2, "{end:#?}");
    assert!(end.stdout.contains("tasks done: 4 of 5"), "{end:#?}");
    assert!(
        end.stdout.contains("✘ every task ran exactly once"),
        "{end:#?}"
    );
    assert_eq!(end.stdout.matches('✘').count(), 1, "{end:#?}");
}

/// Three children that wait for ever, and the PID of their parent.
fn waiting_children(run: Run) -> (Running, Pid) {
    let mut run = run.start();
    let line = run.line_with("waiting");
    for _ in 1..3 {
        run.line_with("waiting");
    }
    (run, parent_in(&line))
}

#[test]
fn signals_reap_forked_children() {
    for (signal, status) in [
        (Signal::SIGINT, 130),
        (Signal::SIGTERM, 143),
        (Signal::SIGHUP, 129),
    ] {
        for to_the_group in [true, false] {
            let (run, parent) = waiting_children(Run::program("examples/storm").args(["hang"]));
            kill(if to_the_group { group(parent) } else { parent }, signal).expect("kill");
            let end = run.finish().expect_status(status);
            assert_eq!(end.stderr, "");
        }
    }
}

#[test]
fn what_is_ignored_from_the_start_stays_ignored() {
    // As nohup does.
    let script = "trap '' HUP; exec {examples/storm} hang";
    let (run, parent) = waiting_children(Run::shell(script));
    kill(parent, Signal::SIGHUP).expect("kill");
    kill(parent, Signal::SIGTERM).expect("kill");
    let _ = run.finish().expect_status(143);

    // As in the background of a script.
    let args = "tasks --tasks 1 --work-ms 300";
    let mut run = Run::shell(&format!("trap '' INT; exec {{pool-demo}} {args}")).start();
    let parent = speaker(&mut run, "I am the parent");
    run.line_with("begins");
    kill(parent, Signal::SIGINT).expect("kill");
    let _ = run.finish().expect_status(0);
}

#[test]
fn children_are_reaped_though_their_parent_was_told_to_ignore_them() {
    let demos = ["fork-demo", "process-demo ends", "pool-demo"];
    let snippets = ["examples/fork", "examples/process", "examples/pool"];
    for demo in demos.iter().chain(&snippets) {
        let (demo, lesson) = demo.split_once(' ').unwrap_or((*demo, ""));
        let script = format!("trap '' CHLD; exec {{{demo}}} {lesson}");
        let _ = Run::shell(&script).run().expect_status(0);
    }
}

#[test]
fn signals_while_children_are_made_leave_none() {
    // Without waiting for anything, and a second signal close after the first.
    for round in 0..40 {
        let args = ["returns-twice", "--children", "500"];
        let mut run = Run::program("fork-demo").args(args).start();
        let parent = speaker(&mut run, "I am the parent");
        kill(parent, Signal::SIGINT).expect("kill");
        if round % 2 == 0 {
            // An error means that the first one was enough.
            let _ = kill(group(parent), Signal::SIGINT);
        }
        let _ = run.finish().expect_status(130);
    }
}

#[test]
fn a_reader_that_is_gone_ends_a_run_in_the_middle_of_making_a_child() {
    let script = "{examples/storm} report-while-starting | head -1 > /dev/null; exit $PIPESTATUS";
    let _ = Run::shell(script).run().expect_status(141);
}

#[test]
fn a_second_signal_always_ends_the_run() {
    let mut run = Run::program("examples/storm")
        .args(["never-started"])
        .start();
    let parent = speaker(&mut run, "waiting");
    // The first one waits until the child is made, which it never is.
    kill(parent, Signal::SIGINT).expect("kill");
    kill(parent, Signal::SIGTERM).expect("kill");
    let _ = run.finish().expect_status(130);
}

#[test]
fn a_signal_kills_a_forked_child_as_it_does_any_process() {
    let (run, parent) = waiting_children(Run::program("examples/storm").args(["hang"]));
    for child in children_of(parent) {
        kill(child, Signal::SIGTERM).expect("kill");
    }
    let run = run.finish();
    // The lesson waits for its children, and has nothing to check.
    // A sign for each lane and one in the legend. (Where a bar is short there may
    // be no room for the name of the signal beside it.)
    assert_eq!(run.stdout.matches('╳').count(), 4, "{run:#?}");
    assert!(run.stdout.contains("╳ killed by SIGTERM\n"), "{run:#?}");
}

/// The children of a process, as the kernel lists them for each of its threads
/// (proc(5)).
fn children_of(parent: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let lists = threads.into_iter().flatten().flatten();
    // A thread may have ended meanwhile.
    let lists = lists.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let lists: String = lists.map(Result::unwrap_or_default).collect();
    let pids = lists.split_whitespace();
    pids.map(|pid| Pid::from_raw(pid.parse().expect("a PID")))
        .collect()
}

#[test]
fn what_the_starter_ignores_or_blocks_does_not_reach_the_children() {
    let _ = Run::shell("trap '' TERM; exec {process-demo} ends")
        .run()
        .expect_status(0);
    if !tool("python3") {
        return;
    }
    let block = "import os, signal, sys; \
                 signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); \
                 os.execv(sys.argv[1], sys.argv[1:])";
    let script = format!("exec python3 -c '{block}' {{process-demo}} ends");
    let _ = Run::shell(&script).run().expect_status(0);
}

#[test]
fn grandchildren_end_with_the_run() {
    let start = || {
        let mut run = Run::program("examples/storm").args(["grandchildren"]);
        run = run.to_be_killed();
        let mut run = run.start();
        let lines = [run.line_with("waiting"), run.line_with("waiting")];
        // The child's parent is the first process, the grandchild's is the child.
        let [a, b] = lines.map(|line| {
            let pid = line
                .split_whitespace()
                .nth(3)
                .and_then(|pid| pid.parse().ok());
            (Pid::from_raw(pid.expect("a PID")), parent_in(&line))
        });
        let (first, child) = if a.0 == b.1 { (a.1, a.0) } else { (b.1, b.0) };
        (run, first, child)
    };
    let (run, first, _) = start();
    kill(first, Signal::SIGTERM).expect("kill");
    let _ = run.finish().expect_status(143);
    let (run, first, _) = start();
    kill(first, Signal::SIGKILL).expect("kill");
    assert_eq!(run.finish().signal, Some(9));
    // The lesson ends, with nothing checked, when the child has.
    let (run, _, child) = start();
    kill(child, Signal::SIGKILL).expect("kill");
    let _ = run.finish().expect_status(1);
}

#[test]
fn a_child_may_outlive_its_parent_but_not_the_run() {
    let run = Run::program("examples/storm").args(["outlive"]).run();
    let _ = run.expect_status(0);
}

#[test]
fn a_stopped_worker_ends_with_a_parent_that_is_killed() {
    let mut run = pool_at_work().to_be_killed().start();
    let parent = wait_until_at_work(&mut run);
    let workers = children_of(parent);
    assert_eq!(workers.len(), 4);
    for worker in workers {
        kill(worker, Signal::SIGSTOP).expect("kill");
    }
    kill(parent, Signal::SIGKILL).expect("kill");
    assert_eq!(run.finish().signal, Some(9));
}

#[test]
fn children_that_nobody_waits_for_are_reaped_at_the_end() {
    let _ = Run::program("examples/storm")
        .args(["forget"])
        .run()
        .expect_status(0);
    let run = Run::program("examples/storm")
        .args(["too-many"])
        .run()
        .expect_status(1);
    let limit =
        "storm: failed to fork child: there are 1024 children already, the most at one time";
    assert!(run.stderr.starts_with(limit), "{run:#?}");
}

#[test]
fn what_was_there_before_the_run_is_none_of_its_children() {
    // The shell becomes the demo, and the process that reads its output becomes
    // the demo's child.
    let script = "exec {fork-demo} > >(cat; echo read to the end)";
    let run = Run::shell(script).to_be_killed().run();
    assert!(run.stdout.ends_with("read to the end\n"), "{run:#?}");
}

#[test]
fn orphans_of_what_was_there_before_the_run_are_none_of_its_children() {
    // The shell's background process ends during the run, and leaves an orphan.
    let script = "sh -c 'sh -c \"sleep 0.4; echo alive > alive\" & sleep 0.05' & \
                  exec {pool-demo} --tasks 1 --work-ms 200";
    let script = format!(
        "bash -c '{}' > /dev/null; while ! rm alive 2> /dev/null; do :; done",
        script.replace('\'', "'\\''")
    );
    let _ = Run::shell(&script).to_be_killed().run().expect_status(0);
}

#[test]
fn a_signal_to_all_lessons_is_never_lost() {
    if !tool("strace") {
        return;
    }
    // It comes when the first lesson's process is being made.
    let script = "strace -qq -o /dev/null -e trace=clone3 -e inject=clone3:signal=TERM:when=1 \
                  {process-demo} all";
    let run = Run::shell(script).run().expect_status(143);
    assert!(!run.stdout.contains('✔'), "{run:#?}");
}

#[test]
fn two_threads_may_end_the_run_at_once() {
    for _ in 0..50 {
        let run = Run::program("examples/storm").args(["two-ends"]).run();
        assert!([Some(3), Some(4)].contains(&run.status), "{run:#?}");
    }
}

#[test]
fn a_program_may_outlive_the_thread_that_started_it() {
    let _ = Run::program("examples/storm")
        .args(["thread-ends"])
        .run()
        .expect_status(0);
}

/// The first process of a run, as soon as it has so many children.
fn demo_with_children(run: &Running, number: usize) -> Pid {
    let guard = Pid::from_raw(run.id());
    loop {
        let mut demos = children_of(guard).into_iter();
        if let Some(demo) = demos.find(|demo| children_of(*demo).len() == number) {
            return demo;
        }
    }
}

#[test]
fn an_interrupted_run_prints_its_summary() {
    let run = Run::shell("exec {examples/storm} hang --json").start();
    // It says nothing else: its children, once they are there, tell that it runs.
    let parent = demo_with_children(&run, 3);
    kill(parent, Signal::SIGINT).expect("kill");
    let summary = run.finish().expect_status(130).summary();
    assert_eq!(summary["ok"], false);
    assert_eq!(summary["error"], "interrupted");

    let args = ["tasks", "--work-ms", "3600000", "--json"];
    let run = Run::program("pool-demo").args(args).start();
    let parent = demo_with_children(&run, 4);
    kill(parent, Signal::SIGINT).expect("kill");
    let summary = run.finish().expect_status(130).summary();
    assert_eq!(summary["ok"], false);
}

#[test]
fn signals_to_all_lessons_end_all() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        for to_the_group in [true, false] {
            let mut run = Run::program("process-demo").args(["all"]).start();
            run.line_with("I am the parent process");
            let guard = Pid::from_raw(run.id());
            let all = children_of(guard)[0];
            kill(if to_the_group { group(all) } else { all }, signal).expect("kill");
            let _ = run.finish().expect_status(status);
        }
    }
}

#[test]
fn a_process_ends_when_its_parent_lets_go_of_it() {
    // By hand, as a parent that says what to call and then is gone.
    let mut child = Run::program("process-demo").args(["child"]).start();
    child.write("{\"target\": \"process_demo::ends::wait_for_ever\", \"args\": null}\n");
    let _ = child.finish().expect_status(1);
}
