//! The thread that owns the pool's state: it hears of everything that happens, asks
//! the machine what to do, and does it.

use super::machine::{Action, Ended, Job, JobId, Kill, Machine, Reason, Rules, WorkerId};
use super::process::{Payload, WorkerProcess, role};
use super::{Launcher, StartWorker};
use crate::frames::{Body, Frame, FromWorker, ToWorker, frame};
use crate::task::Failure;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use shared_core::children::WaitStatus;
use shared_core::ending::park_if_ending;
use shared_core::report::{Offset, about_run, carried, clock, in_a_run};
use shared_core::who::Elsewhere;
use shared_core::{Error, Result, anyhow, cause, report};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the dispatcher hears of.
pub enum Event {
    /// Somebody submits jobs.
    Submit(Vec<Submitted>),
    /// Somebody no longer wants a job.
    Cancel(JobId),
    /// No more jobs will come.
    Close,
    /// Nothing is wanted any more.
    Terminate,
    /// A worker said this.
    Said(WorkerId, Vec<Frame<FromWorker>>),
    /// A worker says nothing more; with the reason if it does not make sense.
    SaidAll(WorkerId, Option<String>),
}

/// A job, and who wants to know what becomes of it.
pub struct Submitted {
    pub job: Job<Payload>,
    pub reply: Reply,
}

/// Where to send what became of a job, and as which of those that were submitted
/// together.
#[derive(Clone)]
pub struct Reply {
    pub to: Sender<Replies>,
    pub index: usize,
}

/// The answer to a job, encoded, or why there is none.
pub type Settled = Result<Body, Failure>;

/// What became of jobs that were submitted together: which, and what.
pub type Replies = Vec<(usize, Settled)>;

/// What everybody may look at while the dispatcher works.
#[derive(Default)]
pub struct Shared {
    /// The PIDs of the workers, in order of their places.
    pub pids: Mutex<BTreeMap<usize, u32>>,
    /// How many jobs the workers may have together.
    pub jobs_ahead: AtomicUsize,
}

/// How long a worker that says nothing more may take to end.
const MOST_TIME_TO_END: Duration = Duration::from_secs(1);
/// How long a worker may leave unread what it was sent.
const MOST_TIME_TO_READ: Duration = Duration::from_secs(30);
/// From a worker that a launcher started nothing may come for so long: it answers each
/// beat, so it, its host or the way there is gone.
const MOST_SILENCE: Duration = Duration::from_secs(30);
/// So often its clock is compared with ours; the shortest round trip counts.
const CLOCK_ROUNDS: u32 = 8;
/// How often it is looked whether a worker has ended that still seems to talk: one
/// that it forked may hold its pipes open.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// And whether one has ended that is about to.
const LOOK_OFTEN: Duration = Duration::from_micros(200);
/// At most so many events are taken in one go.
const AT_ONCE: usize = 1024;

/// See the module.
pub struct Dispatcher {
    pub rules: Rules,
    pub command: StartWorker,
    /// Who starts them, if it is not this process itself.
    pub launcher: Option<Launcher>,
    /// What a worker must say that it is.
    pub version: String,
    /// Sent to each worker first, and last.
    pub initialize: Payload,
    pub end: Payload,
    /// Whether idle workers draw that they wait.
    pub draws: bool,
    pub events: Receiver<Event>,
    /// For the threads of new workers.
    pub to_events: Sender<Event>,
    /// Told once, when all workers are ready or one never will be.
    pub started: Option<Sender<Result<()>>>,
    pub shared: Arc<Shared>,
}

/// The dispatcher at work.
struct Run {
    given: Dispatcher,
    machine: Machine<Payload>,
    workers: HashMap<WorkerId, Watched>,
    /// How workers ended whose jobs are just being lost.
    dead: HashMap<WorkerId, (u32, String)>,
    waiting: HashMap<JobId, Reply>,
    replies: Vec<(Sender<Replies>, Replies)>,
    /// How many workers have been ready.
    ready: usize,
    looked: Instant,
    /// Why the last worker that could not be started was not.
    refused: String,
    terminated: bool,
    /// Why what is submitted now is not run.
    why_not: &'static str,
}

/// A worker, and what is known of it.
struct Watched {
    process: WorkerProcess,
    is_ready: bool,
    /// Where it is, if a launcher started it.
    elsewhere: Option<(Elsewhere, Clock)>,
    /// It was told to end, or killed because nothing is wanted any more.
    may_end: bool,
    said_all: Option<Instant>,
    /// What it did wrong, or what was done to it.
    why: Option<String>,
}

/// A clock of another host that is being compared with ours.
struct Clock {
    /// When it was asked last.
    asked: i64,
    /// How often it has answered.
    rounds: u32,
    best: Option<Offset>,
}

impl Dispatcher {
    /// Works until all jobs are settled and all workers are gone.
    pub fn run(self) {
        let mut run = Run {
            machine: Machine::new(self.rules.clone()),
            given: self,
            workers: HashMap::new(),
            dead: HashMap::new(),
            waiting: HashMap::new(),
            replies: Vec::new(),
            ready: 0,
            looked: Instant::now(),
            refused: String::new(),
            terminated: false,
            why_not: "the pool is closed",
        };
        loop {
            run.act();
            if run.machine.is_done() {
                return;
            }
            run.hear();
            run.look_after_workers();
            run.machine.tick(Instant::now());
        }
    }
}

impl Run {
    /// Waits until something happens, and hears of that and of all else that has.
    fn hear(&mut self) {
        let mut timeout = LOOK_EVERY.saturating_sub(self.looked.elapsed());
        if self.workers.values().any(Watched::is_about_to_end) {
            timeout = timeout.min(LOOK_OFTEN);
        }
        if let Some(deadline) = self.machine.deadline() {
            timeout = timeout.min(deadline.saturating_duration_since(Instant::now()));
        }
        let first = match self.given.events.recv_timeout(timeout) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => unreachable!("we have a sender ourselves"),
        };
        self.happened(first);
        for _ in 1..AT_ONCE {
            let Ok(next) = self.given.events.try_recv() else {
                return;
            };
            self.happened(next);
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Submit(jobs) => {
                for Submitted { job, reply } in jobs {
                    self.waiting.insert(job.id, reply);
                    self.machine.submit(job);
                }
            }
            Event::Cancel(job) => self.machine.cancel(job, Instant::now()),
            Event::Close => self.machine.close(),
            Event::Terminate => self.terminate(),
            Event::Said(worker, frames) => {
                for (head, body) in frames {
                    self.said(worker, head, body);
                }
            }
            Event::SaidAll(worker, why) => {
                if let Some(of) = self.workers.get_mut(&worker) {
                    of.said_all = Some(Instant::now());
                    self.machine.says_nothing_more(worker);
                }
                if let Some(why) = why {
                    self.misbehaves(worker, why);
                }
            }
        }
    }

    fn terminate(&mut self) {
        self.terminated = true;
        self.why_not = "the pool was terminated";
        for worker in self.workers.values_mut() {
            worker.may_end = true;
        }
        self.machine.terminate();
    }

    fn said(&mut self, worker: WorkerId, head: FromWorker, body: Body) {
        let Some(of) = self.workers.get_mut(&worker) else {
            return;
        };
        match head {
            FromWorker::Ready(_) if of.is_ready => {
                self.misbehaves(worker, "it said once more that it is ready".to_owned());
            }
            FromWorker::Ready(version) if version == self.given.version => {
                of.is_ready = true;
                let clock = of.elsewhere.as_ref().and_then(|(_, clock)| clock.best);
                let round_trip = clock.map(|clock| clock.round_trip).unwrap_or_default();
                self.machine.ready(worker, round_trip);
                self.ready += 1;
                if self.ready == self.given.rules.workers
                    && let Some(started) = self.given.started.take()
                {
                    let _ = started.send(Ok(())); // nobody may wait any more
                }
            }
            FromWorker::Hello(version, host) if version == self.given.version => {
                if !of.process.from_afar || of.elsewhere.is_some() {
                    self.misbehaves(worker, "it had no reason to introduce itself".to_owned());
                    return;
                }
                let launcher = of.process.pid();
                let clock = Clock {
                    asked: 0,
                    rounds: 0,
                    best: None,
                };
                of.elsewhere = Some((Elsewhere { host, launcher }, clock));
                self.ask_for_time(worker);
            }
            FromWorker::Clock(theirs) => self.has_told_time(worker, theirs),
            FromWorker::Alive => {}
            FromWorker::Hello(version, _) | FromWorker::Ready(version) => {
                let expected = &self.given.version;
                let why = format!("it is {version:?}, not {expected:?}");
                self.misbehaves(worker, why);
            }
            FromWorker::Ends(why) => self.misbehaves(worker, why),
            FromWorker::Event(event) => {
                if !carried(&event, of.process.pid()) {
                    self.misbehaves(worker, format!("it recorded what is no event: {event:?}"));
                }
            }
            FromWorker::Answer(job, nanoseconds) => {
                let busy = Duration::from_nanos(nanoseconds);
                let answered = self.machine.answered(worker, job, busy, Instant::now());
                match answered {
                    Ok(true) => self.reply(job, Ok(body)),
                    Ok(false) => {}
                    Err(_) => {
                        let why = format!("it answered job {job}, which it was not to do");
                        self.misbehaves(worker, why);
                    }
                }
            }
        }
    }

    fn ask_for_time(&mut self, worker: WorkerId) {
        if let Some(of) = self.workers.get_mut(&worker)
            && let Some((_, time)) = &mut of.elsewhere
            && let Ok(frame) = frame(&ToWorker::Clock, &())
        {
            time.asked = clock();
            of.process.send(vec![frame.into()]);
        }
    }

    fn has_told_time(&mut self, worker: WorkerId, theirs: i64) {
        let now = clock();
        let Some(of) = self.workers.get_mut(&worker) else {
            return;
        };
        let told = of.elsewhere.as_mut().filter(|_| !of.is_ready);
        let Some((place, time)) = told.filter(|(_, time)| time.rounds < CLOCK_ROUNDS) else {
            self.misbehaves(worker, "nobody had asked it for the time".to_owned());
            return;
        };
        let offset = Offset::of(time.asked, theirs, now);
        let others = time
            .best
            .filter(|best| best.round_trip <= offset.round_trip);
        let best = others.unwrap_or(offset);
        time.best = Some(best);
        time.rounds += 1;
        if time.rounds < CLOCK_ROUNDS {
            self.ask_for_time(worker);
        } else {
            let about_run = about_run(&role(of.process.place), place, &best);
            self.begin(worker, about_run);
        }
    }

    /// The worker is told all that it must know before it is given jobs.
    fn begin(&mut self, worker: WorkerId, about_run: Option<String>) {
        let draws = self.given.draws;
        if let Some(of) = self.workers.get(&worker)
            && let Ok(begin) = frame(&ToWorker::Begin { draws, about_run }, &())
        {
            let initialize = self.given.initialize.clone();
            of.process.send(vec![begin.into(), initialize]);
        }
    }

    fn misbehaves(&mut self, worker: WorkerId, why: String) {
        if let Some(of) = self.workers.get_mut(&worker) {
            of.why.get_or_insert(why);
            self.machine.misbehaves(worker);
        }
    }

    fn reply(&mut self, job: JobId, settled: Settled) {
        let Some(Reply { to, index }) = self.waiting.remove(&job) else {
            return;
        };
        match self.replies.last_mut() {
            Some((last, all)) if last.same_channel(&to) => all.push((index, settled)),
            _ => self.replies.push((to, vec![(index, settled)])),
        }
    }

    /// Finds out who has ended, and who should have.
    fn look_after_workers(&mut self) {
        let look_at_all = self.looked.elapsed() >= LOOK_EVERY;
        if look_at_all {
            self.looked = Instant::now();
        }
        let ids: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(|(_, worker)| look_at_all || worker.is_about_to_end())
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.look_after(id, look_at_all);
        }
    }

    fn look_after(&mut self, id: WorkerId, look_at_all: bool) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.process.has_ended() {
            Ok(Some(status)) if worker.said_all.is_some() => self.ended(id, status),
            Ok(None) if worker.process.is_asked_to_end() => worker.process.kill(),
            Ok(None) if worker.is_silent_for(MOST_TIME_TO_END) => {
                self.misbehaves(id, "it closed its stdout".to_owned());
            }
            Ok(None) if worker.process.does_not_read(MOST_TIME_TO_READ) => {
                let why = format!("it has read nothing for {MOST_TIME_TO_READ:?}");
                self.misbehaves(id, why);
            }
            Ok(None) if look_at_all && worker.is_lost() => {
                let why = format!("nothing has come from it for {MOST_SILENCE:?}");
                self.misbehaves(id, why);
            }
            Ok(_) => {} // it runs, or its last words are on the way
            Err(error) => {
                park_if_ending();
                report!("{}", cause(error));
            }
        }
    }

    fn ended(&mut self, id: WorkerId, status: ExitStatus) {
        park_if_ending(); // then it was killed with all the others
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        let place = worker.process.place;
        let pid = worker.process.pid();
        let launcher = self.given.launcher.as_ref();
        let mut how = match &worker.why {
            Some(why) => why.clone(),
            None => status.to_string(),
        };
        if let Some(meaning) = launcher.and_then(|launcher| launcher.explain(status))
            && worker.why.is_none()
        {
            how += &format!(" ({meaning})");
        }
        if let Some((place, _)) = &worker.elsewhere {
            how += &format!(", on {}", place.host);
        }
        self.given.shared.pids.lock().remove(&place);
        if !worker.is_ready {
            let by = launcher.map(|launcher| format!(" ({launcher})"));
            let by = by.unwrap_or_default();
            let error = format!("{}{by} ended before it was ready: {how}", role(place));
            self.not_started(error);
        }
        if !worker.may_end {
            say(format_args!("{} {pid} died: {how}", role(place)));
        }
        self.dead.insert(id, (pid, how));
        let was_killed = !matches!(status.end(), Some(shared_core::report::End::Exited(_)));
        let ended = if was_killed {
            Ended::Killed
        } else {
            Ended::Exited
        };
        self.machine.ended(id, ended, Instant::now());
    }

    /// A worker could not be started. If the pool is just being started, it is not.
    fn not_started(&mut self, why: String) {
        if let Some(started) = self.given.started.take() {
            let _ = started.send(Err(anyhow!(why.clone())));
            self.terminate();
        }
        self.refused = why;
    }

    /// Does what the machine says.
    fn act(&mut self) {
        let mut to_send: BTreeMap<WorkerId, Vec<Payload>> = BTreeMap::new();
        for action in self.machine.act(Instant::now()) {
            match action {
                Action::Send { worker, job } => {
                    to_send.entry(worker).or_default().push(job.payload);
                }
                Action::Cancel { worker, job } => {
                    if let Ok(frame) = frame(&ToWorker::Cancel(job), &()) {
                        to_send.entry(worker).or_default().push(frame.into());
                    }
                }
                Action::Start { worker, place } => self.start(worker, place),
                Action::EndInput { worker: id } => {
                    if let Some(worker) = self.workers.get_mut(&id) {
                        worker.may_end = true;
                    }
                    let end = self.given.end.clone();
                    to_send.entry(id).or_default().push(end);
                }
                Action::Kill { worker, why } => self.kill(worker, why),
                Action::Lose { job, reason } => {
                    let failure = self.failure(reason);
                    self.reply(job, Err(failure));
                }
                Action::GiveUp { place } => {
                    say(format_args!("no new {}: {}", role(place), self.refused));
                }
                Action::NoWorkersLeft => {
                    self.why_not = "no worker is left";
                    say(format_args!("no worker is left: the rest is not run"));
                }
            }
        }
        for (worker, frames) in to_send {
            if let Some(worker) = self.workers.get(&worker) {
                worker.process.send(frames);
            }
        }
        for (to, settled) in self.replies.drain(..) {
            let _ = to.send(settled); // nobody may want to know any more
        }
        self.dead.clear();
        for (worker, ahead) in self.machine.work_ahead() {
            if let Some(worker) = self.workers.get(&worker) {
                worker.process.has_work_for(ahead);
            }
        }
        let jobs_ahead = self.machine.jobs_ahead();
        self.given.shared.jobs_ahead.store(jobs_ahead, Relaxed);
    }

    fn start(&mut self, id: WorkerId, place: usize) {
        if self.terminated {
            // Since it was decided: one before it could not be started.
            self.machine.ended(id, Ended::Refused, Instant::now());
            return;
        }
        let events = (id, self.given.to_events.clone());
        match WorkerProcess::start(place, &self.given.command, events) {
            Ok(process) => {
                let (pid, from_afar) = (process.pid(), process.from_afar);
                self.given.shared.pids.lock().insert(place, pid);
                let worker = Watched {
                    process,
                    is_ready: false,
                    elsewhere: None,
                    may_end: false,
                    said_all: None,
                    why: None,
                };
                self.workers.insert(id, worker);
                if !from_afar {
                    self.begin(id, None);
                } // else it introduces itself first
            }
            Err(error) => {
                park_if_ending();
                let started = self.workers.len();
                self.not_started(refused(&error, started, self.given.rules.workers));
                self.machine.ended(id, Ended::Refused, Instant::now());
            }
        }
    }

    fn kill(&mut self, id: WorkerId, why: Kill) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let why = match why {
            Kill::Job => "killed with its task".to_owned(),
            Kill::NotReady => {
                let hint = self.given.launcher.as_ref().map_or("", Launcher::may_wait);
                format!("not ready after {:?}{hint}", self.given.rules.start_timeout)
            }
            Kill::Misbehaves => "killed".to_owned(), // it is known why
            Kill::DoesNotEnd => "killed, since it did not end".to_owned(),
        };
        worker.why.get_or_insert(why);
        worker.process.kill();
    }

    fn failure(&self, reason: Reason) -> Failure {
        match reason {
            Reason::Died(worker) => {
                let (pid, how) = self.dead.get(&worker).cloned().unwrap_or_default();
                Failure::WorkerDied { pid, how }
            }
            Reason::TimedOut(worker) => Failure::TimedOut {
                pid: self.workers.get(&worker).map_or(0, |of| of.process.pid()),
                limit: self.given.rules.task_timeout.unwrap_or_default(),
            },
            Reason::Cancelled => Failure::Cancelled,
            Reason::NotRun => Failure::NotRun(self.why_not.to_owned()),
        }
    }
}

impl Watched {
    fn is_about_to_end(&self) -> bool {
        self.said_all.is_some() || self.why.is_some()
    }

    /// Whether nothing comes any more from a worker that a launcher started.
    fn is_lost(&self) -> bool {
        let most = MOST_SILENCE.as_millis() / LOOK_EVERY.as_millis();
        let silence = u128::from(self.process.silence());
        self.process.from_afar && self.is_ready && silence >= most
    }

    fn is_silent_for(&self, so_long: Duration) -> bool {
        self.said_all
            .is_some_and(|since| since.elapsed() >= so_long)
    }
}

/// In a run, says it there; elsewhere those who get the failures know.
fn say(what: std::fmt::Arguments<'_>) {
    if in_a_run() {
        report!("{what}");
    }
}

fn refused(error: &Error, made: usize, total: usize) -> String {
    let io_error = error.downcast_ref::<io::Error>();
    let hint = match io_error.map(io::Error::kind) {
        Some(ErrorKind::WouldBlock) => "; see ulimit -u, and -v for threads",
        _ => "",
    };
    format!("{} after {made} of {total} workers{hint}", cause(error))
}
