//! The pool's side: a few worker processes, and for each of them a thread that
//! feeds it with tasks from one queue.

use crate::protocol::{Job, Message, Task};
use crate::worker;
use crossbeam::channel::{Receiver, Sender, bounded, never, select, unbounded};
use shared_core::report::reaped;
use shared_core::who::{ChildGuard, starting};
use shared_core::{Context, Error, Result, bail};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::panic::resume_unwind;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// How many tasks a worker is given ahead of its answers: with one, a task is
/// given only to a worker that is free.
const WINDOW: usize = 1;

/// A pool of worker processes. Dropped, it is terminated.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    applied: u64,
    answers: Receiver<Answer>,
    feeders: Vec<JoinHandle<()>>,
    terminator: Terminator,
}

/// What became of the task with this number.
pub struct Answer {
    pub id: u64,
    pub result: Result<(), Failure>,
}

/// Why a task was not done.
pub enum Failure {
    /// It panicked, with this message.
    Panicked(String),
    /// Its worker died while running it.
    WorkerDied { pid: u32, status: ExitStatus },
    /// Its worker died, and none could be put in its place.
    NoWorker(Error),
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
        let (jobs, queue) = bounded(workers * WINDOW);
        let (answer, answers) = unbounded();
        let (running, stop) = bounded(0);
        let mut started = Vec::new();
        for number in 1..=workers {
            let worker = Worker::start(number);
            started.push(worker.map_err(|e| refused(&e, number - 1, workers))?);
        }
        for worker in &mut started {
            worker.wait_until_ready()?;
        }
        let mut pool = Self {
            jobs: Some(jobs),
            applied: 0,
            answers,
            feeders: Vec::new(),
            terminator: Terminator(Arc::new(Mutex::new(Some(running)))),
        };
        for worker in started {
            let feeder = Feeder {
                worker,
                in_flight: VecDeque::new(),
                begun: false,
                queue: queue.clone(),
                answer: answer.clone(),
                stop: stop.clone(),
            };
            let thread = thread::Builder::new().name("feeder".to_owned());
            let thread = thread.spawn(|| feeder.run()).context("make a thread")?;
            pool.feeders.push(thread);
        }
        Ok(pool)
    }

    /// Gives a task to the pool; waits while as many tasks as there are
    /// workers are in the queue already.
    ///
    /// # Errors
    /// When the pool is closed or terminated, or has no workers left.
    pub fn apply(&mut self, task: Task) -> Result<()> {
        let id = self.applied;
        self.applied += 1;
        match &self.jobs {
            Some(jobs) if jobs.send(Job { id, task }).is_ok() => Ok(()),
            _ => bail!("task {id}: the pool takes no more tasks"),
        }
    }

    /// No more tasks from here on. The workers end when all are done.
    pub fn close(&mut self) {
        self.jobs = None;
    }

    /// Waits until the workers have ended, and returns an answer for each task
    /// that was ever applied, in the order of their numbers.
    pub fn join(mut self) -> Vec<Answer> {
        self.close();
        for feeder in self.feeders.drain(..) {
            feeder.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        let mut answers: Vec<Answer> = self.answers.try_iter().collect();
        let answered: Vec<u64> = answers.iter().map(|answer| answer.id).collect();
        let rest = (0..self.applied).filter(|id| !answered.contains(id));
        answers.extend(rest.map(|id| Answer {
            id,
            result: Err(Failure::NotRun),
        }));
        answers.sort_by_key(|answer| answer.id);
        answers
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
    /// Given to the worker and not answered, in order: at most WINDOW.
    in_flight: VecDeque<Job>,
    /// The worker has begun the first of them.
    begun: bool,
    queue: Receiver<Job>,
    answer: Sender<Answer>,
    stop: Receiver<Infallible>,
}

impl Feeder {
    fn run(mut self) {
        let mut open = true;
        let no_job = never();
        while open || !self.in_flight.is_empty() {
            let has_room = open && self.in_flight.len() < WINDOW;
            select! {
                recv(self.stop) -> _ => return, // dropping the worker kills it
                recv(if has_room { &self.queue } else { &no_job }) -> job => match job {
                    Ok(job) => {
                        self.worker.send(&job);
                        self.in_flight.push_back(job);
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
                            return self.answer(Err(Failure::NoWorker(error)));
                        }
                    }
                },
            }
        }
        self.worker.end();
    }

    fn answer(&mut self, result: Result<(), Failure>) {
        self.begun = false;
        if let Some(job) = self.in_flight.pop_front() {
            // An error means that nobody wants to know any more.
            let _ = self.answer.send(Answer { id: job.id, result });
        }
    }

    /// The worker died. It takes with it the task that it had begun; the
    /// others go to its successor.
    fn replace_worker(&mut self) -> Result<()> {
        let pid = self.worker.child.id();
        let status = self.worker.kill();
        if self.begun {
            self.answer(Err(Failure::WorkerDied {
                pid,
                status: status?,
            }));
        }
        self.worker = Worker::start(self.worker.number)?;
        self.worker.wait_until_ready()?;
        for job in &self.in_flight {
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
    _guard: ChildGuard,
}

impl Worker {
    fn start(number: usize) -> Result<Self> {
        let role = role(number);
        let mut command = worker::command(&role)?;
        let starting = starting();
        let mut child = command.spawn().context("start a worker")?;
        let guard = ChildGuard::new(child.id());
        drop(starting);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, messages) = unbounded();
        let worker = Self {
            number,
            child,
            stdin,
            messages,
            _guard: guard,
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
        if let (Some(stdin), Ok(line)) = (&mut self.stdin, serde_json::to_string(job)) {
            let _ = stdin.write_all((line + "\n").as_bytes());
        }
    }

    /// Lets an idle worker end by itself.
    fn end(&mut self) {
        self.stdin = None;
        // An error would mean that it is no child of ours any more.
        let _ = self.child.wait();
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        // Kill gives no error for a child that has ended by itself.
        self.child.kill()?;
        self.child.wait()
    }

    fn role(&self) -> String {
        role(self.number)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.kill();
        reaped(self.child.id(), &self.role());
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
    let full = |e: &io::Error| e.kind() == ErrorKind::WouldBlock;
    let hint = match error.downcast_ref::<io::Error>() {
        Some(e) if full(e) => "; see ulimit -u",
        _ => "",
    };
    shared_core::anyhow!("{error:#} after {made} of {total} workers{hint}")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::WorkerDied { pid, status } => write!(f, "worker {pid} died: {status}"),
            Self::NoWorker(error) => write!(f, "no worker: {error:#}"),
            Self::NotRun => write!(f, "not run"),
        }
    }
}
