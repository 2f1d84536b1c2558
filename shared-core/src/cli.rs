//! The options that all demos share, and the flow of a run: parse, check what
//! can be checked beforehand, run the lesson, judge, draw.

mod command;
mod lesson;
mod predict;
mod summary;
mod targets;

use crate::children::{WaitStatus, about_to_spawn};
use crate::platform::Output;
use crate::report::{self, CLOSED_PIPE, End, Session, Settings};
use crate::timeline::{self, Timeline, svg, text};
use crate::{cause, complain, ending, platform, who};
use anyhow::{Context, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use command::{ALL, chosen_options, command, lesson_names, parse};
pub use lesson::Files;
use lesson::Text;
use predict::Prediction;
pub use predict::{Question, UNKNOWABLE};
use serde_json::{Map, Value};
use std::io::{self, ErrorKind, IsTerminal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use summary::Summary;
use targets::Target;

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

    /// Where the lesson stands, and the program to copy.
    fn files(&self) -> Files;

    /// What the first process is called in this lesson: where threads are the
    /// point, the name of its main thread.
    fn role(&self) -> &'static str {
        "parent"
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
    /// Ask what the run will show, then run and reveal it
    #[arg(long, global = true)]
    predict: bool,
    /// Print the program to copy, and run nothing
    #[arg(long, global = true)]
    snippet: bool,
    /// The process that runs all lessons, this one among them
    #[arg(long, global = true, hide = true, value_name = "PID")]
    started_by: Option<u32>,
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
        complain(format_args!("{}: {}", L::DEMO, cause(error)));
        FAILED
    });
    if !ending::is_first_process() {
        return ExitCode::from(status); // there was no run
    }
    let status = ending::end(status.into());
    ExitCode::from(u8::try_from(status).unwrap_or(FAILED))
}

/// Prints what is not part of a run. A reader that has gone is no error.
fn print(text: &str) -> Result<u8> {
    let printed = Output::stdout().and_then(|stdout| stdout.write(text));
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("write to stdout: {}", cause(error)))
        }
        _ => Ok(0),
    }
}

fn try_main<L: Lessons>(command: &Command, matches: &ArgMatches) -> Result<u8> {
    let options = Options::from_arg_matches(matches)?;
    let names = lesson_names(command);
    let chosen = matches.subcommand_name();
    if options.snippet {
        return print_snippets::<L>(command, matches);
    }
    if chosen == Some(ALL) {
        if options.svg.is_some() || options.trace.is_some() || options.predict {
            let one = "--predict, --svg and --trace take one lesson, not all";
            return Ok(bad_usage::<L>(one));
        }
        return run_all::<L>(&names, &options);
    }
    let name = chosen.unwrap_or(&names[0]);
    let lesson = match chosen {
        Some(_) => L::from_arg_matches(matches)?,
        None => with_defaults(command, name)?,
    };

    let mut targets: Vec<Target> = Vec::new();
    for (option, path) in [("--svg", &options.svg), ("--trace", &options.trace)] {
        let Some(path) = path else { continue };
        let target = Target::open(option, path)?;
        if let Some(other) = target.shares_with(&targets)? {
            return Ok(bad_usage::<L>(&format!(
                "{other} and {option} name one file"
            )));
        }
        targets.push(target);
    }

    let given = chosen_options(command, matches, name);
    let mut predictions = Vec::new();
    if options.predict {
        match Prediction::ask(lesson.questions(), &given, L::DEMO) {
            Err(error) if error.is::<BadUsage>() => {
                complain(format_args!("{error}"));
                return Ok(BAD_USAGE);
            }
            asked => predictions = asked?,
        }
    }

    if options.json {
        let words = Summary::interrupted(L::DEMO, name).to_line();
        let output = Output::stdout().context("stdout")?;
        ending::set_last_words(Some((output, words.into())));
    }
    ending::begin_run().context("catch signals")?;
    if let Some(parent) = options.started_by {
        platform::die_with(parent);
    }
    let settings = Settings {
        first: who::pid(),
        quiet: options.json,
        colour: wants_colour(),
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
    };
    let status = run_lesson(session, about, &lesson, targets)?;
    if status != INTERRUPTED && !options.json && chosen.is_none() {
        print_what_else::<L>(&names)?;
    }
    Ok(status)
}

fn bad_usage<L: Lessons>(what: &str) -> u8 {
    complain(format_args!("{}: {what}", L::DEMO));
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
    print(&format!(
        "\nLessons: {}, {ALL}. What you can change:\n  \
         cargo run -p {} -- {} --help\n",
        names.join(", "),
        L::DEMO,
        names[0]
    ))
}

/// Runs each lesson in a process of its own, so that no thread of one stands in
/// the way of another's fork, and returns the worst exit status.
fn run_all<L: Lessons>(names: &[String], options: &Options) -> Result<u8> {
    ending::begin_run().context("catch signals")?;
    ending::send_signals_on();
    let program = std::env::current_exe().context("find this program")?;
    let mut worst = 0;
    for name in names {
        let mut command = std::process::Command::new(&program);
        command.args([name, "--started-by", &who::pid().to_string()]);
        command.args(options.json.then_some("--json"));

        let start = about_to_spawn(name)?;
        let mut process = command.spawn().with_context(|| format!("start {name}"))?;
        let mut child = start.made(process.id());
        ending::sent_on(); // if it came just before `made`
        let status = child.reap(|_| process.wait())?;
        if let Some(signal) = ending::sent_on() {
            return Ok(u8::try_from(128 + signal).unwrap_or(FAILED));
        }
        let status = match status.end() {
            Some(End::Exited(status)) => u8::try_from(status).unwrap_or(FAILED),
            end => {
                let how = end.map(|end| end.to_string()).unwrap_or_default();
                complain(format_args!("{} {name}: {how}", L::DEMO));
                FAILED
            }
        };
        worst = worst.max(status);
        if i32::from(status) == CLOSED_PIPE || status == INTERRUPTED {
            return Ok(status);
        }
    }
    Ok(worst)
}

/// What is known of a lesson before it runs.
struct About<'a> {
    name: &'a str,
    text: Text,
    /// Its options.
    given: Map<String, Value>,
    predictions: Vec<Prediction>,
}

/// Runs one lesson and returns its exit status.
fn run_lesson<L: Lessons>(
    session: &Session,
    about: About<'_>,
    lesson: &L,
    targets: Vec<Target>,
) -> Result<u8> {
    let About {
        name,
        text,
        given,
        predictions,
    } = about;
    let title = format!("{} {name}: {}", L::DEMO, text.claim);
    let width = session.settings.width.unwrap_or(80);
    let json = session.settings.quiet;
    if !json {
        session.say(&(textwrap::fill(&title, width) + "\n"));
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| lesson.run()))
        // The panic hook has printed the message and the place.
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the lesson panicked")));
    report::close_lane();
    ending::park_if_ending(); // what the lesson returned is but a consequence
    let interrupted = matches!(&outcome, Err(error) if error.is::<Interrupted>());

    let (events, cut_off) = report::all_events()?;
    let timeline = Timeline::new(&events);
    let damaged = (!timeline.something_was_cut_off())
        .then(|| cut_off.first())
        .flatten();
    let error = outcome.err().map(cause);
    let error = error.or_else(|| Some(format!("damaged event: {}", damaged?)));
    let mut summary = Summary::new(L::DEMO, name, given, &events, cut_off.len(), error);
    summary.reveal(predictions);
    let mut status = match summary.ok {
        _ if interrupted => INTERRUPTED,
        true => 0,
        false => FAILED,
    };

    ending::set_last_words(None); // here are better ones
    let said = match () {
        () if json => timeline::json_lines(&events) + &summary.to_line(),
        () if interrupted => String::new(), // one line says it, below
        () => {
            let picture = text::draw(&timeline, width, session.settings.colour);
            let after = text.after_checks(&lesson.files(), L::DEMO, width.clamp(40, 80));
            let checks = summary.check_lines(width);
            let revealed = summary.prediction_lines(width);
            format!("\n{picture}{checks}{revealed}{after}")
        }
    };
    if let Err(error) = session.print(&said)
        && error.kind() != ErrorKind::BrokenPipe
    {
        complain(format_args!(
            "{}: write to stdout: {}",
            L::DEMO,
            cause(error)
        ));
        status = FAILED;
    } // if the reader is gone, the status tells all the same
    for mut target in targets {
        target.write(&match target.option() {
            "--svg" => svg::draw(&timeline, &title, &who::machine()),
            _ => timeline::trace(&events),
        })?;
    }
    if let Some(error) = &summary.error {
        complain(format_args!("{} {name}: {error}", L::DEMO));
    }
    Ok(status)
}

/// The columns of the terminal, if stdout is one that says.
fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map(|(width, _)| width.0.into())
}

/// Colour on a terminal only, and not where `NO_COLOR` is set (no-color.org).
fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}
