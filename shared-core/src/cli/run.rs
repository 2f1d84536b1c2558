//! One lesson, from its first line to the verdict.

use super::lesson::Text;
use super::page;
use super::predict::Prediction;
use super::replay::replay;
use super::summary::Summary;
use super::targets::Target;
use super::{FAILED, INTERRUPTED, Interrupted, Lessons};
use crate::report::{self, Printed, Session};
use crate::timeline::{self, Timeline, svg, text};
use crate::{cause, complain, ending, who};
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is known of a lesson before it runs.
pub(super) struct About<'a> {
    pub(super) name: &'a str,
    pub(super) text: Text,
    /// Its options.
    pub(super) given: Map<String, Value>,
    pub(super) predictions: Vec<Prediction>,
    /// Where the run goes for the page of all lessons.
    pub(super) part_of_page: Option<File>,
    /// For how many seconds the lines are shown once more.
    pub(super) slow: Option<u16>,
}

/// Runs one lesson and returns its exit status.
pub(super) fn run_lesson<L: Lessons>(
    session: &Session,
    about: About<'_>,
    lesson: &L,
    targets: Vec<Target>,
) -> Result<u8> {
    let About {
        name,
        text,
        given,
        predictions,
        part_of_page,
        slow,
    } = about;
    let title = format!("{} {name}: {}", L::DEMO, text.claim);
    let width = session.settings.width.unwrap_or(80);
    let json = session.settings.lines == Printed::Never;
    if !json {
        session.say(&(textwrap::fill(&title, width) + "\n"));
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| lesson.run()))
        // The panic hook has printed the message and the place.
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the lesson panicked")));
    report::close_lane();
    ending::park_if_ending(); // what the lesson returned is but a consequence
    let interrupted = matches!(&outcome, Err(error) if error.is::<Interrupted>());

    let (events, cut_off) = report::all_events()?;
    let timeline = Timeline::new(&events);
    let damaged = (!timeline.something_was_cut_off())
        .then(|| cut_off.first())
        .flatten();
    let error = outcome.err().map(cause);
    let error = error.or_else(|| Some(format!("damaged event: {}", damaged?)));
    let mut summary = Summary::new(L::DEMO, name, given, &events, cut_off.len(), error);
    summary.reveal(predictions);
    let mut status = match summary.ok {
        _ if interrupted => INTERRUPTED,
        true => 0,
        false => FAILED,
    };

    if let Some(seconds) = slow {
        replay(session, &events, &timeline, seconds);
    }
    let files = lesson.files();
    let speakers = timeline.lanes.iter();
    let speakers = speakers.filter(|lane| !lane.reports.is_empty());
    let several_speak = speakers.count() > 1;
    ending::set_last_words(None); // here are better ones
    let said = match () {
        () if json => timeline::json_lines(&events) + &summary.to_line(),
        () if interrupted => String::new(), // one line says it, below
        () => {
            let picture = text::draw(&timeline, width, session.settings.colour);
            let width_of_text = width.clamp(40, 80);
            let after = text.after_checks(&files, L::DEMO, width_of_text, several_speak);
            let checks = summary.check_lines(width);
            let revealed = summary.prediction_lines(width);
            format!("\n{picture}{checks}{revealed}{after}")
        }
    };
    if let Err(error) = session.print(&said)
        && error.kind() != ErrorKind::BrokenPipe
    {
        complain(format_args!("failed to write to stdout: {}", cause(error)));
        status = FAILED;
    } // if the reader is gone, the status tells all the same
    let shown = || {
        let questions = lesson.questions();
        let lesson = page::Lesson::new(&text, &files, questions, &summary, several_speak);
        page::Shown::new(&title, Some(lesson), &summary, &[], &events, &timeline).to_json()
    };
    for mut target in targets {
        target.write(&match target.option() {
            "--svg" => svg::draw(&timeline, &title, &who::machine()),
            "--html" => timeline::page::html(&title, &[shown()]),
            _ => timeline::trace(&events),
        })?;
    }
    if let Some(mut part_of_page) = part_of_page {
        let written = part_of_page.write_all(shown().as_bytes());
        written.context("failed to hand on the run")?;
    }
    if let Some(error) = &summary.error {
        complain(format_args!("{error}"));
    }
    Ok(status)
}
