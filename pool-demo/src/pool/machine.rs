//! What the pool does when something happens: a state machine without any input
//! or output of its own. It is told what happened and when; what is to be done
//! about it, it says in [`Action`]s.
//!
//! A job is one task, or a chunk of them. Each job that was ever submitted is
//! settled exactly once: it is answered, or lost for a [`Reason`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How much measured work may wait in a worker behind the job that it runs. (Tasks of
/// 100 µs on two workers and two CPUs: with 1 ms they reached 82 % of the ideal, with
/// 2 ms 89 %, with 3 ms 92 %, medians of 6 to 18 runs. Where all CPUs are busy it
/// takes that long until the threads of the pool have had their turn.)
const WORK_AHEAD: Duration = Duration::from_millis(3);
/// And how many jobs, and how many bytes of them.
const MOST_JOBS_AHEAD: usize = 1024;
const MOST_BYTES_AHEAD: usize = 1 << 20;
/// How many jobs a worker may have, the one that it runs included.
pub const LARGEST_WINDOW: usize = 1 + MOST_JOBS_AHEAD;

/// A place is given up when so many of its workers, one after the other, could not
/// be started or ended by themselves before they were ready.
const MOST_FAILED_STARTS: u32 = 3;
/// Or were killed before they were ready: whoever kills may stop some day.
const MOST_KILLED_STARTS: u32 = 30;
/// How long a place stays empty after a worker that did nothing; then twice as long
/// each time, up to a limit.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a worker that has nothing to do may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one may go on with a job that was cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of a job, given by who submits it; never used twice.
pub type JobId = u64;

/// The number of a worker process, which no successor has again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// A job; the machine does not look into what is sent.
#[derive(Debug, Clone)]
pub struct Job<P> {
    pub id: JobId,
    /// How many tasks it consists of.
    pub tasks: u32,
    /// The length of what is sent.
    pub bytes: usize,
    /// What is sent; cheap to clone.
    pub payload: P,
    /// How often it may still be given to another worker when its own has died.
    pub retries: u32,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action<P> {
    /// Start a worker in this place, and say whether that was refused, or later
    /// that it is ready, or has ended.
    Start { worker: WorkerId, place: usize },
    /// Send the job to the worker.
    Send { worker: WorkerId, job: Job<P> },
    /// Tell the worker that nobody wants this job any more. If it is running it, it
    /// ends; else it answers it without having begun it. (It knows which, we do not:
    /// its answer may be on the way, and it may be at work on the next job.)
    Cancel { worker: WorkerId, job: JobId },
    /// The worker is given nothing more: it ends when it has done what it has.
    EndInput { worker: WorkerId },
    /// Kill the worker, and say when it has ended.
    Kill { worker: WorkerId, why: Kill },
    /// Tell who submitted the job that it has come to nothing.
    Lose { job: JobId, reason: Reason },
    /// No worker could be started in this place, several times in a row.
    GiveUp { place: usize },
    /// There is no worker left, and none can be started.
    NoWorkersLeft,
}

/// Why a job has come to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// This worker ended instead of answering it.
    Died(WorkerId),
    /// It ran longer than it may, in this worker.
    TimedOut(WorkerId),
    /// Somebody no longer wanted it, or it may have been begun when the pool was
    /// terminated.
    Cancelled,
    /// It was not begun when the pool was terminated, or there are no workers.
    NotRun,
}

/// Why a worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// Its job ran longer than it may, or it went on with one that was cancelled; or
    /// the pool is terminated.
    Job,
    /// It was not ready in time.
    NotReady,
    /// What it said makes no sense, or it does not read.
    Misbehaves,
    /// It has nothing to do any more, and does not end.
    DoesNotEnd,
}

/// How a worker ended, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The system refused to start it.
    Refused,
    /// It exited.
    Exited,
    /// A signal killed it.
    Killed,
}

/// How the pool treats its workers.
#[derive(Debug, Clone)]
pub struct Rules {
    pub workers: usize,
    /// How many tasks a worker is given at most.
    pub max_tasks_per_worker: Option<u32>,
    /// How long a task may run.
    pub task_timeout: Option<Duration>,
    /// How long a worker may take until it is ready.
    pub start_timeout: Duration,
}

/// See the module.
pub struct Machine<P> {
    rules: Rules,
    /// What no worker has yet.
    queue: VecDeque<Job<P>>,
    workers: BTreeMap<WorkerId, Worker<P>>,
    places: Vec<Place>,
    started: u64,
    closed: bool,
    terminated: bool,
    actions: Vec<Action<P>>,
}

struct Worker<P> {
    place: usize,
    is_ready: bool,
    /// Its input has ended: it is given nothing more.
    is_ending: bool,
    killed: Option<Kill>,
    /// What it was sent and has not answered, in that order. It answers a job
    /// before it begins the next: so it can have begun the first one only.
    sent: VecDeque<Sent<P>>,
    /// The sum of their bytes.
    bytes: usize,
    /// When it is killed if nothing happens.
    deadline: Option<Instant>,
    /// How long it takes until the answer to what it is sent has come, its work apart.
    round_trip: Duration,
    /// How many jobs it may have.
    window: usize,
    /// It is given jobs until the window is full. After that, only when it has
    /// done half of them: so that many are sent in one go.
    is_filling: bool,
    /// How long a job takes, in seconds, and how many bytes it has: averages in
    /// which the last ones count most. None before it has answered one.
    average: Option<(f64, f64)>,
    /// How many tasks it may still be given.
    tasks_left: Option<u32>,
}

struct Sent<P> {
    job: Job<P>,
    /// Who submitted it was told already that nothing comes of it.
    settled: bool,
}

/// One of the places that workers take.
#[derive(Default)]
struct Place {
    worker: Option<WorkerId>,
    /// How many workers in a row were never ready.
    failed_starts: u32,
    killed_starts: u32,
    /// How many in a row did nothing.
    idlers: u32,
    not_before: Option<Instant>,
    given_up: bool,
}

impl<P: Clone> Machine<P> {
    /// A machine that begins by starting its workers.
    pub fn new(rules: Rules) -> Self {
        Self {
            queue: VecDeque::new(),
            workers: BTreeMap::new(),
            places: (0..rules.workers).map(|_| Place::default()).collect(),
            started: 0,
            closed: false,
            terminated: false,
            actions: Vec::new(),
            rules,
        }
    }

    /// Somebody submits a job. (What comes after close is not run.)
    pub fn submit(&mut self, job: Job<P>) {
        if self.closed || self.terminated {
            self.lose(job.id, Reason::NotRun);
        } else {
            self.queue.push_back(job);
        }
    }

    /// Somebody no longer wants a job. A worker that runs it ends with it.
    pub fn cancel(&mut self, id: JobId, now: Instant) {
        if let Some(index) = self.queue.iter().position(|job| job.id == id) {
            self.queue.remove(index);
            self.lose(id, Reason::Cancelled);
        } else if let Some((worker, index)) = self.find_sent(id) {
            self.settle(worker, index, Reason::Cancelled);
            self.actions.push(Action::Cancel { worker, job: id });
            if index == 0 {
                self.next_has_its_turn(worker, now);
            }
        }
    }

    /// No more jobs are submitted: workers end when all are done.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Nothing is run any more, and all workers are killed.
    pub fn terminate(&mut self) {
        self.closed = true;
        self.terminated = true;
        self.lose_queue();
        for worker in self.ids() {
            for index in 0..self.workers[&worker].sent.len() {
                let begun = index == 0;
                let reason = if begun {
                    Reason::Cancelled
                } else {
                    Reason::NotRun
                };
                self.settle(worker, index, reason);
            }
            self.kill(worker, Kill::Job);
        }
    }

    /// A worker is ready, from which an answer takes so long, its work apart.
    pub fn ready(&mut self, worker: WorkerId, round_trip: Duration) {
        if let Some(worker) = self.workers.get_mut(&worker)
            && !worker.is_ready
            && worker.killed.is_none()
        {
            worker.is_ready = true;
            worker.round_trip = round_trip;
            worker.deadline = None;
            let place = &mut self.places[worker.place];
            (place.failed_starts, place.killed_starts) = (0, 0);
        }
    }

    /// A worker has answered a job, on which it worked for so long. Returns whether
    /// who submitted it is to be told; an error if the worker had no reason to
    /// answer it.
    pub fn answered(
        &mut self,
        worker: WorkerId,
        job: JobId,
        busy: Duration,
        now: Instant,
    ) -> Result<bool, NoReason> {
        let Some(of) = self.workers.get_mut(&worker) else {
            return Ok(false);
        };
        let first = of.sent.front().filter(|first| first.job.id == job);
        let (bytes, settled) = first
            .map(|first| (first.job.bytes, first.settled))
            .ok_or(NoReason)?;
        of.sent.pop_front();
        of.bytes -= bytes;
        if !settled {
            of.learn(busy, bytes, self.rules.task_timeout.is_some());
        } // else it may not have been begun
        of.is_filling |= of.sent.len() <= of.window / 2;
        self.places[of.place].idlers = 0;
        self.next_has_its_turn(worker, now);
        Ok(!settled)
    }

    /// A worker says nothing more: how it has ended will be known soon, and is no matter
    /// of time limits.
    pub fn says_nothing_more(&mut self, worker: WorkerId) {
        if let Some(of) = self.workers.get_mut(&worker) {
            of.deadline = None;
        }
    }

    /// A worker has done what it must not do.
    pub fn misbehaves(&mut self, worker: WorkerId) {
        self.kill(worker, Kill::Misbehaves);
    }

    /// A worker has ended and was reaped, or could not be started. The first of its
    /// jobs is lost with it: only that one can have been begun.
    pub fn ended(&mut self, id: WorkerId, how: Ended, now: Instant) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        let did_something = worker.average.is_some() || !worker.sent.is_empty();
        for (index, Sent { mut job, settled }) in worker.sent.into_iter().enumerate().rev() {
            let begun = index == 0;
            if settled {
                continue;
            }
            if begun && job.retries == 0 {
                self.lose(job.id, Reason::Died(id));
                continue;
            }
            job.retries -= u32::from(begun);
            self.queue.push_front(job);
        }

        let place = &mut self.places[worker.place];
        place.worker = None;
        if did_something || (worker.is_ending && worker.killed.is_none()) {
            return;
        }
        if !worker.is_ready {
            let was_killed = how == Ended::Killed && worker.killed.is_none();
            place.killed_starts += u32::from(was_killed);
            place.failed_starts += u32::from(!was_killed);
        }
        let pause = FIRST_PAUSE * 2u32.pow(place.idlers.min(10));
        place.idlers += 1;
        place.not_before = Some(now + pause.min(LONGEST_PAUSE));
        if place.failed_starts >= MOST_FAILED_STARTS || place.killed_starts >= MOST_KILLED_STARTS {
            place.given_up = true;
            let place = worker.place;
            self.actions.push(Action::GiveUp { place });
        }
    }

    /// Time has passed: see [`deadline`](Self::deadline).
    pub fn tick(&mut self, now: Instant) {
        for id in self.ids() {
            let worker = &self.workers[&id];
            if worker.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            let why = match worker {
                Worker {
                    is_ready: false, ..
                } => Kill::NotReady,
                worker if worker.sent.is_empty() => Kill::DoesNotEnd,
                _ => Kill::Job,
            };
            self.settle(id, 0, Reason::TimedOut(id));
            self.kill(id, why);
        }
    }

    /// When to call [`tick`](Self::tick) and [`act`](Self::act), at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(|worker| worker.deadline);
        let places = self.places.iter().filter(|place| place.is_free());
        let places = places.filter_map(|place| place.not_before);
        let places = places.filter(|_| self.needs_workers());
        workers.chain(places).min()
    }

    /// What is to be done now about all that has happened: jobs are given to
    /// workers, workers are started or ended.
    pub fn act(&mut self, now: Instant) -> Vec<Action<P>> {
        self.give_jobs(now);
        if self.needs_workers() {
            self.start_workers(now);
            if self.has_no_workers() && self.workers.is_empty() && !self.terminated {
                self.terminated = true; // it is closed for who comes later, too
                self.actions.push(Action::NoWorkersLeft);
                self.lose_queue();
            }
        } else if !self.terminated {
            self.end_workers(now);
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether all jobs are settled and all workers have ended.
    pub fn is_done(&self) -> bool {
        self.closed && self.queue.is_empty() && self.workers.is_empty()
    }

    /// For how long each worker has something to do, as far as is known.
    pub fn work_ahead(&self) -> impl Iterator<Item = (WorkerId, Duration)> {
        self.workers.iter().map(|(id, worker)| {
            let (time, _) = worker.average.unwrap_or_default();
            let all = time * worker.sent.len() as f64;
            (
                *id,
                Duration::from_secs_f64(all.min(WORK_AHEAD.as_secs_f64())),
            )
        })
    }

    /// How many jobs the workers may have together.
    pub fn jobs_ahead(&self) -> usize {
        self.workers.values().map(|worker| worker.window).sum()
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }

    /// Not if all has been done, or nothing will be.
    fn needs_workers(&self) -> bool {
        let all_done =
            self.queue.is_empty() && self.workers.values().all(|worker| worker.sent.is_empty());
        !(self.terminated || self.closed && all_done)
    }

    fn has_no_workers(&self) -> bool {
        self.places.iter().all(|place| place.given_up)
    }

    fn find_sent(&self, id: JobId) -> Option<(WorkerId, usize)> {
        self.workers.iter().find_map(|(worker, of)| {
            let is_it = |sent: &Sent<P>| sent.job.id == id && !sent.settled;
            of.sent.iter().position(is_it).map(|index| (*worker, index))
        })
    }

    fn lose(&mut self, job: JobId, reason: Reason) {
        self.actions.push(Action::Lose { job, reason });
    }

    fn lose_queue(&mut self) {
        for job in std::mem::take(&mut self.queue) {
            self.lose(job.id, Reason::NotRun);
        }
    }

    /// Says of a job which a worker has that nothing comes of it.
    fn settle(&mut self, worker: WorkerId, index: usize, reason: Reason) {
        let of = self.workers.get_mut(&worker);
        if let Some(sent) = of.and_then(|worker| worker.sent.get_mut(index))
            && !std::mem::replace(&mut sent.settled, true)
        {
            let job = sent.job.id;
            self.lose(job, reason);
        }
    }

    fn kill(&mut self, worker: WorkerId, why: Kill) {
        if let Some(of) = self.workers.get_mut(&worker)
            && of.killed.replace(why).is_none()
        {
            of.deadline = None;
            self.actions.push(Action::Kill { worker, why });
        }
    }

    /// The first of a worker's jobs is another one than before, or there is none.
    fn next_has_its_turn(&mut self, worker: WorkerId, now: Instant) {
        let of = self.workers.get_mut(&worker);
        let Some(of) = of.filter(|of| of.killed.is_none()) else {
            return;
        };
        let limit = self.rules.task_timeout;
        of.deadline = match of.sent.front() {
            Some(cancelled) if cancelled.settled => Some(now + CANCEL_TIMEOUT),
            Some(first) => {
                limit.and_then(|limit| now.checked_add(limit.saturating_mul(first.job.tasks)))
            }
            None => of.is_ending.then_some(now + END_TIMEOUT),
        };
    }

    fn start_workers(&mut self, now: Instant) {
        for (index, place) in self.places.iter_mut().enumerate() {
            if place.is_free() && place.not_before.is_none_or(|time| time <= now) {
                let worker = WorkerId(self.started);
                self.started += 1;
                place.worker = Some(worker);
                place.not_before = None;
                let of = Worker::new(index, &self.rules, now);
                self.workers.insert(worker, of);
                let place = index;
                self.actions.push(Action::Start { worker, place });
            }
        }
    }

    /// All is done.
    fn end_workers(&mut self, now: Instant) {
        for (id, worker) in &mut self.workers {
            if !std::mem::replace(&mut worker.is_ending, true) {
                self.actions.push(Action::EndInput { worker: *id });
            }
            // One that is not ready is not waited for as long as if it were needed.
            if worker.killed.is_none() {
                let limit = now + END_TIMEOUT;
                let deadline = worker
                    .deadline
                    .map_or(limit, |deadline| deadline.min(limit));
                worker.deadline = Some(deadline);
            }
        }
    }

    fn give_jobs(&mut self, now: Instant) {
        while let Some(job) = self.queue.front() {
            // The one that has least to do.
            let workers = self.workers.iter_mut();
            let able = workers.filter(|(_, worker)| worker.takes(job));
            let least = able.min_by_key(|(_, worker)| worker.sent.len());
            let Some((&id, worker)) = least else { return };
            let Some(job) = self.queue.pop_front() else {
                return;
            };
            worker.bytes += job.bytes;
            worker.sent.push_back(Sent {
                job: job.clone(),
                settled: false,
            });
            worker.is_filling = worker.sent.len() < worker.window;
            if let Some(left) = &mut worker.tasks_left {
                *left = left.saturating_sub(job.tasks);
                worker.is_ending = *left == 0;
            }
            let (is_first, is_last) = (worker.sent.len() == 1, worker.is_ending);
            self.actions.push(Action::Send { worker: id, job });
            if is_last {
                self.actions.push(Action::EndInput { worker: id });
            }
            if is_first {
                self.next_has_its_turn(id, now);
            }
        }
    }
}

/// A worker had no reason to say what it said.
#[derive(Debug)]
pub struct NoReason;

impl Place {
    fn is_free(&self) -> bool {
        self.worker.is_none() && !self.given_up
    }
}

impl<P> Worker<P> {
    fn new(place: usize, rules: &Rules, now: Instant) -> Self {
        Self {
            place,
            is_ready: false,
            is_ending: false,
            killed: None,
            sent: VecDeque::new(),
            bytes: 0,
            deadline: now.checked_add(rules.start_timeout),
            round_trip: Duration::ZERO,
            window: 1,
            is_filling: true,
            average: None,
            tasks_left: rules.max_tasks_per_worker,
        }
    }

    /// Whether it is to be given this job now.
    fn takes(&self, job: &Job<P>) -> bool {
        let takes_any = self.is_ready && !self.is_ending && self.killed.is_none();
        let has_room = self.sent.len() < self.window && self.is_filling;
        let fits = self.bytes + job.bytes <= MOST_BYTES_AHEAD || self.sent.is_empty();
        takes_any && has_room && fits
    }

    /// How long a job takes says how many of them may wait in the worker: so many
    /// that it need not wait for the pool, and not more. With a time limit there is
    /// never more than one: when the worker is killed for it, no other job can have
    /// been begun.
    fn learn(&mut self, busy: Duration, bytes: usize, one_at_a_time: bool) {
        let last = (busy.as_secs_f64(), bytes as f64);
        let (time, size) = self.average.map_or(last, |(time, size)| {
            ((time * 3.0 + last.0) / 4.0, (size * 3.0 + last.1) / 4.0)
        });
        self.average = Some((time, size));
        // It is sent more when half of that is done, which we learn half a round trip
        // later, and it gets that after another half.
        let ahead = WORK_AHEAD + 2 * self.round_trip;
        let by_time = ahead.as_secs_f64() / time.max(1e-9);
        let by_size = MOST_BYTES_AHEAD as f64 / size.max(1.0);
        let most = by_time.min(by_size).min(MOST_JOBS_AHEAD as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to MOST_JOBS_AHEAD"
        )]
        let most = 1 + most as usize;
        self.window = if one_at_a_time {
            1
        } else {
            most.min(self.window * 2)
        };
    }
}
