//! The pool's side: a few worker processes, and for each of them a thread that
//! feeds it with tasks from one queue.

use crate::protocol::{Job, Message, Task};
use crate::worker;
use crossbeam::channel::{Receiver, Sender, bounded, never, select, unbounded};
use serde_json::json;
use shared_core::who::{ChildGuard, starting};
use shared_core::{Context, Error, Result, anyhow, bail, cause, report};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::panic::resume_unwind;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
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

/// What became of a task.
pub type Outcome = Result<(), Failure>;

/// Why a task was not done.
pub enum Failure {
    /// It panicked, with this message.
    Panicked(String),
    /// Its worker died while running it.
    WorkerDied { pid: u32, status: ExitStatus },
    /// It was never begun: the pool was terminated, or has no workers left.
    NotRun,
}

impl Pool {
    /// Starts `workers` processes and waits until each of them is ready.
    ///
    /// # Errors
    /// When the system refuses a process or a thread; those that were made are
    /// ended and reaped.
    pub fn start(workers: usize) -> Result<Self> {
        let mut started = Vec::new();
        for number in 1..=workers {
            let worker = Worker::start(number);
            started.push(worker.map_err(|e| refused(&e, number - 1, workers))?);
        }
        for worker in &mut started {
            worker.wait_until_ready()?;
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
                job: None,
                begun: false,
                queue: queue.clone(),
                answer: answer.clone(),
                stop: stop.clone(),
            };
            let thread = thread.spawn(|| feeder.run()).context("make a thread")?;
            pool.feeders.push(thread);
        }
        Ok(pool)
    }

    /// Gives a task to the pool (Python: `apply_async`). Waits while as many
    /// tasks as there are workers wait for a worker: however many tasks there
    /// are, few of them are in memory.
    ///
    /// # Errors
    /// When the pool is closed or terminated, or has no workers left.
    pub fn submit(&mut self, task: Task) -> Result<()> {
        let id = self.submitted;
        self.submitted += 1;
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

/// Feeds one worker, and puts a new one in its place when it dies.
struct Feeder {
    worker: Worker,
    /// What the worker was given and has not answered.
    job: Option<Job>,
    /// The worker has begun it.
    begun: bool,
    queue: Receiver<Job>,
    answer: Sender<(usize, Outcome)>,
    stop: Receiver<Infallible>,
}

impl Feeder {
    fn run(mut self) {
        let no_job = never();
        let mut open = true;
        while open || self.job.is_some() {
            // A busy worker is given nothing.
            let queue = if self.job.is_none() {
                &self.queue
            } else {
                &no_job
            };
            select! {
                recv(self.stop) -> _ => return, // dropping the worker kills it
                recv(queue) -> job => match job {
                    Ok(job) => {
                        self.worker.send(&job);
                        self.job = Some(job);
                    }
                    Err(_) => open = false,
                },
                recv(self.worker.messages) -> message => match message {
                    Ok(Message::Ready) => {}
                    Ok(Message::Started(_)) => self.begun = true,
                    Ok(Message::Done(_)) => self.answer(Ok(())),
                    Ok(Message::Failed(_, text)) => self.answer(Err(Failure::Panicked(text))),
                    Err(_) => {
                        if let Err(error) = self.replace_worker() {
                            report!("no new {}: {error:#}", self.worker.role());
                            return;
                        }
                    }
                },
            }
        }
        self.worker.end();
    }

    fn answer(&mut self, outcome: Outcome) {
        self.begun = false;
        if let Some(job) = self.job.take() {
            // An error means that nobody wants to know any more.
            let _ = self.answer.send((job.id, outcome));
        }
    }

    /// The worker died. The task that it had begun is lost with it; one that
    /// it had not begun goes to its successor.
    fn replace_worker(&mut self) -> Result<()> {
        let pid = self.worker.child.id();
        let status = self
            .worker
            .kill()
            .with_context(|| format!("wait for {pid}"))?;
        report!("{} {pid} died: {status}", self.worker.role());
        if self.begun {
            self.answer(Err(Failure::WorkerDied { pid, status }));
        }
        self.worker = Worker::start(self.worker.number)?;
        self.worker.wait_until_ready()?;
        if let Some(job) = &self.job {
            self.worker.send(job);
        }
        Ok(())
    }
}

/// One worker process. Dropped, it is killed and reaped.
struct Worker {
    number: usize,
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Message>,
    /// There until the worker is reaped.
    guard: Option<ChildGuard>,
}

impl Worker {
    fn start(number: usize) -> Result<Self> {
        let role = role(number);
        let mut command = worker::command(&role)?;
        let starting = starting();
        let mut child = command.spawn().context("start a worker")?;
        let guard = ChildGuard::new(child.id());
        drop(starting);
        report::started(child.id(), &role);

        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, messages) = unbounded();
        let guard = Some(guard);
        let worker = Self {
            number,
            child,
            stdin,
            messages,
            guard,
        };
        thread::Builder::new()
            .name("messages".to_owned())
            .spawn(move || read_messages(stdout, &sender))
            .context("make a thread")?;
        Ok(worker)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        if let Ok(Message::Ready) = self.messages.recv() {
            return Ok(());
        }
        let status = self.kill()?;
        bail!("{} ended before it was ready: {status}", self.role())
    }

    /// An error is not looked at: it means that the worker has died, and that
    /// the end of its messages is on the way.
    fn send(&mut self, job: &Job) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all((json!(job).to_string() + "\n").as_bytes());
        }
    }

    /// Lets an idle worker end by itself.
    fn end(&mut self) {
        self.stdin = None;
        let _ = self.wait(); // an error would mean that it is no child of ours
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?; // no error for one that has ended by itself
        self.wait()
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        if self.guard.take().is_some() {
            report::reaped(self.child.id(), &self.role());
        }
        Ok(status)
    }

    fn role(&self) -> String {
        role(self.number)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.kill(); // as in end()
    }
}

fn role(number: usize) -> String {
    format!("worker {number}")
}

/// Ends when the worker does: then `sender` goes, and the feeder notices. A
/// line that is no message ends it too, and the worker with it.
fn read_messages(stdout: Option<ChildStdout>, sender: &Sender<Message>) {
    for line in stdout
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).lines())
    {
        let message = line
            .map_err(Error::from)
            .and_then(|line| Ok(serde_json::from_str(&line)?));
        let Ok(message) = message else { return };
        if sender.send(message).is_err() {
            return;
        }
    }
}

fn refused(error: &Error, made: usize, total: usize) -> Error {
    match error.downcast_ref::<io::Error>() {
        Some(e) if e.kind() == ErrorKind::WouldBlock => {
            let cause = cause(e);
            anyhow!("start a worker: {cause} after {made} of {total} workers; see ulimit -u")
        }
        _ => anyhow!("{error:#} after {made} of {total} workers"),
    }
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
