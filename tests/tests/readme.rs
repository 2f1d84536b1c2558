//! The transcripts in the READMEs: each command is run as it stands there, and
//! prints what stands there, numbers and pictures apart.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::fs;
use std::path::PathBuf;
use tests::{Run, workspace};

/// A command and what it prints.
struct Transcript {
    command: String,
    output: String,
}

fn readmes() -> Vec<PathBuf> {
    let folders = fs::read_dir(workspace()).expect("the workspace").flatten();
    let folders = folders
        .map(|entry| entry.path())
        .chain([workspace().to_owned()]);
    let readmes = folders.map(|folder| folder.join("README.md"));
    readmes.filter(|readme| readme.is_file()).collect()
}

fn transcripts(readme: &str) -> Vec<Transcript> {
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap_or_default());
    let commands = blocks.flat_map(|block| block.split("$ ").skip(1));
    let transcript = |text: &str| {
        let (command, output) = text.split_once('\n').expect("a command");
        Transcript {
            command: command.to_owned(),
            output: output.to_owned(),
        }
    };
    commands.map(transcript).collect()
}

/// The lines, sorted, without what differs from run to run: numbers with
/// their units, lanes, the time axis, the machine, spaces.
fn canonical(output: &str) -> Vec<String> {
    let lines = output.lines().filter(|line| !line.contains('╵'));
    let mut lines: Vec<String> = lines
        .map(|line| {
            let line = line.split('┃').next().unwrap_or_default();
            let line = line.split(" CPU").next().unwrap_or_default();
            let words = line.split_whitespace().map(|word| {
                let parts = word.split(|c: char| c.is_ascii_digit() || "-.".contains(c));
                let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
                if word.contains(|c: char| c.is_ascii_digit()) {
                    format!(
                        "#{}",
                        parts
                            .join("#")
                            .replace("µs", "")
                            .replace("ms", "")
                            .replace("ns", "")
                    )
                } else {
                    word.to_owned()
                }
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    lines
}

#[test]
fn every_transcript_is_what_its_command_prints() {
    let mut count = 0;
    for readme in readmes() {
        let text = fs::read_to_string(&readme).expect("a README");
        for Transcript { command, output } in transcripts(&text) {
            if output.is_empty() {
                continue; // a command alone: the test command is one
            }
            count += 1;
            let script = format!("cd '{}' && {command}", workspace().display());
            let run = Run::command("bash")
                .args(["-c", &script])
                .run()
                .expect_status(0);
            assert_eq!(
                canonical(&run.stdout),
                canonical(&output),
                "{command}: {}",
                run.stdout
            );
        }
    }
    assert!(count >= 7, "only {count} transcripts found");
}

#[test]
fn every_command_that_a_readme_names_exists() {
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
