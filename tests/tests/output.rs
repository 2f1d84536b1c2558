//! Where the output goes: pipes, files, terminals, pictures.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tests::{DEMOS, Run, all_lessons, lessons, program, tool};

const PROCESSES: usize = 64;
const LINES: usize = 1000;

/// Each line is one that a child said, whole from the time to the end, and
/// nobody's line is missing.
fn assert_nothing_torn_or_lost(output: &str) {
    let (lines, _) = output.split_once("\n\n").expect("an end of the lines");
    let mut said = HashSet::new();
    for line in lines.lines().skip_while(|line| !line.contains(" ms ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            time,
            "ms",
            "child",
            pid,
            "←",
            parent,
            "│",
            "process",
            process,
            "line",
            number,
            "end",
        ] = words[..]
        else {
            panic!("torn: {line:?}");
        };
        let time_is_whole = time
            .split_once('.')
            .is_some_and(|(_, digits)| digits.len() == 3);
        let numbers = [pid, parent, process, number].map(str::parse::<usize>);
        let [Ok(_), Ok(_), Ok(process), Ok(number)] = numbers else {
            panic!("torn: {line:?}")
        };
        assert!(
            time_is_whole && time.parse::<f64>().is_ok(),
            "torn: {line:?}"
        );
        assert!(process < PROCESSES && number < LINES, "torn: {line:?}");
        assert!(said.insert((process, number)), "twice: {line:?}");
    }
    assert_eq!(said.len(), PROCESSES * LINES);
}

#[test]
fn no_line_is_torn_or_lost_in_a_pipe() {
    let run = Run::program("examples/storm")
        .args(["speak"])
        .run()
        .expect_status(0);
    assert_nothing_torn_or_lost(&run.stdout);
}

#[test]
fn no_line_is_torn_or_lost_in_a_file() {
    let run = Run::shell("{examples/storm} speak > lines && cat lines && rm lines")
        .run()
        .expect_status(0);
    assert_nothing_torn_or_lost(&run.stdout);
    // Appended to a file that has something in it already.
    let script = "echo before > lines && {examples/storm} speak >> lines && cat lines && rm lines";
    let run = Run::shell(script).run().expect_status(0);
    assert!(run.stdout.starts_with("before\n"));
    assert_nothing_torn_or_lost(&run.stdout);
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    // Without a verdict with the status of a SIGPIPE; with one, with that one.
    for demo in DEMOS {
        for args in ["", "--json"] {
            let run = Run::shell(&format!("{{{demo}}} {args} | head -1; exit $PIPESTATUS")).run();
            assert!([Some(141), Some(0)].contains(&run.status), "{run:#?}");
            assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
            assert_eq!(run.stderr, "");
        }
    }
}

#[test]
fn a_failing_lesson_whose_reader_is_gone_has_failed() {
    // `--json` prints nothing before the verdict.
    let script = "{examples/storm} die --json | (exec <&-; sleep 0); exit $PIPESTATUS";
    for _ in 0..20 {
        let _ = Run::shell(script).run().expect_status(1);
    }
    let script = "{examples/storm} die | (exec <&-; sleep 0); exit $PIPESTATUS";
    for _ in 0..20 {
        let run = Run::shell(script).run();
        assert!([Some(1), Some(141)].contains(&run.status), "{run:#?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for args in ["", "--json", "--help", "--snippet"] {
        for demo in DEMOS {
            let run = Run::shell(&format!("{{{demo}}} {args} > /dev/full"))
                .run()
                .expect_status(1);
            assert!(run.stderr.contains("No space left on device"), "{run:#?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        }
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    // It holds for the event log too, which is a file in memory. Each process
    // that cannot go on says so, and none is killed by SIGXFSZ.
    for demo in DEMOS {
        let script = format!("ulimit -f 1; exec {{{demo}}}");
        let run = Run::shell(&script).run().expect_status(1);
        let message = "write to the event log: File too large";
        assert!(run.stderr.contains(message), "{run:#?}");
    }
    // What a lesson executes has the default action: sh says that it was killed.
    let script = "trap '' XFSZ; ulimit -f 1; {examples/storm} no-check > /dev/null; echo $?";
    assert_eq!(Run::shell(script).run().stdout, "1\n");
}

/// Runs a shell command whose stdout somebody has made non-blocking.
fn non_blocking(script: &str) -> Run {
    let set =
        "import os, sys; os.set_blocking(1, False); os.execvp('bash', ['bash', '-c', sys.argv[1]])";
    Run::shell(&format!(
        "python3 -c \"{set}\" '{script}; echo $? >&2' | (read -r line; echo $line; cat)"
    ))
}

#[test]
fn a_stdout_that_does_not_block_is_waited_for() {
    if !tool("python3") {
        return;
    }
    let storm = program("examples/storm").display();
    let run = non_blocking(&format!("{storm} speak --processes 8 --lines 2000")).run();
    let run = run.expect_status(0);
    assert_eq!(run.stderr, "0\n");
    assert_eq!(run.stdout.matches(" end\n").count(), 8 * 2000);
    // What is not part of a run waits too.
    for args in ["--help", "--snippet"] {
        let full = "head -c 65000 /dev/zero; ";
        let script = format!("{full}{} {args}", program("fork-demo").display());
        let run = non_blocking(&script).run().expect_status(0);
        assert_eq!(run.stderr, "0\n", "{run:#?}");
    }
}

#[test]
fn a_closed_stdout_is_no_trouble() {
    // The standard library opens /dev/null in its place.
    for demo in DEMOS {
        let run = Run::shell(&format!("{{{demo}}} >&-"))
            .run()
            .expect_status(0);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    }
}

/// Runs a command in a terminal of its own.
fn in_a_terminal(script: &str, columns: u32) -> Run {
    let inner = format!("stty rows 24 cols {columns}; {script}");
    Run::shell(&format!("script -qec \"{inner}\" /dev/null"))
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    if !tool("script") {
        return;
    }
    let colour = |run: Run| {
        let run = run.run().expect_status(0);
        assert!(run.stdout.contains("fork() returned 0"), "{run:#?}");
        run.stdout.contains("\u{1b}[")
    };
    let terminal = || in_a_terminal("{fork-demo}", 80).env("TERM", "xterm");
    assert!(colour(terminal()));
    assert!(!colour(terminal().env("NO_COLOR", "1")));
    assert!(!colour(terminal().env("TERM", "dumb")));
    assert!(!colour(Run::program("fork-demo")));
}

/// The colour that begins in a line, and the text after it up to a sign.
fn coloured(line: &str, until: char) -> Option<(&str, &str)> {
    let (_, coloured) = line.split_once("\u{1b}[38;5;")?;
    let (colour, text) = coloured.split_once('m')?;
    Some((
        colour,
        text.split_once(until)?
            .0
            .trim()
            .trim_end_matches("\u{1b}[0m")
            .trim(),
    ))
}

#[test]
fn twelve_lanes_have_twelve_colours_the_same_in_the_lines_and_in_the_timeline() {
    if !tool("script") {
        return;
    }
    for (script, lanes) in [
        ("{fork-demo} returns-twice --children 11", 12),
        ("{lock-demo} balance --threads 2 --iterations 1", 5),
        ("{pool-demo} tasks --workers 10 --tasks 20 --work-ms 1", 12),
    ] {
        let run = in_a_terminal(script, 100).env("TERM", "xterm").run();
        let run = run.expect_status(0);
        let rows = run.stdout.lines().filter(|line| line.contains('┃'));
        let mut colours = HashMap::new();
        for row in rows {
            let label = row.split('\u{1b}').next().unwrap_or_default().trim();
            let (colour, _) = coloured(row, '┃').expect("a colour");
            assert_eq!(
                colours.insert(label, colour),
                None,
                "two lanes called {label}"
            );
        }
        let different: HashSet<&&str> = colours.values().collect();
        assert_eq!(
            (colours.len(), different.len()),
            (lanes, lanes),
            "{colours:?}"
        );
        let said = run.stdout.lines().filter_map(|line| coloured(line, '│'));
        let mut count = 0;
        for (colour, speaker) in said {
            let speaker = speaker.split(" ← ").next().unwrap_or_default();
            let speaker = speaker.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(colours.get(&*speaker), Some(&colour), "{speaker}");
            count += 1;
        }
        assert!(count >= 4, "{run:#?}");
    }
}

#[test]
fn the_timeline_is_as_wide_as_the_terminal() {
    if !tool("script") {
        return;
    }
    for columns in [60, 80, 120] {
        let run = in_a_terminal("{fork-demo}", columns)
            .env("NO_COLOR", "1")
            .run();
        let run = run.expect_status(0);
        let lane = run.stdout.lines().find(|line| line.contains('┃'));
        let lane = lane.expect("a lane").trim_end();
        assert_eq!(lane.chars().count(), columns as usize, "{lane:?}");
    }
}

#[test]
fn nothing_is_wider_than_a_narrow_terminal() {
    if !tool("script") {
        return;
    }
    for demo in DEMOS {
        for columns in [60, 80] {
            let script = format!("{{{demo}}} all");
            let run = in_a_terminal(&script, columns).env("NO_COLOR", "1").run();
            let run = run.expect_status(0);
            // A command that is to be copied stays in one piece.
            let mut lines = run
                .stdout
                .lines()
                .filter(|line| !line.contains("cargo run"));
            let wide = lines.find(|line| line.trim_end().chars().count() > columns as usize);
            assert_eq!(wide, None, "wider than {columns} columns");
        }
    }
}

#[test]
fn what_is_said_stands_in_one_column_whoever_says_it() {
    for run in [
        Run::program("pool-demo").args([
            "tasks",
            "--workers",
            "100",
            "--tasks",
            "200",
            "--work-ms",
            "1",
        ]),
        Run::program("lock-demo").args(["balance", "--threads", "16", "--iterations", "1"]),
        Run::program("fork-demo").args(["family", "--children", "100"]),
    ] {
        let run = run.run().expect_status(0);
        let lines = run
            .stdout
            .lines()
            .filter(|line| line.contains(" ms ") && line.contains('│'));
        let columns = lines.map(|line| line.chars().position(|c| c == '│'));
        let columns: HashSet<Option<usize>> = columns.collect();
        assert_eq!(columns.len(), 1, "{}", run.stdout);
    }
}

#[test]
fn the_terminal_folds_what_the_picture_draws() {
    let script = "{fork-demo} --children 60 --svg x.svg; cat x.svg; rm x.svg";
    let run = Run::shell(script).run().expect_status(0);
    let (text, svg) = run.stdout.split_once("<svg").expect("a picture");
    assert_eq!(text.matches('┃').count(), 2 * 40);
    assert!(text.contains("  22 × child "), "{text}");
    assert_eq!(svg.matches(">child ").count(), 60);
}

#[test]
fn forty_lanes_are_drawn() {
    let args = ["returns-twice", "--children", "39"];
    let run = Run::program("fork-demo").args(args).run().expect_status(0);
    let lanes = run.stdout.lines().filter(|line| line.contains('┃'));
    assert_eq!(
        lanes
            .filter(|lane| lane.contains('━') && lane.chars().count() == 80)
            .count(),
        40
    );
}

#[test]
fn the_picture_is_well_formed_and_names_everything() {
    let names = [
        "worker 1 ",
        "worker 2 ",
        "parent ",
        "task 2",
        "task 0 begins",
    ];
    let script = "{pool-demo} tasks --workers 2 --tasks 3 --work-ms 20 --svg x.svg > /dev/null \
                  && cat x.svg && rm x.svg";
    let run = Run::shell(script).run().expect_status(0);
    let picture = roxmltree::Document::parse(&run.stdout).expect("XML");
    let texts: Vec<&str> = picture
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for name in names {
        assert!(
            texts.iter().any(|text| text.contains(name)),
            "no {name} in {texts:?}"
        );
    }
    assert!(
        texts.iter().any(|text| text.ends_with(" ms")),
        "no time axis"
    );
    let outside = picture.descendants().flat_map(|node| node.attributes());
    let outside: Vec<_> = outside
        .filter(|attribute| attribute.name() == "href")
        .collect();
    assert!(outside.is_empty(), "not self-contained");
}

#[test]
fn two_targets_that_are_one_file_are_refused_before_the_run() {
    for (script, message) in [
        (
            "--svg x --trace ./x",
            "--svg and --trace name the same file",
        ),
        ("--svg x --trace y", "--svg and --trace name the same file"),
        ("--html x --svg y", "--svg and --html name the same file"),
        (
            "--svg link --trace x",
            "--svg and --trace name the same file",
        ),
        ("--svg x > x", "stdout and --svg name the same file"),
        (
            "--trace /dev/stdout > x",
            "stdout and --trace name the same file",
        ),
    ] {
        let prepare = "echo mine > x; ln x y; ln -s x link";
        let script = format!("{prepare}; {{fork-demo}} {script}; echo $?; cat y; rm x y link");
        let run = Run::shell(&script).run().expect_status(0);
        // Nothing of the run, not even a new file, and nothing was emptied that the shell left alone.
        let mine = if script.contains("> x; echo") {
            ""
        } else {
            "mine\n"
        };
        assert_eq!(run.stdout, format!("2\n{mine}"), "{run:#?}");
        assert_eq!(run.stderr, format!("fork-demo: {message}\n"));
    }
}

#[test]
fn what_stderr_is_written_to_is_no_target() {
    let script = "{fork-demo} --svg x 2> x; echo $?; cat x; rm x";
    let run = Run::shell(script).run().expect_status(0);
    assert_eq!(
        run.stdout,
        "2\nfork-demo: stderr and --svg name the same file\n"
    );
}

#[test]
fn two_runs_may_write_the_same_file() {
    let script = "for n in 1 2 3 4 5 6 7 8; do {fork-demo} --children $n --svg x > /dev/null & done; \
                  wait; cat x; rm x";
    for _ in 0..10 {
        let run = Run::shell(script).run().expect_status(0);
        assert!(roxmltree::Document::parse(&run.stdout).is_ok(), "{run:#?}");
    }
}

#[test]
fn a_target_that_is_removed_during_the_run_is_written_all_the_same() {
    // The reader of the run's lines removes it.
    let script = "{pool-demo} --tasks 1 --work-ms 300 --svg x 2> /dev/null | \
                  (read -r line; read -r line; rm x; cat > /dev/null); grep -c '</svg>' x; rm x";
    let run = Run::shell(script).run().expect_status(0);
    assert_eq!(run.stdout, "1\n", "{run:#?}");
}

#[test]
fn a_target_may_be_what_is_no_regular_file() {
    let quiet = "> /dev/null 2>&1; echo $?";
    for (script, status) in [
        (
            format!("{{fork-demo}} --svg /dev/null --trace /dev/null {quiet}"),
            "0\n",
        ),
        (
            format!(
                "mkfifo f; grep -c svg f > n & {{fork-demo}} --svg f {quiet}; wait; \
                     grep -q 2 n || cat n; rm f n"
            ),
            "0\n",
        ),
        (
            format!(
                "ln -s new dangling; {{fork-demo}} --svg dangling {quiet}; \
                     grep -q /svg new || echo no picture; rm new dangling"
            ),
            "0\n",
        ),
        (
            format!(
                "echo long before > x; {{fork-demo}} --trace x {quiet}; \
                     grep -c 'long before' x; rm x"
            ),
            "0\n0\n",
        ),
    ] {
        assert_eq!(Run::shell(&script).run().stdout, status, "{script}");
    }
}

#[test]
fn a_target_is_emptied_only_after_the_run() {
    // Two runs with one target: whoever comes last has it, whole.
    let script = "echo mine > x; {examples/storm} hang --svg x > /dev/null & pid=$!; \
                  {fork-demo} --svg x > /dev/null; kill $pid; wait $pid; grep -c '</svg>' x; rm x";
    let run = Run::shell(script).run().expect_status(0);
    assert_eq!(run.stdout, "1\n", "{run:#?}");
}

#[test]
fn the_trace_names_processes_and_threads() {
    let script = "{process-demo} --trace trace.json > /dev/null && cat trace.json && rm trace.json";
    let run = Run::shell(script).run().expect_status(0);
    let trace: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("an array");
    let named = |kind: &str| -> HashSet<&str> {
        let named = events
            .iter()
            .filter(|event| event["name"] == kind && event["ph"] == "M");
        named
            .filter_map(|event| event["args"]["name"].as_str())
            .collect()
    };
    assert_eq!(
        named("process_name"),
        HashSet::from(["parent", "Process-1"])
    );
    assert_eq!(named("thread_name"), HashSet::from(["parent", "Process-1"]));
    let complete = ["name", "cat", "ph", "ts", "pid", "tid"];
    assert!(
        events
            .iter()
            .all(|event| complete.iter().all(|key| !event[key].is_null()))
    );
}

#[test]
fn a_snippet_is_printed_as_it_is() {
    for (demo, lesson) in all_lessons() {
        let run = Run::program(demo).args([&lesson]).run().expect_status(0);
        let (_, path) = run.stdout.rsplit_once("To copy: ").expect("a path");
        let text = std::fs::read_to_string(tests::workspace().join(path.trim_end()));
        let run = Run::program(demo).args([&*lesson, "--snippet"]).run();
        let run = run.expect_status(0);
        assert_eq!(run.stdout, text.expect("a snippet"));
        if lessons(demo)[0] == lesson {
            let bare = Run::program(demo).args(["--snippet"]).run();
            assert_eq!(bare.expect_status(0).stdout, run.stdout);
        }
    }
}

#[test]
fn a_replay_says_the_same_and_takes_its_time() {
    let lesson = ["message", "--slow", "1"];
    let start = Instant::now();
    let slow = Run::program("process-demo").args(lesson).run();
    // The last line is said at the very end of the run.
    assert!(start.elapsed() > Duration::from_millis(500));
    let fast = Run::program("process-demo").args(["message"]).run();
    let [slow, fast] = [slow, fast].map(|run| run.expect_status(0).stdout);
    assert!(slow.contains("\nReplay: what took "), "{slow}");
    // Who says what: PIDs are others, and the order may be.
    let said = |text: &str| {
        let lines = text
            .lines()
            .filter_map(|line| line.split_once(" ms ")?.1.split_once(" │ "));
        let lines = lines.map(|(who, what)| {
            let name = who
                .split(|c: char| c.is_ascii_digit())
                .next()
                .unwrap_or_default();
            let what: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
            format!("{name}: {what}")
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    };
    assert_eq!(said(&slow), said(&fast));
    assert!(said(&slow).len() > 3, "{slow}");
    let end = Run::program("process-demo")
        .args(["--slow", "1", "--json"])
        .run();
    let _ = end.expect_status(2);
}

#[test]
fn ctrl_c_ends_a_replay() {
    let mut run = Run::shell("echo $$; exec {process-demo} --slow 600").start();
    let pid = run.line_with("").trim().parse().expect("a PID");
    run.line_with("Replay: ");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("kill");
    let _ = run.finish().expect_status(130);
}
