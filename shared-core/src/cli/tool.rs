//! Tools: commands of a demo that are no lessons.

use super::page::Shown;
use super::summary::Summary;
use super::targets::Target;
use super::{print, wants_colour};
use crate::report::Event;
use crate::timeline::{self, Timeline, page, svg, text};
use crate::{complain, who};
use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// A command of a demo that is no lesson.
pub struct Tool {
    /// Its name, its help and its options.
    pub command: Command,
    /// What it does; the exit status.
    pub run: fn(&ArgMatches, Observed) -> Result<u8>,
}

/// What a person asked to see of a run that a tool observes.
pub struct Observed {
    pub(super) demo: &'static str,
    pub(super) name: String,
    pub(super) json: bool,
    pub(super) targets: Vec<Target>,
}

impl Observed {
    /// Whether stdout is for events alone.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Shows a run of `what` with these options, whose events are in order of time: on
    /// stdout with `--json`, else on stderr if it is to be drawn, and in the files that
    /// were asked for; `advice` is what to do about what was found. Returns whether no check
    /// has failed.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn show(
        self,
        what: &str,
        options: Map<String, Value>,
        events: &[Event],
        advice: &[String],
        is_drawn: bool,
    ) -> Result<bool> {
        let Self {
            demo,
            name,
            json,
            targets,
        } = self;
        let title = format!("{demo} {name}: {what}");
        let summary = Summary::new(demo, &name, options, events, 0, None);
        let needs_timeline = is_drawn && !json || targets.iter().any(Target::is_a_picture);
        let timeline = needs_timeline.then(|| Timeline::new(events));
        if json {
            print(&(timeline::json_lines(events) + &summary.to_line()))?;
        } else if let Some(timeline) = timeline.as_ref().filter(|_| is_drawn) {
            let stderr = io::stderr();
            let size = terminal_size::terminal_size_of(&stderr);
            let width = size.map_or(80, |(width, _)| width.0.into());
            let title = textwrap::fill(&title, width);
            let picture = text::draw(timeline, width, wants_colour(&stderr));
            let checks = summary.check_lines(width);
            // Who closed stderr wants no picture.
            let _ = (&stderr).write_all(format!("\n{title}\n{picture}{checks}").as_bytes());
        }
        for mut target in targets {
            target.write(&match (target.option(), &timeline) {
                ("--svg", Some(timeline)) => svg::draw(timeline, &title, &who::machine()),
                ("--html", Some(timeline)) => {
                    let shown = Shown::new(&title, None, &summary, advice, events, timeline);
                    page::html(&title, &[shown.to_json()])
                }
                _ => timeline::trace(events),
            })?;
        }
        for line in advice.iter().filter(|_| is_drawn) {
            complain(format_args!("{line}"));
        }
        Ok(summary.ok)
    }
}
