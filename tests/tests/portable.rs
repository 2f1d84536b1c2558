//! What holds on every system: here no test needs fork, a signal or /proc.

#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The demos that run everywhere.
const DEMOS: [&str; 4] = ["process-demo", "pool-demo", "thread-demo", "lock-demo"];

/// The executable, on Linux built just now. Elsewhere, where cargo may be no
/// program of that system, it stands beside the tests, which were built with it.
fn program(name: &str) -> PathBuf {
    #[cfg(target_os = "linux")]
    return tests::program(name).to_owned();
    #[cfg(not(target_os = "linux"))]
    {
        let test = std::env::current_exe().expect("this test");
        let folder = test.parent().and_then(Path::parent).expect("a folder");
        folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

/// Runs a demo to its end, with a folder for temporary files that must be
/// empty then.
fn run(demo: &str, args: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program(demo));
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, folder.path());
    }
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = pipes.stderr(Stdio::piped()).args(args).spawn();
    let mut child = child.expect("a demo");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(files(folder.path()), [""; 0], "{demo} {args:?}");
    output
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// Runs a demo that succeeds and says nothing on stderr; returns its stdout.
fn succeed(demo: &str, args: &[&str]) -> String {
    let output = run(demo, args, "");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{stdout}");
    stdout
}

#[test]
fn every_lesson_passes() {
    for demo in DEMOS {
        let stdout = succeed(demo, &["all", "--json"]);
        let summaries: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter_map(|mut line| line.get_mut("summary").map(Value::take))
            .collect();
        assert!(!summaries.is_empty());
        for summary in summaries {
            assert_eq!(
                (&summary["ok"], &summary["cut_off"]),
                (&true.into(), &0.into())
            );
        }
    }
}

#[test]
fn every_process_of_a_run_speaks_on_its_stdout() {
    let stdout = succeed("process-demo", &["run", "--name", "x y"]);
    assert!(stdout.contains("running with the name \"x y\""), "{stdout}");
    let stdout = succeed("pool-demo", &["--work-ms", "1"]);
    for task in 0..5 {
        assert!(
            stdout.contains(&format!("task {task} begins\n")),
            "{stdout}"
        );
    }
}

#[test]
fn no_event_is_lost_among_many_writers() {
    let args = ["--workers", "8", "--tasks", "1000", "--work-ms", "0"];
    let stdout = succeed("pool-demo", &args);
    assert_eq!(stdout.matches(" begins\n").count(), 1000);
    assert!(!stdout.contains('✘'), "{stdout}");
    for _ in 0..10 {
        let stdout = succeed("lock-demo", &["--threads", "8", "--iterations", "10"]);
        assert!(!stdout.contains('✘'), "{stdout}");
    }
}

#[test]
fn a_worker_says_nothing_but_answers() {
    let tasks = "{\"id\":7,\"ms\":1}\n{\"id\":8,\"ms\":0}\n";
    let output = run("pool-demo", &["worker", "--json"], tasks);
    let stdout = text(&output.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines[0], "\"ready\"");
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.starts_with("{\"result\":"))
    );
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(text(&output.stderr).contains("task 7 begins"));
}

#[test]
fn a_worker_without_the_event_log_takes_part_in_the_run() {
    let stdout = succeed("examples/from_afar", &["speak"]);
    assert_eq!(stdout.matches(" speaks\n").count(), 20, "{stdout}");
    let lanes = stdout.lines().filter(|line| line.starts_with("  worker "));
    // A worker and each of its threads has one.
    assert!(lanes.count() >= 2, "{stdout}");
}

#[test]
fn what_a_task_prints_does_not_mix_with_answers() {
    let output = run("examples/answer", &[], "");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((&*stdout, &*stderr), ("answered\n", "printed\n"));
}

#[test]
fn a_pool_keeps_its_word() {
    for scenario in [
        "apply",
        "map",
        "imap",
        "nothing",
        "get-with-a-limit",
        "cancel",
        "workers",
        "panics",
        "exits",
        "timeouts",
        "retries",
        "initializer",
        "max-tasks",
        "close",
        "terminate",
        "no-limit",
        "lazy",
        "iterator-panics",
        "encodings",
        "nested",
    ] {
        assert_eq!(succeed("examples/pooled", &[scenario]), "", "{scenario}");
    }
}

#[test]
fn a_wrong_call_is_refused() {
    for (demo, args) in [
        ("pool-demo", &["--workers", "0"][..]),
        ("lock-demo", &["balance", "--nonsense"]),
        ("process-demo", &["all", "--svg", "x"]),
        ("process-demo", &["child", "nonsense"]),
        ("pool-demo", &["worker"]),
        ("pool-demo", &["worker", "nonsense"]),
        ("pool-demo", &["worker", "sleep", "nonsense"]),
        ("pool-demo", &["worker", "--json", "nonsense"]),
    ] {
        let output = run(demo, args, "");
        assert_eq!(output.status.code(), Some(2), "{demo} {args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn one_file_for_two_targets_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
    std::fs::write(&file, "mine").expect("a file");
    std::fs::hard_link(&file, &other).expect("a link");
    let [svg, trace] = [&file, &other].map(|path| path.to_string_lossy());
    let output = run("thread-demo", &["--svg", &svg, "--trace", &trace], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "mine");

    std::fs::remove_file(&other).expect("a link");
    let output = run("thread-demo", &["--svg", &svg, "--trace", &trace], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        std::fs::read_to_string(&file)
            .expect("a file")
            .starts_with("<svg")
    );
    let trace = std::fs::read(&other).expect("a file");
    let trace: Value = serde_json::from_slice(&trace).expect("JSON");
    assert!(trace["traceEvents"].is_array());
}

#[test]
#[cfg(not(unix))]
fn fork_demo_says_what_to_run_instead() {
    let output = run("fork-demo", &[], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cargo run -p process-demo"));
}

#[test]
fn the_site_shows_what_runs_here_and_says_why_the_rest_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("site");
    let mut notes = Command::new(program("examples/notes"));
    // The demos are built.
    notes.env_remove("CARGO").arg("--out").arg(&site);
    let output = notes.output().expect("the program");
    assert!(output.status.success(), "{output:#?}");
    let index = std::fs::read_to_string(site.join("index.html")).expect("the index");
    let fork = if cfg!(unix) {
        r#"✔</span> <a href="fork-demo.html#tree">"#
    } else {
        "fork-demo tree: fork() is a Unix call"
    };
    assert!(index.contains(fork), "{index}");
    for demo in DEMOS {
        let page = std::fs::read_to_string(site.join(format!("{demo}.html"))).expect("a page");
        let data = page
            .split(r#"id="run-data">"#)
            .nth(1)
            .and_then(|data| data.split("</script>").next());
        let runs: Vec<Value> = serde_json::from_str(data.expect("data")).expect("JSON");
        for run in &runs {
            let name = run["name"].as_str().expect("a name");
            assert!(
                index.contains(&format!(r#"✔</span> <a href="{demo}.html#{name}">"#)),
                "{demo} {name}"
            );
            let at = run["events"].as_array().expect("events").iter();
            let at: Vec<&str> = at
                .filter_map(|event| event["args"]["at"].as_str())
                .collect();
            let source = run["lesson"]["files"]["source"].as_str().expect("a source");
            let in_source = at
                .iter()
                .filter(|at| at.starts_with(&format!("{demo}/{source}:")));
            assert!(in_source.count() > 0, "{demo} {name}: {at:?}");
        }
    }
}
