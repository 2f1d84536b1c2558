//! The transcripts in the READMEs: each command is run as it stands there, and
//! prints what stands there.
//!
//! `REWRITE=1 cargo test -p tests --test readme` writes what it prints now.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tests::{Run, python3, workspace};

fn readmes() -> Vec<PathBuf> {
    let folders = fs::read_dir(workspace()).expect("the workspace").flatten();
    let folders = folders
        .map(|entry| entry.path())
        .chain([workspace().to_owned()]);
    let readmes = folders.map(|folder| folder.join("README.md"));
    readmes.filter(|readme| readme.is_file()).collect()
}

/// The commands in a README with what follows them.
fn transcripts(readme: &str) -> Vec<(&str, &str)> {
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    commands.filter_map(|text| text.split_once('\n')).collect()
}

/// What differs from run to run in the lines of the lessons, beside times and
/// PIDs: the text before the figure, and where it ends.
const MEASURED: [(&str, &str); 47] = [
    ("│ heap …", ""),
    ("│ static …", ""),
    ("│ directory ", ""),
    ("│ stack …", ""),
    ("│ thread local …", ""),
    ("│ errno …", ""),
    ("│ page faults: ", ""),
    ("│ at 0x", ":"),
    ("MiB, tables ", " KiB"),
    (" KiB: ", ""),
    ("│ 1 × ", ""),
    ("│ the number at ", " is"),
    ("│ the variable at ", " is"),
    ("Medians of ", " ("),
    ("│ a program: as long as ", ""),
    ("│ a fork: as long as ", ""),
    ("│ an idle thread: ", ""),
    ("│ without a lock: balance ", ""),
    ("│ updates lost: ", " of"),
    (r#"{"result":"#, "}"),
    (" tiny tasks: at most ", " ahead"),
    ("│ ahead: ", " of"),
    ("│ peak: ", ""),
    ("│ sequential ", ""),
    ("│ threads ", ""),
    ("│ processes ", ""),
    ("│ fastest: ", ""),
    ("│ why: ", ""),
    ("16 ms took ", ""),
    ("│ as if on ", " CPUs"),
    ("│ CPU 0: tasks ", ""),
    ("│ together: ", " hand"),
    ("│ apart: ", " hand"),
    ("│ in ", " switches"),
    ("│ sleeping ", ""),
    ("│ yielding ", ""),
    ("│ computing ", ""),
    ("│ waiting used ", ""),
    ("│ spinning used ", ""),
    ("│ I took ", ""),
    ("│ none ", ""),
    (" right ", " %"),
    ("gave up and began again: ", ""),
    (" waited ", " ms"),
    // Which worker takes which task is not certain.
    ("worker ", " ←"),
    (" runs in pid ", ""),
    ("│ task ", " "),
];

/// What a race may say, and need not.
const CHANCE: [&str; 2] = ["│ none was lost ", "│ they happen to cancel out"];

/// `cargo run -p` builds a demo with fewer features of its dependencies than the whole
/// workspace asks for, and puts the other executable in place: whoever starts the demo in
/// that moment does not find it. So only one of the tests that start demos runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines, sorted. Each PID and TID has a name instead, by the order of the
/// lanes (P1, P2, …), so that the same process has the same name everywhere.
/// Masked are times, what [`MEASURED`] names, and the lanes themselves.
fn canonical(output: &str) -> Vec<String> {
    let names = names(output);
    let mut lines: Vec<String> = output
        .lines()
        // The words of the compiler, which may be another one.
        .filter(|line| !line.contains("│ > "))
        .filter(|line| !line.contains('╵') && !line.trim().is_empty())
        .filter(|line| !CHANCE.iter().any(|chance| line.contains(chance)))
        // On which CPUs threads were that may choose is not certain.
        .filter(|line| !line.starts_with("  CPU "))
        .map(|line| canonical_line(line, &names))
        .collect();
    lines.sort();
    lines
}

/// A measurement in the picture: the lines of lanes end as they begin.
fn is_bar(line: &str) -> bool {
    line.contains('┃') && !line.ends_with('┃')
}

/// The names of the numbers after the labels of the lanes, in alphabetical
/// order of the labels and then in order of the lanes.
fn names(output: &str) -> HashMap<&str, String> {
    let lanes = output.lines().filter(|line| !is_bar(line));
    let labels = lanes.filter_map(|line| line.split_once('┃'));
    let mut labels: Vec<(&str, &str)> = labels
        .filter_map(|(label, _)| label.trim().rsplit_once(' '))
        .filter(|(name, _)| *name != "CPU") // that is no process
        .collect();
    // Whether a process or a thread comes first is not certain where they are called alike.
    labels.sort_by_key(|(name, numbers)| (*name, numbers.contains('/')));
    let mut names = HashMap::new();
    for number in labels.iter().flat_map(|(_, numbers)| numbers.split('/')) {
        let next = format!("P{}", names.len() + 1);
        names.entry(number).or_insert(next);
    }
    names
}

fn canonical_line(line: &str, names: &HashMap<&str, String>) -> String {
    if is_bar(line) {
        return line
            .trim()
            .split("  ")
            .next()
            .unwrap_or_default()
            .to_owned();
    }
    let line = line.split('┃').next().unwrap_or_default();
    // The time that a line begins with.
    let line = match line.split_once(" ms ") {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    };
    let mut renamed = String::new();
    for part in line.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        renamed += names.get(digits).map_or(digits, String::as_str);
        renamed += &part[digits.len()..];
    }
    let mut words: Vec<&str> = renamed.split_whitespace().collect();
    // Of processes that are named together none is the first.
    if let Some(place) = words.windows(2).position(|two| two == ["run", "by"]) {
        words[place + 2..].sort_unstable();
    }
    let mut masked = words.join(" ");
    for (before, after) in MEASURED {
        if let Some((head, tail)) = masked.split_once(before) {
            let end = if after.is_empty() {
                Some(tail.len())
            } else {
                tail.find(after)
            };
            let rest = &tail[end.unwrap_or(tail.len())..];
            masked = format!("{head}{before}#{rest}");
        }
    }
    masked.split(" CPU").next().unwrap_or_default().to_owned()
}

/// The PATH on which Python itself comes before scripts that look for it.
fn path_to_python() -> Option<String> {
    let folder = PathBuf::from(python3()?).parent()?.to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    Some(format!("{}:{path}", folder.display()))
}

/// The lines that only one of the two has.
fn difference(expected: &[String], got: &[String]) -> String {
    let only = |of: &[String], and_not: &[String], sign: char| -> String {
        let mut others = and_not.to_vec();
        let only = of
            .iter()
            .filter(|line| match others.iter().position(|o| o == *line) {
                Some(index) => {
                    others.remove(index);
                    false
                }
                None => true,
            });
        only.fold(String::new(), |text, line| {
            text + &format!("{sign} {line}\n")
        })
    };
    only(expected, got, '-') + &only(got, expected, '+')
}

#[test]
fn every_transcript_is_what_its_command_prints() {
    let _alone = alone();
    let rewrite = std::env::var_os("REWRITE").is_some();
    let path = path_to_python();
    let mut count = 0;
    let mut wrong = String::new();
    for readme in readmes() {
        let text = fs::read_to_string(&readme).expect("a README");
        let mut new = text.clone();
        for (command, output) in transcripts(&text) {
            if output.is_empty() {
                continue; // a command alone: the test command is one
            }
            count += 1;
            let status = match command.split_once("# exit status ") {
                Some((_, status)) => status.trim().parse().expect("a status"),
                None => 0,
            };
            if command.contains(" python3 ") && path.is_none() {
                continue;
            }
            let script = format!("cd '{}' && {command}", workspace().display());
            let run = Run::command("bash").args(["-c", &script]);
            let run = match &path {
                Some(path) => run.env("PATH", path),
                None => run,
            };
            let run = run.run().expect_status(status);
            let [mut expected, mut got] = [output, &run.stdout].map(canonical);
            if command.contains(" watch ") {
                // Whether threads met at a lock, say, is not certain.
                for lines in [&mut expected, &mut got] {
                    lines.retain(|line| !line.starts_with("━ alive"));
                }
            }
            let difference = difference(&expected, &got);
            if !difference.is_empty() {
                wrong += &format!("{}: {command}\n{difference}\n", readme.display());
            }
            if rewrite {
                let (old, with) = (format!("$ {command}\n{output}"), &run.stdout);
                new = new.replace(&old, &format!("$ {command}\n{with}"));
            }
        }
        if rewrite {
            fs::write(&readme, new).expect("a README");
        }
    }
    assert!(count >= 7, "only {count} transcripts found");
    assert!(rewrite || wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_falsified_transcript_is_noticed() {
    let transcript = "   0.2 ms parent 71 │ fork() returned 72, my child
   0.4 ms child  72 ← 71 │ fork() returned 0
  0.9 ms M 71/71 │ with a lock: balance 0

  parent 71 ┃━━━━┃
  child 72  ┃ ━━ ┃
             ╵0 µs
";
    let same = transcript
        .replace("71", "171")
        .replace("72", "172")
        .replace("0.4", "0.7");
    assert_eq!(canonical(transcript), canonical(&same));
    for (right, wrong) in [
        ("returned 0", "returned 9"),
        ("returned 72", "returned 71"),
        ("← 71", "← 72"),
        ("balance 0", "balance 17"),
    ] {
        let falsified = transcript.replace(right, wrong);
        assert_ne!(canonical(transcript), canonical(&falsified), "{wrong}");
    }
}

/// The lessons in the tables of the root README: the number of the statement, if it
/// is one of the notes', the lesson's demo and name, its file.
fn rows() -> Vec<(Option<u32>, String, String)> {
    let text = fs::read_to_string(workspace().join("README.md")).expect("a README");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let lessons = rows.flat_map(|row| {
        let number = row
            .split('|')
            .nth(1)
            .and_then(|cell| cell.trim().parse().ok());
        // A statement may have several lessons, each with its source.
        let after = |begin: &'static str, end| {
            let parts = row.split(begin).skip(1);
            parts.filter_map(move |part| part.split(end).next())
        };
        let commands = after("`cargo run -p ", '`');
        let commands: Vec<_> = commands.map(|words| words.replace(" --", "")).collect();
        let sources: Vec<_> = after("](", ')').map(str::to_owned).collect();
        assert_eq!(commands.len(), sources.len(), "{row}");
        let both = commands.into_iter().zip(sources);
        both.map(move |(command, source)| (number, command, source))
    });
    lessons.collect()
}

/// The numbers after `(notes ` or `(note ` in the first lines of a lesson.
fn notes_in_header(source: &str) -> Vec<u32> {
    let text = fs::read_to_string(workspace().join(source)).expect("a lesson");
    let header = text.lines().take_while(|line| line.starts_with("//!"));
    let header: Vec<&str> = header.collect();
    let header = header.join(" ");
    let list = header.split("(note").nth(1).unwrap_or_default();
    let list = list.split(')').next().unwrap_or_default();
    let numbers = list.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn the_table_of_the_notes_and_the_lessons_agree() {
    let text = fs::read_to_string(workspace().join("README.md")).expect("a README");
    let number = |line: &str| {
        line.strip_prefix("| ")?
            .split(' ')
            .next()?
            .parse::<u32>()
            .ok()
    };
    let numbers: Vec<u32> = text.lines().filter_map(number).collect();
    assert_eq!(
        numbers,
        (1..=28).collect::<Vec<u32>>(),
        "a row for each statement"
    );

    let rows = rows();
    for (number, command, source) in &rows {
        let Some(number) = number.filter(|_| !source.ends_with("/main.rs")) else {
            continue;
        };
        let header = notes_in_header(source);
        assert!(
            header.contains(&number),
            "{command}: {source} names {header:?}"
        );
    }
    for demo in tests::DEMOS {
        for lesson in tests::lessons(demo) {
            let command = format!("{demo} {lesson}");
            let own: Vec<_> = rows.iter().filter(|row| row.1 == command).collect();
            assert!(!own.is_empty(), "{command} is in no table");
            for note in notes_in_header(&own[0].2) {
                let in_table = own.iter().any(|row| row.0 == Some(note));
                assert!(in_table, "{command} names note {note}, the table does not");
            }
        }
    }
}

#[test]
fn every_command_that_a_readme_names_exists() {
    let _alone = alone();
    for readme in readmes() {
        let text = fs::read_to_string(&readme).expect("a README");
        let quoted = text
            .split('`')
            .filter(|quoted| quoted.starts_with("cargo run -p "));
        for command in quoted.filter(|command| !command.contains(['…', '\n', '>'])) {
            let mut words: Vec<&str> = command.split(' ').skip(3).collect();
            let demo = words.remove(0);
            words.retain(|word| *word != "--");
            if let Some(svg) = words.iter().position(|word| *word == "--svg") {
                words[svg + 1] = "/dev/null";
            }
            let run = Run::program(demo).args(words).run();
            assert_eq!(run.status, Some(0), "{command}: {run:#?}");
        }
    }
}

#[test]
fn every_file_that_a_readme_links_to_exists() {
    for readme in readmes() {
        let text = fs::read_to_string(&readme).expect("a README");
        let folder = readme.parent().expect("a folder");
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("https://")) {
            assert!(folder.join(link).exists(), "{}: {link}", readme.display());
        }
    }
}
