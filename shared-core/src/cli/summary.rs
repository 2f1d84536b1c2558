//! What the evidence of a run amounts to.

use crate::report::Event;
use serde::Serialize;
use serde_json::{Map, Value};

/// The last line of `--json`.
#[derive(Serialize)]
pub(super) struct SummaryLine<'a> {
    pub(super) summary: &'a Summary,
}

/// The verdict on one lesson, as `--json` gives it.
#[derive(Serialize)]
pub(super) struct Summary {
    demo: &'static str,
    lesson: String,
    pub(super) ok: bool,
    pub(super) checks: Vec<Check>,
    /// Those facts that are numbers.
    facts: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Check {
    pub(super) text: String,
    pub(super) ok: bool,
}

impl Summary {
    pub(super) fn new(
        demo: &'static str,
        lesson: &str,
        events: &[Event],
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
            facts: facts.collect(),
            error,
        }
    }
}
