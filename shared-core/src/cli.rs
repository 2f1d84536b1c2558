//! The options that all demos share, and the flow of a run: parse, check what
//! can be checked beforehand, run the lesson, judge, draw.

mod summary;

use crate::platform::catch_interrupts;
use crate::report::{self, RUN, Run, Settings, complain};
use crate::timeline::{self, Timeline, svg, text};
use crate::who;
use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use summary::{Summary, SummaryLine};

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
#[command(next_help_heading = "Output")]
struct Options {
    /// Print events and checks as JSON, one object per line, nothing else
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
    let status = match parse(&command) {
        Ok(matches) => try_main::<L>(&command, &matches),
        Err(error) if error.use_stderr() => {
            complain(format_args!("{}", error.render().to_string().trim_end()));
            Ok(BAD_USAGE)
        }
        Err(help) => print(&help.render().to_string()),
    };
    ExitCode::from(status.unwrap_or_else(|error| {
        complain(format_args!("{}: {error:#}", L::DEMO));
        FAILED
    }))
}

fn command<L: Lessons>() -> Command {
    let command = Options::augment_args(L::augment_subcommands(Command::new(L::DEMO)))
        .about(L::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(Command::new(ALL).about("Every lesson in turn"))
        .subcommand_value_name("LESSON")
        .subcommand_help_heading("Lessons")
        .disable_help_subcommand(true)
        .max_term_width(80);
    let headline = lesson_names(&command).swap_remove(0);
    command.after_help(format!("Without a lesson: {headline}"))
}

const ALL: &str = "all";

/// Options of the headline lesson may stand without its name.
fn parse(command: &Command) -> Result<ArgMatches, clap::Error> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let matches = command.clone().try_get_matches_from(&words);
    let names_a_lesson = words
        .iter()
        .any(|word| command.find_subcommand(word).is_some());
    match matches {
        Err(error) if error.kind() == ErrorKind::UnknownArgument && !names_a_lesson => {
            words.insert(1, lesson_names(command).swap_remove(0).into());
            command.clone().try_get_matches_from(&words)
        }
        matches => matches,
    }
}

fn lesson_names(command: &Command) -> Vec<String> {
    let names = command.get_subcommands().map(Command::get_name);
    let names = names.filter(|name| *name != ALL);
    names.map(str::to_owned).collect()
}

/// Prints what is not part of a run. A reader that has gone is no error.
fn print(text: &str) -> Result<u8> {
    let mut stdout = io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write to stdout")
        }
        _ => Ok(0),
    }
}

fn try_main<L: Lessons>(command: &Command, matches: &ArgMatches) -> Result<u8> {
    let options = Options::from_arg_matches(matches)?;
    let names = lesson_names(command);
    let chosen = matches.subcommand_name();
    let lessons: Vec<(&str, L)> = match chosen {
        Some(ALL) => {
            let all = names.iter().map(|name| with_defaults(command, name));
            all.collect::<Result<_>>()?
        }
        Some(name) => vec![(name, L::from_arg_matches(matches)?)],
        None => vec![with_defaults(command, &names[0])?],
    };
    if chosen == Some(ALL) && (options.svg.is_some() || options.trace.is_some()) {
        complain(format_args!(
            "{}: --svg and --trace take one lesson, not all",
            L::DEMO
        ));
        return Ok(BAD_USAGE);
    }
    if options.snippet {
        let mut snippets: Vec<&str> = lessons.iter().map(|(_, l)| l.snippet()).collect();
        snippets.dedup();
        return print(&snippets.concat());
    }
    if options.svg.is_some() && options.svg == options.trace {
        complain(format_args!("{}: --svg and --trace name one file", L::DEMO));
        return Ok(BAD_USAGE);
    }
    for path in options.svg.iter().chain(&options.trace) {
        ensure_writable(path)?;
    }

    let settings = Settings {
        first: who::pid(),
        quiet: options.json,
        colour: wants_colour(),
        show_threads: L::SHOW_THREADS,
    };
    let run = Run::new(L::ROLE, settings)?;
    let run = RUN.get_or_init(|| run);
    catch_interrupts().context("catch Ctrl-C")?;
    let status = run_lessons(run, command, &lessons, &options);
    if !options.json && matches!(status, Ok(status) if status != INTERRUPTED) {
        let shown = chosen.filter(|name| *name != ALL).unwrap_or(&names[0]);
        run.print(&format!(
            "\nWhat runs at the same time may come in another order in your run.\n\
             Lessons: {}, {ALL}. What you can change:\n  \
             cargo run -p {} -- {shown} --help\n",
            names.join(", "),
            L::DEMO
        ));
    }
    run.remove_log();
    status
}

fn with_defaults<'a, L: Lessons>(command: &Command, name: &'a str) -> Result<(&'a str, L)> {
    let matches = command.clone().try_get_matches_from([L::DEMO, name])?;
    Ok((name, L::from_arg_matches(&matches)?))
}

/// Runs one lesson after the other and returns the worst exit status.
fn run_lessons<L: Lessons>(
    run: &Run,
    command: &Command,
    lessons: &[(&str, L)],
    options: &Options,
) -> Result<u8> {
    let mut status = 0;
    for (name, lesson) in lessons {
        let claim = command.find_subcommand(name).and_then(Command::get_about);
        let claim = claim.map(ToString::to_string).unwrap_or_default();
        status = status.max(run_lesson(run, name, &claim, lesson, options)?);
        if status == INTERRUPTED {
            break;
        }
    }
    Ok(status)
}

/// Runs one lesson and returns its exit status.
fn run_lesson<L: Lessons>(
    run: &Run,
    name: &str,
    claim: &str,
    lesson: &L,
    options: &Options,
) -> Result<u8> {
    let title = format!("{} {name}: {claim}", L::DEMO);
    if !options.json {
        run.print(&format!("{title}\n"));
    }
    run.begin()?;
    let outcome = catch_unwind(AssertUnwindSafe(|| lesson.run()))
        // The panic hook has printed the message and the place.
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the lesson panicked")));
    report::close_lane();
    let error = match outcome {
        Err(error) if error.is::<Interrupted>() => {
            complain(format_args!("{} {name}: {error}", L::DEMO));
            return Ok(INTERRUPTED);
        }
        outcome => outcome.err().map(|error| format!("{error:#}")),
    };

    let events = report::events()?;
    let summary = Summary::new(L::DEMO, name, &events, error);
    let timeline = Timeline::new(&events);
    if options.json {
        let last = serde_json::to_string(&SummaryLine { summary: &summary })?;
        run.print(&format!("{}{last}\n", timeline::json_lines(&events)));
    } else {
        let terminal = terminal_size::terminal_size_of(io::stdout());
        let width = terminal.map_or(80, |(width, _)| width.0.into());
        let mut text = format!("\n{}", text::draw(&timeline, width, run.settings.colour));
        for check in &summary.checks {
            text += &format!("  {} {}\n", if check.ok { '✔' } else { '✘' }, check.text);
        }
        run.print(&text);
    }
    if let Some(path) = &options.svg {
        write_file(path, &svg::draw(&timeline, &title, &who::machine()))?;
    }
    if let Some(path) = &options.trace {
        write_file(path, &timeline::trace(&events))?;
    }
    if let Some(error) = &summary.error {
        complain(format_args!("{} {name}: {error}", L::DEMO));
    }
    Ok(if summary.ok { 0 } else { FAILED })
}

/// Colour on a terminal only, and not where `NO_COLOR` is set (no-color.org).
fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}

/// Finds out before the run whether `path` can be written after it, and leaves
/// everything as it was. What is no file, a pipe say, is not touched.
fn ensure_writable(path: &Path) -> Result<()> {
    let context = || format!("write {}", path.display());
    match path.metadata() {
        Ok(kind) if kind.is_file() || kind.is_dir() => {
            File::options()
                .append(true)
                .open(path)
                .with_context(context)?;
        }
        Ok(_) => {}
        Err(_) => {
            File::create_new(path).with_context(context)?;
            std::fs::remove_file(path).with_context(context)?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    complain(format_args!("wrote {}", path.display()));
    Ok(())
}
