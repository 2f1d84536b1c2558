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
    }
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

#[test]
fn ctrl_c_reaps_forked_children() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        for to_the_group in [true, false] {
            let mut run = Run::program("examples/storm").args(["hang"]).start();
            let line = run.line_with("waiting");
            for _ in 1..3 {
                run.line_with("waiting");
            }
            let parent = parent_in(&line);
            let target = if to_the_group { group(parent) } else { parent };
            kill(target, signal).expect("kill");
            let end = run.finish().expect_status(status);
            assert_eq!(end.stderr, "");
        }
    }
}

#[test]
fn ctrl_c_at_any_moment_leaves_no_child() {
    // Without waiting for anything: the signal comes while children are made.
    for _ in 0..30 {
        let mut run = Run::program("examples/storm").args(["speak"]).start();
        let first = run.line_with("line 0 end");
        let parent = parent_in(&first);
        kill(parent, Signal::SIGINT).expect("kill");
        let _ = run.finish().expect_status(130);
    }
}
