//! Wrong calls and a system that refuses: a clear message, the right status.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use tests::{DEMOS, Run, all_lessons, program, root, tool};

#[test]
fn wrong_calls_are_refused_before_anything_starts() {
    for (demo, args, message) in [
        (
            "pool-demo",
            &["tasks", "--workers", "0"][..],
            "0 is not in 1..=128",
        ),
        (
            "pool-demo",
            &["tasks", "--workers", "1000000"],
            "1000000 is not in 1..=128",
        ),
        (
            "pool-demo",
            &["tasks", "--tasks", "-1"],
            "-1 is not in 1..=10000",
        ),
        (
            "pool-demo",
            &["tasks", "--work-ms", "soon"],
            "invalid digit",
        ),
        ("pool-demo", &["--workers", "0"], "0 is not in 1..=128"),
        (
            "fork-demo",
            &["returns-twice", "--children", "0"],
            "0 is not in 1..=500",
        ),
        (
            "fork-demo",
            &["returns-thrice"],
            "unrecognized subcommand 'returns-thrice'",
        ),
        (
            "fork-demo",
            &["returns-twice", "all"],
            "unexpected argument 'all'",
        ),
        (
            "fork-demo",
            &["--svg"],
            "a value is required for '--svg <FILE>'",
        ),
        (
            "fork-demo",
            &["all", "--svg", "x.svg"],
            "take one lesson, not all",
        ),
        (
            "thread-demo",
            &["start-join", "--count", "0"],
            "0 is not in 1..=1000",
        ),
        (
            "lock-demo",
            &["balance", "--threads", "1"],
            "1 is not in 2..=16",
        ),
        (
            "lock-demo",
            &["interleavings", "--schedule", "AABB"],
            "A and B, each three times, or each six or nine times",
        ),
        (
            "lock-demo",
            &["interleavings", "--play", "--lock"],
            "the argument '--play' cannot be used with '--lock'",
        ),
        (
            "process-demo",
            &["run", "--name"],
            "a value is required for '--name <NAME>'",
        ),
    ] {
        let run = Run::program(demo).args(args).run().expect_status(2);
        assert!(run.stderr.contains(message), "{args:?}: {run:#?}");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_value_may_be_called_like_a_lesson() {
    for args in [
        &["--name", "run"][..],
        &["run", "--name", "ends"],
        &["--name", "all", "--json"],
    ] {
        let run = Run::program("process-demo").args(args).run();
        let run = run.expect_status(0);
        let given = args
            .iter()
            .find(|word| !word.starts_with('-') && **word != "run");
        assert!(run.stdout.contains(given.unwrap_or(&"run")), "{run:#?}");
    }
    let script = "{fork-demo} --svg returns-twice --children 2 > /dev/null; rm returns-twice";
    let _ = Run::shell(script).run().expect_status(0);
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    let bad = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for (demo, option) in [("process-demo", "--name"), ("pool-demo", "--tasks")] {
        let run = Run::program(demo)
            .args([option])
            .args([bad])
            .run()
            .expect_status(2);
        assert!(run.stderr.contains("invalid UTF-8"), "{run:#?}");
    }
    for demo in DEMOS {
        let run = Run::program(demo).args([bad]).run().expect_status(2);
        assert!(run.stderr.contains("unrecognized subcommand"), "{run:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_found_out_beforehand() {
    for option in ["--svg", "--html", "--trace"] {
        for (file, message) in [
            ("/nowhere/x", "No such file or directory"),
            ("/", "Is a directory"),
            ("/proc/x", "No such file or directory"),
        ] {
            let run = Run::program("fork-demo")
                .args([option, file])
                .run()
                .expect_status(1);
            assert_eq!(run.stdout, "");
            assert!(
                run.stderr
                    .starts_with(&format!("fork-demo: failed to write {file}: ")),
                "{run:#?}"
            );
            assert!(run.stderr.contains(message), "{run:#?}");
        }
        let run = Run::program("fork-demo")
            .args([option, "/dev/full"])
            .run()
            .expect_status(1);
        assert!(run.stderr.contains("No space left on device"), "{run:#?}");
    }
}

#[test]
fn a_file_that_could_be_written_is_left_alone_when_the_run_fails() {
    let script = "echo mine > x.svg; {examples/storm} panic --svg x.svg > /dev/null 2>&1; rm x.svg;
                  {examples/storm} --nonsense --svg y.svg; ls";
    assert_eq!(Run::shell(script).run().stdout, "");
}

/// A run in which the system refuses every process or thread but the first
/// `made` ones; strace injects the error (strace(1)).
fn refused_after(made: usize, demo: &str, args: &str) -> Run {
    let when = made + 1;
    Run::shell(&format!(
        "strace -f --seccomp-bpf -qq -o /dev/null -e trace=clone,clone3,fork,vfork \
         -e inject=clone,clone3,fork,vfork:error=EAGAIN:when={when}+ {{{demo}}} {args}"
    ))
}

#[test]
fn a_refused_fork_names_the_cause_and_leaves_no_child() {
    if !tool("strace") {
        return;
    }
    for made in 0..3 {
        let run = refused_after(made, "fork-demo", "returns-twice --children 64").run();
        let run = run.expect_status(1);
        // A signal that comes while fork() begins makes the kernel begin it
        // anew, and strace counts it again: so the children are counted too.
        let forked = run.stdout.matches("my child's PID").count();
        assert!((made.min(1)..=made).contains(&forked), "{run:#?}");
        let cause = "fork: Resource temporarily unavailable";
        let message = format!("{cause} after {forked} of 64 children; see ulimit -u\n");
        assert!(run.stderr.ends_with(&message), "{run:#?}");
    }
}

#[test]
fn a_limit_on_memory_is_told_by_its_name() {
    // Below that it is the loader, or Rust's runtime, that gives up.
    for kilobytes in [12_000, 14_000, 16_000, 20_000, 30_000] {
        let script = format!("ulimit -v {kilobytes}; exec {{pool-demo}} --work-ms 1");
        let run = Run::shell(&script).run();
        if run.status == Some(0) {
            continue; // enough for all
        }
        let run = run.expect_status(1);
        let refused = "Resource temporarily unavailable";
        assert!(run.stderr.contains(refused), "{run:#?}");
        for vague in [
            "Unexpected system error",
            "start a worker",
            "os error",
            "panicked",
        ] {
            assert!(!run.stderr.contains(vague), "{run:#?}");
        }
    }
}

#[test]
fn a_child_whose_parent_is_gone_ends_without_a_word() {
    for (demo, name) in [("process-demo", "child"), ("pool-demo", "worker sleep")] {
        let end = "import os, socket, sys; a, b = socket.socketpair(); os.dup2(b.fileno(), 0); \
                   a.close(); b.close(); os.execv(sys.argv[1], sys.argv[1:])";
        if !tool("python3") {
            return;
        }
        let script = format!("python3 -c '{end}' {{{demo}}} {name} --takes-part");
        let run = Run::shell(&script).run().expect_status(1);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    }
}

#[test]
fn a_refused_process_or_thread_ends_every_lesson_cleanly() {
    if !tool("strace") {
        return;
    }
    for (demo, lesson) in all_lessons() {
        for made in 0..16 {
            let run = refused_after(made, demo, &lesson).run();
            // With as many as it needs it does what it should; without any it
            // cannot.
            if made > 0 && run.status == Some(0) {
                break;
            }
            let run = run.expect_status(1);
            let cause = "Resource temporarily unavailable";
            assert!(
                run.stderr.contains(cause),
                "{demo} {lesson} after {made}: {run:#?}"
            );
            assert!(
                !run.stderr.contains("panicked"),
                "{demo} {lesson} after {made}: {run:#?}"
            );
        }
    }
}

#[test]
fn an_ordinary_user_s_limit_on_processes_is_an_error() {
    if !(root() && tool("prlimit") && tool("setpriv")) {
        return;
    }
    // Nobody must be able to reach the program.
    let folder = tempfile::tempdir().expect("a folder");
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), readable).expect("permissions");
    // The limit counts all processes of a user: one whom nobody else is.
    let user = (1_000_000 + std::process::id()).to_string();
    for demo in ["fork-demo", "process-demo", "pool-demo"] {
        let copy = folder.path().join(demo);
        std::fs::copy(program(demo), &copy).expect("a copy");
        let run = Run::command("setpriv")
            .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(["prlimit", "--nproc=1"])
            .args([copy])
            .run()
            .expect_status(1);
        let cause = "Resource temporarily unavailable";
        assert!(run.stderr.contains(cause), "{run:#?}");
    }
}
