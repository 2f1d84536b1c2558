//! What the evidence of a run amounts to.

use crate::report::Event;
use serde::Serialize;
use serde_json::{Map, Value};

/// The verdict on one lesson, as `--json` gives it.
#[derive(Serialize)]
pub(super) struct Summary {
    demo: &'static str,
    lesson: String,
    pub(super) ok: bool,
    checks: Vec<Check>,
    /// How many records of the event log were cut off, since their process was
    /// killed while it wrote them.
    cut_off: usize,
    /// Those facts that are numbers.
    facts: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Serialize)]
struct Check {
    text: String,
    ok: bool,
}

impl Summary {
    pub(super) fn new(
        demo: &'static str,
        lesson: &str,
        events: &[Event],
        cut_off: usize,
        error: Option<String>,
    ) -> Self {
        let of = |category| events.iter().filter(move |event| event.cat == category);
        let checks = of("check").map(|event| Check {
            text: event.name.clone(),
            ok: event.args.get("ok") == Some(&Value::Bool(true)),
        });
        let checks: Vec<Check> = checks.collect();
        let facts = of("fact").filter_map(|event| {
            let value = event.args.get("value").filter(|value| value.is_number())?;
            Some((event.name.clone(), value.clone()))
        });
        let error = error
            .or_else(|| of("error").next().map(|event| event.name.clone()))
            .or_else(|| {
                checks
                    .is_empty()
                    .then(|| "the lesson checked nothing".to_owned())
            });
        Self {
            demo,
            lesson: lesson.to_owned(),
            ok: error.is_none() && checks.iter().all(|check| check.ok),
            checks,
            cut_off,
            facts: facts.collect(),
            error,
        }
    }

    /// Of a run that a signal ended before there was anything to judge.
    pub(super) fn interrupted(demo: &'static str, lesson: &str) -> Self {
        Self::new(demo, lesson, &[], 0, Some("interrupted".to_owned()))
    }

    /// The last line of `--json`.
    pub(super) fn to_line(&self) -> String {
        let Ok(summary) = serde_json::to_string(self) else {
            unreachable!("strings and numbers always become JSON");
        };
        format!("{{\"summary\":{summary}}}\n")
    }

    /// One line a check.
    pub(super) fn check_lines(&self) -> String {
        let line = |check: &Check| {
            let sign = if check.ok { '✔' } else { '✘' };
            format!("  {sign} {}\n", check.text)
        };
        self.checks.iter().map(line).collect()
    }
}
