//! All threads ask for one lock, and at most one of them holds it at any time. (note 20)
//!
//! cargo run -p lock-demo -- exclusive --threads 8
//!
//! To copy: examples/exclusive.rs, the same with std's Mutex.

use crossbeam::sync::WaitGroup;
use parking_lot::Mutex;
use shared_core::cli::Question;
use shared_core::report::{events, fact, require};
use shared_core::timeline::{Span, Timeline};
use shared_core::{Context, Result, check, fact, report, span, waiting};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// At most one thread holds the lock, however many ask
///
/// lock() returns when no other thread holds the lock; until then the thread that asked
/// sleeps, and uses no CPU (pthread_mutex_lock(3p), futex(2)). So between lock() and
/// unlock() a thread is alone: mutual exclusion. The lock decides who comes next: it
/// need not be the one that has waited longest.
///
/// Try: cargo run -p lock-demo -- exclusive --threads 4 --hold-ms 20
#[derive(clap::Args)]
pub struct Options {
    /// How many threads (2 to 32)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(2..=32))]
    threads: u16,
    /// How long each holds the lock, in ms (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    hold_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "{threads} threads ask for one lock at the same time. How many hold it at once, at most?",
    choices: &[],
    fact: "most_holders",
    is_a_race: false,
}];

pub fn run(options: &Options) -> Result<()> {
    let hold = Duration::from_millis(options.hold_ms.into());
    let lock = Mutex::new(());
    let (asked, holders) = (AtomicU16::new(0), AtomicU16::new(0));
    // What runs in each thread.
    let ask_and_hold = |about_to_ask: WaitGroup| {
        let (begin, waiting) = (Instant::now(), waiting!("wait"));
        asked.fetch_add(1, SeqCst);
        drop(about_to_ask);
        let guard = lock.lock();
        // From here on this thread is alone, until `guard` is dropped.
        waiting.end();
        let waited = begin.elapsed();
        let holding = span!("hold");
        let holders_now = holders.fetch_add(1, SeqCst) + 1; // with this one
        thread::sleep(hold);
        holders.fetch_sub(1, SeqCst);
        holding.end();
        drop(guard);
        (waited, holders_now)
    };

    let guard = lock.lock(); // until all threads ask for it
    let seen = thread::scope(|scope| {
        let all_ask = WaitGroup::new();
        let start = |number| {
            let (work, about_to_ask) = (&ask_and_hold, all_ask.clone());
            let thread = thread::Builder::new().name(format!("thread {number}"));
            thread.spawn_scoped(scope, move || work(about_to_ask))
        };
        let threads: Vec<_> = (1..=options.threads).map(start).collect();
        all_ask.wait();
        fact!("asked_at_once", asked.load(SeqCst));
        drop(guard);
        let _joining = waiting!("join");
        let mut seen = Vec::new();
        for (number, thread) in (1..).zip(threads) {
            let all = options.threads;
            let thread =
                thread.with_context(|| format!("failed to start thread {number} of {all}"))?;
            seen.push(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        Ok::<_, shared_core::Error>(seen)
    })?;
    judge(options, &seen)
}

// A first reading may skip the rest.

/// Judges how long each thread waited, and how many held the lock then.
fn judge(options: &Options, seen: &[(Duration, u16)]) -> Result<()> {
    let Options { threads, hold_ms } = *options;
    let mut in_order: Vec<(Duration, usize)> = seen
        .iter()
        .zip(1..)
        .map(|((waited, _), number)| (*waited, number))
        .collect();
    in_order.sort_unstable();
    report!("in the order in which they got it:");
    for (waited, number) in &in_order {
        let waited = waited.as_secs_f64() * 1e3;
        report!("thread {number:<2} waited {waited:>8.3} ms");
        fact(format_args!("thread_{number}_waited_ms"), waited);
    }
    let most = seen.iter().map(|(_, holders)| *holders).max().unwrap_or(0);
    report!("most threads that held it at once: {most}");
    fact!("most_holders", most);
    check!(
        "all threads had asked for the lock before the first one got it",
        require("asked_at_once"),
        threads
    );
    check!("never did more than one thread hold it", most, 1);
    let last = in_order
        .last()
        .map_or(0.0, |(waited, _)| waited.as_secs_f64() * 1e3);
    let of_all_others = f64::from(threads - 1) * f64::from(hold_ms);
    check!(
        "the last one waited for as long as all others held it, or longer",
        last,
        last >= of_all_others,
        format!("at least {of_all_others} ms")
    );

    let events = events()?;
    let timeline = Timeline::new(&events);
    let spans = timeline.lanes.iter().flat_map(|lane| &lane.spans);
    let mut holds: Vec<&Span> = spans.filter(|span| span.name == "hold").collect();
    holds.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    let in_turn = holds.windows(2).filter(|two| two[0].end <= two[1].begin);
    check!(
        "no two of the spans in which it was held overlap",
        in_turn.count() + 1,
        threads
    );
    Ok(())
}
