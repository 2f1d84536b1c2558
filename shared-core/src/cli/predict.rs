//! Predict, then reveal: questions that are asked before a run, and answered by
//! what the run has seen.

use super::BadUsage;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::process::Command;

/// A question about a run. It stands as data beside the lesson.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// What is asked; `{option}` stands for the value of that option.
    pub text: &'static str,
    /// What may be answered, in which `{option}` means the same; if there is nothing
    /// here, a whole number.
    pub choices: &'static [&'static str],
    /// The fact of the run that is the answer.
    pub fact: &'static str,
    /// The answer is a matter of chance: the run is made five times.
    pub is_a_race: bool,
}

/// The answer to a race.
pub const UNKNOWABLE: &str = "cannot be known beforehand";
const TRIALS: usize = 5;

/// A question, what a person said, and what the run said.
#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    question: String,
    #[serde(rename = "prediction")]
    said: Option<String>,
    answer: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outcomes: Vec<Value>,
    #[serde(skip)]
    asked: Asked,
}

/// What is asked of a run with certain options.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    text: String,
    choices: Vec<String>,
    fact: &'static str,
    is_a_race: bool,
    /// The answer that no run contradicts, if it may be given.
    unknowable: Option<&'static str>,
}

impl Prediction {
    /// Asks each question on stderr, and takes a line from stdin for each. When
    /// that has ended, the questions are only shown.
    ///
    /// # Errors
    /// An answer that is none: bad usage.
    pub(super) fn ask(questions: &[Question], options: &Map<String, Value>) -> Result<Vec<Self>> {
        let mut predictions = Vec::new();
        for about in questions {
            let asked = about.of(options);
            let what = match asked.choices.as_slice() {
                [] => "a number".to_owned(),
                choices => choices.join(" / "),
            };
            // Nobody to ask is no reason not to run.
            let _ = writeln!(io::stderr(), "{}", textwrap::fill(&asked.text, 80));
            predictions.push(Self {
                said: asked.answer(&what)?,
                question: asked.text.clone(),
                answer: Value::Null,
                outcomes: Vec::new(),
                asked,
            });
        }
        Ok(predictions)
    }

    /// Finds the answer among the facts of the run; for a race, in five more runs
    /// of `command`, which is this program with the same options and `--json`.
    pub(super) fn reveal(&mut self, facts: &Map<String, Value>, command: &mut Command) {
        let fact = |facts: &Map<String, Value>| facts.get(self.asked.fact).cloned();
        self.answer = fact(facts).unwrap_or_default();
        if !self.asked.is_a_race {
            return;
        }
        for _ in 0..TRIALS {
            let output = command.output().map(|output| output.stdout);
            let output = output.unwrap_or_default();
            let last = output
                .split(|byte| *byte == b'\n')
                .rfind(|line| !line.is_empty());
            let summary: Value =
                serde_json::from_slice(last.unwrap_or_default()).unwrap_or_default();
            self.outcomes
                .push(summary["summary"]["facts"][self.asked.fact].clone());
        }
        let different: BTreeSet<String> = self.outcomes.iter().map(ToString::to_string).collect();
        self.answer = match different.len() {
            1 => self.outcomes[0].clone(),
            _ => UNKNOWABLE.into(),
        };
    }

    /// `you said 3; this run: 6`
    pub(super) fn lines(&self, width: usize) -> String {
        let said = match &self.said {
            Some(said) => format!("you said {said}; "),
            None => String::new(),
        };
        let answer = in_words(&self.answer);
        let revealed = if self.outcomes.is_empty() {
            format!("this run: {answer}")
        } else {
            let outcomes: Vec<String> = self.outcomes.iter().map(in_words).collect();
            let sum = if answer == UNKNOWABLE {
                UNKNOWABLE
            } else {
                "the same each time, but not certain"
            };
            format!("five more runs: {}; {sum}", outcomes.join(", "))
        };
        let indented = |text: &str, indent: &str| {
            let options = textwrap::Options::new(width).initial_indent(indent);
            textwrap::fill(text, options.subsequent_indent(indent)) + "\n"
        };
        indented(&self.question, "  ") + &indented(&format!("{said}{revealed}"), "      ")
    }
}

impl Question {
    /// What is asked of a run with these options.
    pub(super) fn of(&self, options: &Map<String, Value>) -> Asked {
        let fill_in = |text: &str| {
            options.iter().fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{name}}}"), &in_words(value))
            })
        };
        Asked {
            text: fill_in(self.text),
            choices: self.choices.iter().copied().map(fill_in).collect(),
            fact: self.fact,
            is_a_race: self.is_a_race,
            unknowable: self.choices.contains(&UNKNOWABLE).then_some(UNKNOWABLE),
        }
    }
}

impl Asked {
    /// Takes an answer, which is one of `what`. A person at a terminal is asked again.
    fn answer(&self, what: &str) -> Result<Option<String>> {
        loop {
            let _ = write!(io::stderr(), "  ({what}) > ");
            let mut line = String::new();
            let read = io::stdin()
                .read_line(&mut line)
                .context("failed to read an answer")?;
            let is_terminal = io::stdin().is_terminal();
            if !is_terminal {
                let _ = writeln!(io::stderr()); // nobody has typed a newline
            }
            let answer = self.as_given(line.trim());
            if read == 0 || self.allows(answer) {
                return Ok((read > 0).then(|| answer.to_owned()));
            }
            let bad = format!("{answer:?} is not an answer; expected: {what}");
            if !is_terminal {
                return Err(BadUsage(bad).into());
            }
            let _ = writeln!(io::stderr(), "{bad}");
        }
    }

    /// The choice that is meant, whatever its case: its first letters are enough if no
    /// other one has the same.
    fn as_given<'a>(&'a self, answer: &'a str) -> &'a str {
        let begins = |choice: &&String| {
            let begin = choice.get(..answer.len());
            !answer.is_empty() && begin.is_some_and(|begin| begin.eq_ignore_ascii_case(answer))
        };
        let same = |choice: &&String| choice.eq_ignore_ascii_case(answer);
        let mut meant = self.choices.iter().filter(begins);
        match (self.choices.iter().find(same), meant.next(), meant.next()) {
            (Some(choice), ..) | (None, Some(choice), None) => choice,
            _ => answer,
        }
    }

    fn allows(&self, answer: &str) -> bool {
        match self.choices.as_slice() {
            [] => answer.parse::<i64>().is_ok(),
            choices => choices.iter().any(|choice| choice == answer),
        }
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not seen".to_owned(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(in_words).collect();
            values.join(", ")
        }
        other => other.to_string(),
    }
}
