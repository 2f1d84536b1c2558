//! The pool library, from outside: the example `pooled` builds pools and asserts
//! what comes of them; here it runs under the guard.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::{Run, Running, tool};

/// A scenario that ends as it should; what it says on stderr.
fn noisy(scenario: &str) -> String {
    let run = Run::program("examples/pooled").args(scenario.split(' '));
    run.run().expect_status(0).stderr
}

/// The same for one that has nothing to say there.
fn holds(scenario: &str) {
    assert_eq!(noisy(scenario), "", "{scenario}");
}

#[test]
fn apply_returns_what_the_task_returns() {
    holds("apply");
}

#[test]
fn map_and_starmap_return_results_in_order_whatever_the_chunk_size() {
    holds("map");
}

#[test]
fn imap_yields_in_order_and_imap_unordered_as_they_are_done() {
    holds("imap");
}

#[test]
fn no_input_gives_no_result_at_once() {
    holds("nothing");
}

#[test]
fn get_with_a_limit_leaves_the_task_running() {
    holds("get-with-a-limit");
}

#[test]
fn cancel_ends_one_task_and_spares_the_others() {
    holds("cancel");
}

#[test]
fn workers_tells_the_pids_in_which_the_tasks_run() {
    holds("workers");
}

#[test]
fn a_panic_fails_one_task_with_its_text_and_place_and_spares_the_worker() {
    holds("panics");
}

#[test]
fn a_worker_that_exits_fails_the_task_that_it_ran() {
    holds("exits");
}

#[test]
fn a_task_over_its_time_limit_is_killed_with_its_worker() {
    holds("timeouts");
}

#[test]
fn a_task_whose_worker_has_died_is_given_to_others_as_often_as_was_said() {
    holds("retries");
}

#[test]
fn an_initializer_runs_once_in_each_worker_or_the_pool_does_not_start() {
    holds("initializer");
}

#[test]
fn a_worker_ends_after_as_many_tasks_as_it_may_have() {
    holds("max-tasks");
}

#[test]
fn a_closed_pool_takes_no_tasks_and_does_those_that_it_has() {
    holds("close");
}

#[test]
fn a_terminated_pool_cancels_what_runs_and_does_not_run_the_rest() {
    holds("terminate");
}

#[test]
fn the_longest_limit_is_none() {
    holds("no-limit");
}

#[test]
fn imap_reads_its_input_when_it_is_needed() {
    holds("lazy");
}

#[test]
fn an_iterator_s_panic_comes_to_the_caller_and_loses_no_other_task() {
    holds("iterator-panics");
}

#[test]
fn what_cannot_be_encoded_or_decoded_is_an_error_that_says_so() {
    holds("encodings");
    let hint = "pooled: a pool starts its workers by itself";
    assert!(noisy("unserved").starts_with(hint));
}

#[test]
fn a_task_may_have_a_pool_of_its_own() {
    // The workers of a worker that is killed end by themselves.
    let run = Run::program("examples/pooled").args(["nested"]);
    let _ = run.to_be_killed().run().expect_status(0);
}

#[test]
fn a_worker_that_is_killed_while_idle_fails_nothing_and_is_replaced() {
    holds("killed-idle");
}

#[test]
fn a_worker_that_is_killed_at_work_fails_one_task() {
    holds("killed-at-work");
}

#[test]
fn a_refused_worker_leaves_the_tasks_to_the_others() {
    holds("refused");
}

#[test]
fn that_no_worker_is_left_is_said_once() {
    if !tool("prlimit") {
        return;
    }
    let args = "tasks --workers 2 --tasks 6 --work-ms 3600000";
    let mut run = Run::program("pool-demo").args(args.split(' ')).start();
    let parent = run.speaker("I am the parent");
    let workers = [run.speaker("begins"), run.speaker("begins")];
    let limit = Command::new("prlimit")
        .args(["--pid", &parent.to_string(), "--nofile=3"])
        .status();
    assert!(limit.is_ok_and(|status| status.success()));
    for worker in workers {
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("kill");
    }
    let run = run.finish().expect_status(1);
    for (text, times) in [
        (" died: signal: 9 (SIGKILL)\n", 4), // by the pool, and as outcomes
        ("no new worker 1: ", 1),
        ("no new worker 2: ", 1),
        ("no worker is left: the rest is not run\n", 1),
        (": not run: no worker is left\n", 4),
    ] {
        assert_eq!(run.stdout.matches(text).count(), times, "{text}: {run:#?}");
    }
}

#[test]
fn a_stopped_worker_is_waited_for_unless_there_is_a_time_limit() {
    holds("stopped");
}

#[test]
#[ignore = "takes a minute"]
fn a_worker_that_was_stopped_for_long_has_all_its_time_to_read_again() {
    holds("stopped-long");
}

#[test]
fn a_worker_that_is_never_ready_is_named_and_replaced() {
    holds("bad-starts");
}

#[test]
fn a_worker_that_answers_nonsense_is_named_and_replaced() {
    holds("bad-answers");
}

#[test]
fn a_worker_that_does_not_end_when_it_should_is_killed() {
    holds("never-ends");
}

#[test]
fn a_worker_that_does_not_read_keeps_nobody_from_ending() {
    holds("does-not-read");
}

#[test]
#[ignore = "takes half a minute"]
fn a_worker_that_does_not_read_is_killed_some_day() {
    holds("does-not-read-long");
}

#[test]
fn a_task_that_prints_does_not_answer() {
    let run = Run::program("examples/pooled").args(["prints"]);
    let run = run.run().expect_status(0);
    assert_eq!(run.stdout, "");
    assert_eq!(run.stderr.matches("printed\n").count(), 3, "{run:#?}");
    assert_eq!(run.stderr.matches("to stdout\n").count(), 3, "{run:#?}");
}

#[test]
fn a_task_may_close_descriptors() {
    let _ = noisy("closes");
}

#[test]
fn a_task_may_fork() {
    let _ = noisy("forks");
}

#[test]
fn a_task_that_overflows_its_stack_fails_alone() {
    let stderr = noisy("overflows");
    assert!(stderr.contains("has overflowed its stack"), "{stderr}");
}

#[test]
fn a_task_may_be_long_and_answer_at_length() {
    holds("big");
}

#[test]
#[ignore = "takes 4 GiB of memory"]
fn what_is_too_long_to_send_is_an_error() {
    holds("too-big");
}

#[test]
fn a_million_inputs_need_no_more_memory_than_a_few() {
    holds("memory 1000000");
}

#[test]
fn many_pools_leave_no_thread_and_no_descriptor() {
    holds("leaks 200");
}

#[test]
fn a_pool_that_ends_in_the_middle_of_its_work_leaves_no_process() {
    holds("ends");
}

/// A program whose pool is busy, and that waits for its end.
fn at_work(how: &str) -> (Running, Pid) {
    let run = Run::program("examples/pooled").args(["hang", how]);
    let mut run = run.to_be_killed().start();
    let line = run.line_with(" is at work");
    let pid = line.split(' ').next().and_then(|pid| pid.parse().ok());
    (run, Pid::from_raw(pid.expect("a PID")))
}

#[test]
fn a_program_that_is_killed_leaves_no_worker() {
    for how in ["start", "task", "stopped", "write", "answer", "nested"] {
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
            let (run, pid) = at_work(how);
            // Ctrl-C comes to all of the group.
            let to_the_group = signal == Signal::SIGINT;
            let target = if to_the_group {
                -pid.as_raw()
            } else {
                pid.as_raw()
            };
            let start = Instant::now();
            kill(Pid::from_raw(target), signal).expect("kill");
            // The guard waits for all that it has left.
            assert_eq!(run.finish().signal, Some(signal as i32), "{how}");
            // A second on an idle machine; once it took twenty.
            assert!(start.elapsed() < Duration::from_secs(10), "{how}");
        }
    }
}

#[test]
fn a_program_that_ends_with_its_pool_at_work_leaves_no_worker() {
    let hang = |how| Run::program("examples/pooled").args(["hang", how]);
    let _ = hang("panic").run().expect_status(101);
    let _ = hang("exit").to_be_killed().run().expect_status(3);
    let _ = hang("forget").to_be_killed().run().expect_status(0);
}

#[test]
fn each_task_ends_exactly_once_while_workers_are_killed_and_stopped() {
    holds("soak 100000 1");
}

#[test]
#[ignore = "takes minutes"]
fn each_task_ends_exactly_once_for_minutes() {
    for seed in 1..=20 {
        holds(&format!("soak 1000000 {seed}"));
    }
}
