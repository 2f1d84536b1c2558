//! notes --out DIR: runs all demos and writes the notes as a small site: an index with
//! the table of statements, and a page for each section.
//!
//! ```text
//! cargo run -p tests --example notes -- --out site
//! ```

mod index;
mod place;

use clap::Parser;
use index::{Outcome, Seen};
use place::{NotOurs, Place};
use serde_json::Value;
use shared_core::{Context, Result, cause, complain, ensure};
use std::io::{BufRead, BufReader, IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Runs all demos and writes the notes as a small site
#[derive(Parser)]
#[command(name = "notes", max_term_width = 80)]
struct Options {
    /// Where the site goes: a new or empty folder, or one that this program has written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const DEMOS: [&str; 5] = [
    "fork-demo",
    "process-demo",
    "pool-demo",
    "thread-demo",
    "lock-demo",
];

/// The status of a demo that says why it cannot do this here.
const NOT_HERE: i32 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    let place = match Place::take(&options.out, &DEMOS) {
        Ok(place) => place,
        Err(error) => {
            let status = if error.is::<NotOurs>() { 2 } else { 1 };
            complain(format_args!("{}", cause(error)));
            return ExitCode::from(status);
        }
    };
    match write(&place) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(format_args!("{}", cause(error)));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether no demo has failed.
fn write(place: &Place) -> Result<bool> {
    let programs = build()?;
    let mut seen = Seen::default();
    let mut all_well = true;
    for (number, demo) in (1..).zip(DEMOS) {
        progress(&format!("running {demo}, {number} of {}", DEMOS.len()));
        let program = programs.join(format!("{demo}{}", std::env::consts::EXE_SUFFIX));
        let ran = run_all(demo, &program, &place.page(demo), &mut seen);
        let status = ran.with_context(|| format!("failed to run {demo}"))?;
        let is_well = status == Some(0) || status == Some(NOT_HERE);
        for lesson in index::lessons_of(demo) {
            let key = (demo.to_owned(), lesson);
            if seen.lessons.contains_key(&key) {
                continue;
            }
            let outcome = if is_well {
                why_not(demo, &program, &key.1)?
            } else {
                Outcome::Fails
            };
            seen.lessons.insert(key, outcome);
        }
        all_well &= is_well;
    }
    let fails = |outcome: &Outcome| matches!(outcome, Outcome::Fails);
    all_well &= !seen.lessons.values().any(fails);
    place.write_index(&index::html(&seen))?;
    complain(format_args!("wrote {}", place.index().display()));
    Ok(all_well)
}

/// Says what is being done, to a person who waits.
fn progress(what: &str) {
    if stderr().is_terminal() {
        complain(format_args!("{what}"));
    }
}

/// Builds the demos, and returns where they are. Without cargo, when this program was
/// started by itself, they are those that stand beside it.
fn build() -> Result<PathBuf> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        progress("building the demos");
        let mut build = Command::new(cargo);
        build.args(["build", "--workspace", "--bins", "--locked", "--quiet"]);
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let status = build.status().context("failed to run cargo")?;
        ensure!(status.success(), "cargo build: {status}");
    }
    let own = std::env::current_exe().context("failed to find this program")?;
    let folder = own.parent().and_then(Path::parent);
    Ok(folder.unwrap_or(Path::new("")).to_owned())
}

/// Runs all lessons of a demo, which writes its page, and takes their summaries. Returns
/// the exit status.
fn run_all(demo: &str, program: &Path, page: &Path, seen: &mut Seen) -> Result<Option<i32>> {
    let mut process = Command::new(program)
        .args([
            "all",
            "--json",
            "--started-by",
            &std::process::id().to_string(),
        ])
        .arg("--html")
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = process.stdout.take().context("no stdout")?;
    for line in BufReader::new(stdout).split(b'\n') {
        // What a killed demo has not written to its end is no summary.
        let line: Value = serde_json::from_slice(&line?).unwrap_or_default();
        let summary = &line["summary"];
        let Some(lesson) = summary["lesson"].as_str() else {
            continue;
        };
        progress(&format!("  {lesson}"));
        let holds = summary["ok"] == true;
        let outcome = if holds {
            Outcome::Holds
        } else {
            Outcome::Fails
        };
        let lesson = (demo.to_owned(), lesson.to_owned());
        seen.lessons.insert(lesson, outcome);
    }
    Ok(process.wait()?.code())
}

/// Why a lesson was not among those of its demo: it may say that it cannot run here.
fn why_not(demo: &str, program: &Path, lesson: &str) -> Result<Outcome> {
    let mut command = Command::new(program);
    command.args([lesson, "--started-by", &std::process::id().to_string()]);
    command.stdin(Stdio::null());
    let output = command.output().context("failed to run it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let before = format!("{demo}: ");
    let lines = said
        .lines()
        .map(|line| line.strip_prefix(&before).unwrap_or(line));
    Ok(match output.status.code() {
        Some(NOT_HERE) => Outcome::NotHere(lines.collect::<Vec<_>>().join(" ")),
        _ => Outcome::Fails,
    })
}
