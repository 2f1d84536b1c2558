//! What a lesson says of itself: the doc comment of its options.

use clap::Command;
use serde::Serialize;
use textwrap::WordSplitter;

/// The doc comment of a lesson's options, paragraph by paragraph: the claim, why
/// it comes out so, and what to try.
pub(super) struct Text {
    pub(super) claim: String,
    pub(super) why: Vec<String>,
    tries: Vec<String>,
}

const TRY: &str = "Try: ";
pub(super) const ORDER: &str = "Concurrent lines may appear in a different order on your machine.";

impl Text {
    pub(super) fn of(lesson: &Command) -> Self {
        let claim = lesson.get_about().map(ToString::to_string);
        let text = lesson.get_long_about().map(ToString::to_string);
        let text = text.unwrap_or_default();
        let paragraphs = text.split("\n\n").skip(1).map(str::to_owned);
        let (tries, why) = paragraphs.partition(|paragraph| paragraph.starts_with(TRY));
        Self {
            claim: claim.unwrap_or_default(),
            why,
            tries,
        }
    }

    /// The command lines to try.
    pub(super) fn tries(&self) -> Vec<&str> {
        self.tries.iter().map(|line| &line[TRY.len()..]).collect()
    }

    /// What follows the checks of a run, in lines of `width` columns at most.
    pub(super) fn after_checks(
        &self,
        files: &Files,
        demo: &str,
        width: usize,
        several_speak: bool,
    ) -> String {
        let mut text = String::new();
        for paragraph in &self.why {
            text += &format!("\n{}\n", fill(paragraph, width));
        }
        if several_speak {
            text += &format!("\n{}\n", fill(ORDER, width));
        }
        let indent = format!("\n{:1$}", "", TRY.len());
        let tries = self.tries();
        if !tries.is_empty() {
            text += &format!("\n{TRY}{}\n", tries.join(&indent));
        }
        let Files {
            source, snippet, ..
        } = files;
        let code = format!("Code: {demo}/{source}");
        let copy = format!("To copy: {demo}/{snippet}");
        let fits = code.len() + copy.len() + 3 <= width;
        text + &code + if fits { "   " } else { "\n" } + &copy + "\n"
    }
}

/// A hyphen is no place to break a line: copy-on-write is one word.
fn fill(text: &str, width: usize) -> String {
    let options = textwrap::Options::new(width);
    textwrap::fill(text, options.word_splitter(WordSplitter::NoHyphenation))
}

/// Where a lesson stands, and the program to copy; made by
/// [`files!`](crate::files!).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Files {
    /// The lesson, in the folder of its demo.
    pub source: &'static str,
    /// What stands there.
    pub source_text: &'static str,
    /// The program to copy, in the folder of the demo.
    pub snippet: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

/// The [`Files`] of a lesson, called from the demo's `main.rs`:
/// `files!("returns_twice", "fork")` stands for `src/returns_twice.rs` and
/// `examples/fork.rs`.
#[macro_export]
macro_rules! files {
    ($source:literal, $snippet:literal) => {
        $crate::cli::Files {
            source: concat!("src/", $source, ".rs"),
            source_text: include_str!(concat!($source, ".rs")),
            snippet: concat!("examples/", $snippet, ".rs"),
            text: include_str!(concat!("../examples/", $snippet, ".rs")),
        }
    };
}
