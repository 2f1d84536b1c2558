//! The pool's side: a few worker processes, and for each of them a thread that
//! feeds it with tasks from one queue.

mod feeder;
mod process;
#[cfg(all(test, unix))]
mod tests;

use crate::protocol::{Job, Task};
use crossbeam::channel::{Receiver, Sender, bounded, never, unbounded};
use feeder::Feeder;
use process::WorkerProcess;
use shared_core::report::queued;
use shared_core::{Context, Error, Result, anyhow, bail, cause};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A pool of worker processes. Dropped, it is terminated.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    submitted: usize,
    answers: Receiver<(usize, Outcome)>,
    feeders: Vec<JoinHandle<()>>,
    terminator: Terminator,
}

/// Yields the command line that starts a worker.
pub type StartWorker = fn() -> Result<WorkerCommand>;

/// A command line that starts a worker, with pipes as its stdin and stdout.
pub struct WorkerCommand {
    /// The command.
    pub command: Command,
    /// Whether the worker takes part in the run, and so is given another stdin.
    /// One that runs on another host, say, cannot.
    pub takes_part: bool,
}

/// What became of a task.
pub type Outcome = Result<(), Failure>;

/// Why a task was not done.
pub enum Failure {
    /// It panicked, with this message.
    Panicked(String),
    /// Its worker died while running it; or several did, without beginning it.
    WorkerDied { pid: u32, status: ExitStatus },
    /// It was never begun: the pool was terminated, or has no workers left.
    NotRun,
}

impl Pool {
    /// Starts `workers` processes, each with a command line that `command`
    /// gives, and waits until each of them is ready.
    ///
    /// # Errors
    /// When the system refuses a process or a thread, or a worker ends before
    /// it is ready; those that were made are ended and reaped.
    pub fn start(workers: usize, command: StartWorker) -> Result<Self> {
        let mut started = Vec::new();
        for number in 1..=workers {
            let worker = WorkerProcess::start(number, command);
            started.push(worker.map_err(|e| refused(&e, number - 1, workers))?);
        }
        for worker in &mut started {
            worker.is_ready(&never())?;
        }

        let (jobs, queue) = bounded(workers);
        let (answer, answers) = unbounded();
        let (running, stop) = bounded(0);
        let mut pool = Self {
            jobs: Some(jobs),
            submitted: 0,
            answers,
            feeders: Vec::new(),
            terminator: Terminator(Arc::new(Mutex::new(Some(running)))),
        };
        for worker in started {
            let thread = thread::Builder::new().name(format!("feeder {}", worker.number));
            let feeder = Feeder {
                worker,
                command,
                job: None,
                begun: false,
                deaths: 0,
                queue: queue.clone(),
                answer: answer.clone(),
                stop: stop.clone(),
            };
            let thread = thread
                .spawn(|| feeder.run())
                .context("failed to start a thread")?;
            pool.feeders.push(thread);
        }
        Ok(pool)
    }

    /// Gives a task to the pool (Python: `apply_async`). The queue holds as
    /// many tasks as there are workers; while it is full, this waits: however
    /// many tasks there are, few of them are in memory.
    ///
    /// # Errors
    /// When the pool is closed or terminated, or has no workers left.
    pub fn submit(&mut self, task: Task) -> Result<()> {
        let id = self.submitted;
        self.submitted += 1;
        queued(format_args!("task {id}"));
        match &self.jobs {
            Some(jobs) if jobs.send(Job { id, task }).is_ok() => Ok(()),
            _ => bail!("submit task {id}: the pool takes no more tasks"),
        }
    }

    /// No more tasks from here on. The workers end when all are done.
    pub fn close(&mut self) {
        self.jobs = None;
    }

    /// Waits until the workers have ended. Returns what became of each task
    /// that was ever submitted, by its number.
    pub fn join(mut self) -> Vec<Outcome> {
        self.close();
        for feeder in self.feeders.drain(..) {
            feeder.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        let mut outcomes: Vec<_> = (0..self.submitted).map(|_| Err(Failure::NotRun)).collect();
        for (id, outcome) in self.answers.try_iter() {
            outcomes[id] = outcome;
        }
        outcomes
    }

    /// A handle with which another thread can terminate the pool.
    pub fn terminator(&self) -> Terminator {
        self.terminator.clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.terminator.terminate();
        self.close();
        for feeder in self.feeders.drain(..) {
            // A feeder that panicked has dropped its worker, which killed it.
            let _ = feeder.join();
        }
    }
}

/// Terminates a pool. While the sender lives nothing is ever sent on the
/// channel; when it goes, every feeder notices at once.
#[derive(Clone)]
pub struct Terminator(Arc<Mutex<Option<Sender<Infallible>>>>);

impl Terminator {
    /// Kills the workers, also in the middle of a task.
    pub fn terminate(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn refused(error: &Error, made: usize, total: usize) -> Error {
    let io_error = error.downcast_ref::<io::Error>();
    let hint = match io_error.map(io::Error::kind) {
        Some(ErrorKind::WouldBlock) => "; see ulimit -u, and -v for threads",
        _ => "",
    };
    anyhow!("{} after {made} of {total} workers{hint}", cause(error))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::WorkerDied { pid, status } => write!(f, "worker {pid} died: {status}"),
            Self::NotRun => write!(f, "not run"),
        }
    }
}
