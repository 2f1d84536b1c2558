//! Programs are given to the compiler, which must refuse them: each has one line that
//! ends with `// refused: ` and the number of the error. The comment below it is what
//! rustc 1.95 says; another one may word it otherwise.

use shared_core::children::about_to_spawn;
use shared_core::report::fact;
use shared_core::{Context, Result, Value, cause, ensure, moment, report, waiting};
use std::io::Write;
use std::process::{Command, Stdio};
use std::{env, io};

/// The compiler, and what it was seen to refuse.
#[derive(Default)]
pub struct Rustc {
    /// Whether there is none that works.
    pub is_missing: bool,
    pub seen: Vec<String>,
    pub expected: Vec<String>,
}

/// What a program becomes, as a fact of its name.
pub const REFUSED: &str = "rustc refuses it";
const COMPILED: &str = "rustc compiles it";

impl Rustc {
    /// Shows a program and what the compiler says; where there is none, what it said
    /// when the program was written.
    pub fn is_given(&mut self, name: &str, program: &str) {
        let mut answer = None;
        if !self.is_missing {
            match ask(program) {
                Ok(errors) => answer = Some(errors),
                Err(error) => {
                    self.is_missing = true;
                    report!("There is no rustc that works here:");
                    quote(&cause(error));
                    report!("so what it says is only recorded.");
                }
            }
        }
        let record = Error::recorded(program).unwrap_or_default();
        let what = program.lines().next().unwrap_or_default();
        report!("{}", what.trim_start_matches("//! "));
        report!("  {}", record.code);
        let Some(errors) = answer else {
            report!("recorded for {}", record.at(name));
            return quote(&record.message);
        };
        for error in &errors {
            report!("rustc refuses {}", error.at(name));
            quote(&error.message);
            moment!("{}", error.number);
            self.seen.push(error.at(name));
        }
        let is_compiled = errors.is_empty();
        if is_compiled {
            report!("rustc compiles {name}.rs");
            self.seen.push(format!("{name}.rs: none"));
        }
        self.expected.push(record.at(name));
        let becomes = if is_compiled { COMPILED } else { REFUSED };
        fact(format_args!("{name}"), becomes);
    }
}

fn quote(message: &str) {
    for line in textwrap::wrap(message, 36) {
        report!("> {line}");
    }
}

/// An error in a program.
#[derive(Default)]
struct Error {
    line: u64,
    /// What stands there.
    code: String,
    number: String,
    message: String,
}

impl Error {
    /// The one that the program itself names.
    fn recorded(program: &str) -> Option<Self> {
        let mut lines = (1..).zip(program.lines());
        let (line, (code, number)) =
            lines.find_map(|(n, line)| Some((n, line.split_once(" // refused: ")?)))?;
        let comment = lines.map_while(|(_, line)| line.trim().strip_prefix("// "));
        Some(Self {
            line,
            code: code.trim().to_owned(),
            number: number.to_owned(),
            message: comment.collect::<Vec<_>>().join(" "),
        })
    }

    /// The one that a message of the compiler is about; `None` if that is about no line
    /// of the program, but says that there were errors, or that something is missing.
    fn told(message: &Value) -> Option<Self> {
        let spans = message["spans"].as_array()?;
        let place = spans.iter().find(|span| span["is_primary"] == true)?;
        let line = place["line_start"].as_u64()?;
        let number = message["code"]["code"].as_str();
        Some(Self {
            line,
            code: String::new(),
            number: number.unwrap_or("an error without number").to_owned(),
            message: message["message"].as_str()?.to_owned(),
        })
    }

    fn at(&self, name: &str) -> String {
        format!("{name}.rs:{}: {}", self.line, self.number)
    }
}

/// Gives a program to the compiler, and returns the errors in it. An error of this
/// function: there is no compiler, or one that cannot work.
fn ask(program: &str) -> Result<Vec<Error>> {
    let rustc = env::var_os("RUSTC").filter(|named| !named.is_empty());
    let rustc = rustc.unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(&rustc);
    command
        .args(["--edition", "2024", "--crate-type", "bin"])
        // It reads stdin, and writes to stdout: a file it would replace, even /dev/null.
        .args(["--error-format", "json", "--emit", "metadata=-", "-"])
        // rustup stands in its place, and is not to fetch a toolchain for this.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());

    let context = || format!("failed to run {}", rustc.display());
    let start = about_to_spawn("rustc")?;
    let way = start.connect(&mut command).with_context(context)?;
    let mut process = command.spawn().with_context(context)?;
    let mut child = start.made(process.id());
    drop(command); // it holds the compiler's end of the way
    let mut stdin = child.takes_part(way, &mut process).with_context(context)?;
    let waiting = waiting!("rustc");
    let _ = stdin.write_all(program.as_bytes()); // who does not read says why
    drop(stdin);
    let said = process.stderr.take().map(io::read_to_string);
    let said = said.transpose().with_context(context)?.unwrap_or_default();
    let status = child.reap(|_| process.wait())?;
    waiting.end();

    let messages = said.lines().filter_map(|line| line.parse::<Value>().ok());
    let told: Vec<Value> = messages.filter(|told| told["level"] == "error").collect();
    let errors: Vec<Error> = told.iter().filter_map(Error::told).collect();
    let works = status.success() || !errors.is_empty();
    let why = told.first().and_then(|told| told["message"].as_str());
    let why = why.or(said.lines().next()).unwrap_or_default();
    ensure!(works, "{}: {status}: {why}", rustc.display());
    Ok(errors)
}
