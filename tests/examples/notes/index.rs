//! The index: what the notes say, and what this very run says of it. The tables are those
//! of the README.

use super::place::MARK;
use shared_core::who;
use std::collections::BTreeMap;

const README: &str = include_str!("../../../README.md");
const STYLE: &str = include_str!("../../../shared-core/src/timeline/page.css");

/// What became of the lessons: by demo and lesson.
#[derive(Default)]
pub struct Seen {
    pub lessons: BTreeMap<(String, String), Outcome>,
}

/// What became of a lesson.
pub enum Outcome {
    Holds,
    Fails,
    /// It cannot run here, and says why.
    NotHere(String),
}

/// The lessons of a demo that the tables name.
pub fn lessons_of(demo: &str) -> Vec<String> {
    let commands = [NOTES, BEYOND].into_iter().flat_map(rows);
    let lessons = commands.flat_map(|row| {
        row.iter()
            .flat_map(|cell| lessons_in(cell))
            .collect::<Vec<_>>()
    });
    let of_demo = lessons.filter(|(of, _)| of == demo);
    let mut lessons: Vec<String> = of_demo.map(|(_, lesson)| lesson).collect();
    lessons.sort();
    lessons.dedup();
    lessons
}

/// The heads of the two tables.
const NOTES: &str = "| # | the notes say |";
const BEYOND: &str = "| what to run | what it shows |";

/// The rows of a table, cell by cell.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let lines = README.lines().skip_while(|line| !line.starts_with(head));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.map(cells).collect()
}

/// The lessons that the commands in a cell run.
fn lessons_in(cell: &str) -> Vec<(String, String)> {
    let commands = cell.split('`').skip(1).step_by(2);
    let lesson = |command: &str| {
        let (demo, lesson) = command.strip_prefix("cargo run -p ")?.split_once(" -- ")?;
        Some((demo.to_owned(), lesson.to_owned()))
    };
    commands.filter_map(lesson).collect()
}

pub fn html(seen: &Seen) -> String {
    let title = README.lines().next().unwrap_or_default();
    let title = escape(title.trim_start_matches("# "));
    let about = README.split("\n\n").nth(1).unwrap_or_default();
    let statements = rows(NOTES).into_iter().map(|row| {
        let [number, statement, verdict, commands] = [0, 1, 2, 3].map(|cell| row[cell]);
        format!(
            "<tr><td class=\"number\">{number}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            marked_up(statement),
            marked_up(verdict),
            seen.links(commands)
        )
    });
    let beyond = rows(BEYOND).into_iter().map(|row| {
        let (commands, statement) = (row[0], row[1]);
        format!(
            "<tr><td>{}</td><td>{}</td></tr>\n",
            marked_up(statement),
            seen.links(commands)
        )
    });
    let (statements, beyond): (String, String) = (statements.collect(), beyond.collect());
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{MARK}
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{}</p>
</header>
<main>
<h2>The notes</h2>
<table class="statements">
<thead><tr><th scope="col">#</th><th scope="col">The notes say</th><th scope="col">Is it so?</th><th scope="col">This run</th></tr></thead>
<tbody>
{statements}</tbody>
</table>
<h2>Beyond the notes</h2>
<table class="statements">
<thead><tr><th scope="col">What it shows</th><th scope="col">This run</th></tr></thead>
<tbody>
{beyond}</tbody>
</table>
<p class="machine">Run on {}. ✔: every check of the lesson held; ✘: one failed, or the lesson could not be done.</p>
</main>
</body>
</html>
"#,
        marked_up(&about.replace('\n', " ")),
        escape(&who::machine()),
    )
}

impl Seen {
    /// What this run says, lesson by lesson.
    fn links(&self, cell: &str) -> String {
        let links = lessons_in(cell).into_iter().map(|lesson| {
            let (demo, name) = &lesson;
            let link = format!(r#"<a href="{demo}.html#{name}">{demo} {name}</a>"#);
            match self.lessons.get(&lesson) {
                Some(Outcome::Holds) => {
                    format!(r#"<span class="outcome"><span class="good">✔</span> {link}</span>"#)
                }
                Some(Outcome::NotHere(why)) => format!("{demo} {name}: {}", escape(why)),
                Some(Outcome::Fails) | None => {
                    format!(r#"<span class="outcome"><span class="bad">✘</span> {link}</span>"#)
                }
            }
        });
        let links = links.collect::<Vec<_>>().join("<br>");
        if links.is_empty() {
            "–".to_owned()
        } else {
            links
        }
    }
}

/// A text of the README, in which backticks mean code.
fn marked_up(text: &str) -> String {
    let parts = text.split('`').zip([false, true].into_iter().cycle());
    let parts = parts.map(|(part, is_code)| {
        let text = escape(part);
        if is_code {
            format!("<code>{text}</code>")
        } else {
            text
        }
    });
    parts.collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
