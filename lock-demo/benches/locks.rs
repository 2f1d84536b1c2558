//! Short critical sections under every kind of protection, beside pthread_mutex in C, in
//! turn, round by round: how long an addition takes, and how many times as long as in C.
//!
//! cargo bench -p lock-demo
//!
//! The machine should have nothing else to do. Needs cc. Without `--bench`, as
//! `cargo test` calls it, each measurement is only tried.

#[cfg(target_os = "linux")]
fn main() -> shared_core::Result<()> {
    linux::main()
}

/// Elsewhere C would need another mutex.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use crossbeam::channel;
    use parking_lot::{FairMutex, Mutex, RwLock};
    use shared_core::{Context, Result, anyhow, ensure, who};
    use std::hint::black_box;
    use std::io::{BufRead, BufReader, Write};
    use std::panic::resume_unwind;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Barrier, PoisonError};
    use std::thread;
    use std::time::Instant;

    const ROUNDS: usize = 11;
    const THREADS: [u32; 4] = [1, 2, 4, 8];

    /// What it is called, how many additions all threads make in a round, and who makes
    /// them: how many threads, how many times each; returns the seconds.
    type Row = (&'static str, u32, fn(u32, u32) -> Result<f64>);

    const ROWS: [Row; 9] = [
        ("std Mutex", 400_000, std_mutex),
        ("parking_lot Mutex", 400_000, mutex),
        ("parking_lot FairMutex", 100_000, fair_mutex),
        ("std RwLock", 400_000, std_rw_lock),
        ("parking_lot RwLock", 400_000, rw_lock),
        ("atomic add", 800_000, atomic_add),
        ("compare and swap", 800_000, compare_and_swap),
        ("channel", 100_000, through_a_channel),
        ("total per thread", 10_000_000, total_per_thread),
    ];
    /// How many the C program makes.
    const IN_C: u32 = 400_000;

    pub fn main() -> Result<()> {
        let cpus = who::cpus().unwrap_or_default();
        let cpus = cpus.iter().map(ToString::to_string);
        let mut c = Other::start(Command::new(compiled()?).args(cpus))?;
        let is_real = std::env::args().any(|arg| arg == "--bench");
        if !is_real {
            c.ask(2, 10)?;
            return ROWS.iter().try_for_each(|(.., add)| add(2, 10).map(drop));
        }
        println!(
            "{}; {ROUNDS} rounds; ns an addition, medians;",
            who::machine()
        );
        println!("in brackets: times as long as pthread_mutex in C, with quartiles\n");
        for threads in THREADS {
            let mut times = [const { Vec::new() }; ROWS.len()];
            let mut in_c = Vec::new();
            for round in 0..=ROUNDS {
                let each = |all: u32| all / threads;
                let ns = |seconds: f64, all: u32| seconds * 1e9 / f64::from(each(all) * threads);
                let c = ns(c.ask(threads, each(IN_C))?, IN_C);
                let mut here = [0.0; ROWS.len()];
                for ((_, all, add), here) in ROWS.iter().zip(&mut here) {
                    *here = ns(add(threads, each(*all))?, *all);
                }
                if round > 0 {
                    in_c.push(c); // what came before is a warm-up
                    times
                        .iter_mut()
                        .zip(here)
                        .for_each(|(times, here)| times.push(here));
                }
            }
            let plural = if threads == 1 { "" } else { "s" };
            println!("{threads} thread{plural}");
            println!(
                "  {:22} {:>8.1}",
                "pthread_mutex in C",
                quartiles(in_c.clone())[1]
            );
            for ((name, ..), times) in ROWS.iter().zip(times) {
                let ratios = times.iter().zip(&in_c).map(|(here, c)| here / c).collect();
                let [low, ratio, high] = quartiles(ratios);
                let median = quartiles(times)[1];
                println!("  {name:22} {median:>8.1}   {ratio:.2} ({low:.2} to {high:.2})");
            }
        }
        Ok(())
    }

    fn std_mutex(threads: u32, times: u32) -> Result<f64> {
        let balance = std::sync::Mutex::new(0);
        let add = || *balance.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let time = in_threads(threads, times, add)?;
        let balance = balance.into_inner().unwrap_or_else(PoisonError::into_inner);
        right(time, balance, threads * times)
    }

    fn mutex(threads: u32, times: u32) -> Result<f64> {
        let balance = Mutex::new(0);
        let time = in_threads(threads, times, || *balance.lock() += 1)?;
        right(time, balance.into_inner(), threads * times)
    }

    fn fair_mutex(threads: u32, times: u32) -> Result<f64> {
        let balance = FairMutex::new(0);
        let time = in_threads(threads, times, || *balance.lock() += 1)?;
        right(time, balance.into_inner(), threads * times)
    }

    fn std_rw_lock(threads: u32, times: u32) -> Result<f64> {
        let balance = std::sync::RwLock::new(0);
        let add = || *balance.write().unwrap_or_else(PoisonError::into_inner) += 1;
        let time = in_threads(threads, times, add)?;
        let balance = balance.into_inner().unwrap_or_else(PoisonError::into_inner);
        right(time, balance, threads * times)
    }

    fn rw_lock(threads: u32, times: u32) -> Result<f64> {
        let balance = RwLock::new(0);
        let time = in_threads(threads, times, || *balance.write() += 1)?;
        right(time, balance.into_inner(), threads * times)
    }

    fn atomic_add(threads: u32, times: u32) -> Result<f64> {
        let balance = AtomicU64::new(0);
        let add = || _ = balance.fetch_add(1, Relaxed);
        let time = in_threads(threads, times, add)?;
        right(time, balance.into_inner(), threads * times)
    }

    fn compare_and_swap(threads: u32, times: u32) -> Result<f64> {
        let balance = AtomicU64::new(0);
        let add = || {
            let mut seen = balance.load(Relaxed);
            while let Err(now) = balance.compare_exchange_weak(seen, seen + 1, Relaxed, Relaxed) {
                seen = now;
            }
        };
        let time = in_threads(threads, times, add)?;
        right(time, balance.into_inner(), threads * times)
    }

    fn through_a_channel(threads: u32, times: u32) -> Result<f64> {
        let (sender, receiver) = channel::bounded(100);
        thread::scope(|scope| {
            let owner = thread::Builder::new().spawn_scoped(scope, move || receiver.iter().sum());
            let owner = owner.context("failed to start the owner's thread")?;
            let time = in_threads(threads, times, || _ = sender.send(1));
            drop(sender); // the end, for the owner
            let balance = owner.join().unwrap_or_else(|panic| resume_unwind(panic));
            right(time?, balance, threads * times)
        })
    }

    fn total_per_thread(threads: u32, times: u32) -> Result<f64> {
        let balance = AtomicU64::new(0);
        let time = spans(threads, || {
            let total = (0..times).fold(0, |total, _| black_box(total + 1));
            balance.fetch_add(total, Relaxed);
        })?;
        right(time, balance.into_inner(), threads * times)
    }

    /// Lets each thread add so often, and returns the seconds from the first beginning to
    /// the last end.
    fn in_threads(threads: u32, times: u32, add: impl Fn() + Sync) -> Result<f64> {
        spans(threads, || {
            for _ in 0..times {
                add();
            }
        })
    }

    fn spans(threads: u32, work: impl Fn() + Sync) -> Result<f64> {
        let cpus = who::cpus().unwrap_or_default();
        let all_are_here = Barrier::new(threads as usize);
        let work = |number: usize| {
            // On different CPUs: packed on one, threads seldom meet.
            if let Some(cpu) = cpus.get(number % cpus.len().max(1)) {
                let _ = who::stay_on(&[*cpu]);
            }
            all_are_here.wait();
            let begin = Instant::now();
            work();
            (begin, Instant::now())
        };
        let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
            // A panic if one cannot be started: the others would wait for it.
            let work = &work;
            let start = |number| scope.spawn(move || work(number));
            let threads: Vec<_> = (0..threads as usize).map(start).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        let begin = spans.iter().map(|(begin, _)| *begin).min();
        let end = spans.iter().map(|(_, end)| *end).max();
        let (begin, end) = begin.zip(end).context("no threads")?;
        Ok((end - begin).as_secs_f64())
    }

    /// The time, if the balance is right.
    fn right(time: f64, balance: u64, added: u32) -> Result<f64> {
        ensure!(
            balance == u64::from(added),
            "{balance} after {added} additions"
        );
        Ok(time)
    }

    /// The C program, built by cc.
    fn compiled() -> Result<&'static str> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/locks.c");
        let program = concat!(env!("CARGO_TARGET_TMPDIR"), "/locks-in-c");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Werror", "-pthread", "-o", program, source]);
        let status = cc.status().context("failed to run cc")?;
        ensure!(status.success(), "cc {source}: {status}");
        Ok(program)
    }

    /// The C program, which adds when asked.
    struct Other {
        process: Child,
        to: Option<ChildStdin>,
        from: BufReader<ChildStdout>,
    }

    impl Other {
        fn start(command: &mut Command) -> Result<Self> {
            let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut process = piped.spawn().context("failed to run the C program")?;
            let (to, from) = (process.stdin.take(), process.stdout.take());
            let mut other = Self {
                to,
                from: BufReader::new(from.context("no stdout")?),
                process,
            };
            ensure!(other.line()? == "C", "the C program said something else");
            Ok(other)
        }

        /// How many seconds that took.
        fn ask(&mut self, threads: u32, times: u32) -> Result<f64> {
            let to = self.to.as_mut().context("no stdin")?;
            writeln!(to, "{threads} {times}").context("failed to write to the C program")?;
            let line = self.line()?;
            line.parse()
                .map_err(|_| anyhow!("the C program said {line:?}"))
        }

        fn line(&mut self) -> Result<String> {
            let mut line = String::new();
            self.from
                .read_line(&mut line)
                .context("failed to read from the C program")?;
            Ok(line.trim().to_owned())
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            self.to = None; // the end of its input is its end
            let _ = self.process.wait();
        }
    }

    fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
        values.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
    }
}
