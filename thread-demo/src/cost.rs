//! What it costs to have something run: by a call, a task, a thread, a fork, a program.
//! (notes 24, 27)
//!
//! cargo run -p thread-demo -- cost --heap-mib 0,64,256
//!
//! To copy: examples/cost.rs, a thread beside a process, with medians only.

#[cfg(unix)]
use nix::{libc, sys::wait::waitpid, unistd::Pid};
use rayon::{ThreadPool, ThreadPoolBuilder};
use shared_core::again::{Again, say, this_program};
use shared_core::cli::Question;
use shared_core::report::Input;
use shared_core::timing::{Measurement, in_words};
use shared_core::{Context, Result, check, ensure, fact, report, span, who};
use std::fs;
use std::hint::black_box;
use std::io::{BufRead, Read};
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// A thread costs far less than a process, a fork ever more
///
/// A new thread needs a stack and an entry in the scheduler; it shares memory and open
/// files (pthreads(7)). fork() copies no memory, but the tables of all pages that there
/// are (fork(2)): so it grows with what its process has touched. A program that is
/// started begins with an empty memory, but is loaded and linked first (execve(2)).
/// (Each figure is the median of the rounds, with its quartiles; in each round all take
/// turns, so what disturbs one disturbs the others.)
///
/// Try: cargo run -p thread-demo -- cost --heap-mib 0,1,16,256,1024 --rounds 10
#[derive(clap::Args)]
pub struct Options {
    /// How often each is measured (5 to 10000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(5..=10_000))]
    rounds: u16,
    /// How many MiB the heap of a process has that forks, or starts a program, a
    /// size for each such process (0 to 1024)
    #[arg(long, value_delimiter = ',', default_value = "0,64,256",
          allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=1024))]
    heap_mib: Vec<u16>,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "How many threads can be started and joined in the time that one program takes?",
        choices: &["one", "a few", "ten or more"],
        fact: "threads_in_the_time_of_a_program",
        is_a_race: true, // a measurement
    },
    Question {
        text: "A process has the largest of these heaps: {heap_mib} MiB. Which takes longer?",
        choices: &["to fork it", "to start a program"],
        fact: "longer_with_the_largest_heap",
        is_a_race: true,
    },
];

pub fn run(options: &Options) -> Result<()> {
    // They measure, each in a process of its own: who forks has no other thread, and
    // no other heap.
    let mut helpers = vec![Helper::start("threads", 0)?];
    let mut rungs: Vec<Rung> = ["call", "rayon task", "thread"].map(Rung::of).into();
    for mib in &options.heap_mib {
        helpers.push(Helper::start(&format!("{mib} MiB"), *mib)?);
        let helper = helpers.len() - 1;
        for what in PROCESSES {
            rungs.push(Rung {
                helper,
                mib: Some(*mib),
                ..Rung::of(what)
            });
        }
    }
    report!("I ask {} processes in turn", helpers.len());
    let measuring = span!("measure");
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds <= options.rounds || !is_clear(&rungs, options) && start.elapsed() < MOST_TIME {
        for rung in &mut rungs {
            let time = helpers[rung.helper].measure(rung.what)?;
            if rounds > 0 {
                rung.times.push(time); // what came before is a warm-up
            }
        }
        rounds += 1;
    }
    measuring.end();
    let idle = idle_memory(&mut helpers[0])?;
    for helper in helpers {
        helper.0.end()?;
    }
    judge(options, rungs, idle);
    Ok(())
}

/// What is measured besides threads: a process made by fork, and one that executes a
/// program.
const PROCESSES: &[&str] = if cfg!(unix) {
    &["fork", "spawn"]
} else {
    &["spawn"]
};

/// What runs in a helper: it is told what to measure, and answers in nanoseconds.
pub fn help(mut input: Input) -> Result<()> {
    let mut heap = Vec::new();
    let mut rayon = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).context("failed to read")? == 0 {
            return Ok(());
        }
        let answer = match line.trim() {
            "call" => each(100_000, call)?,
            "rayon task" => {
                let pool = match rayon.take() {
                    Some(pool) => pool,
                    None => ThreadPoolBuilder::new()
                        .build()
                        .context("failed to start threads")?,
                };
                let time = each(100, || rayon_task(&pool))?;
                rayon = Some(pool);
                time
            }
            "thread" => each(1, a_thread)?,
            #[cfg(unix)]
            "fork" => each(1, fork)?,
            "spawn" => each(1, spawn)?,
            "idle threads" => memory_of_idle_threads()?,
            mib => {
                let mib = mib.parse().context("failed to read a number")?;
                heap = touched(mib)?;
                heap.len() as u128
            }
        };
        say(answer);
        black_box(&heap);
    }
}

/// How long one of `times` takes, in nanoseconds.
fn each(times: u32, mut work: impl FnMut() -> Result<()>) -> Result<u128> {
    let start = Instant::now();
    for _ in 0..times {
        work()?;
    }
    Ok((start.elapsed() / times).as_nanos())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the others")]
fn call() -> Result<()> {
    fn nothing() {}
    black_box(nothing as fn())();
    Ok(())
}

/// A task for threads that are there already.
#[expect(clippy::unnecessary_wraps, reason = "the shape of the others")]
fn rayon_task(pool: &ThreadPool) -> Result<()> {
    pool.scope(|scope| scope.spawn(|_| ())); // it returns when the task has ended
    Ok(())
}

fn a_thread() -> Result<()> {
    let thread = thread::Builder::new().spawn(|| ());
    let thread = thread.context("failed to start a thread")?;
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(())
}

#[cfg(unix)]
fn fork() -> Result<()> {
    // SAFETY: this process has one thread; and the child only leaves.
    match unsafe { libc::fork() } {
        // SAFETY: _exit takes a number and does not return.
        0 => unsafe { libc::_exit(0) },
        -1 => Err(std::io::Error::last_os_error()).context("fork"),
        child => {
            waitpid(Pid::from_raw(child), None).context("failed to wait for a child")?;
            Ok(())
        }
    }
}

fn spawn() -> Result<()> {
    let child = Command::new(this_program()?).arg(NOTHING).spawn();
    let status = child.context("failed to start a process")?.wait();
    let status = status.context("failed to wait for a process")?;
    ensure!(status.success(), "the process did not do nothing: {status}");
    Ok(())
}

/// What the process is started with.
const NOTHING: &str = "nothing";

/// What runs in the process: no more than in the thread.
pub fn is_to_do_nothing() -> bool {
    std::env::args_os().skip(1).eq([NOTHING])
}

// A first reading may skip the rest.

/// A process that measures.
struct Helper(Again);

impl Helper {
    fn start(role: &str, mib: u16) -> Result<Self> {
        let mut helper = Self(Again::start(role, "cost")?);
        helper.ask(format_args!("{mib}"))?;
        Ok(helper)
    }

    fn measure(&mut self, what: &str) -> Result<Duration> {
        Ok(Duration::from_nanos(self.ask(format_args!("{what}"))?))
    }

    fn ask(&mut self, what: std::fmt::Arguments<'_>) -> Result<u64> {
        self.0.send(what)?;
        let line = self.0.line()?;
        line.parse()
            .with_context(|| format!("failed to measure {what}"))
    }
}

/// What is measured, where, and how long it took.
struct Rung {
    what: &'static str,
    /// The number of the helper.
    helper: usize,
    mib: Option<u16>,
    times: Vec<Duration>,
}

impl Rung {
    fn of(what: &'static str) -> Self {
        Self {
            what,
            helper: 0,
            mib: None,
            times: Vec::new(),
        }
    }

    fn name(&self) -> String {
        match self.mib {
            Some(mib @ 1..) => format!("{}, {mib} MiB", self.what),
            _ => self.what.to_owned(),
        }
    }
}

/// So much memory, each page of it written to once, and none of them a huge one: those
/// need few tables (PR_SET_THP_DISABLE, prctl(2); Linux).
fn touched(mib: usize) -> Result<Vec<u8>> {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true); // an old kernel: fork is cheaper
    let reserved = Vec::<u8>::new().try_reserve_exact(mib << 20);
    reserved.with_context(|| format!("failed to reserve {mib} MiB"))?;
    let mut heap = vec![0; mib << 20];
    for page in heap.chunks_mut(4096) {
        page[0] = 1;
    }
    Ok(heap)
}

/// The memory of a process that is its own, and its part of what it shares, in bytes
/// (PSS, proc_pid_smaps(5)); none where the system does not tell.
fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

const IDLE_THREADS: u32 = 16;
const IDLE_PROCESSES: u32 = 4;

/// What an idle thread needs, in bytes; 0 where the system does not tell.
fn memory_of_idle_threads() -> Result<u128> {
    let before = pss(who::pid());
    let (begins, begun) = channel();
    let threads = thread::scope(|scope| {
        let mut stops = Vec::new();
        for _ in 0..IDLE_THREADS {
            let (stop, told_to_stop) = channel::<()>();
            let begins = begins.clone();
            let thread = thread::Builder::new().spawn_scoped(scope, move || {
                let _ = begins.send(());
                let _ = told_to_stop.recv();
            });
            thread.context("failed to start a thread")?;
            stops.push(stop); // dropped at the end of this function: then they end
        }
        let _ = begun.iter().take(IDLE_THREADS as usize).count();
        Ok::<_, shared_core::Error>(pss(who::pid()))
    })?;
    let more = threads
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    Ok(more.map_or(0, |more| u128::from(more) / u128::from(IDLE_THREADS)))
}

/// What an idle process does.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a part")]
pub fn idle(mut input: Input) -> Result<()> {
    say(who::pid());
    let _ = input.read(&mut [0]); // the end
    Ok(())
}

/// The memory of an idle thread and of an idle process, in bytes.
fn idle_memory(helper: &mut Helper) -> Result<Option<[u64; 2]>> {
    let thread = helper.ask(format_args!("idle threads"))?;
    let idle = |n| Again::start(&format!("idle {n}"), "idle");
    let mut processes = (1..=IDLE_PROCESSES).map(idle).collect::<Result<Vec<_>>>()?;
    let mut sum = Some(0);
    // Each says its PID, and waits; what they share is counted when all are there.
    let lines = processes
        .iter_mut()
        .map(Again::line)
        .collect::<Result<Vec<_>>>()?;
    for pid in lines {
        let pss = pss(pid.parse().context("failed to read a PID")?);
        sum = sum.zip(pss).map(|(sum, pss)| sum + pss);
    }
    for process in processes {
        process.end()?;
    }
    Ok(sum
        .filter(|_| thread > 0)
        .map(|sum| [thread, sum / u64::from(IDLE_PROCESSES)]))
}

/// How long rounds are added while a busy machine hides what is to be seen.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Whether the shortest times are in the order that is judged. (The more there are, the
/// less was the least disturbed one disturbed.)
fn is_clear(rungs: &[Rung], options: &Options) -> bool {
    let shortest = |what: &str, mib: Option<u16>| {
        let is_it = |rung: &&Rung| rung.what == what && rung.mib == mib;
        rungs.iter().find(is_it)?.times.iter().min().copied()
    };
    let below =
        |one: Option<Duration>, other| one.zip(other).is_none_or(|(one, other)| one < other);
    let (smallest, largest) = (options.heap_mib.iter().min(), options.heap_mib.iter().max());
    let (smallest, largest) = (smallest.copied(), largest.copied());
    let thread = shortest("thread", None);
    let [fork, spawn] = ["fork", "spawn"].map(|what| shortest(what, smallest));
    let [large_fork, large_spawn] = ["fork", "spawn"].map(|what| shortest(what, largest));
    let heap_is_seen =
        || below(fork, large_fork) && below(fork, spawn) && below(large_spawn, large_fork);
    let is_judged = largest
        .zip(smallest)
        .is_some_and(|(l, s)| l - s >= MIB_TO_SEE_IT);
    below(thread, fork) && below(thread, spawn) && (!is_judged || heap_is_seen())
}

fn judge(options: &Options, rungs: Vec<Rung>, idle: Option<[u64; 2]>) {
    let measured = |mut rung: Rung| {
        let times = std::mem::take(&mut rung.times);
        (rung, Measurement::of(times))
    };
    let rungs: Vec<(Rung, Measurement)> = rungs.into_iter().map(measured).collect();
    let rounds = rungs.first().map_or(0, |(_, measured)| measured.runs);
    fact!("rounds", rounds);
    report!("measured on {}", who::machine());
    for (rung, measured) in &rungs {
        report::measured(&rung.name(), measured);
    }

    let of = |what: &str, mib: Option<u16>| {
        let is_it = |(rung, _): &&(Rung, Measurement)| rung.what == what && rung.mib == mib;
        rungs.iter().find(is_it).map(|(_, measured)| *measured)
    };
    let (smallest, largest) = (options.heap_mib.iter().min(), options.heap_mib.iter().max());
    let (smallest, largest) = (smallest.copied(), largest.copied());
    let thread = of("thread", None);
    if let Some((thread, spawn)) = thread.zip(of("spawn", smallest)) {
        let ratio = spawn.median.as_secs_f64() / thread.median.as_secs_f64();
        report!("a program: as long as {ratio:.1} threads");
        fact!("program_per_thread_ratio", ratio);
        let threads = match ratio {
            ..2.0 => "one",
            2.0..10.0 => "a few",
            _ => "ten or more",
        };
        fact!("threads_in_the_time_of_a_program", threads);
        // On a busy machine a new thread may wait for its turn, again and again; the
        // shortest of all times is the one that was least disturbed.
        check!(
            "a thread, started and joined, takes less time than a program",
            in_words(thread.shortest),
            thread.shortest < spawn.shortest,
            format!("less than {}", in_words(spawn.shortest))
        );
    }
    if let Some((thread, fork)) = thread.zip(of("fork", smallest)) {
        let ratio = fork.median.as_secs_f64() / thread.median.as_secs_f64();
        report!("a fork: as long as {ratio:.1} threads");
        fact!("fork_per_thread_ratio", ratio);
        check!(
            "it takes less than a fork, too",
            in_words(thread.shortest),
            thread.shortest < fork.shortest,
            format!("less than {}", in_words(fork.shortest))
        );
    }
    judge_forks(
        [of("fork", smallest), of("spawn", smallest)],
        [of("fork", largest), of("spawn", largest)],
        largest.unwrap_or(0) - smallest.unwrap_or(0),
    );
    match idle {
        Some([thread, process]) => {
            report!(
                "an idle thread: {} KiB, process: {}",
                thread >> 10,
                process >> 10
            );
            fact!("idle_thread_kib", thread >> 10);
            fact!("idle_process_kib", process >> 10);
            check!(
                "an idle thread needs less memory than an idle process",
                format!("{} KiB", thread >> 10),
                thread < process,
                format!("less than {} KiB", process >> 10)
            );
        }
        None => report!("this system does not tell the memory"),
    }
}

/// What the heap does to a fork, if there is one, and to the start of a program. With
/// less than that between the two a busy machine may hide it.
const MIB_TO_SEE_IT: u16 = 64;

fn judge_forks(
    [small_fork, small_spawn]: [Option<Measurement>; 2],
    [large_fork, large_spawn]: [Option<Measurement>; 2],
    more_mib: u16,
) {
    let all = small_fork.zip(small_spawn).zip(large_fork.zip(large_spawn));
    let Some(((small_fork, small_spawn), (large_fork, large_spawn))) = all else {
        return; // there is no fork here
    };
    let longer = large_fork.median > large_spawn.median;
    let longer = if longer {
        "to fork it"
    } else {
        "to start a program"
    };
    fact!("longer_with_the_largest_heap", longer);
    if more_mib < MIB_TO_SEE_IT {
        return;
    }
    let shortest = |of: Measurement| in_words(of.shortest);
    check!(
        "a fork takes longer with the largest heap than with the smallest",
        shortest(large_fork),
        large_fork.shortest > small_fork.shortest,
        format!("more than {}", shortest(small_fork))
    );
    check!(
        "with the smallest it takes less time than a program, with the largest more",
        vec![shortest(small_fork), shortest(large_fork)],
        small_fork.shortest < small_spawn.shortest && large_fork.shortest > large_spawn.shortest,
        format!(
            "less than {}, more than {}",
            shortest(small_spawn),
            shortest(large_spawn)
        )
    );
}
