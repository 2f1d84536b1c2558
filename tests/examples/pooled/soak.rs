//! Many tasks, while workers are killed and stopped at random moments.

use crate::acts::{Act, pool};
use crate::watchdog::step;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pool_demo::{Failure, Pool};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

static SETTLED: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// `soak TASKS SEED`
pub fn soak(args: &[String]) {
    let mut numbers = args.iter().filter_map(|arg| arg.parse().ok());
    let tasks: u64 = numbers.next().unwrap_or(100_000);
    let mut random = Random(numbers.next().unwrap_or(1) * 2 + 1);
    let pool = pool(4);
    thread::scope(|scope| {
        let killer = scope.spawn(|| kill_workers(&pool, &mut random));
        let (mut results, mut failures) = (0, 0);
        for (number, outcome) in (0..).zip(pool.imap((0..tasks).map(Act::Square), 1)) {
            match outcome {
                Ok(square) => {
                    assert_eq!(square, number * number);
                    results += 1;
                }
                Err(Failure::WorkerDied { how, .. }) => {
                    assert_eq!(how, "signal: 9 (SIGKILL)");
                    failures += 1;
                }
                Err(other) => panic!("{other}"),
            }
            SETTLED.fetch_add(1, Relaxed);
            if number % 100 == 0 {
                step();
            }
        }
        DONE.store(true, Relaxed);
        let (kills, stops) = killer.join().expect("no panic");
        println!("{results} results, {failures} failures, {kills} kills, {stops} stops");
        assert_eq!(results + failures, tasks);
        assert!(failures <= kills);
    });
    pool.join();
    assert!(crate::deaths::children().is_empty());
}

/// Kills and stops workers until all is done; how many of each.
fn kill_workers(pool: &Pool<Act>, random: &mut Random) -> (u64, u64) {
    let (mut kills, mut stops) = (0, 0);
    while !DONE.load(Relaxed) {
        thread::sleep(Duration::from_micros(random.below(5_000)));
        let workers = pool.workers();
        let worker = workers.iter().cycle().nth(random.choose(4));
        let Some(worker) = worker else { continue };
        let send = |signal| kill(Pid::from_raw(worker.cast_signed()), signal).is_ok();
        if random.below(2) == 0 {
            // Only when something has been done meanwhile: on a machine so busy
            // that no worker becomes ready between two kills nothing ever is.
            if SETTLED.swap(0, Relaxed) > 0 {
                kills += u64::from(send(Signal::SIGKILL));
            }
        } else if send(Signal::SIGSTOP) {
            stops += 1;
            thread::sleep(Duration::from_micros(random.below(3_000)));
            send(Signal::SIGCONT); // it may have ended
        }
    }
    (kills, stops)
}

/// Numbers after Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn choose(&mut self, among: usize) -> usize {
        (0..among)
            .rfind(|index| self.below(1 + *index as u64) == 0)
            .unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
