//! The machine under random histories: workers that are ready, answer, answer what
//! they were not asked, die, are refused; callers that submit, cancel, close and
//! terminate; time that passes. Whatever happens, each job is settled exactly once.

use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// Something that happens. A number chooses among those to whom it can happen.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Submit {
        tasks: u32,
        bytes: usize,
        retries: u32,
    },
    Cancel(usize),
    /// The last of those that a worker has.
    CancelSent(usize),
    Ready(usize),
    Answer {
        worker: usize,
        busy_us: u64,
    },
    AnswerWrongly(usize),
    Misbehave(usize),
    End {
        worker: usize,
        how: Ended,
    },
    RefuseNextStart,
    Pass(Duration),
    Close,
    Terminate,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    use Happening::*;
    let how = prop_oneof![Just(Ended::Killed), Just(Ended::Exited)];
    let time = prop_oneof![0..2000u64, 1_000_000..60_000_000u64].prop_map(Duration::from_micros);
    let one = prop_oneof![
        12 => (1..4u32, prop_oneof![1..100usize, 1..3_000_000usize], 0..3u32)
            .prop_map(|(tasks, bytes, retries)| Submit { tasks, bytes, retries }),
        2 => any::<usize>().prop_map(Cancel),
        2 => any::<usize>().prop_map(CancelSent),
        6 => any::<usize>().prop_map(Ready),
        16 => (any::<usize>(), prop_oneof![0..50u64, 0..100_000u64])
            .prop_map(|(worker, busy_us)| Answer { worker, busy_us }),
        1 => any::<usize>().prop_map(AnswerWrongly),
        1 => any::<usize>().prop_map(Misbehave),
        4 => (any::<usize>(), how).prop_map(|(worker, how)| End { worker, how }),
        1 => Just(RefuseNextStart),
        3 => time.prop_map(Pass),
    ];
    let end = prop_oneof![4 => Just(None), 2 => Just(Some(Close)), 1 => Just(Some(Terminate))];
    (
        prop::collection::vec(one, 0..200),
        end,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut all, end, place)| {
            let place = place.index(all.len() + 1);
            all.splice(place..place, end);
            all
        })
}

fn rules() -> impl Strategy<Value = Rules> {
    let few = prop::option::of(1..5u32);
    let limit = prop::option::of((1..100u64).prop_map(Duration::from_millis));
    (1..5usize, few, limit).prop_map(|(workers, max_tasks_per_worker, task_timeout)| Rules {
        workers,
        max_tasks_per_worker,
        task_timeout,
        start_timeout: Duration::from_secs(30),
    })
}

/// A worker as the world sees it.
#[derive(Default)]
struct Seen {
    place: usize,
    ready: bool,
    input_ended: bool,
    killed: bool,
    /// What it was sent and has not answered.
    sent: VecDeque<JobId>,
    /// What of it it was told that nobody wants it any more.
    cancelled: HashSet<JobId>,
    tasks_given: u32,
}

/// Does what the machine says, and sees to it that it may say so.
struct World {
    machine: Machine<()>,
    rules: Rules,
    now: Instant,
    workers: BTreeMap<WorkerId, Seen>,
    refuse_next_start: bool,
    /// How often a job may be begun.
    may_begin: HashMap<JobId, u32>,
    /// How many tasks it has.
    tasks: HashMap<JobId, u32>,
    settled: HashSet<JobId>,
    lost_by_death: usize,
    deaths: usize,
    no_workers_left: bool,
    terminated: bool,
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            machine: Machine::new(rules.clone()),
            rules,
            now: Instant::now(),
            workers: BTreeMap::new(),
            refuse_next_start: false,
            may_begin: HashMap::new(),
            tasks: HashMap::new(),
            settled: HashSet::new(),
            lost_by_death: 0,
            deaths: 0,
            no_workers_left: false,
            terminated: false,
        }
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Submit {
                tasks,
                bytes,
                retries,
            } => {
                let id = self.may_begin.len() as u64;
                self.may_begin.insert(id, retries + 1);
                self.tasks.insert(id, tasks);
                self.machine.submit(Job {
                    id,
                    tasks,
                    bytes,
                    payload: (),
                    retries,
                });
            }
            Happening::Cancel(job) => {
                let job = job % (self.tasks.len() + 1);
                self.machine.cancel(job as u64, self.now);
            }
            Happening::CancelSent(worker) => {
                if let Some(worker) = self.pick(worker, |seen| !seen.sent.is_empty()) {
                    let job = self.workers[&worker].sent.back().expect("a job");
                    self.machine.cancel(*job, self.now);
                }
            }
            Happening::Ready(worker) => {
                let starting = self.pick(worker, |seen| !seen.ready);
                if let Some(worker) = starting {
                    self.seen(worker).ready = true;
                    self.machine.ready(worker, Duration::ZERO);
                }
            }
            Happening::Answer { worker, busy_us } => {
                if let Some(worker) = self.pick(worker, |seen| !seen.sent.is_empty()) {
                    self.answer(worker, Duration::from_micros(busy_us));
                }
            }
            Happening::AnswerWrongly(worker) => {
                if let Some(worker) = self.pick(worker, |_| true) {
                    let answered = self
                        .machine
                        .answered(worker, 1 << 40, Duration::ZERO, self.now);
                    assert!(answered.is_err());
                    self.machine.misbehaves(worker);
                }
            }
            Happening::Misbehave(worker) => {
                if let Some(worker) = self.pick(worker, |_| true) {
                    self.machine.misbehaves(worker);
                }
            }
            Happening::End { worker, how } => {
                if let Some(worker) = self.pick(worker, |_| true) {
                    self.end(worker, how);
                }
            }
            Happening::RefuseNextStart => self.refuse_next_start = true,
            Happening::Pass(time) => {
                self.now += time;
                self.machine.tick(self.now);
            }
            Happening::Close => self.machine.close(),
            Happening::Terminate => {
                self.terminated = true;
                self.machine.terminate();
            }
        }
        self.act();
    }

    /// One of the workers for which that holds.
    fn pick(&self, number: usize, holds: impl Fn(&Seen) -> bool) -> Option<WorkerId> {
        let workers = self.workers.iter().filter(|(_, seen)| holds(seen));
        let workers: Vec<WorkerId> = workers.map(|(id, _)| *id).collect();
        workers.get(number % workers.len().max(1)).copied()
    }

    fn seen(&mut self, worker: WorkerId) -> &mut Seen {
        self.workers
            .get_mut(&worker)
            .expect("a worker that there is")
    }

    fn answer(&mut self, worker: WorkerId, busy: Duration) {
        let job = self.seen(worker).sent.pop_front().expect("a job");
        let answered = self.machine.answered(worker, job, busy, self.now);
        if answered.expect("it was asked") {
            assert!(self.settled.insert(job), "job {job} is settled twice");
        }
    }

    fn end(&mut self, worker: WorkerId, how: Ended) {
        let seen = self.workers.remove(&worker).expect("a worker");
        if let Some(first) = seen.sent.front() {
            *self.may_begin.get_mut(first).expect("a job") -= 1;
            self.deaths += 1;
        }
        self.machine.ended(worker, how, self.now);
    }

    fn act(&mut self) {
        let mut actions = VecDeque::from(self.machine.act(self.now));
        while let Some(action) = actions.pop_front() {
            self.does(action);
            if actions.is_empty() {
                // A start that was refused leads to more.
                actions.extend(self.machine.act(self.now));
            }
        }
        self.nothing_unwanted_runs_on();
        self.nothing_waits_beside_an_idle_worker();
        assert!(self.lost_by_death <= self.deaths);
        assert!(self.machine.deadline().is_none_or(|deadline| {
            deadline > self.now || self.workers.values().all(|seen| seen.killed)
        }));
    }

    fn does(&mut self, action: Action<()>) {
        match action {
            Action::Start { worker, place } => {
                assert!(!self.terminated && place < self.rules.workers);
                assert!(self.workers.values().all(|seen| seen.place != place));
                if std::mem::take(&mut self.refuse_next_start) {
                    self.machine.ended(worker, Ended::Refused, self.now);
                    return;
                }
                let seen = Seen {
                    place,
                    ..Seen::default()
                };
                assert!(self.workers.insert(worker, seen).is_none());
            }
            Action::Send { worker, job } => {
                assert!(!self.settled.contains(&job.id));
                assert!(self.may_begin[&job.id] > 0, "begun too often");
                let elsewhere = |seen: &Seen| seen.sent.contains(&job.id);
                assert!(!self.workers.values().any(elsewhere));
                let (rules, tasks) = (self.rules.clone(), self.tasks[&job.id]);
                let seen = self.seen(worker);
                assert!(seen.ready && !seen.input_ended && !seen.killed);
                if let Some(most) = rules.max_tasks_per_worker {
                    assert!(seen.tasks_given < most);
                }
                seen.tasks_given += tasks;
                seen.sent.push_back(job.id);
                let most = rules.task_timeout.map_or(MOST_JOBS_AHEAD + 1, |_| 1);
                assert!(seen.sent.len() <= most);
            }
            Action::Cancel { worker, job } => {
                assert!(self.settled.contains(&job));
                let seen = self.seen(worker);
                assert!(seen.sent.contains(&job) && seen.cancelled.insert(job));
            }
            Action::EndInput { worker } => {
                let seen = self.seen(worker);
                assert!(!std::mem::replace(&mut seen.input_ended, true));
            }
            Action::Kill { worker, .. } => {
                let seen = self.seen(worker);
                assert!(!std::mem::replace(&mut seen.killed, true));
            }
            Action::Lose { job, reason } => {
                assert!(self.tasks.contains_key(&job));
                assert!(self.settled.insert(job), "job {job} is settled twice");
                match reason {
                    Reason::Died(_) => self.lost_by_death += 1,
                    Reason::TimedOut(_) => assert!(self.rules.task_timeout.is_some()),
                    Reason::Cancelled | Reason::NotRun => {}
                }
            }
            Action::GiveUp { place } => assert!(place < self.rules.workers),
            Action::NoWorkersLeft => {
                assert!(!std::mem::replace(&mut self.no_workers_left, true));
                self.terminated = true;
            }
        }
    }

    /// Whose time is over does not go on; a worker knows what was cancelled, and is not
    /// waited for without end.
    fn nothing_unwanted_runs_on(&self) {
        for seen in self.workers.values().filter(|seen| !seen.killed) {
            let unwanted = |job: &&JobId| self.settled.contains(job);
            assert!(
                seen.sent
                    .iter()
                    .filter(unwanted)
                    .all(|job| seen.cancelled.contains(job))
            );
            if seen.sent.front().as_ref().is_some_and(unwanted) {
                assert!(self.machine.deadline().is_some());
            }
        }
    }

    fn nothing_waits_beside_an_idle_worker(&self) {
        let sent: HashSet<&JobId> = (self.workers.values())
            .flat_map(|seen| &seen.sent)
            .collect();
        let waits = |job: &&JobId| !self.settled.contains(job) && !sent.contains(job);
        let is_idle =
            |seen: &&Seen| seen.ready && !seen.input_ended && !seen.killed && seen.sent.is_empty();
        let waiting = self.tasks.keys().filter(waits).count();
        let idle = self.workers.values().filter(is_idle).count();
        assert!(waiting == 0 || idle == 0, "{waiting} wait, {idle} idle");
    }

    /// From here on all goes well: the pool is closed, workers do what they should.
    fn ends_well(&mut self) {
        self.happens(Happening::Close);
        for _ in 0..10_000 {
            if self.machine.is_done() {
                break;
            }
            let has_something_to_do = |seen: &Seen| {
                seen.killed || !seen.ready || !seen.sent.is_empty() || seen.input_ended
            };
            if let Some(worker) = self.pick(0, has_something_to_do) {
                self.one_step_of(worker);
            } else {
                let deadline = self.machine.deadline().expect("something to wait for");
                self.happens(Happening::Pass(deadline.duration_since(self.now)));
            }
        }
        assert!(self.machine.is_done() && self.workers.is_empty());
        let unsettled = self.tasks.keys().filter(|job| !self.settled.contains(job));
        assert_eq!(unsettled.count(), 0, "of {} jobs", self.tasks.len());
    }

    fn one_step_of(&mut self, worker: WorkerId) {
        let seen = &self.workers[&worker];
        if seen.killed {
            self.end(worker, Ended::Killed);
        } else if !seen.ready {
            self.seen(worker).ready = true;
            self.machine.ready(worker, Duration::ZERO);
        } else if !seen.sent.is_empty() {
            self.answer(worker, Duration::from_micros(10));
        } else {
            self.end(worker, Ended::Exited);
        }
        self.act();
    }
}

proptest! {
    // More of them with PROPTEST_CASES=10000.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_job_is_settled_exactly_once(
        rules in rules(),
        happenings in happenings(),
    ) {
        let mut world = World::new(rules);
        world.act();
        for happening in happenings {
            world.happens(happening);
        }
        world.ends_well();
    }
}

/// How long one worker takes for `jobs` of 1 ms if every frame needs `delay`: in a time
/// of its own, so whatever else this machine does.
fn time_behind_a_link(delay: Duration, jobs: u32) -> Duration {
    const WORK: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let mut machine = Machine::new(Rules {
        workers: 1,
        max_tasks_per_worker: None,
        task_timeout: None,
        start_timeout: Duration::from_secs(30),
    });
    let worker = WorkerId(0);
    let _ = machine.act(start);
    machine.ready(worker, 2 * delay);
    for id in 0..jobs.into() {
        let (tasks, bytes, payload, retries) = (1, 10, (), 0);
        machine.submit(Job {
            id,
            tasks,
            bytes,
            payload,
            retries,
        });
    }
    let (mut now, mut is_free) = (start, start);
    let mut answers = VecDeque::new();
    loop {
        for action in machine.act(now) {
            let Action::Send { job, .. } = action else {
                panic!("{action:?}");
            };
            is_free = is_free.max(now + delay) + WORK;
            answers.push_back((is_free + delay, job.id));
        }
        let Some((at, job)) = answers.pop_front() else {
            return now - start;
        };
        now = at;
        assert!(machine.answered(worker, job, WORK, now).expect("its job"));
    }
}

#[test]
fn a_slow_link_costs_hardly_any_throughput() {
    const JOBS: u32 = 5000;
    let here = time_behind_a_link(Duration::ZERO, JOBS);
    for delay in [1, 5, 20, 50].map(Duration::from_millis) {
        let there = time_behind_a_link(delay, JOBS);
        // What is missing are the first round trips, until enough is on the way.
        assert!(
            there < here * 100 / 90,
            "{delay:?}: {there:?}, not {here:?}"
        );
    }
}
