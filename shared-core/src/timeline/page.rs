//! Runs as a page: one file, which opens from the file system and fetches nothing.
//!
//! `page.html` is what is on it, `page.css` how it looks, `page.js` what it does. The runs
//! stand in it as data.

use super::Timeline;
use super::drawing::Drawing;
use super::sheet::escape;
use crate::report::{Event, Phase};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// With more of either a browser on a small machine is no longer fluid.
const MOST_LANES: usize = 40;
const MOST_EVENTS: usize = 10_000;

/// A run, as the script of the page takes it.
#[derive(Debug, Serialize)]
pub(crate) struct Run<'a> {
    events: Vec<&'a Event>,
    drawing: Drawing,
    /// What its signs mean.
    legend: Vec<String>,
    /// What was left out, if it was too much.
    left_out: Vec<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(events: &'a [Event], timeline: &Timeline) -> Self {
        let mut drawing = Drawing::of(timeline);
        let mut left_out = Vec::new();
        let hidden = lived_shortest(timeline);
        if !hidden.is_empty() {
            let count = hidden.len();
            left_out.push(format!(
                "The {count} lanes that lived shortest are left out: --svg FILE draws them all"
            ));
        }
        let is_shown = |event: &&Event| !hidden.contains(&(event.process(), event.thread()));
        let mut events: Vec<&Event> = events.iter().filter(is_shown).collect();
        // A name is nothing that happens.
        let happens = |place: &usize| events[*place].ph != Phase::Metadata;
        let happen = || (0..events.len()).filter(happens);
        let (all, first_left_out) = (happen().count(), happen().nth(MOST_EVENTS));
        if let Some(first_left_out) = first_left_out {
            let time = events[first_left_out].ts;
            left_out.push(format!(
                "The first {MOST_EVENTS} of {all} events of these lanes are shown, up to {:.3} ms: \
                 --svg FILE draws the whole run",
                time / 1e3
            ));
            events.truncate(first_left_out);
            drawing.cut(time);
        }
        drawing.hide(&hidden);
        Self {
            events,
            legend: drawing.legend(),
            drawing,
            left_out,
        }
    }
}

/// Which lanes there is no room for.
fn lived_shortest(timeline: &Timeline) -> HashSet<(u32, Option<u64>)> {
    let mut lanes: Vec<_> = timeline.lanes.iter().skip(1).collect();
    lanes.sort_by(|a, b| b.lived().total_cmp(&a.lived()));
    let hidden = lanes.iter().skip(MOST_LANES - 1);
    hidden.map(|lane| lane.key()).collect()
}

/// The page under `title`; each run as one JSON object.
pub(crate) fn html(title: &str, runs: &[String]) -> String {
    // A style or a script that somebody has smuggled into a name does not know this one.
    let nonce = [(); 2].map(|()| format!("{:016x}", RandomState::new().hash_one(0)));
    let nonce = nonce.concat();
    let data = format!("[\n{}\n]", runs.join(",\n"));
    // In JSON these stand in strings only; and no string can end the element.
    let data = data.replace('<', "\\u003c");
    let values = HashMap::from([
        ("title", escape(&in_short(title))),
        ("nonce", nonce),
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("data", data),
    ]);
    // Every second part is the name of a value.
    let parts = PAGE.split(['⟦', '⟧']);
    let parts = parts.enumerate().map(|(index, part)| match index % 2 {
        0 => part,
        _ => values[part].as_str(),
    });
    parts.collect()
}

/// The program that is watched may have very long arguments.
fn in_short(title: &str) -> String {
    const MOST: usize = 300;
    let mut rest = title.chars();
    let short: String = rest.by_ref().take(MOST).collect();
    short + rest.next().map_or("", |_| "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_data() {
        let run = r#"{"name":"</script><script>alert(1)</script><!--"}"#;
        let page = html("a <b> & \"c\"", &[run.to_owned()]);
        assert!(page.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(
            !page.contains("<script>") && !page.contains("<!--"),
            "{page}"
        );
        assert_eq!(page.matches("</script>").count(), 2, "the data, the script");
        let data = page
            .split("<script type=\"application/json\" id=\"run-data\">")
            .nth(1);
        let data = data.and_then(|data| data.split("</script>").next());
        let data: serde_json::Value = serde_json::from_str(data.unwrap_or_default()).expect("JSON");
        assert_eq!(data[0]["name"], "</script><script>alert(1)</script><!--");
    }

    #[test]
    fn two_pages_have_two_nonces() {
        let nonce = || {
            let page = html("", &[]);
            let rest = page.split_once("'nonce-").expect("a policy").1.to_owned();
            rest.split_once('\'').expect("its end").0.to_owned()
        };
        assert_ne!(nonce(), nonce());
    }
}
