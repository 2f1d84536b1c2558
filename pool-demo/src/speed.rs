//! The same work one task after the other, on threads, and in processes: which is
//! fastest depends on the work. (note 24)
//!
//! cargo run -p pool-demo -- speed --workers 8
//!
//! To copy: examples/speed.rs, the computation alone, with processes that are
//! started for it.

use crate::elsewhere::Elsewhere;
use crate::interrupt;
use pool_demo::{Outcome, Pool, Task};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use serde::{Deserialize, Serialize};
use shared_core::cli::{Interrupted, Question};
use shared_core::report::Span;
use shared_core::timing::{Measurement, in_words};
use shared_core::{Context, Result, Value, check, fact, report, span, waiting, who};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

/// Thread or process, which is faster? It depends on the work
///
/// Where tasks compute, threads and processes gain alike: the system schedules the
/// threads of all processes, and each has at least one (sched(7)). On several CPUs
/// they compute in parallel. Who waits needs no CPU, so waiting overlaps even on one.
/// But threads share their memory, while processes send each other copies (pipe(7)):
/// where tasks do little with much data, copying costs more than they gain.
///
/// Try: cargo run -p pool-demo -- speed --workers 8
///
/// Try: cargo run -p pool-demo -- speed --rounds 1
///
/// Try: cargo run --release -p pool-demo -- speed --primes-below 3000000
#[derive(clap::Args)]
pub struct Options {
    /// How many threads, and how many worker processes (1 to 64)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Into how many tasks each kind of work is split (1 to 1000)
    #[arg(long, default_value_t = 16, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    tasks: u16,
    /// Computing: count the primes below this (10 to 100000000)
    #[arg(long, default_value_t = 300_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(10..=100_000_000))]
    primes_below: u32,
    /// Waiting: how long all tasks sleep together, in ms (0 to 3600000)
    #[arg(long, default_value_t = 64, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    wait_ms: u32,
    /// Moving data: how much all tasks read together, in MiB (1 to 256)
    #[arg(long, default_value_t = 16, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    mib: u16,
    /// How often all is measured (1 to 100)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Computing on {workers} threads or in {workers} processes: which is faster?",
        choices: &["threads", "processes", ALIKE],
        fact: "faster_at_computing",
        is_a_race: true, // a measurement
    },
    Question {
        text: "Tasks read {mib} MiB. How many bytes are copied to get them to the threads?",
        choices: &[],
        fact: "copied_for_threads_bytes",
        is_a_race: false,
    },
];
const ALIKE: &str = "about the same";

pub fn run(options: &Options) -> Result<()> {
    let workers = options.workers.into();
    // Threads and workers are there before the first time is taken.
    let launcher = options.elsewhere.launcher();
    let pool = Pool::builder().workers(workers);
    let pool = pool.launcher(launcher.as_ref()).start()?;
    let threads = ThreadPoolBuilder::new().num_threads(workers);
    let threads = threads.thread_name(|n| format!("thread {}", n + 1));
    let runs = threads
        .build_scoped(rayon::ThreadBuilder::run, |threads| {
            measure(options, threads, &pool)
        })
        .context("failed to start threads")??;
    pool.join();
    judge(options, &runs);
    Ok(())
}

/// The same tasks in one of three ways: what came of them, and how long it took.
fn run_tasks(
    way: Way,
    tasks: Vec<Work>,
    threads: &ThreadPool,
    pool: &Pool<Work>,
) -> (Vec<Outcome<Work>>, Duration) {
    let start = Instant::now();
    let outcomes = match way {
        Way::Sequential => tasks.iter().map(|task| Ok(task.work())).collect(),
        // Threads read the tasks where they are, in the memory of their process.
        Way::Threads => {
            let _wait = waiting!("threads");
            let each = tasks.par_iter().with_max_len(1);
            threads.install(|| each.map(|task| Ok(task.work())).collect())
        }
        // Processes are sent a copy of each task, and send back what they found.
        Way::Processes => {
            let _wait = waiting!("processes");
            pool.map(tasks, Some(1))
        }
    };
    (outcomes, start.elapsed())
}

/// A task of one of the kinds; each way runs the same ones.
#[derive(Serialize, Deserialize)]
pub enum Work {
    /// Counts the primes among these numbers.
    Compute(Range<u32>),
    /// Sleeps.
    Wait(Duration),
    /// Reads bytes, one of each 64: so all of them come through the CPU's cache.
    Move(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// What a task found, and where.
#[derive(Serialize, Deserialize)]
pub struct Seen {
    result: u64,
    /// The process: its PID, or that of its launcher.
    process: u32,
    /// The bytes that it read: their address, and how many.
    bytes: (usize, usize),
}

impl Task for Work {
    type Output = Seen;

    const NAME: &'static str = "work";

    fn run(self) -> Seen {
        self.work()
    }
}

impl Work {
    /// Runs on the main thread, on another thread, or in a worker process.
    fn work(&self) -> Seen {
        let _span = self.span();
        let result = match self {
            Self::Compute(numbers) => numbers.clone().map(|n| u64::from(is_prime(n))).sum(),
            Self::Wait(time) => {
                thread::sleep(*time);
                1
            }
            Self::Move(bytes) => bytes.iter().step_by(64).map(|byte| u64::from(*byte)).sum(),
        };
        Seen {
            result,
            process: who::process(),
            bytes: self.bytes(),
        }
    }
}

fn is_prime(n: u32) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= n {
        if n.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    n >= 2
}

/// Takes the times: the ways in turn, so that what disturbs one disturbs the others.
fn measure(options: &Options, threads: &ThreadPool, pool: &Pool<Work>) -> Result<Vec<Run>> {
    let all = KINDS.len() * WAYS.len() * usize::from(options.rounds);
    let mut runs = Vec::new();
    for kind in KINDS {
        report!("{}: {}", kind.name(), kind.size(options));
        for way in (0..options.rounds).flat_map(|_| WAYS) {
            let tasks = kind.tasks(options);
            let places = tasks.iter().map(Work::bytes).collect();
            if way == Way::Processes {
                interrupt::terminates(pool)?;
            }
            let (outcomes, time) = run_tasks(way, tasks, threads, pool);
            if interrupt::happened() {
                let (done, rest) = (runs.len(), all - runs.len());
                let told = format!("{done} of {all} runs measured, {rest} not");
                return Err(Interrupted(told).into());
            }
            runs.push(Run {
                kind,
                way,
                time,
                places,
                outcomes,
            });
        }
    }
    Ok(runs)
}

// A first reading may skip the rest.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Sequential,
    Threads,
    Processes,
}

const WAYS: [Way; 3] = [Way::Sequential, Way::Threads, Way::Processes];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Threads => "threads",
            Self::Processes => "processes",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Computing,
    Waiting,
    Moving,
}

const KINDS: [Kind; 3] = [Kind::Computing, Kind::Waiting, Kind::Moving];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Computing => "computing",
            Self::Waiting => "waiting",
            Self::Moving => "moving data",
        }
    }

    /// What all its tasks do together.
    fn size(self, options: &Options) -> String {
        match self {
            Self::Computing => format!("primes below {}", options.primes_below),
            Self::Waiting => format!("{} ms", options.wait_ms),
            Self::Moving => format!("{} MiB", options.mib),
        }
    }

    fn tasks(self, options: &Options) -> Vec<Work> {
        let count = u32::from(options.tasks);
        let task = |n| match self {
            Self::Computing => {
                let size = options.primes_below.div_ceil(count);
                let begin = |n| options.primes_below.min(size.saturating_mul(n));
                Work::Compute(begin(n)..begin(n + 1))
            }
            Self::Waiting => Work::Wait(options.wait_of_one()),
            Self::Moving => Work::Move(vec![b'm'; options.bytes_of_one()]),
        };
        (0..count).map(task).collect()
    }
}

impl Options {
    fn wait_of_one(&self) -> Duration {
        Duration::from_millis(self.wait_ms.into()) / self.tasks.into()
    }

    fn bytes_of_one(&self) -> usize {
        (usize::from(self.mib) << 20) / usize::from(self.tasks)
    }
}

impl Work {
    /// In the picture.
    fn span(&self) -> Span {
        match self {
            Self::Compute(_) => span!("compute"),
            Self::Wait(_) => waiting!("wait"),
            Self::Move(_) => span!("move"),
        }
    }

    /// The address of its bytes, and how many there are.
    fn bytes(&self) -> (usize, usize) {
        match self {
            Self::Move(bytes) => (bytes.as_ptr().addr(), bytes.len()),
            _ => (0, 0),
        }
    }
}

/// All tasks of a kind, run in one way.
struct Run {
    kind: Kind,
    way: Way,
    time: Duration,
    /// Where the bytes were beforehand.
    places: Vec<(usize, usize)>,
    outcomes: Vec<Outcome<Work>>,
}

impl Run {
    fn result(&self) -> u64 {
        self.outcomes.iter().flatten().map(|seen| seen.result).sum()
    }

    /// How many bytes were read in another process, or at another address.
    fn copied(&self) -> usize {
        let here =
            |seen: &Seen| seen.process == who::process() && self.places.contains(&seen.bytes);
        let elsewhere = self.outcomes.iter().flatten().filter(|seen| !here(seen));
        elsewhere.map(|seen| seen.bytes.1).sum()
    }
}

fn judge(options: &Options, runs: &[Run]) {
    let failures = runs.iter().flat_map(|run| &run.outcomes);
    for failure in failures.filter_map(|outcome| outcome.as_ref().err()) {
        report!("a task failed: {failure}");
    }
    report!("measured on {}", who::machine());
    if cfg!(debug_assertions) {
        report!("a debug build; for true figures:");
        report!("cargo run --release -p pool-demo -- speed");
    }
    let of = |kind, way| {
        let runs = runs.iter();
        runs.filter(move |run| (run.kind, run.way) == (kind, way))
    };
    let times = KINDS
        .map(|kind| WAYS.map(|way| Measurement::of(of(kind, way).map(|run| run.time).collect())));
    for (kind, times) in KINDS.into_iter().zip(times) {
        show(kind, times, options);
    }

    let results = KINDS.map(|kind| WAYS.map(|way| of(kind, way).map(Run::result).sum::<u64>()));
    let expected = results.map(|[sequential, ..]| [sequential; 3]);
    check!(
        "each kind of work had the same results in all three ways",
        results.map(Value::from),
        expected.map(Value::from)
    );

    let copied = WAYS.map(|way| of(Kind::Moving, way).map(Run::copied).sum::<usize>());
    let [_, for_threads, for_processes] = copied;
    fact!("copied_for_threads_bytes", for_threads);
    fact!("copied_for_processes_bytes", for_processes);
    let all = usize::from(options.rounds) * usize::from(options.tasks) * options.bytes_of_one();
    check!(
        "every byte was copied to get to a process, and none to get to a thread",
        copied,
        [0, 0, all]
    );

    let [_, waiting, _] = times.map(|ways| ways.map(|way| way.shortest));
    let in_ms = |time: Duration| format!("{} ms", milliseconds(time));
    let (one, tasks) = (options.wait_of_one(), options.tasks);
    let sum = one * tasks.into();
    check!(
        "one after the other the tasks waited at least the sum of their times",
        in_ms(waiting[0]),
        waiting[0] >= sum,
        format!("{} or more", in_ms(sum))
    );
    let longest = one * tasks.div_ceil(options.workers).into();
    let together = waiting[1].min(waiting[2]);
    check!(
        "together they waited at least as long as the tasks of one thread or worker",
        in_ms(together),
        together >= longest,
        format!("{} or more", in_ms(longest))
    );
}

/// A table of the times of a kind of work; who was fastest, and why.
fn show(kind: Kind, times: [Measurement; 3], options: &Options) {
    report!("{}, median of {}", kind.name(), options.rounds);
    let name = kind.name().replace(' ', "_");
    let times = times.map(|of| of.median);
    let [fastest, slowest] = [times.iter().min(), times.iter().max()];
    let [fastest, slowest] = [fastest, slowest].map(|time| time.map_or(1, Duration::as_nanos));
    for (way, time) in WAYS.into_iter().zip(times) {
        let way = way.name();
        let speed_up = times[0].as_secs_f64() / time.as_secs_f64();
        let columns = usize::try_from(10 * time.as_nanos() / slowest.max(1));
        let bar = "█".repeat(columns.unwrap_or(0).max(1));
        report!("{way:<10} {:>8} {speed_up:>5.2}× {bar}", in_words(time));
        fact!("{name}_{way}_ms", milliseconds(time));
        fact!("{name}_{way}_speedup_ratio", speed_up);
    }
    // A tenth more may be chance.
    let are_fastest = times.map(|time| time.as_nanos() * 10 <= fastest * 11);
    let names = WAYS.into_iter().zip(are_fastest);
    let names = names.filter_map(|(way, is_fastest)| is_fastest.then_some(way.name()));
    let names = names.collect::<Vec<_>>().join(", ");
    report!("fastest: {names}");
    report!("why: {}", why(kind, are_fastest, options.workers));
    fact!("fastest_at_{name}", names);
    let [_, threads, processes] = times.map(|time| time.as_secs_f64());
    let faster = match processes / threads {
        ..0.9 => "processes",
        0.9..1.1 => ALIKE,
        _ => "threads",
    };
    fact!("faster_at_{name}", faster);
}

/// Why these were the fastest: one after the other, threads, processes. Whoever they
/// were, for the run may have been disturbed.
fn why(kind: Kind, fastest: [bool; 3], workers: u16) -> &'static str {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let one_by_one = workers == 1 || cpus == 1 && kind != Kind::Waiting;
    match (kind, fastest) {
        (Kind::Moving, [_, _, true]) => "chance: all was copied first",
        (Kind::Moving, [true, true, _]) => "both read the bytes in place",
        (Kind::Moving, [true, ..]) => "nothing copied, nothing handed out",
        (Kind::Moving, _) if one_by_one => "read in place; ahead by chance",
        (Kind::Moving, _) => "read in place, on several CPUs",
        (_, [true, ..]) if workers == 1 => "with one worker nothing overlaps",
        (_, [false, ..]) if one_by_one => "chance: no two ran at once",
        (Kind::Computing, [true, ..]) if cpus == 1 => "there is only one CPU",
        (Kind::Computing, [true, ..]) => "no free CPU, or too little to do",
        (Kind::Computing, [_, true, true]) => "several CPUs compute at once",
        (Kind::Computing, [_, true, _]) => "several CPUs, and nothing to send",
        (Kind::Computing, _) => "several CPUs; ahead by chance",
        (Kind::Waiting, [true, ..]) => "handing out took what it saved",
        (Kind::Waiting, [_, true, true]) => "waiting needs no CPU: it overlaps",
        (Kind::Waiting, [_, true, _]) => "it overlaps, and nothing is sent",
        (Kind::Waiting, _) => "it overlaps; ahead by chance",
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
