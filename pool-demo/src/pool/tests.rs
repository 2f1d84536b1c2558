//! The pool with workers written in shell, which die as they are told.

use super::*;
use std::process::Stdio;

/// A worker written in shell.
fn shell(script: &str) -> WorkerCommand {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    piped(command)
}

fn piped(mut command: Command) -> WorkerCommand {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let takes_part = false;
    WorkerCommand {
        command,
        takes_part,
    }
}

fn outcomes(workers: usize, tasks: usize, command: StartWorker) -> Vec<Outcome> {
    let mut pool = Pool::start(workers, command).unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..tasks {
        let _ = pool.submit(Task::SleepMs(0));
    }
    pool.join()
}

fn died(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Failure::WorkerDied { .. }))
}

/// Does the task in `$line`.
const WORK: &str = r#"id=${line#*:}; id=${id%%,*}
    echo "{\"started\":$id}"; echo "{\"done\":$id}""#;

#[test]
fn workers_do_all_tasks() {
    let work = || {
        Ok(shell(&format!(
            r#"echo '"ready"'; while read -r line; do {WORK}; done"#
        )))
    };
    assert!(outcomes(3, 20, work).iter().all(Result::is_ok));
}

#[test]
fn a_task_that_was_not_begun_goes_to_the_next_worker() {
    // Each worker dies as soon as it has read its second task.
    let work = || {
        Ok(shell(&format!(
            r#"echo '"ready"'; read -r line; {WORK}; read -r line"#
        )))
    };
    assert!(outcomes(2, 10, work).iter().all(Result::is_ok));
}

#[test]
fn a_worker_that_dies_takes_only_the_task_that_it_had_begun() {
    // Task 3 is the death of whoever begins it.
    let work = || {
        Ok(shell(&format!(
            r#"echo '"ready"'
            while read -r line; do
                case $line in *:3,*) echo '{{"started":3}}'; exit 1;; esac
                {WORK}
            done"#
        )))
    };
    let outcomes = outcomes(2, 8, work);
    let dead: Vec<bool> = outcomes.iter().map(died).collect();
    assert_eq!(
        dead,
        [false, false, false, true, false, false, false, false]
    );
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
}

#[test]
fn a_task_on_which_every_worker_dies_is_given_up() {
    let work = || Ok(shell(r#"echo '"ready"'; read -r line"#));
    let outcomes = outcomes(1, 3, work);
    assert!(died(&outcomes[0]) && died(&outcomes[1]));
    assert!(matches!(outcomes[2..], [Err(Failure::NotRun)]));
}

#[test]
fn a_worker_that_says_what_is_no_message_is_replaced() {
    let work = || {
        Ok(shell(&format!(
            r#"echo '"ready"'; read -r line; {WORK}; echo nonsense; exec sleep 3600"#
        )))
    };
    assert!(outcomes(1, 4, work).iter().all(Result::is_ok));
}

#[test]
fn a_worker_that_is_never_ready_is_an_error() {
    let error = Pool::start(2, || Ok(shell("exit 5")))
        .err()
        .expect("an error");
    assert_eq!(
        error.to_string(),
        "worker 1 ended before it was ready: exit status: 5"
    );
    let error = Pool::start(1, || Ok(piped(Command::new("/nowhere"))))
        .err()
        .expect("an error");
    assert!(
        error.to_string().contains("No such file or directory"),
        "{error}"
    );
}

#[test]
fn a_terminated_pool_ends_at_once() {
    let mut pool =
        Pool::start(2, || Ok(shell(r#"echo '"ready"'; exec sleep 3600"#))).expect("a pool");
    pool.submit(Task::SleepMs(0)).expect("an open pool");
    pool.terminator().terminate();
    assert!(matches!(pool.join()[..], [Err(Failure::NotRun)]));
}

#[test]
fn as_many_tasks_as_there_are_workers_run_at_the_same_time() {
    // Each task ends only when three have begun; for 20 s it waits for that.
    let work = || {
        Ok(shell(&format!(
            r#"begun=${{TMPDIR:-/tmp}}/pool-test-$PPID; mkdir -p $begun; echo '"ready"'
            while read -r line; do
                id=${{line#*:}}; touch $begun/${{id%%,*}}
                n=0; while [ $(ls $begun | wc -l) -lt 3 ]; do
                    n=$((n + 1)); [ $n -lt 2000 ] || exit 1; sleep 0.01
                done
                {WORK}
            done"#
        )))
    };
    let all_done = outcomes(3, 3, work).iter().all(Result::is_ok);
    let begun = std::env::temp_dir().join(format!("pool-test-{}", std::process::id()));
    std::fs::remove_dir_all(begun).expect("the folder of the workers");
    assert!(all_done);
}
