//! What a pool runs, and what becomes of it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A task: its arguments, and what is done with them in a worker process.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// What the task returns.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// What a worker for these tasks is called on its command line.
    const NAME: &'static str;

    /// Runs in a worker process.
    fn run(self) -> Self::Output;
}

/// What became of a task: exactly one of these.
pub type Outcome<T> = Result<<T as Task>::Output, Failure>;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It panicked; its worker lives on.
    Panicked(Panic),
    /// Its worker died while it ran, or before it began: it was the first of those
    /// that the worker had not answered.
    WorkerDied {
        /// The worker.
        pid: u32,
        /// What wait said, or why the pool killed it.
        how: String,
    },
    /// It ran longer than this, and was killed with its worker.
    TimedOut {
        /// The worker.
        pid: u32,
        /// How long it was given.
        limit: Duration,
    },
    /// It was cancelled, or the pool was terminated while it ran.
    Cancelled,
    /// It was never begun, for this reason.
    NotRun(String),
}

/// What a task that panicked said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// The text of `panic!("…")`.
    pub message: String,
    /// Where it stands: `src/main.rs:7:9`.
    pub place: String,
}

impl Panic {
    pub(crate) fn new(message: String, place: &str) -> Self {
        let place = place.to_owned();
        Self { message, place }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => panic.fmt(f),
            Self::WorkerDied { pid, how } => write!(f, "worker {pid} died: {how}"),
            Self::TimedOut { pid, limit } => {
                write!(
                    f,
                    "killed with worker {pid} after {limit:?}, its time limit"
                )
            }
            Self::Cancelled => f.write_str("cancelled"),
            Self::NotRun(why) => write!(f, "not run: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// `panicked: no (src/main.rs:7:9)`
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {} ({})", self.message, self.place)
    }
}
