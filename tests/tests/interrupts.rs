//! Ctrl-C, and processes that are killed.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::{Run, Running};

/// The PID of who says the next line with `text`.
fn speaker(run: &mut Running, text: &str) -> Pid {
    let line = run.line_with(text);
    let speaker = line.split(" │ ").next().unwrap_or_default();
    let speaker = speaker.split(" ← ").next().unwrap_or_default();
    let pid = speaker.split_whitespace().last().unwrap_or_default();
    Pid::from_raw(pid.parse().unwrap_or_else(|_| panic!("no PID in {line:?}")))
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
        let line = "pool-demo tasks: interrupted: 0 of 6 tasks done, 6 not\n";
        assert_eq!(end.stderr, line, "{end:#?}");
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
    for demo in ["fork-demo", "process-demo ends", "pool-demo"] {
        let (demo, lesson) = demo.split_once(' ').unwrap_or((demo, ""));
        let script = format!("trap '' CHLD; exec {{{demo}}} {lesson}");
        let _ = Run::shell(&script).run().expect_status(0);
    }
}

#[test]
fn signals_while_children_are_made_leave_none() {
    // Without waiting for anything, and a second signal close behind the first.
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
fn a_process_ends_when_its_parent_lets_go_of_it() {
    // By hand, as a parent that says what to call and then is gone.
    let mut child = Run::program("process-demo").args(["child"]).start();
    child.write("{\"target\": \"process_demo::ends::wait_for_ever\", \"args\": null}\n");
    let _ = child.finish().expect_status(1);
}
