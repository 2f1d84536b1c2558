//! What the evidence of a run amounts to.

use super::predict::Prediction;
use crate::report::Event;
use crate::to_json;
use serde::Serialize;
use serde_json::{Map, Value};
use std::process::{Command, Stdio};

/// The verdict on one lesson, as `--json` gives it.
#[derive(Serialize)]
pub(super) struct Summary {
    demo: &'static str,
    pub(super) lesson: String,
    pub(super) options: Map<String, Value>,
    pub(super) ok: bool,
    checks: Vec<Check>,
    /// How many records of the event log were cut off, since their process was
    /// killed while it wrote them.
    cut_off: usize,
    /// What the processes and threads of the run have seen.
    facts: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    predictions: Vec<Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Serialize)]
struct Check {
    text: String,
    ok: bool,
    expected: Value,
    seen: Value,
}

impl Summary {
    pub(super) fn new(
        demo: &'static str,
        lesson: &str,
        options: Map<String, Value>,
        events: &[Event],
        cut_off: usize,
        error: Option<String>,
    ) -> Self {
        let of = |category| events.iter().filter(move |event| event.cat == category);
        let checks = of("check").map(|event| {
            let arg = |name| event.args.get(name).cloned().unwrap_or_default();
            Check {
                text: event.name.clone(),
                ok: arg("ok") == Value::Bool(true),
                expected: arg("expected"),
                seen: arg("seen"),
            }
        });
        // A run in which something could not be done is not judged.
        let failed = of("error").next().map(|event| event.name.clone());
        let checks = checks.take_while(|_| failed.is_none());
        let checks: Vec<Check> = checks.collect();
        let facts = of("fact")
            .filter_map(|event| Some((event.name.clone(), event.args.get("value")?.clone())));
        let error = failed.or(error).or_else(|| {
            checks
                .is_empty()
                .then(|| "the lesson checked nothing".to_owned())
        });
        Self {
            demo,
            lesson: lesson.to_owned(),
            options,
            ok: error.is_none() && checks.iter().all(|check| check.ok),
            checks,
            cut_off,
            facts: facts.collect(),
            predictions: Vec::new(),
            error,
        }
    }

    /// Of a run that a signal ended before there was anything to judge.
    pub(super) fn interrupted(demo: &'static str, lesson: &str) -> Self {
        Self::new(
            demo,
            lesson,
            Map::new(),
            &[],
            0,
            Some("interrupted".to_owned()),
        )
    }

    /// Finds the answers to what was asked before the run.
    pub(super) fn reveal(&mut self, mut predictions: Vec<Prediction>) {
        for prediction in &mut predictions {
            prediction.reveal(&self.facts, &mut self.again());
        }
        self.predictions = predictions;
    }

    /// The same run, once more.
    fn again(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap_or_default());
        command.args([&self.lesson, "--json"]).stdin(Stdio::null());
        command.args(self.given());
        command
    }

    /// What a person types for the same run.
    pub(super) fn command_line(&self) -> String {
        let plain = |c: char| c.is_alphanumeric() || "-_=./,:+@%".contains(c);
        let word = |word: &str| {
            let is_plain = !word.is_empty() && word.chars().all(plain);
            let quoted = || format!("'{}'", word.replace('\'', r"'\''"));
            if is_plain { word.to_owned() } else { quoted() }
        };
        let mut line = format!("cargo run -p {} -- {}", self.demo, self.lesson);
        for given in self.given() {
            line += " ";
            line += &match given.split_once('=') {
                Some((name, value)) if !value.starts_with('-') => format!("{name} {}", word(value)),
                _ => word(&given),
            };
        }
        line
    }

    /// The options of the lesson, as words.
    fn given(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, value) in &self.options {
            let name = name.replace('_', "-");
            if let Some(is_on) = value.as_bool() {
                words.extend(is_on.then(|| format!("--{name}")));
                continue;
            }
            let values = value.as_array().map(Vec::as_slice);
            for value in values.unwrap_or(std::slice::from_ref(value)) {
                let text = value.as_str().map(str::to_owned);
                let value = text.unwrap_or_else(|| value.to_string());
                words.push(format!("--{name}={value}"));
            }
        }
        words
    }

    /// What was predicted, and what the run has shown.
    pub(super) fn prediction_lines(&self, width: usize) -> String {
        let lines = self
            .predictions
            .iter()
            .map(|prediction| prediction.lines(width))
            .collect::<String>();
        if lines.is_empty() {
            lines
        } else {
            format!("\n{lines}")
        }
    }

    /// The last line of `--json`.
    pub(super) fn to_line(&self) -> String {
        format!("{{\"summary\":{}}}\n", to_json(self))
    }

    /// One line a check, and two more for each that failed.
    pub(super) fn check_lines(&self, width: usize) -> String {
        self.checks.iter().map(|check| check.lines(width)).collect()
    }
}

impl Check {
    fn lines(&self, width: usize) -> String {
        let Self {
            text,
            expected,
            seen,
            ..
        } = self;
        let sign = if self.ok { '✔' } else { '✘' };
        let options = textwrap::Options::new(width).subsequent_indent("    ");
        let text = textwrap::fill(&format!("  {sign} {text}"), options);
        if self.ok {
            return format!("{text}\n");
        }
        let [expected, seen] = [expected, seen].map(|value| in_short(value, width));
        format!("{text}\n      expected: {expected}\n      seen:     {seen}\n")
    }
}

/// A value after `      expected: ` in a line of `width` columns.
fn in_short(value: &Value, width: usize) -> String {
    let most = width.max(40) - 16;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
