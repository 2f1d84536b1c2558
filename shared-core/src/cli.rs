//! The options that all demos share, and the flow of a run: parse, check what
//! can be checked beforehand, run the lesson, judge, draw.

mod all;
mod command;
mod lesson;
mod page;
mod predict;
mod replay;
mod run;
mod summary;
mod targets;
mod tool;

use crate::platform::Output;
use crate::report::{self, Printed, Settings};
use crate::{cause, complain, ending, platform, who};
use all::run_all;
use anyhow::{Context, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use command::{ALL, chosen_options, command, lesson_names, parse};
pub use lesson::Files;
use lesson::Text;
use predict::Prediction;
pub use predict::{Question, UNKNOWABLE};
use run::{About, run_lesson};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use summary::Summary;
use targets::Target;
pub use tool::{Observed, Tool};

/// The lessons of a demo: an enum with one variant a lesson, without a comment,
/// which holds the options of that lesson. Their doc comment is what the lesson
/// says of itself, in its help and after a run: the claim in the first line, then
/// why it comes out so, and last a line or two `Try: cargo run …`. The first
/// lesson is the headline lesson.
pub trait Lessons: Subcommand + FromArgMatches {
    /// The name of the demo: `env!("CARGO_PKG_NAME")`.
    const DEMO: &'static str;
    /// What the section is about, in one line.
    const ABOUT: &'static str;
    /// Runs this lesson.
    ///
    /// # Errors
    /// Whatever kept the lesson from being done.
    fn run(&self) -> Result<()>;

    /// One to three questions about the run, for `--predict`.
    fn questions(&self) -> &'static [Question];

    /// What the questions are about, if they do not say it themselves: it is shown
    /// before they are asked.
    fn exercise(&self) -> Option<String> {
        None
    }

    /// Where the lesson stands, and the program to copy.
    fn files(&self) -> Files;

    /// What the first process is called in this lesson: where threads are the
    /// point, the name of its main thread.
    fn role(&self) -> &'static str {
        "parent"
    }

    /// The demo's commands that are no lessons.
    #[must_use]
    fn tools() -> Vec<Tool> {
        Vec::new()
    }

    /// Whether every line of this lesson names its thread.
    fn shows_threads(&self) -> bool {
        false
    }
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

/// The error of a person who used the program wrongly. The exit status is 2.
#[derive(Debug)]
struct BadUsage(String);

impl std::fmt::Display for BadUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}

/// The options of every demo, before or after the lesson's name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches, as a person types them"
)]
struct Options {
    /// Print events and checks as JSON, one object per line, nothing else
    #[arg(long, global = true)]
    json: bool,
    /// Write the timeline as a picture
    #[arg(long, global = true, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the run as a page: in slow motion, beside its source
    #[arg(long, global = true, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the events for a trace viewer such as Perfetto
    #[arg(long, global = true, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Show the lines again so slowly that they take this long: 1 to 600 seconds
    #[arg(long, global = true, value_name = "SECONDS", conflicts_with = "json",
          value_parser = clap::value_parser!(u16).range(1..=600))]
    slow: Option<u16>,
    /// Ask what the run will show, then run and reveal it
    #[arg(long, global = true)]
    predict: bool,
    /// Print the program to copy, and run nothing
    #[arg(long, global = true)]
    snippet: bool,
    /// The process that runs all lessons, this one among them
    #[arg(long, global = true, hide = true, value_name = "PID")]
    started_by: Option<u32>,
    /// Stdin is a file in which that process wants the run, for its page
    #[arg(long, global = true, hide = true, requires = "started_by")]
    part_of_page: bool,
}

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Runs a demo: the whole of its `main`.
#[must_use]
pub fn main<L: Lessons>() -> ExitCode {
    let command = command::<L>();
    let status = match parse(&command, std::env::args_os().collect()) {
        Ok(matches) => try_main::<L>(&command, &matches),
        Err(error) if error.use_stderr() => {
            complain(format_args!("{}", error.render().to_string().trim_end()));
            Ok(BAD_USAGE)
        }
        Err(help) => print(&help.render().to_string()),
    };
    let status = status.unwrap_or_else(|error| {
        ending::park_if_ending(); // then this is but a consequence
        if error.is::<BadUsage>() {
            return bad_usage(&error.to_string());
        }
        complain(format_args!("{}", cause(error)));
        FAILED
    });
    if !ending::is_first_process() {
        return ExitCode::from(status); // there was no run
    }
    let status = ending::end(status.into());
    ExitCode::from(u8::try_from(status).unwrap_or(FAILED))
}

/// Prints what is not part of a run. A reader that has gone is not an error.
fn print(text: &str) -> Result<u8> {
    let printed = Output::stdout().and_then(|stdout| stdout.write(text));
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::anyhow!(
            "failed to write to stdout: {}",
            cause(error)
        )),
        _ => Ok(0),
    }
}

fn try_main<L: Lessons>(command: &Command, matches: &ArgMatches) -> Result<u8> {
    let options = Options::from_arg_matches(matches)?;
    let names = lesson_names(command);
    let chosen = matches.subcommand_name();
    let mut tools = L::tools().into_iter();
    let tool = tools.find(|tool| Some(tool.command.get_name()) == chosen);
    if let Some(tool) = tool {
        return run_tool::<L>(&tool, matches, &options);
    }
    if options.snippet {
        return print_snippets::<L>(command, matches);
    }
    if chosen == Some(ALL) {
        if options.svg.is_some() || options.trace.is_some() || options.predict {
            let one = "--predict, --svg and --trace take one lesson, not all";
            return Ok(bad_usage(one));
        }
        return run_all::<L>(command, &names, &options);
    }
    let name = chosen.unwrap_or(&names[0]);
    let lesson = match chosen {
        Some(_) => L::from_arg_matches(matches)?,
        None => with_defaults(command, name)?,
    };

    let targets = targets(&options)?;
    let part_of_page = options.part_of_page.then(platform::take_stdin).transpose();
    let part_of_page = part_of_page.context("failed to open stdin")?;
    let given = chosen_options(command, matches, name);
    let mut predictions = Vec::new();
    if options.predict {
        if let Some(exercise) = lesson.exercise() {
            let _ = writeln!(io::stderr(), "{exercise}\n"); // no reason not to run
        }
        predictions = Prediction::ask(lesson.questions(), &given)?;
    }

    if options.json {
        let words = Summary::interrupted(L::DEMO, name).to_line();
        let output = Output::stdout().context("failed to open stdout")?;
        ending::set_last_words(Some((output, words.into())));
    }
    ending::begin_run().context("failed to catch signals")?;
    if let Some(parent) = options.started_by {
        platform::die_with(parent);
    }
    let settings = Settings {
        first: who::pid(),
        lines: match (options.json, options.slow) {
            (true, _) => Printed::Never,
            (false, Some(_)) => Printed::Later,
            (false, None) => Printed::AtOnce,
        },
        colour: wants_colour(&io::stdout()),
        width: terminal_width(),
        show_threads: lesson.shows_threads(),
    };
    let session = report::begin(lesson.role(), settings)?;
    let text = Text::of(command.find_subcommand(name).unwrap_or(command));
    let about = About {
        name,
        text,
        given,
        predictions,
        part_of_page,
        slow: options.slow,
    };
    let status = run_lesson(session, about, &lesson, targets)?;
    if status != INTERRUPTED && !options.json && chosen.is_none() {
        print_what_else::<L>(&names)?;
    }
    Ok(status)
}

/// The files that are to be written.
fn targets(options: &Options) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    let files = [
        ("--svg", &options.svg),
        ("--html", &options.html),
        ("--trace", &options.trace),
    ];
    for (option, path) in files {
        let Some(path) = path else { continue };
        let target = Target::open(option, path)?;
        if let Some(other) = target.shares_with(&targets)? {
            return Err(BadUsage(format!("{other} and {option} name the same file")).into());
        }
        targets.push(target);
    }
    Ok(targets)
}

fn run_tool<L: Lessons>(tool: &Tool, matches: &ArgMatches, options: &Options) -> Result<u8> {
    let name = tool.command.get_name();
    if options.predict || options.snippet || options.slow.is_some() {
        let lesson = format!("--predict, --slow and --snippet take a lesson; {name} is none");
        return Ok(bad_usage(&lesson));
    }
    let targets = targets(options)?;
    let observed = Observed {
        demo: L::DEMO,
        name: name.to_owned(),
        json: options.json,
        targets,
    };
    let own = matches.subcommand_matches(name).unwrap_or(matches);
    (tool.run)(own, observed)
}

fn bad_usage(what: &str) -> u8 {
    complain(format_args!("{what}"));
    BAD_USAGE
}

fn with_defaults<L: Lessons>(command: &Command, name: &str) -> Result<L> {
    let matches = command.clone().try_get_matches_from([L::DEMO, name])?;
    Ok(L::from_arg_matches(&matches)?)
}

/// That of the chosen lesson, or of all.
fn print_snippets<L: Lessons>(command: &Command, matches: &ArgMatches) -> Result<u8> {
    let names = lesson_names(command);
    let names = match matches.subcommand_name() {
        Some(ALL) => names,
        Some(name) => vec![name.to_owned()],
        None => names[..1].to_vec(),
    };
    let snippet = |name: &String| Ok(with_defaults::<L>(command, name)?.files().text);
    let mut snippets = names.iter().map(snippet).collect::<Result<Vec<_>>>()?;
    snippets.dedup();
    print(&snippets.concat())
}

fn print_what_else<L: Lessons>(names: &[String]) -> Result<u8> {
    let width = terminal_width().unwrap_or(80).clamp(40, 80);
    let lessons = format!("Lessons: {}, {ALL}. What you can change:", names.join(", "));
    print(&format!(
        "\n{}\n  cargo run -p {} -- {} --help\n",
        textwrap::fill(&lessons, width),
        L::DEMO,
        names[0]
    ))
}

/// The columns of the terminal, if stdout is one that says.
fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map(|(width, _)| width.0.into())
}

/// Colour on a terminal only, and not where `NO_COLOR` is set (no-color.org).
fn wants_colour(on: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    on.is_terminal() && !refused && !dumb
}
