//! Every check of every lesson is seen to fail: a copy of the workspace is
//! changed as `seen_to_fail/list.rs` says, one change a lesson at a time, and the
//! check that is named there must turn ✘. A check that nothing turns proves nothing.
//!
//! cargo test -p tests --test seen_to_fail

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

#[path = "seen_to_fail/list.rs"]
mod list;

use list::{ENTRIES, Entry};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tests::{DEMOS, Outcome, Run, listed_lessons, program, workspace};

/// How many seconds a run may take: a change may make it hang.
const LIMIT: &str = "20";

#[test]
fn every_check_of_every_lesson_is_seen_to_fail() {
    let copy = Copy::of_the_workspace();
    copy.build(&DEMOS).expect("the unchanged copy");
    let mut failures = Vec::new();
    let passed = checks_that_pass(&copy, &mut failures);
    failures.extend(gaps(&passed));
    for round in rounds() {
        let start = Instant::now();
        for (entry, outcome) in copy.fail_as_said(&round) {
            let (Ok(told) | Err(told)) = &outcome;
            let told = format!("{}: ✘ {}\n{told}\n", entry.file, entry.check);
            println!("{told}");
            if outcome.is_err() {
                failures.push(told);
            }
        }
        println!(
            "{:.2} s for {}\n",
            start.elapsed().as_secs_f64(),
            round.len()
        );
    }
    let (count, failures) = (failures.len(), failures.join("\n\n"));
    assert!(count == 0, "{count} failures\n\n{failures}\n");
}

/// The entries that can be tried together, since each changes the file of its own
/// lesson: so a build serves many. A change elsewhere concerns other lessons too, and
/// is tried alone.
fn rounds() -> Vec<Vec<&'static Entry>> {
    let mut rounds: Vec<Vec<&Entry>> = Vec::new();
    for entry in ENTRIES {
        let together = |round: &&mut Vec<&Entry>| {
            let own = |entry: &Entry| entry.file == file_of(entry.run);
            own(entry)
                && round
                    .iter()
                    .all(|other| own(other) && other.file != entry.file)
        };
        match rounds.iter_mut().find(together) {
            Some(round) => round.push(entry),
            None => rounds.push(vec![entry]),
        }
    }
    rounds
}

/// The file of the lesson that is run.
fn file_of(run: &str) -> String {
    let mut words = run.split(' ');
    let (demo, lesson) = (words.next(), words.next());
    let lesson = lesson.unwrap_or_default().replace('-', "_");
    format!("{}/src/{lesson}.rs", demo.unwrap_or_default())
}

/// A run and a check that passed in it: `fork-demo returns-twice --children 2`,
/// the text of the check.
type Passed = (String, String);

/// Runs every lesson by default and as the list has it, with nothing changed:
/// every check passes.
fn checks_that_pass(copy: &Copy, failures: &mut Vec<String>) -> Vec<Passed> {
    let mut passed = Vec::new();
    let mut runs: BTreeSet<String> = copy.lessons();
    runs.extend(ENTRIES.iter().map(|entry| entry.run.to_owned()));
    for run in runs {
        let checks = match copy.checks(&run) {
            Ok((checks, _)) => checks,
            Err(why) => {
                failures.push(why);
                continue;
            }
        };
        for check in checks {
            let text = check["text"].as_str().unwrap_or_default().to_owned();
            if check["ok"] == true {
                passed.push((run.clone(), text));
            } else {
                failures.push(format!("{run}: ✘ {text}\nand nothing was changed"));
            }
        }
    }
    passed
}

/// Checks that no entry turns, and entries whose run has no such check.
fn gaps(passed: &[Passed]) -> Vec<String> {
    let mut gaps = BTreeSet::new();
    for (run, text) in passed {
        let turns = |entry: &Entry| entry.check == text && lesson_of(entry.run) == lesson_of(run);
        if !ENTRIES.iter().any(turns) {
            gaps.insert(format!("{}: nothing turns ✔ {text}", lesson_of(run)));
        }
    }
    for Entry { run, check, .. } in ENTRIES {
        if !passed.iter().any(|(ran, text)| ran == run && text == check) {
            gaps.insert(format!("{run}: there is no ✔ {check}"));
        }
    }
    gaps.into_iter().collect()
}

/// A copy of the workspace that is built and changed. It stays at one place,
/// beside what cargo built for the tests, and only what differs is written to
/// it: so cargo need not build it from scratch each time.
struct Copy {
    workspace: PathBuf,
    target: PathBuf,
    /// Whoever has locked this file has the copy for himself.
    _lock: File,
}

impl Copy {
    fn of_the_workspace() -> Self {
        let guard = program("examples/guard");
        let folder = guard.parent().expect("a folder").join("seen-to-fail");
        let copy = folder.join("workspace");
        fs::create_dir_all(&copy).expect("a folder");
        let lock = File::create(folder.join("lock")).expect("a file");
        lock.lock().expect("nobody else");

        let files = files_of(workspace());
        for file in files_of(&copy).difference(&files) {
            fs::remove_file(copy.join(file)).expect("it is not there any more");
        }
        for file in &files {
            let text = fs::read(workspace().join(file)).expect("a file");
            let to = copy.join(file);
            // A change that an interrupted test left is undone here.
            if fs::read(&to).ok().as_ref() != Some(&text) {
                fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
                fs::write(to, text).expect("a copy");
            }
        }
        Self {
            workspace: copy,
            target: folder.join("target"),
            _lock: lock,
        }
    }

    fn build(&self, demos: &[&str]) -> Result<(), String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--locked", "--quiet"]);
        cargo.args(demos.iter().flat_map(|demo| ["-p", demo]));
        let output = cargo
            .current_dir(&self.workspace)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_NET_OFFLINE", "true")
            // Many small units, of which one change concerns a few.
            .env("CARGO_PROFILE_DEV_CODEGEN_UNITS", "256")
            .output()
            .expect("cargo");
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("does not build:\n{text}"))
    }

    /// Runs a demo: its name, a lesson, other arguments.
    fn run(&self, words: &str) -> Result<Outcome, String> {
        let (demo, args) = words.split_once(' ').expect("arguments");
        let run = Run::command("timeout")
            .args(["--kill-after=1", LIMIT])
            .args([self.target.join("debug").join(demo)])
            .args(args.split_whitespace());
        // The run is under the guard, and panics if anything is left behind.
        let run = catch_unwind(AssertUnwindSafe(|| run.run()));
        let run = run.map_err(|panic| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "the guard panicked".to_owned(),
        })?;
        match run.status {
            Some(124 | 137) => Err(format!("{words}: longer than {LIMIT} s")),
            _ => Ok(run),
        }
    }

    /// All lessons: the demo and the lesson's name.
    fn lessons(&self) -> BTreeSet<String> {
        let lessons = |demo: &str| {
            let help = self.run(&format!("{demo} --help")).expect("help");
            let lessons = listed_lessons(&help.stdout);
            assert!(!lessons.is_empty(), "{demo}: {help:#?}");
            let lessons = lessons.iter().map(|lesson| format!("{demo} {lesson}"));
            lessons.collect::<Vec<_>>()
        };
        DEMOS.into_iter().flat_map(lessons).collect()
    }

    /// The checks that a run came to, and how it ended.
    fn checks(&self, words: &str) -> Result<(Vec<Value>, Outcome), String> {
        let run = self.run(&format!("{words} --json"))?;
        let last = run.stdout.lines().last().unwrap_or_default();
        let last: Value = serde_json::from_str(last).unwrap_or_default();
        match last["summary"]["checks"].as_array() {
            Some(checks) => Ok((checks.clone(), run)),
            None => Err(format!("{words}: no summary: {run:#?}")),
        }
    }

    /// Makes the changes of a round, runs the demos, and undoes the changes. Returns
    /// for each what was expected and what was seen.
    fn fail_as_said<'a>(&self, round: &[&'a Entry]) -> Vec<(&'a Entry, Result<String, String>)> {
        let made = round.iter().map(|entry| self.change(entry));
        let made: Vec<Result<String, String>> = made.collect();
        let demos: BTreeSet<&str> = round.iter().map(|entry| demo_of(entry.run)).collect();
        let built = self.build(&demos.into_iter().collect::<Vec<_>>());
        let outcomes = round.iter().zip(&made).map(|(entry, made)| {
            let ran = made.as_ref().map_err(Clone::clone);
            let ran = ran.and_then(|_| built.clone());
            (*entry, ran.and_then(|()| self.fails(entry)))
        });
        let outcomes: Vec<_> = outcomes.collect();
        for (entry, text) in round.iter().zip(&made) {
            if let Ok(text) = text {
                fs::write(self.workspace.join(entry.file), text).expect("the file as it was");
            }
        }
        if built.is_err() && round.len() > 1 {
            // Which of them does not build?
            return round
                .iter()
                .flat_map(|entry| self.fail_as_said(&[entry]))
                .collect();
        }
        outcomes
    }

    /// Makes the change of an entry, and returns the file as it was.
    fn change(&self, entry: &Entry) -> Result<String, String> {
        let file = self.workspace.join(entry.file);
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let times = text.matches(entry.text).count();
        if times != 1 {
            return Err(format!("found {times} times, not once:\n{}", entry.text));
        }
        // Both times the file is written after cargo has looked at it, so cargo
        // sees by its time that it is another one.
        fs::write(&file, text.replace(entry.text, entry.instead)).expect("a change");
        Ok(text)
    }

    /// Runs the changed demo, whose check must fail.
    fn fails(&self, entry: &Entry) -> Result<String, String> {
        let (checks, run) = self.checks(entry.run)?;
        let Some(check) = checks.iter().find(|check| check["text"] == entry.check) else {
            let checks = Value::from(checks);
            return Err(format!("only {checks}\nstderr: {}", run.stderr));
        };
        let (expected, seen) = (&check["expected"], &check["seen"]);
        let told = format!("expected: {expected}\nseen:     {seen}");
        if check["ok"] != false {
            return Err(format!("it still passes with\n{}", entry.instead));
        }
        if run.status != Some(1) {
            return Err(format!("exit status {:?}, not 1\n{told}", run.status));
        }
        if expected.is_null() || expected == seen {
            return Err(format!("that tells nothing\n{told}"));
        }
        Ok(told)
    }
}

fn demo_of(run: &str) -> &str {
    run.split(' ').next().unwrap_or_default()
}

/// What cargo needs to build the workspace at `top`, whether that is a checkout
/// or not: the files there, and the folders that are a package.
fn files_of(top: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_file() {
                let file = path.strip_prefix(top).expect("below the top");
                files.insert(file.to_owned());
            } else if path.is_dir() && (folder != top || path.join("Cargo.toml").is_file()) {
                folders.push(path);
            }
        }
    }
    files
}

/// The demo and the lesson, without other arguments.
fn lesson_of(run: &str) -> String {
    let words: Vec<&str> = run.split(' ').take(2).collect();
    words.join(" ")
}
