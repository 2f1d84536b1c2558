//! The options that all demos share, and the flow of a run: parse, check what
//! can be checked beforehand, run the lesson, judge, draw.

use crate::report::{self, Event, RUN, Run, Settings};
use crate::timeline::{self, Timeline, svg, text};
use crate::who;
use anyhow::{Context, Result, ensure};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The lessons of a demo: an enum with one variant a lesson, whose help texts
/// are the claims. The first one is the headline lesson.
pub trait Lessons: Subcommand + FromArgMatches {
    /// The name of the demo: `env!("CARGO_PKG_NAME")`.
    const DEMO: &'static str;
    /// What the section is about, in one line.
    const ABOUT: &'static str;
    /// What the first process is called: `parent`, or, where threads are the
    /// point, the name of its main thread.
    const ROLE: &'static str = "parent";
    /// Whether every line names its thread.
    const SHOW_THREADS: bool = false;

    /// Runs this lesson.
    ///
    /// # Errors
    /// Whatever kept the lesson from being done.
    fn run(&self) -> Result<()>;

    /// The text of the snippet to copy.
    fn snippet(&self) -> &'static str;
}

/// The error of a lesson that Ctrl-C ended: what was done and what was not.
/// The exit status is 130.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted: {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// The options of every demo, before or after the lesson's name.
#[derive(Debug, Args)]
struct Options {
    /// Print events and checks as JSON, one object a line, nothing else
    #[arg(long, global = true)]
    json: bool,
    /// Write the timeline as a picture
    #[arg(long, global = true, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the events for a trace viewer such as Perfetto
    #[arg(long, global = true, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print the program to copy, and run nothing
    #[arg(long, global = true)]
    snippet: bool,
}

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Runs a demo: the whole of its `main`.
#[must_use]
pub fn main<L: Lessons>() -> ExitCode {
    let command = command::<L>();
    let matches = match parse(&command) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    match try_main::<L>(&command, &matches) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{}: {error:#}", L::DEMO);
            ExitCode::from(FAILED)
        }
    }
}

fn command<L: Lessons>() -> Command {
    let command = Command::new(L::DEMO)
        .about(L::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_value_name("LESSON")
        .subcommand_help_heading("Lessons")
        .disable_help_subcommand(true);
    let command = Options::augment_args(L::augment_subcommands(command))
        .subcommand(Command::new(ALL).about("Every lesson in turn"));
    let headline = lesson_names(&command).swap_remove(0);
    command.after_help(format!("Without a lesson: {headline}"))
}

const ALL: &str = "all";

/// Options of the headline lesson may stand without its name.
fn parse(command: &Command) -> Result<ArgMatches, clap::Error> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    command
        .clone()
        .try_get_matches_from(&words)
        .or_else(|error| {
            if error.kind() != ErrorKind::UnknownArgument {
                return Err(error);
            }
            words.insert(1, lesson_names(command).swap_remove(0).into());
            let matches = command.clone().try_get_matches_from(&words);
            matches.map_err(|second| match second.kind() {
                ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => error,
                _ => second,
            })
        })
}

fn lesson_names(command: &Command) -> Vec<String> {
    let names = command.get_subcommands().map(Command::get_name);
    names
        .filter(|name| *name != ALL)
        .map(str::to_owned)
        .collect()
}

/// Help and version go to stdout with status 0, a wrong call to stderr with 2.
fn usage(error: &clap::Error) -> ExitCode {
    let bad = !matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let text = error.render().to_string();
    let written = if bad {
        io::stderr().write_all(text.as_bytes())
    } else {
        io::stdout()
            .write_all(text.as_bytes())
            .and_then(|()| io::stdout().flush())
    };
    match written {
        _ if bad => ExitCode::from(BAD_USAGE),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("write to stdout: {error}");
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn try_main<L: Lessons>(command: &Command, matches: &ArgMatches) -> Result<u8> {
    let options = Options::from_arg_matches(matches)?;
    let names = lesson_names(command);
    let chosen = matches.subcommand_name();
    let lessons: Vec<(String, L)> = match chosen {
        Some(name) if name != ALL => vec![(name.to_owned(), L::from_arg_matches(matches)?)],
        Some(_) => names
            .iter()
            .map(|name| with_defaults(command, name))
            .collect::<Result<_>>()?,
        None => vec![with_defaults(command, &names[0])?],
    };
    let pictures = options.svg.is_some() || options.trace.is_some();
    if chosen == Some(ALL) && pictures {
        eprintln!("{}: --svg and --trace take one lesson, not all", L::DEMO);
        return Ok(BAD_USAGE);
    }
    if options.snippet {
        return print_snippets(&lessons);
    }
    for path in options.svg.iter().chain(&options.trace) {
        ensure_writable(path)?;
    }

    let run = Run::new(Settings {
        first: who::pid(),
        role: L::ROLE.to_owned(),
        quiet: options.json,
        colour: wants_colour(),
        show_threads: L::SHOW_THREADS,
    })?;
    let run = RUN.get_or_init(|| run);
    who::catch_interrupts().context("catch Ctrl-C")?;
    let mut status = 0;
    for (name, lesson) in &lessons {
        let claim = command.find_subcommand(name).and_then(Command::get_about);
        let title = format!("{} {name}: {}", L::DEMO, claim.cloned().unwrap_or_default());
        let worst = run_lesson::<L>(run, name, lesson, &title, &options);
        status = status.max(worst.inspect_err(|_| run.remove_log())?);
        if status == INTERRUPTED {
            break;
        }
    }
    if !options.json && status != INTERRUPTED {
        run.print(&format!("{}\n", see_also(L::DEMO, &names, chosen)));
    }
    run.remove_log();
    Ok(status)
}

fn with_defaults<L: Lessons>(command: &Command, name: &str) -> Result<(String, L)> {
    let matches = command.clone().try_get_matches_from([L::DEMO, name])?;
    Ok((name.to_owned(), L::from_arg_matches(&matches)?))
}

fn print_snippets<L: Lessons>(lessons: &[(String, L)]) -> Result<u8> {
    let text: String = lessons.iter().map(|(_, lesson)| lesson.snippet()).collect();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write to stdout")
        }
        _ => Ok(0),
    }
}

/// Runs one lesson and returns its exit status.
fn run_lesson<L: Lessons>(
    run: &Run,
    name: &str,
    lesson: &L,
    title: &str,
    options: &Options,
) -> Result<u8> {
    if !options.json {
        run.print(&format!("{title}\n"));
    }
    run.begin()?;
    let outcome = catch_unwind(AssertUnwindSafe(|| lesson.run()))
        // The panic hook has printed the message and the place.
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the lesson panicked")));
    report::end();
    if let Some(signal) = who::interrupted_by() {
        who::stop(128 + signal);
    }
    let error = match outcome {
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("{} {name}: {error}", L::DEMO);
            return Ok(INTERRUPTED);
        }
        outcome => outcome.err().map(|error| format!("{error:#}")),
    };

    let events = report::events()?;
    let summary = Summary::new(L::DEMO, name, &events, error);
    let timeline = Timeline::new(&events);
    if options.json {
        run.print(&timeline::json_lines(&events));
        run.print(&format!(
            "{}\n",
            serde_json::to_string(&SummaryLine { summary: &summary })?
        ));
    } else {
        run.print(&summary.text(&timeline));
    }
    if let Some(path) = &options.svg {
        write_file(path, &svg::draw(&timeline, title, &who::machine()))?;
    }
    if let Some(path) = &options.trace {
        write_file(path, &timeline::trace(&events))?;
    }
    if let Some(error) = &summary.error {
        eprintln!("{} {name}: {error}", L::DEMO);
    }
    Ok(if summary.ok { 0 } else { FAILED })
}

/// The last line of `--json`.
#[derive(Serialize)]
struct SummaryLine<'a> {
    summary: &'a Summary,
}

/// What the evidence of a run amounts to, as `--json` gives it.
#[derive(Serialize)]
struct Summary {
    demo: &'static str,
    lesson: String,
    ok: bool,
    checks: Vec<Check>,
    facts: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Check {
    text: String,
    ok: bool,
}

impl Summary {
    fn new(demo: &'static str, lesson: &str, events: &[Event], error: Option<String>) -> Self {
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

    fn text(&self, timeline: &Timeline) -> String {
        let terminal = terminal_size::terminal_size_of(io::stdout());
        let width = terminal.map_or(80, |(width, _)| width.0.into());
        let mut lines = format!("\n{}", text::draw(timeline, width, wants_colour()));
        for Check { text, ok } in &self.checks {
            lines += &format!("  {} {text}\n", if *ok { '✔' } else { '✘' });
        }
        lines
    }
}

fn see_also(demo: &str, names: &[String], chosen: Option<&str>) -> String {
    let shown = chosen.filter(|name| *name != ALL).unwrap_or(&names[0]);
    format!(
        "\nThe lines of different processes and threads may come in another order.\n\
         Lessons: {}, {ALL}. What you can change:\n  cargo run -p {demo} -- {shown} --help",
        names.join(", ")
    )
}

/// Colour on a terminal only, and not where `NO_COLOR` is set (no-color.org).
fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}

/// Finds out before the run whether `path` can be written after it, and leaves
/// everything as it was.
fn ensure_writable(path: &Path) -> Result<()> {
    let context = || format!("write {}", path.display());
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => std::fs::remove_file(path).with_context(context),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = File::options()
                .write(true)
                .open(path)
                .with_context(context)?;
            let kind = file.metadata().with_context(context)?;
            ensure!(!kind.is_dir(), "write {}: is a folder", path.display());
            Ok(())
        }
        Err(error) => Err(error).with_context(context),
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
