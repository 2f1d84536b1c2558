//! Runs the demos as programs, as a student would, and sees to it that a run
//! leaves nothing behind.
//!
//! - [`program`] builds the workspace first, so that an edit to a demo is
//!   always seen;
//! - [`Run`] starts a program under the example `guard` of this package, which
//!   is the subreaper of all that the run starts (prctl(2)), and fails if a
//!   process, a zombie or a temporary file is left;
//! - [`tool`] finds what a test needs from the system.
//!
//! Only for Linux, as the tests are.

#![cfg(target_os = "linux")]

use serde_json::Value;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The demos.
pub const DEMOS: [&str; 5] = [
    "fork-demo",
    "process-demo",
    "pool-demo",
    "thread-demo",
    "lock-demo",
];

/// The lessons of a demo, as its `--help` lists them.
///
/// # Panics
/// When `--help` fails.
#[must_use]
pub fn lessons(demo: &str) -> Vec<String> {
    let help = Run::program(demo).args(["--help"]).run().expect_status(0);
    let names = listed_lessons(&help.stdout);
    names.into_iter().map(str::to_owned).collect()
}

/// All lessons of all demos: the demo, and the name of the lesson.
#[must_use]
pub fn all_lessons() -> Vec<(&'static str, String)> {
    let of = |demo| lessons(demo).into_iter().map(move |lesson| (demo, lesson));
    DEMOS.into_iter().flat_map(of).collect()
}

/// The lessons that the text of `--help` lists.
#[must_use]
pub fn listed_lessons(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Lessons:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    // A claim that is too long for the line goes on below itself.
    let listed = listed.filter(|line| !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "all").collect()
}

/// The top folder of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The executable of this name, built just now: `fork-demo`, or, for one in an
/// `examples` folder, `examples/fork`.
///
/// # Panics
/// When the workspace does not build, or has no such executable.
#[must_use]
pub fn program(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--workspace",
                "--bins",
                "--examples",
                "--locked",
                "--quiet",
            ])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(workspace())
            .stderr(Stdio::inherit())
            .output();
        let output = output.unwrap_or_else(|error| panic!("cargo build: {error}"));
        assert!(output.status.success(), "cargo build: {}", output.status);
        let lines = String::from_utf8_lossy(&output.stdout);
        lines.lines().filter_map(executable).collect()
    });
    let path = programs.get(name);
    path.unwrap_or_else(|| panic!("the workspace builds no {name}, only {programs:?}"))
}

/// The name and the path that one of cargo's messages tells.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    let folder = if message["target"]["kind"][0] == "example" {
        "examples/"
    } else {
        ""
    };
    Some((format!("{folder}{name}"), PathBuf::from(path)))
}

/// Python itself, if it is there: what `python3` names may be a script that looks for it.
#[must_use]
pub fn python3() -> Option<String> {
    let script = "import sys; print(sys.executable)";
    let run = tool("python3").then(|| Run::command("python3").args(["-c", script]).run());
    run.map(|run| run.expect_status(0).stdout.trim().to_owned())
}

/// Whether the system has this tool. If not, the test that asked says so on
/// stderr and goes no further; where `REQUIRE_TOOLS` is set, as in CI, it
/// fails instead.
///
/// # Panics
/// When the tool is missing and `REQUIRE_TOOLS` is set.
#[must_use]
pub fn tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    found || skip(&format!("{name} is not installed"))
}

/// Whether the tests run as root, which some of them need; see [`tool`].
///
/// # Panics
/// When they do not and `REQUIRE_TOOLS` is set.
#[must_use]
pub fn root() -> bool {
    // The owner of a process's folder is the one it runs as (proc(5)).
    let owner = std::fs::metadata("/proc/self").map(|folder| folder.uid());
    let root = owner.is_ok_and(|owner| owner == 0);
    root || skip("not root")
}

fn skip(why: &str) -> bool {
    assert!(
        std::env::var_os("REQUIRE_TOOLS").is_none(),
        "REQUIRE_TOOLS is set, and {why}"
    );
    // Not eprintln!, which the test runner keeps to itself when a test passes.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
    false
}

/// A run to be: a program, its arguments, its surroundings.
#[derive(Debug)]
pub struct Run {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    to_be_killed: bool,
}

impl Run {
    /// Runs an executable of the workspace; see [`program`].
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self::command(program(name))
    }

    /// Runs a shell command in which `{NAME}` stands for the path of the
    /// executable NAME.
    #[must_use]
    pub fn shell(script: &str) -> Self {
        let mut words = script.split(['{', '}']);
        let mut script = words.next().unwrap_or_default().to_owned();
        while let (Some(name), Some(rest)) = (words.next(), words.next()) {
            script += &format!("'{}'{rest}", program(name).display());
        }
        Self::command("bash").args(["-c", &script])
    }

    /// Runs any command.
    #[must_use]
    pub fn command(command: impl AsRef<OsStr>) -> Self {
        Self {
            words: vec![command.as_ref().to_owned()],
            environment: Vec::new(),
            to_be_killed: false,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.words
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// For a run that is going to be killed with SIGKILL: what it started may
    /// outlive it for a moment, but must then end by itself.
    #[must_use]
    pub fn to_be_killed(mut self) -> Self {
        self.to_be_killed = true;
        self
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When the run cannot be started, or leaves something behind.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Starts, for a test that takes part.
    ///
    /// # Panics
    /// When the run cannot be started.
    #[must_use]
    pub fn start(self) -> Running {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("temporary folder: {e}"));
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap_or_else(|e| panic!("temporary folder: {e}"));
        let mut guard = Command::new(program("examples/guard"));
        guard
            .arg(folder.path().join("report"))
            .arg(if self.to_be_killed { "wait" } else { "now" })
            .args(&self.words)
            .env("TMPDIR", &temporary)
            // Whoever runs the tests may have set it.
            .env_remove("NO_COLOR")
            .envs(self.environment)
            .current_dir(&temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guard = guard
            .spawn()
            .unwrap_or_else(|e| panic!("start the guard: {e}"));
        let stdout = BufReader::new(
            guard
                .stdout
                .take()
                .unwrap_or_else(|| unreachable!("a pipe")),
        );
        Running {
            guard,
            stdout,
            seen: String::new(),
            folder,
            words: self.words,
        }
    }
}

/// A run under way.
#[derive(Debug)]
pub struct Running {
    guard: Child,
    stdout: BufReader<ChildStdout>,
    seen: String,
    folder: TempDir,
    words: Vec<OsString>,
}

impl Running {
    /// The PID of the guard, whose child the run is.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.guard.id().cast_signed()
    }

    /// Reads lines from its stdout up to and including the first one that
    /// contains `text`, and returns that line.
    ///
    /// # Panics
    /// When there is none.
    pub fn line_with(&mut self, text: &str) -> String {
        let line = self.find_line(text);
        line.unwrap_or_else(|| panic!("no line with {text:?} in {:?}", self.seen))
    }

    /// The same, and `None` when there is none.
    pub fn find_line(&mut self, text: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line);
            self.seen += &line;
            match read {
                Ok(1..) if line.contains(text) => return Some(line),
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// Reads on as [`line_with`](Self::line_with) does, and returns the PID of
    /// who says that line.
    ///
    /// # Panics
    /// When there is no such line, or no PID in it.
    pub fn speaker(&mut self, text: &str) -> i32 {
        let line = self.line_with(text);
        let speaker = line.split(" │ ").next().unwrap_or_default();
        let speaker = speaker.split(" ← ").next().unwrap_or_default();
        let pid = speaker.split_whitespace().last().unwrap_or_default();
        pid.parse().unwrap_or_else(|_| panic!("no PID in {line:?}"))
    }

    /// Writes to its stdin.
    ///
    /// # Panics
    /// When it does not read.
    pub fn write(&mut self, text: &str) {
        let written = self
            .guard
            .stdin
            .as_mut()
            .map(|stdin| stdin.write_all(text.as_bytes()));
        assert!(matches!(written, Some(Ok(()))), "write to stdin");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it left something behind.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        drop(self.guard.stdin.take());
        let mut stderr = self.guard.stderr.take();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.as_mut().map(|stderr| stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut stdout = self.seen.into_bytes();
        let read = self.stdout.read_to_end(&mut stdout);
        let guard = self.guard.wait();
        let stderr = stderr.join().unwrap_or_default();
        let words = &self.words;
        assert!(
            read.is_ok() && guard.is_ok_and(|status| status.success()),
            "guard of {words:?}: {stderr}"
        );

        let report = std::fs::read(self.folder.path().join("report")).unwrap_or_default();
        let report: Value = serde_json::from_slice(&report).unwrap_or_default();
        let left = &report["left_behind"];
        assert_eq!(
            left.as_array().map(Vec::len),
            Some(0),
            "left by {words:?}: {left}\n{stderr}"
        );
        let files: Vec<_> = std::fs::read_dir(self.folder.path().join("tmp"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path())
            .collect();
        assert!(files.is_empty(), "left by {words:?}: {files:?}");
        let number = |name: &str| report[name].as_i64().and_then(|n| i32::try_from(n).ok());
        Outcome {
            status: number("status"),
            signal: number("signal"),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr,
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All it wrote to stdout.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

impl Outcome {
    /// Asserts the exit status, and returns the outcome.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    /// The objects that `--json` printed.
    ///
    /// # Panics
    /// When a line is not a JSON object.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => value,
            other => panic!("{line:?}: {other:?}"),
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The summary that `--json` printed last.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn summary(&self) -> Value {
        let summary = self.json().pop().map(|mut last| last["summary"].take());
        let summary = summary.unwrap_or_default();
        assert!(summary.is_object(), "{self:#?}");
        summary
    }
}
