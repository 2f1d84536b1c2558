//! Tasks on one CPU take turns, on several CPUs they run at the same instant; tasks
//! that wait need no CPU. (notes 4, 5)
//!
//! cargo run -p thread-demo -- parallel --tasks 4
//!
//! To copy: examples/parallel.rs, the turn that two threads hand back and forth.

use crate::cpus::{self, compute, stay_on};
use crossbeam::channel::{Receiver, Sender, unbounded};
use shared_core::cli::Question;
use shared_core::report::{Event, Phase, Slices, events, fact};
use shared_core::timeline::Timeline;
use shared_core::{Context, Error, Result, check, fact, report, waiting, who};
use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// On one CPU tasks take turns; on several they run at once
///
/// Concurrent are tasks whose lifetimes overlap: on one CPU too, where the kernel lets
/// them take turns (sched(7)). Parallel are those that run at the same instant: that
/// takes several CPUs. The evidence: two threads hand a turn back and forth, spinning.
/// On one CPU each hand-over needs a switch from the one to the other, and the kernel
/// counts those (getrusage(2)); threads that run at the same instant need none. Tasks
/// that wait need no CPU meanwhile, and so they all wait at once on a single one.
///
/// Try: cargo run -p thread-demo -- parallel --tasks 2 --work-ms 40
#[derive(clap::Args)]
pub struct Options {
    /// How many tasks there are, each a thread (2 to 16)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(2..=16))]
    tasks: u16,
    /// How much CPU time each task takes, twice, in ms (1 to 1000)
    #[arg(long, default_value_t = 16, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    work_ms: u16,
    /// How long each waits for an answer, in ms (0 to 10000)
    #[arg(long, default_value_t = 16, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(0..=10_000))]
    wait_ms: u16,
}

impl Options {
    fn work(&self) -> Duration {
        Duration::from_millis(self.work_ms.into())
    }
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "On one CPU, {tasks} tasks wait for an answer that takes {wait_ms} ms. How many \
               wait at the same time?",
        choices: &[],
        fact: "waited_at_once",
        is_a_race: false,
    },
    Question {
        text: "Two threads on different CPUs hand a turn back and forth. Does each hand-over \
               need a switch?",
        choices: &["yes", "no"],
        fact: "a_switch_for_each_hand_over_apart",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let cpus = Cpus::to_choose_from();
    let tasks = usize::from(options.tasks);

    thread::scope(|scope| {
        let (done, results) = unbounded();
        let mut orders = Vec::new();
        for n in 1..=tasks {
            // A task ends when nobody can order anything any more, also on an error.
            let (order, ordered) = unbounded();
            let done = done.clone();
            let thread = thread::Builder::new().name(format!("task {n}"));
            let thread = thread.spawn_scoped(scope, move || be_a_task(&ordered, &done));
            thread.with_context(|| refused(n, tasks))?;
            orders.push(order);
        }

        // All of them on one CPU: they take turns.
        let took = all_at_once("one CPU", &orders, &results, |_| {
            Order::Compute(options.work(), cpus.one())
        })?;
        tell("together", options, took);

        // The same, each on the next CPU.
        if cpus.are_several() {
            let took = all_at_once("all CPUs", &orders, &results, |n| {
                Order::Compute(options.work(), cpus.number(n))
            })?;
            tell("apart", options, took);
        }

        // On one CPU again they wait. The answer comes when all have asked for it.
        for order in &orders {
            let _ = order.send(Order::Ask(cpus.one()));
        }
        let _ = results.iter().take(tasks).count();
        thread::sleep(Duration::from_millis(options.wait_ms.into()));
        all_at_once("answers", &orders, &results, |_| Order::Answer)
    })?; // the scope has joined them

    let handing = waiting!("hand-overs");
    let together = cpus.one().map(|cpu| hand_over(FEW, [Some(cpu); 2]));
    let apart = cpus.are_several().then(|| hand_over_apart(&cpus));
    handing.end();
    judge(options, &cpus, together.transpose()?, apart.transpose()?)
}

/// What a task is to do next.
enum Order {
    /// To take so much CPU time, on this CPU.
    Compute(Duration, Option<usize>),
    /// To ask for something, on this CPU, and to wait for the answer.
    Ask(Option<usize>),
    Answer,
}

/// What runs in each thread.
fn be_a_task(orders: &Receiver<Order>, done: &Sender<()>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Compute(work, cpu) => {
                stay_on(cpu);
                let mut slices = Slices::begin();
                let begin = cpu_time();
                while cpu_time().saturating_sub(begin) < work {
                    compute();
                    slices.look(); // when it was on a CPU, and on which
                }
            }
            Order::Ask(cpu) => {
                stay_on(cpu);
                let _wait = waiting!("answer");
                let _ = done.send(()); // it has asked
                let _ = orders.recv(); // an error: this is the end
            }
            Order::Answer => {}
        }
        let _ = done.send(());
    }
}

/// Two threads, each on its CPU, hand the turn back and forth until it has gone from
/// one to the other so many times. The one whose turn it is not looks until it is.
fn hand_over(most: u64, cpus: [Option<usize>; 2]) -> Result<Handed> {
    let (turn, begin) = (AtomicU64::new(0), Instant::now());
    let play = |me: u64, cpu| {
        stay_on(cpu);
        let before = who::switches();
        loop {
            match turn.load(SeqCst) {
                over if over >= most || begin.elapsed() > A_WHILE => break,
                mine if mine % 2 == me => turn.store(mine + 1, SeqCst), // yours
                _ => spin_loop(),
            }
        }
        let switches = who::switches().zip(before);
        switches.map(|(after, before)| after.since(before).all())
    };
    let play = &play;
    let switches = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (me, cpu) in cpus.into_iter().enumerate() {
            let thread = thread::Builder::new().spawn_scoped(scope, move || play(me as u64, cpu));
            threads.push(thread.with_context(|| refused(me + 1, 2))?);
        }
        let mut sum = Some(0);
        for thread in threads {
            let switches = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            sum = sum.zip(switches).map(|(sum, more)| sum + more);
        }
        Ok::<_, Error>(sum)
    })?;
    Ok(Handed {
        over: turn.into_inner(),
        switches,
    })
}

// A first reading may skip the rest.

/// On one CPU each hand-over takes a slice of time, as the other one spins for so long.
const FEW: u64 = 8;
const MANY: u64 = 100_000;
/// After that no turn is handed over any more.
const A_WHILE: Duration = Duration::from_secs(1);
/// How long it is tried again while a busy machine hides what is to be seen.
const MOST_TIME: Duration = Duration::from_secs(10);
/// So many hand-overs for each switch are more than turns could make.
const CLEARLY: u64 = 10;

/// How often the turn was handed over, and the two threads were switched out.
#[derive(Clone, Copy)]
struct Handed {
    over: u64,
    switches: Option<u64>,
}

impl Handed {
    /// Whether they did it at the same instant, again and again.
    fn was_at_once(self) -> bool {
        self.switches
            .is_none_or(|switches| self.over >= CLEARLY * switches.max(1))
    }
}

fn hand_over_apart(cpus: &Cpus) -> Result<Handed> {
    let begin = Instant::now();
    loop {
        let handed = hand_over(MANY, [cpus.number(0), cpus.number(1)])?;
        if handed.was_at_once() || begin.elapsed() > MOST_TIME {
            return Ok(handed);
        }
    }
}

/// The CPUs that this program may use.
struct Cpus {
    count: usize,
    /// Their numbers; none if the system does not let a thread choose.
    numbers: Vec<usize>,
}

impl Cpus {
    fn to_choose_from() -> Self {
        let numbers = cpus::to_choose_from();
        let count = who::cpus().map(|cpus| cpus.len());
        let count = count.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        if count == 1 {
            report!("I have one CPU: nothing is parallel");
        }
        Self { count, numbers }
    }

    fn are_several(&self) -> bool {
        self.count > 1
    }

    fn one(&self) -> Option<usize> {
        self.number(0)
    }

    fn number(&self, n: usize) -> Option<usize> {
        self.numbers.get(n % self.count).copied()
    }
}

/// The CPU time of this thread; where the system does not tell, the time.
fn cpu_time() -> Duration {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    who::cpu_time().unwrap_or_else(|| BEGIN.elapsed())
}

/// Orders something of each task, and waits until all have done it.
fn all_at_once(
    what: &str,
    orders: &[Sender<Order>],
    results: &Receiver<()>,
    order: impl Fn(usize) -> Order,
) -> Result<Duration> {
    let begin = Instant::now();
    let _wait = waiting!("{what}");
    for (n, to) in orders.iter().enumerate() {
        to.send(order(n)).ok().context("a task has ended")?;
    }
    let _ = results.iter().take(orders.len()).count();
    Ok(begin.elapsed())
}

fn refused(n: usize, of: usize) -> String {
    format!("failed to start a thread after {} of {of}", n - 1)
}

fn tell(how: &str, options: &Options, took: Duration) {
    let Options { tasks, work_ms, .. } = options;
    let ms = took.as_secs_f64() * 1e3;
    let cpus = f64::from(*tasks) * options.work().as_secs_f64() / took.as_secs_f64();
    report!("{how}: {tasks} × {work_ms} ms took {ms:.1} ms");
    report!("  as if on {cpus:.2} CPUs");
    fact(format_args!("{how}_took_ms"), ms);
    fact(format_args!("{how}_cpus_used_ratio"), cpus);
}

fn judge(
    options: &Options,
    cpus: &Cpus,
    together: Option<Handed>,
    apart: Option<Handed>,
) -> Result<()> {
    let events = events()?;
    if let Some(cpu) = cpus.one() {
        let turns = turns(&Timeline::new(&events), cpu);
        report!("CPU {cpu}: tasks {}", turns.join(" "));
    }
    let waited = waited_at_once(&events);
    report!("waiting for an answer at once: {waited}");
    fact!("waited_at_once", waited);
    check!(
        "all tasks waited at the same time",
        waited,
        usize::from(options.tasks)
    );

    let tell = |how: &str, handed: Handed| {
        let switches = handed.switches.map(|switches| switches.to_string());
        let switches = switches.unwrap_or_else(|| "? (not told here)".to_owned());
        report!("{how}: {} hand-overs", handed.over);
        report!("  in {switches} switches");
        fact(format_args!("hand_overs_{how}"), handed.over);
        if let Some(switches) = handed.switches {
            fact(format_args!("switches_{how}"), switches);
        }
    };
    if let Some(handed) = together {
        tell("together", handed);
        if let Some(switches) = handed.switches {
            // The first and the last one may have come without.
            check!(
                "on one CPU each hand-over needed a switch",
                handed.over,
                handed.over <= switches + 2,
                format!("at most {}", switches + 2)
            );
        }
    }
    if let Some(handed) = apart {
        tell("apart", handed);
        if let Some(switches) = handed.switches {
            let needed = if handed.was_at_once() { "no" } else { "yes" };
            fact!("a_switch_for_each_hand_over_apart", needed);
            check!(
                "on two CPUs most needed none: both ran at the same instant",
                handed.over,
                handed.was_at_once(),
                format!("at least {}", CLEARLY * switches.max(1))
            );
        }
    }
    Ok(())
}

/// The first tasks that had a turn on the CPU, by their numbers.
fn turns(timeline: &Timeline, cpu: usize) -> Vec<String> {
    let cpus = timeline.cpus();
    let slices = cpus.get(&(cpu as u64)).into_iter().flatten();
    let mut turns: Vec<String> = Vec::new();
    for (lane, _) in slices {
        let name = lane.life.name.trim_start_matches("task ").to_owned();
        if turns.last() != Some(&name) {
            turns.push(name);
        }
    }
    turns.truncate(12);
    turns
}

/// How many waited for an answer at the same time, at the most.
fn waited_at_once(events: &[Event]) -> usize {
    let (mut waiting, mut most) = (Vec::new(), 0);
    for event in events {
        match (event.cat.as_str(), event.ph, event.name.as_str()) {
            ("wait", Phase::Begin, "answer") => waiting.push(event.tid),
            (_, Phase::End, _) => waiting.retain(|tid| *tid != event.tid),
            _ => {}
        }
        most = most.max(waiting.len());
    }
    most
}
