//! A run as a page shows it: what the lesson says, what was seen, the source.

use super::lesson::{Files, ORDER, Text};
use super::predict::{Asked, Question};
use super::summary::Summary;
use crate::report::Event;
use crate::timeline::{Timeline, page};
use crate::{to_json, who};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the script of the page takes of a run.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    /// The name of the lesson: the anchor of the run on its page.
    name: &'a str,
    /// What was done, in one line.
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lesson: Option<Lesson<'a>>,
    machine: String,
    /// When it was written, in milliseconds since 1970.
    date: u64,
    summary: &'a Summary,
    /// What to do about it.
    advice: &'a [String],
    #[serde(flatten)]
    run: page::Run<'a>,
}

/// What a lesson says of itself.
#[derive(Serialize)]
pub(super) struct Lesson<'a> {
    /// The command line that does it again.
    command: String,
    why: &'a [String],
    tries: Vec<&'a str>,
    /// Where several speak, that their order is a matter of chance.
    order: Option<&'static str>,
    questions: Vec<Asked>,
    files: &'a Files,
}

impl<'a> Lesson<'a> {
    pub(super) fn new(
        text: &'a Text,
        files: &'a Files,
        questions: &[Question],
        summary: &Summary,
        several_speak: bool,
    ) -> Self {
        Self {
            command: summary.command_line(),
            why: &text.why,
            tries: text.tries(),
            order: several_speak.then_some(ORDER),
            questions: questions
                .iter()
                .map(|question| question.of(&summary.options))
                .collect(),
            files,
        }
    }
}

impl<'a> Shown<'a> {
    pub(super) fn new(
        title: &'a str,
        lesson: Option<Lesson<'a>>,
        summary: &'a Summary,
        advice: &'a [String],
        events: &'a [Event],
        timeline: &Timeline,
    ) -> Self {
        let date = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            name: &summary.lesson,
            title,
            lesson,
            machine: who::machine(),
            date: date.map_or(0, |date| date.as_millis().try_into().unwrap_or(0)),
            summary,
            advice,
            run: page::Run::new(events, timeline),
        }
    }

    /// As one JSON object, on one line.
    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}
