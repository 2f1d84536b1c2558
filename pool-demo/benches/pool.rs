//! The pool beside CPython's pools, in turn, round by round: how many times as fast.
//!
//! cargo bench -p pool-demo
//!
//! The machine should have nothing else to do. Without `--bench`, as `cargo test`
//! calls it, each measurement is only tried.

use pool_demo::{AsyncResult, Launcher, Pool, Task, worker};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use shared_core::{Context, Result, anyhow, ensure, who};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const ROUNDS: usize = 9;

/// As good as no work.
#[derive(Serialize, Deserialize)]
struct Increment(u64);

impl Task for Increment {
    type Output = u64;
    const NAME: &'static str = "increment";
    fn run(self) -> u64 {
        self.0 + 1
    }
}

/// 64 KiB there and back.
#[derive(Serialize, Deserialize)]
struct Block(#[serde(with = "serde_bytes")] Vec<u8>);

impl Task for Block {
    type Output = Self;
    const NAME: &'static str = "block";
    fn run(self) -> Self {
        self
    }
}

/// So many rounds of computing.
#[derive(Serialize, Deserialize)]
struct Compute(u64);

impl Task for Compute {
    type Output = u64;
    const NAME: &'static str = "compute";
    fn run(self) -> u64 {
        compute(self.0)
    }
}

/// Takes so many microseconds, and no CPU.
#[derive(Serialize, Deserialize)]
struct Wait(u64);

impl Task for Wait {
    type Output = ();
    const NAME: &'static str = "wait";
    fn run(self) {
        thread::sleep(Duration::from_micros(self.0));
    }
}

fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum, n| {
        black_box(sum ^ n).wrapping_mul(6_364_136_223_846_793_005)
    })
}

fn main() -> Result<ExitCode> {
    let tasks = [
        worker::of::<Increment>(),
        worker::of::<Block>(),
        worker::of::<Compute>(),
        worker::of::<Wait>(),
    ];
    if let Some(status) = worker::main(&tasks) {
        return Ok(status);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("nothing") => return Ok(ExitCode::SUCCESS),
        Some("delay") => return slow_link(&words[1..]),
        _ => {}
    }
    let bench = Bench {
        is_real: std::env::args().any(|arg| arg == "--bench"),
    };
    bench.beside_python()?;
    bench.beside_the_ideal()?;
    bench.behind_a_slow_link()?;
    Ok(ExitCode::SUCCESS)
}

fn own_program() -> Result<String> {
    let program = std::env::current_exe()?.into_os_string().into_string();
    program.map_err(|_| anyhow!("its path is not UTF-8"))
}

/// Runs a program behind a link on which each byte is on its way for so many
/// milliseconds, in both directions.
fn slow_link(words: &[String]) -> Result<ExitCode> {
    let (delay, command) = words.split_first().context("no delay")?;
    let delay = Duration::from_millis(delay.parse()?);
    let (program, args) = command.split_first().context("no program")?;
    let mut program = Command::new(program);
    let mut program = program
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (program.stdin.take(), program.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(anyhow!("no pipes"));
    };
    thread::spawn(move || carry(std::io::stdin(), stdin, delay));
    carry(stdout, std::io::stdout(), delay);
    Ok(ExitCode::from(u8::from(!program.wait()?.success())))
}

fn carry(mut from: impl Read + Send + 'static, mut to: impl Write, delay: Duration) {
    let (sender, pieces) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let arrives = Instant::now() + delay;
            if sender.send((arrives, bytes[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    for (arrives, piece) in pieces {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

struct Bench {
    /// Otherwise everything is done once, in the small, and nothing said of it.
    is_real: bool,
}

impl Bench {
    fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.is_real {
            println!("{what}");
        }
    }

    fn beside_python(&self) -> Result<()> {
        let mut python = if self.is_real { Python::start() } else { None };
        let pool = Pool::start(WORKERS)?;
        let blocks = Pool::start(WORKERS)?;
        let with = python
            .as_ref()
            .map_or("no python3", |python| &python.version);
        self.say(format_args!(
            "{}, {WORKERS} workers, {ROUNDS} rounds; {with}",
            who::machine()
        ));
        self.say(format_args!(
            "{:34} {:>9} {:>10} {:>16}",
            "µs a task, medians", "here", "Python", "times as fast"
        ));

        let mut map = |n| sum(pool.map((0..n).map(Increment), Some(1)), n);
        self.turn(
            "map, chunks of 1",
            &mut map,
            100_000,
            &mut python,
            ("map", 20_000),
        )?;
        let mut imap = |n| sum(pool.imap_unordered((0..n).map(Increment), 1), n);
        let theirs = ("imap_unordered", 20_000);
        self.turn(
            "imap_unordered, chunks of 1",
            &mut imap,
            100_000,
            &mut python,
            theirs,
        )?;
        let mut apply = |n| {
            let results = (0..n).map(|i| pool.apply_async(Increment(i)));
            let results: Vec<_> = results.collect();
            sum(results.into_iter().map(AsyncResult::get), n)
        };
        let theirs = ("apply_async", 10_000);
        self.turn("apply_async", &mut apply, 100_000, &mut python, theirs)?;
        let theirs = ("submit", 5_000);
        self.turn(
            "  ProcessPoolExecutor.submit",
            &mut apply,
            100_000,
            &mut python,
            theirs,
        )?;
        let mut map = |n| sum(pool.map((0..n).map(Increment), None), n);
        let theirs = ("map_default", 500_000);
        self.turn(
            "map, default chunks",
            &mut map,
            2_000_000,
            &mut python,
            theirs,
        )?;
        let mut there_and_back = |n| {
            let tasks = (0..n).map(|_| Block(vec![7; 1 << 16]));
            for block in blocks.imap_unordered(tasks, 1) {
                ensure!(block?.0.len() == 1 << 16, "another block");
            }
            Ok(())
        };
        let theirs = ("blocks", 1_000);
        self.turn(
            "64 KiB there and back",
            &mut there_and_back,
            10_000,
            &mut python,
            theirs,
        )?;

        blocks.join();
        pool.join();
        self.starting(&mut python)?;
        Ok(())
    }

    /// What it costs to have a pool.
    fn starting(&self, python: &mut Option<Python>) -> Result<()> {
        let mut start = |n| {
            for _ in 0..n {
                let pool = Pool::start(WORKERS)?;
                sum(pool.map((0..WORKERS as u64).map(Increment), Some(1)), 4)?;
                pool.join();
            }
            Ok(())
        };
        let theirs = ("start_and_stop", 1);
        self.turn(
            "start and stop, four workers",
            &mut start,
            20,
            python,
            theirs,
        )?;

        let pool = Pool::start(WORKERS)?;
        sum(pool.map((0..WORKERS as u64).map(Increment), Some(1)), 4)?;
        let pss = pool
            .workers()
            .into_iter()
            .filter_map(pss)
            .collect::<Vec<_>>();
        if let (Some(first), Some(python)) = (pss.first(), python) {
            let theirs = python.ask("pss", 1)?;
            self.say(format_args!(
                "{:34} {:>6.0} KB {:>7.0} KB {:>15.1}×",
                "an idle worker, PSS",
                first / 1e3,
                theirs / 1e3,
                theirs / first
            ));
        }
        pool.join();
        Ok(())
    }

    /// One measurement: ours and Python's in turn.
    fn turn(
        &self,
        what: &str,
        ours: &mut dyn FnMut(u64) -> Result<()>,
        n: u64,
        python: &mut Option<Python>,
        (name, python_n): (&str, u64),
    ) -> Result<()> {
        if !self.is_real {
            return ours(10);
        }
        ours(n)?; // the first one is not counted
        let (mut here, mut there, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            ours(n)?;
            here.push(start.elapsed().as_secs_f64() / n as f64);
            if let Some(python) = python {
                there.push(python.ask(name, python_n)? / python_n as f64);
                ratios.extend(here.last().zip(there.last()).map(|(a, b)| b / a));
            }
        }
        let (here, there) = (spread(here), spread(there));
        let [low, ratio, high] = spread(ratios);
        self.say(format_args!(
            "{what:34} {:>9.2} {:>10.2} {:>16}",
            here[1] * 1e6,
            there[1] * 1e6,
            format!("{ratio:.1} ({low:.1}–{high:.1})")
        ));
        Ok(())
    }

    fn beside_the_ideal(&self) -> Result<()> {
        let rounds = self.calibrate(Duration::from_micros(100));
        let pool = Pool::start(2)?;
        let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
        self.say(format_args!(
            "\n{:34} {:>38}",
            "two workers", "times as fast as one after the other"
        ));
        let small = if self.is_real { 20_000 } else { 10 };
        self.speedup("tasks of 100 µs, processes", small, rounds, &mut |n| {
            let tasks = (0..n).map(|_| Compute(rounds));
            for done in pool.imap_unordered(tasks, 1) {
                black_box(done?);
            }
            Ok(())
        })?;
        let (few, long) = if self.is_real {
            (64, 250 * rounds)
        } else {
            (2, 10)
        };
        self.speedup("1.6 s of computing, processes", few, long, &mut |n| {
            let tasks = (0..n).map(|_| Compute(long));
            for done in pool.imap_unordered(tasks, 1) {
                black_box(done?);
            }
            Ok(())
        })?;
        self.speedup("1.6 s of computing, rayon", few, long, &mut |n| {
            let sum = || (0..n).into_par_iter().map(|_| compute(long) & 1).sum();
            black_box::<u64>(threads.install(sum));
            Ok(())
        })?;
        pool.join();

        let exe = std::env::current_exe()?;
        let mut ratios = Vec::new();
        for _ in 0..if self.is_real { 50 } else { 1 } {
            let start = Instant::now();
            Pool::<Increment>::start(WORKERS)?.join();
            let ours = start.elapsed();
            let start = Instant::now();
            let spawn = || Command::new(&exe).arg("nothing").spawn();
            let children = (0..WORKERS).map(|_| spawn()).collect::<Vec<_>>();
            for child in children {
                child?.wait()?;
            }
            ratios.push(ours.as_secs_f64() / start.elapsed().as_secs_f64());
        }
        let [low, ratio, high] = spread(ratios);
        self.say(format_args!(
            "start and stop a pool of four: {ratio:.2} ({low:.2}–{high:.2}) times what four \
             processes cost that do nothing"
        ));
        Ok(())
    }

    /// The same tasks here, and on workers to which each byte is on its way for 20 ms.
    fn behind_a_slow_link(&self) -> Result<()> {
        let words = [own_program()?, "delay".to_owned(), "20".to_owned()];
        let launcher = Launcher::new(&shell_words::join(words))?;
        let here = Pool::start(2)?;
        let there = Pool::builder().workers(2).launcher(Some(&launcher));
        let there = there.start()?;
        let (tasks, rounds) = if self.is_real {
            (4_000, ROUNDS)
        } else {
            (10, 1)
        };
        let mut ratios = Vec::new();
        for _ in 0..=rounds {
            let mut times = Vec::new();
            for pool in [&here, &there] {
                let start = Instant::now();
                for done in pool.imap_unordered((0..tasks).map(|_| Wait(1000)), 1) {
                    done?;
                }
                times.push(start.elapsed().as_secs_f64());
            }
            ratios.push(times[0] / times[1]);
        }
        ratios.remove(0); // the first one is not counted
        let [low, ratio, high] = spread(ratios);
        self.say(format_args!(
            "tasks of 1 ms, each byte 20 ms on its way: {ratio:.2} ({low:.2}–{high:.2}) of the \
             throughput without that"
        ));
        here.join();
        there.join();
        Ok(())
    }

    /// How many rounds of computing take so long here.
    fn calibrate(&self, time: Duration) -> u64 {
        if !self.is_real {
            return 10;
        }
        let mut costs: Vec<f64> = Vec::new();
        for _ in 0..100 {
            let start = Instant::now();
            black_box(compute(100_000));
            costs.push(start.elapsed().as_secs_f64() / 1e5);
        }
        let [_, cost, _] = spread(costs);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let rounds = (time.as_secs_f64() / cost) as u64;
        rounds
    }

    /// `n` tasks of so many rounds, one after the other, and as `parallel` does them.
    fn speedup(
        &self,
        what: &str,
        n: u64,
        rounds: u64,
        parallel: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        parallel(n)?;
        let mut ratios = Vec::new();
        for _ in 0..if self.is_real { ROUNDS } else { 1 } {
            let start = Instant::now();
            (0..n).for_each(|_| _ = black_box(compute(rounds)));
            let alone = start.elapsed().as_secs_f64();
            let start = Instant::now();
            parallel(n)?;
            ratios.push(alone / start.elapsed().as_secs_f64());
        }
        let [low, ratio, high] = spread(ratios);
        self.say(format_args!(
            "{what:34} {:>38}",
            format!("{ratio:.2} ({low:.2}–{high:.2})")
        ));
        Ok(())
    }
}

/// The least, the median, the greatest.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    [
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1)),
    ]
}

/// Each task came back, with what it should have returned.
fn sum(
    outcomes: impl IntoIterator<Item = std::result::Result<u64, pool_demo::Failure>>,
    n: u64,
) -> Result<()> {
    let mut sum = 0;
    for outcome in outcomes {
        sum += outcome?;
    }
    ensure!(sum == n * (n + 1) / 2, "another sum: {sum}");
    Ok(())
}

/// The memory of a process that is its own, and its part of what it shares, in bytes
/// (`/proc/PID/smaps_rollup`, proc(5)).
fn pss(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// CPython, which does the same when asked.
struct Python {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    version: String,
}

impl Python {
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pools.py");
        let mut command = Command::new("python3");
        command.arg(script).stdin(Stdio::piped());
        let mut process = command.stdout(Stdio::piped()).spawn().ok()?;
        let (to, from) = (process.stdin.take()?, process.stdout.take()?);
        let mut python = Self {
            process,
            to: Some(to),
            from: BufReader::new(from),
            version: String::new(),
        };
        python.version = python.line().ok()?;
        Some(python)
    }

    /// How many seconds that took.
    fn ask(&mut self, what: &str, n: u64) -> Result<f64> {
        let to = self.to.as_mut().context("python3 has no input")?;
        writeln!(to, "{what} {n}").context("python3")?;
        let line = self.line()?;
        line.parse().map_err(|_| anyhow!("python3 said {line:?}"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line).context("python3")?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Its pools end when its input does; killed, it would leave workers.
        self.to = None;
        let _ = self.process.wait();
    }
}
