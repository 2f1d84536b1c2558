//! The pool's side: a few worker processes, and for each of them a thread that
//! feeds it with tasks from one queue.

use crate::protocol::{Job, Message, Task};
use crossbeam::channel::{Receiver, Sender, bounded, never, select, unbounded};
use serde_json::json;
use shared_core::who::{ChildGuard, starting};
use shared_core::{Context, Error, Result, anyhow, bail, cause, report};
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::panic::resume_unwind;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
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

/// Yields the command line that starts a worker, given what it is called.
pub type StartWorker = fn(&str) -> Result<Command>;

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
    /// Starts `workers` processes, each with the command line that `command`
    /// gives for its role, and waits until each of them is ready.
    ///
    /// # Errors
    /// When the system refuses a process or a thread; those that were made are
    /// ended and reaped.
    pub fn start(workers: usize, command: StartWorker) -> Result<Self> {
        let mut started = Vec::new();
        for number in 1..=workers {
            let worker = Worker::start(number, command);
            started.push(worker.map_err(|e| refused(&e, number - 1, workers))?);
        }
        for worker in &mut started {
            worker.wait_until_ready(&never())?;
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

/// How often a worker is replaced before it has done anything: one that dies
/// at once would be replaced for ever.
const MOST_DEATHS: u32 = 3;

/// Feeds one worker, and puts a new one in its place when it dies.
struct Feeder {
    worker: Worker,
    command: StartWorker,
    /// What the worker was given and has not answered.
    job: Option<Job>,
    /// The worker has begun it.
    begun: bool,
    /// How many workers died since the last answer.
    deaths: u32,
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
        self.worker.end(&self.stop);
    }

    fn answer(&mut self, outcome: Outcome) {
        self.begun = false;
        self.deaths = 0;
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
        let deaths = self.deaths + 1;
        if self.begun || deaths == MOST_DEATHS {
            self.answer(Err(Failure::WorkerDied { pid, status }));
        }
        self.deaths = deaths;
        if deaths > MOST_DEATHS {
            bail!("{deaths} died, one after the other");
        }
        self.worker = Worker::start(self.worker.number, self.command)?;
        if self.worker.wait_until_ready(&self.stop).is_err() {
            return self.replace_worker();
        }
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
    fn start(number: usize, command: StartWorker) -> Result<Self> {
        let role = role(number);
        let mut command = command(&role)?;
        let start = starting();
        let mut child = command.spawn().context("start a worker")?;
        let guard = start.guard(child.id());
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

    fn wait_until_ready(&mut self, stop: &Receiver<Infallible>) -> Result<()> {
        let first = select! {
            recv(self.messages) -> message => message.ok(),
            recv(stop) -> _ => None,
        };
        if let Some(Message::Ready) = first {
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

    /// Lets an idle worker end by itself, unless the pool is terminated. It has
    /// ended when its messages have; one that only stopped talking is killed.
    fn end(&mut self, stop: &Receiver<Infallible>) {
        self.stdin = None;
        select! {
            recv(self.messages) -> _ => {}
            recv(stop) -> _ => {}
        }
        let _ = self.kill(); // an error would mean that it is no child of ours
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
        if self.guard.is_some() {
            let _ = self.kill(); // an error as in end()
        }
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// A worker written in shell.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn outcomes(workers: usize, tasks: usize, command: StartWorker) -> Vec<Outcome> {
        let mut pool = Pool::start(workers, command).expect("a pool");
        for _ in 0..tasks {
            let _ = pool.submit(Task::SleepMs(0));
        }
        pool.join()
    }

    fn died(outcome: &Outcome) -> bool {
        matches!(outcome, Err(Failure::WorkerDied { .. }))
    }

    /// Does the task in `$line`.
    const WORK: &str = r#"id=${line#*:}; id=${id%%,*}
        echo "{\"started\":$id}"; echo "{\"done\":$id}""#;

    #[test]
    fn workers_do_all_tasks() {
        let work = |_: &str| {
            Ok(shell(&format!(
                r#"echo '"ready"'; while read -r line; do {WORK}; done"#
            )))
        };
        assert!(outcomes(3, 20, work).iter().all(Result::is_ok));
    }

    #[test]
    fn a_task_that_was_not_begun_goes_to_the_next_worker() {
        // Each worker dies as soon as it has read its second task.
        let work = |_: &str| {
            Ok(shell(&format!(
                r#"echo '"ready"'; read -r line; {WORK}; read -r line"#
            )))
        };
        assert!(outcomes(2, 10, work).iter().all(Result::is_ok));
    }

    #[test]
    fn a_worker_that_dies_takes_only_the_task_that_it_had_begun() {
        // Task 3 is the death of whoever begins it.
        let work = |_: &str| {
            Ok(shell(&format!(
                r#"echo '"ready"'
                while read -r line; do
                    case $line in *:3,*) echo '{{"started":3}}'; exit 1;; esac
                    {WORK}
                done"#
            )))
        };
        let outcomes = outcomes(2, 8, work);
        let dead: Vec<bool> = outcomes.iter().map(died).collect();
        assert_eq!(
            dead,
            [false, false, false, true, false, false, false, false]
        );
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
    }

    #[test]
    fn a_task_on_which_every_worker_dies_is_given_up() {
        let work = |_: &str| Ok(shell(r#"echo '"ready"'; read -r line"#));
        let outcomes = outcomes(1, 3, work);
        assert!(died(&outcomes[0]));
        assert!(matches!(
            outcomes[1..],
            [Err(Failure::NotRun), Err(Failure::NotRun)]
        ));
    }

    #[test]
    fn a_worker_that_says_what_is_no_message_is_replaced() {
        let work = |_: &str| {
            Ok(shell(&format!(
                r#"echo '"ready"'; read -r line; {WORK}; echo nonsense; exec sleep 3600"#
            )))
        };
        assert!(outcomes(1, 4, work).iter().all(Result::is_ok));
    }

    #[test]
    fn a_worker_that_is_never_ready_is_an_error() {
        let error = Pool::start(2, |_| Ok(shell("exit 5")))
            .err()
            .expect("an error");
        assert_eq!(
            error.to_string(),
            "worker 1 ended before it was ready: exit status: 5"
        );
        let error = Pool::start(1, |_| Ok(Command::new("/nowhere")))
            .err()
            .expect("an error");
        assert!(
            error.to_string().contains("No such file or directory"),
            "{error}"
        );
    }

    #[test]
    fn a_terminated_pool_ends_at_once() {
        let mut pool =
            Pool::start(2, |_| Ok(shell(r#"echo '"ready"'; exec sleep 3600"#))).expect("a pool");
        pool.submit(Task::SleepMs(0)).expect("an open pool");
        pool.terminator().terminate();
        assert!(matches!(pool.join()[..], [Err(Failure::NotRun)]));
    }
}
