//! A pool of worker processes, after Python's `multiprocessing.Pool`: a few processes
//! that are started once, and run one task after another.

mod calls;
mod dispatcher;
mod launcher;
mod machine;
mod process;

use crate::frames::{ToWorker, frame, keep_freed_memory, version};
use crate::task::{Failure, Outcome, Panic, Task};
use crate::worker::{self, Answer};
pub use calls::{AsyncResult, Imap, ImapUnordered, MOST_CHUNKS_AHEAD, MapResult};
use crossbeam::channel::{Sender, bounded, unbounded};
use dispatcher::{Dispatcher, Event, Reply, Settled, Shared, Submitted};
pub use launcher::Launcher;
use machine::{Job, Rules};
use shared_core::{Context, Result, cause};
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A pool of worker processes for tasks of one type. Dropped, it is terminated.
pub struct Pool<T: Task> {
    submitter: Submitter,
    dispatcher: Option<JoinHandle<()>>,
    tasks: PhantomData<fn(T)>,
}

/// Yields the command line that starts a worker.
pub type StartWorker = Box<dyn Fn() -> Result<WorkerCommand> + Send>;

/// A command line that starts a worker, with a pipe as its stdout.
pub struct WorkerCommand {
    /// The command.
    pub command: Command,
    /// Whether that is a [`Launcher`], and the worker maybe on another host: then it is
    /// handed nothing, and it hears every second that the pool is still there.
    pub from_afar: bool,
}

/// A pool to be.
#[must_use = "start it"]
pub struct Builder<T: Task> {
    rules: Rules,
    retries: u32,
    initializer: Option<T>,
    draws: bool,
    command: StartWorker,
    launcher: Option<Launcher>,
}

impl<T: Task> Builder<T> {
    /// So many worker processes (at least one); as many as there are CPUs if nothing
    /// is said.
    pub fn workers(mut self, workers: usize) -> Self {
        self.rules.workers = workers.max(1);
        self
    }

    /// Each worker runs this task once, before any other. If it panics, the worker
    /// is not ready.
    pub fn initializer(mut self, task: T) -> Self {
        self.initializer = Some(task);
        self
    }

    /// A worker ends when it has been given so many tasks (at least one), and a new
    /// one takes its place. A chunk is not split for that.
    pub fn max_tasks_per_worker(mut self, tasks: u32) -> Self {
        self.rules.max_tasks_per_worker = Some(tasks.max(1));
        self
    }

    /// A task that runs longer is killed with its worker; for a chunk the limits are
    /// added up. A worker is then given one task at a time.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.rules.task_timeout = Some(limit);
        self
    }

    /// A task whose worker has died is given to another one, so many times. It may
    /// then have been begun more than once.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long a worker may take until it is ready: 30 seconds if nothing is said.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.rules.start_timeout = limit;
        self
    }

    /// The picture of the run shows when a worker waits for a task. (What a task does
    /// it draws itself.)
    pub fn draws(mut self) -> Self {
        self.draws = true;
        self
    }

    /// Another way to start a worker than executing this program again.
    pub fn command(mut self, command: impl Fn() -> Result<WorkerCommand> + Send + 'static) -> Self {
        self.command = Box::new(command);
        self
    }

    /// If there is one, it starts the workers, maybe on other hosts.
    pub fn launcher(mut self, launcher: Option<&Launcher>) -> Self {
        let Some(launcher) = launcher.cloned() else {
            return self;
        };
        self.launcher = Some(launcher.clone());
        self.command(move || launcher.command::<T>())
    }

    /// Starts the workers, and waits until all of them are ready.
    ///
    /// # Errors
    /// When the system refuses a process or a thread, or a worker ends before it is
    /// ready; those that were made are ended and reaped.
    pub fn start(self) -> Result<Pool<T>> {
        keep_freed_memory();
        let initialize = frame(&ToWorker::Initialize, self.initializer.as_slice());
        let initialize = initialize.context("the initializer")?;
        let end = frame(&ToWorker::End, &())?;
        let (to_events, events) = unbounded();
        let (to_start, started) = bounded(1);
        let shared = Arc::new(Shared::default());
        let submitter = Submitter {
            events: to_events.clone(),
            next_job: Arc::default(),
            retries: self.retries,
            shared: shared.clone(),
        };
        let dispatcher = Dispatcher {
            rules: self.rules,
            command: self.command,
            launcher: self.launcher,
            version: version::<T>(),
            initialize: initialize.into(),
            end: end.into(),
            draws: self.draws,
            events,
            to_events,
            started: Some(to_start),
            shared,
        };
        let thread = thread::Builder::new().name("dispatcher".to_owned());
        let dispatcher = thread
            .spawn(move || dispatcher.run())
            .context("failed to start a thread")?;
        // From here on it is terminated when there is an error.
        let pool = Pool {
            submitter,
            dispatcher: Some(dispatcher),
            tasks: PhantomData,
        };
        if let Ok(started) = started.recv() {
            return started.map(|()| pool);
        }
        pool.join(); // it panicked, and so do we
        unreachable!("it says before it ends what came of the start")
    }
}

impl<T: Task> Pool<T> {
    /// A pool with so many workers.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub fn start(workers: usize) -> Result<Self> {
        Self::builder().workers(workers).start()
    }

    /// A pool that is not as usual.
    pub fn builder() -> Builder<T> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Builder {
            rules: Rules {
                workers: cpus,
                max_tasks_per_worker: None,
                task_timeout: None,
                start_timeout: Duration::from_secs(30),
            },
            retries: 0,
            initializer: None,
            draws: false,
            command: Box::new(worker::command::<T>),
            launcher: None,
        }
    }

    /// Runs a task in a worker, and waits for what becomes of it.
    ///
    /// # Errors
    /// What kept the task from returning.
    pub fn apply(&self, task: T) -> Outcome<T> {
        self.apply_async(task).get()
    }

    /// Gives a task to the pool, and does not wait.
    pub fn apply_async(&self, task: T) -> AsyncResult<T> {
        AsyncResult::new(self.submitter.clone(), task)
    }

    /// Runs tasks, `chunk_size` at a time in a worker, and waits for all. Returns what
    /// became of each, in order. Without a size there are four chunks for each
    /// worker, as in Python: large chunks cost less, but a worker that dies takes
    /// all of one with it.
    pub fn map(
        &self,
        tasks: impl IntoIterator<Item = T>,
        chunk_size: Option<usize>,
    ) -> Vec<Outcome<T>> {
        self.map_async(tasks, chunk_size).get()
    }

    /// As [`map`](Self::map), and does not wait.
    pub fn map_async(
        &self,
        tasks: impl IntoIterator<Item = T>,
        chunk_size: Option<usize>,
    ) -> MapResult<T> {
        let tasks: Vec<T> = tasks.into_iter().collect();
        let workers = self.submitter.shared.pids.lock().len().max(1);
        let chunk_size = chunk_size.unwrap_or(tasks.len().div_ceil(4 * workers));
        MapResult::new(&self.submitter, &tasks, chunk_size.max(1))
    }

    /// As [`map`](Self::map), with tasks that can be made from tuples, say.
    pub fn starmap<A>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        chunk_size: Option<usize>,
    ) -> Vec<Outcome<T>>
    where
        T: From<A>,
    {
        self.map(arguments.into_iter().map(T::from), chunk_size)
    }

    /// Runs tasks as they are taken from an iterator, and yields what became of
    /// each, in order. However many there are, only a few are taken in advance:
    /// at most [`MOST_CHUNKS_AHEAD`] chunks for each worker, and one or two when tasks
    /// are slow.
    pub fn imap<I: IntoIterator<Item = T>>(
        &self,
        tasks: I,
        chunk_size: usize,
    ) -> Imap<T, I::IntoIter> {
        Imap::new(self.imap_unordered(tasks, chunk_size))
    }

    /// As [`imap`](Self::imap), in the order in which they are done.
    pub fn imap_unordered<I: IntoIterator<Item = T>>(
        &self,
        tasks: I,
        chunk_size: usize,
    ) -> ImapUnordered<T, I::IntoIter> {
        ImapUnordered::new(self.submitter.clone(), tasks.into_iter(), chunk_size.max(1))
    }

    /// The PIDs of the workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        self.submitter
            .shared
            .pids
            .lock()
            .values()
            .copied()
            .collect()
    }

    /// Takes no more tasks from here on. The workers end when all are done.
    pub fn close(&self) {
        self.submitter.tell(Event::Close);
    }

    /// Kills the workers, also in the middle of a task. What was not begun is not
    /// run.
    pub fn terminate(&self) {
        self.submitter.tell(Event::Terminate);
    }

    /// A handle with which another thread can terminate the pool.
    #[must_use]
    pub fn terminator(&self) -> Terminator {
        Terminator(self.submitter.events.clone())
    }

    /// Closes the pool, and waits until all tasks are done and the workers have ended.
    pub fn join(mut self) {
        self.close();
        self.end().unwrap_or_else(|panic| resume_unwind(panic));
    }

    fn end(&mut self) -> thread::Result<()> {
        self.dispatcher.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl<T: Task> Drop for Pool<T> {
    fn drop(&mut self) {
        self.terminate();
        // When the dispatcher panics it drops the workers, which kills them.
        let _ = self.end();
    }
}

/// Terminates a pool.
#[derive(Clone)]
pub struct Terminator(Sender<Event>);

impl Terminator {
    /// See [`Pool::terminate`].
    pub fn terminate(&self) {
        let _ = self.0.send(Event::Terminate); // an error means that it has ended
    }
}

/// Gives jobs to the dispatcher.
#[derive(Clone)]
struct Submitter {
    events: Sender<Event>,
    next_job: Arc<AtomicU64>,
    retries: u32,
    shared: Arc<Shared>,
}

impl Submitter {
    fn tell(&self, event: Event) {
        let _ = self.events.send(event); // an error means that the pool has ended
    }

    /// A job of these tasks. If they cannot be encoded, that is what becomes of it.
    fn job<T: Task>(&self, tasks: &[T], reply: Reply) -> Option<Submitted> {
        let id = self.next_job.fetch_add(1, Relaxed);
        match frame(&ToWorker::Job(id), tasks) {
            Ok(payload) => Some(Submitted {
                job: Job {
                    id,
                    tasks: tasks.len().try_into().unwrap_or(u32::MAX),
                    bytes: payload.len(),
                    payload: Arc::new(payload),
                    retries: self.retries,
                },
                reply,
            }),
            Err(error) => {
                let failure = Failure::NotRun(cause(error));
                let _ = reply.to.send(vec![(reply.index, Err(failure))]);
                None
            }
        }
    }

    fn submit(&self, jobs: Vec<Submitted>) {
        if jobs.is_empty() {
            return;
        }
        if let Err(refused) = self.events.send(Event::Submit(jobs))
            && let Event::Submit(jobs) = refused.into_inner()
        {
            for Submitted { reply, .. } in jobs {
                let _ = reply.to.send(vec![(reply.index, Err(pool_is_gone()))]);
            }
        }
    }
}

fn pool_is_gone() -> Failure {
    Failure::NotRun("the pool has ended".to_owned())
}

/// The outcomes of a job's tasks.
fn outcomes<T: Task>(settled: Settled, tasks: usize) -> Vec<Outcome<T>> {
    let all = settled.and_then(|answer| {
        let answer = answer.decode::<Answer<T::Output>>();
        let answer = answer.map_err(|error| Panic::new(cause(error), "its result"));
        let all = answer.flatten().map_err(Failure::Panicked)?;
        // Which of them have come is not known.
        let right = Panic::new(format!("{} results for {tasks} tasks", all.len()), "");
        (all.len() == tasks)
            .then_some(all)
            .ok_or(Failure::Panicked(right))
    });
    match all {
        Ok(all) => all
            .into_iter()
            .map(|outcome| outcome.map_err(Failure::Panicked))
            .collect(),
        Err(failure) => vec![failure; tasks].into_iter().map(Err).collect(),
    }
}
