//! Workers that another program starts, maybe on another host: a scheduler's `srun`,
//! `ssh`, `docker exec -i`. It has to give them a stdin and a stdout, and nothing else.

use super::WorkerCommand;
use crate::task::Task;
use crate::worker::{FROM_AFAR, LAUNCH, WORKER, own_program};
use shared_core::{Context, Result, ensure, who};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A program that starts workers: the words before a worker's own command line, such as
/// `srun -Q --overlap -N1 -n1`.
#[derive(Debug, Clone)]
pub struct Launcher {
    words: Vec<String>,
    worker_program: Option<PathBuf>,
}

impl Launcher {
    /// `words` are split as a shell splits them; no shell is called.
    ///
    /// # Errors
    /// When there is none, or a quotation mark is missing.
    pub fn new(words: &str) -> Result<Self> {
        let words = shell_words::split(words)?;
        let program = words.first().filter(|word| !word.is_empty());
        ensure!(program.is_some(), "it names no program");
        let worker_program = None;
        Ok(Self {
            words,
            worker_program,
        })
    }

    /// Where this program lies over there, if that is elsewhere than here.
    #[must_use]
    pub fn worker_program(mut self, path: PathBuf) -> Self {
        self.worker_program = Some(path);
        self
    }

    /// The command line that starts a worker for these tasks.
    ///
    /// # Errors
    /// When this program cannot be found, or has not called
    /// [`worker::main`](crate::worker::main).
    pub fn command<T: Task>(&self) -> Result<WorkerCommand> {
        let own = own_program()?;
        let program = self.worker_program.as_deref().unwrap_or(&own);
        let worker = [program.as_os_str(), WORKER.as_ref(), T::NAME.as_ref()];
        let worker = worker.into_iter().chain([FROM_AFAR.as_ref()]);
        let mut words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        if self.ends_in_a_shell() {
            for word in worker {
                let word = word.to_str().context("no UTF-8")?;
                words.push(shell_words::quote(word).into_owned().into());
            }
        } else {
            words.extend(worker.map(OsString::from));
        }
        // We ourselves become the launcher, after we have seen to it that it ends with
        // its parent.
        let mut command = Command::new(if cfg!(unix) {
            own.as_os_str()
        } else {
            &words[0]
        });
        if cfg!(unix) {
            command.args([WORKER, LAUNCH, &who::pid().to_string()]);
            command.args(&words);
        } else {
            command.args(&words[1..]);
        }
        command.stdout(Stdio::piped());
        let from_afar = true;
        Ok(WorkerCommand { command, from_afar })
    }

    /// The name of the program.
    fn name(&self) -> &str {
        let name = Path::new(&self.words[0]).file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// ssh joins the words and gives them to a shell over there (ssh(1)).
    fn ends_in_a_shell(&self) -> bool {
        let names = self.words.iter().map(|word| Path::new(word).file_name());
        names.flatten().any(|name| name == "ssh")
    }

    /// What it may wait for without a word.
    pub(super) fn may_wait(&self) -> &'static str {
        match self.name() {
            "srun" => "; it waits for a free CPU without --overlap",
            "ssh" => "; it may ask for a password",
            _ => "",
        }
    }

    /// What it means that the launcher ended so, as far as is known: docker(1), ssh(1),
    /// srun(1); the rest as in a shell.
    pub(super) fn explain(&self, status: ExitStatus) -> Option<String> {
        let text = match (self.name(), status.code()?) {
            (_, 0) => "did it put the worker into the background?",
            ("ssh", 255) => "no connection, or it was lost",
            ("docker", 125) => "docker itself failed",
            ("srun", 1) => "srun got no node, or lost it",
            ("srun", 2) => "the worker program is not there, or is another one",
            (_, 126) => "the worker program cannot be executed there",
            (_, 127) => "the worker program is not there, or another one that it needs",
            (_, signal @ 129..=192) => return Some(format!("signal {}", signal - 128)),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The words, quoted where a shell would need that.
impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shell_words::join(&self.words))
    }
}
