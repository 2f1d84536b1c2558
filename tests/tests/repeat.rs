//! The example `repeat`: the lessons stand a few runs of it, and it finds what a
//! lesson does wrong.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use tests::{Outcome, Run, tool};

fn repeat(options: &str) -> Outcome {
    let run = Run::program("examples/repeat");
    run.args(options.split_whitespace()).run()
}

/// Runs a lesson that is a script, under some mode of `repeat`.
fn repeat_script(options: &str, script: &str) -> Outcome {
    let (_folder, path) = program(script);
    repeat(&format!("--program {} {options}", path.display()))
}

/// A program with one lesson, in a folder that goes with the first value.
fn program(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script");
    let help = "if [ $1 = --help ]; then echo Lessons:; echo '  only'; exit; fi";
    std::fs::write(&path, format!("#!/bin/sh\n{help}\n{script}\n")).expect("a script");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("permissions");
    (folder, path)
}

/// The numbers of the first row of the table.
fn row(run: &Outcome) -> Vec<&str> {
    let row = run.stdout.lines().nth(1).expect("a row");
    row.split_whitespace().skip(2).collect()
}

#[test]
fn lessons_stand_busy_cpus() {
    let _ = repeat("--runs 3").expect_status(0);
}

#[test]
fn lessons_leave_nothing_when_a_signal_comes_at_any_moment() {
    let _ = repeat("--kill --runs 3").expect_status(0);
    let _ = repeat("process-demo pool-demo --signal INT --runs 2").expect_status(0);
}

#[test]
fn lessons_say_what_was_refused() {
    if tool("strace") {
        let _ = repeat("fork-demo --inject --runs 2").expect_status(0);
        let _ = repeat("process-demo --lesson run --inject --runs 2").expect_status(0);
    }
}

#[test]
fn an_interrupted_repeat_leaves_no_run() {
    let repeat = "{examples/repeat} pool-demo";
    let run = Run::shell(&format!("timeout --preserve-status -s INT 1 {repeat}")).run();
    let run = run.expect_status(130);
    assert_eq!(run.stderr, "repeat: interrupted\n");
}

#[test]
fn a_failure_is_found_and_shown() {
    let storm = tests::program("examples/storm").display();
    let lessons = "--lesson die --lesson no-check";
    let run = repeat(&format!("--program {storm} {lessons} --runs 2")).expect_status(1);
    assert_eq!(row(&run)[..3], ["2", "2", "0"], "{run:#?}");
    let shown = |text| run.stdout.matches(text).count();
    assert_eq!(shown("✘ the child survived"), 2, "{run:#?}");
    assert_eq!(shown("storm: the lesson checked nothing"), 2, "{run:#?}");
    let run = repeat_script("--runs 1", "echo '  ✘ a'").expect_status(1);
    assert_eq!(row(&run)[..3], ["1", "1", "0"], "{run:#?}");
}

#[test]
fn what_is_left_is_found() {
    for (script, what) in [
        // A moment after fork it is a copy of the shell still.
        (
            "sleep 60 & until read name < /proc/$!/comm && [ $name = sleep ]; do :; done",
            "sleep",
        ),
        ("touch $TMPDIR/forgotten", "the file forgotten"),
    ] {
        let run = repeat_script("--runs 1", script).expect_status(1);
        assert_eq!(row(&run)[..3], ["1", "0", "1"], "{run:#?}");
        assert!(run.stdout.contains(what), "{run:#?}");
    }
}

#[test]
fn who_outlives_a_killed_process_is_found() {
    // It ends well when nobody disturbs it.
    let script = "echo begun; sleep 60 & other=$!; sleep 0.3; kill $other; wait $other; exit 0";
    let run = repeat_script("--kill --runs 2", script).expect_status(1);
    let row = row(&run);
    assert!(row[2] == "0" && row[3] != "0", "{run:#?}");
    assert!(run.stdout.contains(" sleep, killed"), "{run:#?}");
    let run = repeat_script("--signal TERM --runs 2", script).expect_status(1);
    assert!(run.stdout.contains("did not end by itself"), "{run:#?}");
}

#[test]
fn a_bad_message_is_found() {
    if !tool("strace") {
        return;
    }
    for (script, wrong) in [
        ("/bin/sleep 0; true", "complaints, and exit status 0"),
        ("(/bin/sleep 0) 2> /dev/null || exit 1", "not a word"),
        (
            "(/bin/sleep 0) 2> /dev/null || { echo no >&2; exit 1; }",
            "the cause is missing",
        ),
        (
            "/bin/sleep 0 2> /dev/null || { echo ✘; exit 1; }",
            "a check failed",
        ),
    ] {
        let run = repeat_script("--inject --runs 1", script).expect_status(1);
        assert!(run.stdout.contains(wrong), "{script}: {run:#?}");
    }
}
