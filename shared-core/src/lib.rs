//! Who is speaking, when, and the picture of it.
//!
//! A lesson keeps `fork`, `spawn`, `join`, `lock` and `send` in plain view;
//! this crate only says who did what and when, and judges the evidence:
//!
//! - [`cli`]: the options that all demos share, and the flow of a run;
//! - [`timeline`]: the reading side: terminal, SVG, JSON, trace file;
//! - [`again`]: the same program, once more, as a child that does a part of a lesson;
//! - [`children`]: a child is made, guarded, reaped;
//! - [`mod@report`]: the writing side: [`report!`], [`span!`], [`fact!`], [`check!`];
//! - [`ending`]: the list of children and the end of a run;
//! - [`who`]: the process, the thread, the processor;
//! - `platform`: everything that differs between systems;
//! - [`timing`]: repeated measurement with median and spread.
//!
//! Each of them uses only those that stand below it.

pub mod again;
pub mod children;
pub mod cli;
pub mod ending;
mod platform;
pub mod report;
pub mod timeline;
pub mod timing;
pub mod who;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};
pub use cli::{Lessons, main};
pub use serde_json::Value;

/// What an error says, with all its causes, without the numbers that the
/// standard library appends, and without the symbols that nix puts in front:
/// `fork: Resource temporarily unavailable`.
#[must_use]
pub fn cause(error: impl std::fmt::Display) -> String {
    let text = format!("{error:#}");
    let mut parts = text.split(" (os error ");
    let mut cause = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        cause += part.split_once(')').map_or(part, |(_, rest)| rest);
    }
    let is_symbol = |part: &str| {
        let symbol = part.strip_prefix('E').filter(|rest| rest.len() > 2);
        symbol.is_some_and(|rest| {
            rest.chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        })
    };
    let parts = cause.split(": ").filter(|part| !is_symbol(part));
    parts.collect::<Vec<_>>().join(": ")
}

/// The colours of the lanes in order of their start, the same in the lines, in the
/// timeline and in the picture: twelve, of which neighbours differ in hue and in
/// lightness (after Okabe and Ito's palette for readers who confuse colours). In
/// the terminal each can be read on black and on white; in the picture it is dark
/// enough for white letters on it.
const COLOURS: [(u8, &str); 12] = [
    (32, "#0072b2"),
    (166, "#b34700"),
    (36, "#00785a"),
    (133, "#8f3a84"),
    (245, "#5b5b5b"),
    (142, "#7a5c00"),
    (63, "#1a237e"),
    (204, "#c2185b"),
    (38, "#007c91"),
    (137, "#6d4c41"),
    (141, "#5e35b1"),
    (70, "#4a7a1f"),
];

/// The colour in the terminal of the lane with this number.
fn lane_style(number: usize) -> anstyle::Style {
    let (colour, _) = COLOURS[number % COLOURS.len()];
    anstyle::Ansi256Color(colour).on_default()
}

/// The colour in the picture of the lane with this number.
fn lane_colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()].1
}

/// `text` with spaces after it, up to `width` columns: a Chinese character takes
/// two.
fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(textwrap::core::display_width(text));
    format!("{text}{:missing$}", "")
}

/// As one JSON object, on one line: for structures of ours, none of which can fail.
fn to_json(value: &impl serde::Serialize) -> String {
    let Ok(text) = serde_json::to_string(value) else {
        unreachable!("strings and numbers always become JSON");
    };
    text
}

/// Writes a line to stderr, the program's name first: for what went wrong, and is no
/// part of the run. (A stderr that cannot be written is no reason to panic, as
/// `eprintln!` does.)
pub fn complain(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let program = std::env::args_os().next().map(std::path::PathBuf::from);
    let program = program.as_deref().and_then(std::path::Path::file_stem);
    let program = program.unwrap_or_default().display();
    let _ = std::io::stderr().write_all(format!("{program}: {text}\n").as_bytes());
}
