//! The command line: what the words that a person typed mean.

use super::{Lessons, Options};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, ArgMatches, Args, Command, Error};
use serde_json::{Map, Value};
use std::ffi::{OsStr, OsString};

/// The name under which all lessons run.
pub(super) const ALL: &str = "all";

pub(super) fn command<L: Lessons>() -> Command {
    let command = Options::augment_args(L::augment_subcommands(Command::new(L::DEMO)))
        .about(L::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(Command::new(ALL).about("Every lesson in turn"))
        .subcommand_value_name("LESSON")
        .subcommand_help_heading("Lessons")
        .disable_help_subcommand(true)
        .max_term_width(80);
    let headline = lesson_names(&command).swap_remove(0);
    let mut after = format!("Without a lesson: {headline}");
    let tools = L::tools().into_iter().map(|tool| tool.command.hide(true));
    let tools: Vec<Command> = tools.collect();
    for (number, tool) in tools.iter().enumerate() {
        let heading = if number == 0 { "\n\nTools:" } else { "" };
        let about = tool.get_about().map(ToString::to_string);
        after += &format!(
            "{heading}\n  {}  {}",
            tool.get_name(),
            about.unwrap_or_default()
        );
    }
    command.subcommands(tools).after_help(after)
}

pub(super) fn lesson_names(command: &Command) -> Vec<String> {
    let lessons = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names = lessons.map(Command::get_name);
    names
        .filter(|name| *name != ALL)
        .map(str::to_owned)
        .collect()
}

/// Options of the headline lesson may stand without its name.
pub(super) fn parse(command: &Command, words: Vec<OsString>) -> Result<ArgMatches, Error> {
    let first = match command.clone().try_get_matches_from(&words) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument => error,
        result => return result,
    };
    let names_a_lesson = names_a_lesson_before(command, &words, &first);
    let mut with_headline = words;
    with_headline.insert(1, lesson_names(command).swap_remove(0).into());
    match command.clone().try_get_matches_from(with_headline) {
        Err(_) if names_a_lesson => Err(first),
        result => result,
    }
}

/// Whether a word before the one that `error` complains of is a lesson's name.
fn names_a_lesson_before(command: &Command, words: &[OsString], error: &Error) -> bool {
    let complaint = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let starts_so = |word: &OsStr| word.to_string_lossy().starts_with(complaint);
    words
        .iter()
        .skip(1)
        .take_while(|word| !starts_so(word))
        .any(|word| command.find_subcommand(word).is_some())
}

/// The options of the lesson `name`, as they were given or by default. (Those
/// that all lessons share are not its own.)
pub(super) fn chosen_options(
    command: &Command,
    matches: &ArgMatches,
    name: &str,
) -> Map<String, Value> {
    let defaults = command
        .clone()
        .try_get_matches_from([command.get_name(), name])
        .ok();
    let given = matches.subcommand_matches(name);
    let given = given.or_else(|| defaults.as_ref()?.subcommand_matches(name));
    let own = command.find_subcommand(name).into_iter();
    let own = own.flat_map(Command::get_arguments);
    let value = |arg: &clap::Arg| {
        let id = arg.get_id().as_str();
        let words = given?.get_raw(id).into_iter().flatten();
        let mut values = words.map(|word| {
            let word = word.to_string_lossy().into_owned();
            let number = word.parse::<i64>().map(Value::from);
            let switch = || word.parse::<bool>().map(Value::from);
            number
                .or_else(|_| switch())
                .unwrap_or_else(|_| Value::String(word.clone()))
        });
        let takes_many = matches!(arg.get_action(), ArgAction::Append);
        let value = if takes_many {
            values.collect()
        } else {
            values.next()?
        };
        Some((id.to_owned(), value))
    };
    own.filter_map(value).collect()
}
