//! The programs to copy: each runs, needs nothing but what its first lines
//! say, and prints what the notes' Python program prints.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{DEMOS, Outcome, Run, program, tool, workspace};

/// Every file in an `examples` folder.
fn snippets() -> Vec<PathBuf> {
    let folders = DEMOS.map(|demo| workspace().join(demo).join("examples"));
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("examples"));
    let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

fn name(snippet: &Path) -> String {
    snippet
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What was printed, PIDs masked, in a canonical order of lines.
fn canonical(run: &Outcome) -> Vec<String> {
    let mask = |line: &str| {
        let mut masked = String::new();
        let mut after_pid = false;
        for word in line.split_inclusive(' ') {
            let digits = word.chars().take_while(char::is_ascii_digit).count();
            masked += if after_pid && digits > 0 { "N" } else { "" };
            masked += if after_pid { &word[digits..] } else { word };
            after_pid = word == "pid ";
        }
        masked
    };
    let mut lines: Vec<String> = run.stdout.lines().map(mask).collect();
    lines.sort();
    lines
}

#[test]
fn snippets_are_short_have_something_to_break_and_need_no_shared_core() {
    for snippet in snippets() {
        let text = fs::read_to_string(&snippet).expect("a snippet");
        let lines = text.lines().count();
        assert!(lines <= 65, "{}: {lines} lines", snippet.display());
        assert!(!text.contains("shared_core"), "{}", snippet.display());
        let breaks = text.matches("// Break it: ").count();
        assert_eq!(breaks, 1, "{} has nothing to break", snippet.display());
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{}", snippet.display());
    }
}

#[test]
fn snippets_print_what_the_notes_python_programs_print() {
    if !tool("python3") {
        return;
    }
    for snippet in snippets() {
        let name = name(&snippet);
        let notes = match name.as_str() {
            "pool_threads" => "pool",
            "fork" | "process" | "thread" | "lock" | "pool" => &name,
            _ => continue, // the notes have no such program
        };
        let notes = workspace().join(format!("tests/python/{notes}.py"));
        let ours = Run::program(&format!("examples/{name}"))
            .run()
            .expect_status(0);
        let theirs = Run::command("python3").args([notes]).run().expect_status(0);
        assert_eq!(canonical(&ours), canonical(&theirs), "{name}");
        assert!(!canonical(&ours).is_empty());
    }
}

#[test]
fn the_lost_update_is_lost_every_time() {
    for _ in 0..50 {
        let run = Run::program("examples/lost_update").run().expect_status(0);
        assert_eq!(run.stdout, "5 + 8 deposited, balance 5\n");
    }
}

#[test]
fn a_snippet_builds_in_a_fresh_project_with_what_its_first_lines_name() {
    let folder = tempfile::tempdir().expect("a folder");
    // One target folder for all, kept beside ours: what they need in common is
    // built once.
    let target = program("examples/guard")
        .parent()
        .expect("a folder")
        .join("snippets");
    for snippet in snippets() {
        let name = name(&snippet);
        let project = folder.path().join(&name);
        let cargo = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command
                .args(args)
                .current_dir(&project)
                .env("CARGO_TARGET_DIR", &target);
            let output = command
                .env("CARGO_NET_OFFLINE", "true")
                .output()
                .expect("cargo");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: cargo {args:?}: {text}");
        };
        fs::create_dir_all(project.join("src")).expect("a project");
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n");
        fs::write(project.join("Cargo.toml"), manifest).expect("a manifest");
        fs::copy(&snippet, project.join("src/main.rs")).expect("a copy");
        // The versions that are there: what is missing cannot be fetched.
        fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).expect("a copy");

        let text = fs::read_to_string(&snippet).expect("a snippet");
        let head = text.lines().take_while(|line| line.starts_with("//!"));
        let adds: Vec<&str> = head
            .filter_map(|line| line.strip_prefix("//! cargo "))
            .collect();
        let nothing = text.contains("\n//! Nothing to `cargo add`.\n");
        assert_eq!(
            adds.is_empty(),
            nothing,
            "{name} says what to add, or that it is nothing"
        );
        for add in adds {
            cargo(&add.split(' ').collect::<Vec<_>>());
        }
        cargo(&["build", "--quiet"]);
        let run = Run::command(target.join("debug").join(&name));
        // That it goes on is what an orphan shows.
        let run = if matches!(&*name, "orphan" | "outlive") {
            run.to_be_killed()
        } else {
            run
        };
        let run = run.run().expect_status(0);
        assert!(!run.stdout.is_empty());
    }
}
