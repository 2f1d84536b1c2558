//! The same additions under every kind of protection: is the balance right, how long does
//! it take, and who does the work? (note 19)
//!
//! cargo run -p lock-demo -- kinds --threads 4 --iterations 200000
//!
//! To copy: examples/kinds.rs, some of them, without the measuring.

use crossbeam::channel;
use parking_lot::{FairMutex, Mutex, RwLock};
use shared_core::cli::{Question, UNKNOWABLE};
use shared_core::report::fact;
use shared_core::timing::Measurement;
use shared_core::{Context, Result, check, fact, report, span, who};
use std::panic::resume_unwind;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

/// All kinds of protection are right, at very different prices
///
/// A lock lets one thread in at a time: the more often threads must wait and be woken, the
/// longer it takes (futex(2)). A fair lock is handed over to who has waited longest, at the
/// price of a switch each time. An atomic addition needs no lock, but the CPUs still take
/// the number from one another. What is not shared needs no protection: a total for each
/// thread, merged at the end, costs least. Without any protection updates are lost, if
/// two CPUs add at the same time.
///
/// Try: cargo run -p lock-demo -- kinds --threads 1
#[derive(clap::Args)]
pub struct Options {
    /// How many threads (1 to 16)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=16))]
    threads: u16,
    /// How often each thread adds; when one of them has done so, or after 20 ms, all stop
    /// (1000 to 1000000)
    #[arg(long, default_value_t = 200_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1000..=1_000_000))]
    iterations: u64,
    /// How often each kind is measured (1 to 1000)
    #[arg(long, default_value_t = 5, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "{threads} threads add, without any protection. Is the balance right?",
        choices: &["yes", "no", UNKNOWABLE],
        fact: "right_without_protection",
        is_a_race: true,
    },
    Question {
        text: "Which of these takes least time?",
        choices: &["std Mutex", "atomic add", "channel", "total per thread"],
        fact: "fastest",
        is_a_race: true,
    },
];

/// What a kind is called, and how it adds.
type Kind = (&'static str, fn(&Options) -> Result<Outcome>);

const KINDS: [Kind; 9] = [
    ("none", without_protection),
    ("std Mutex", with_std_mutex),
    ("parking_lot Mutex", with_mutex),
    ("FairMutex", with_fair_mutex),
    ("RwLock", with_rw_lock),
    ("atomic add", with_atomic_add),
    ("compare and swap", with_compare_and_swap),
    ("channel", through_a_channel),
    ("total per thread", with_a_total_per_thread),
];

pub fn run(options: &Options) -> Result<()> {
    let mut outcomes = KINDS.map(|_| Vec::new());
    for round in 0..=options.rounds {
        // In turn, so that what disturbs one disturbs the others.
        for ((name, add_up), outcomes) in KINDS.iter().zip(&mut outcomes) {
            let _span = span!("{name}");
            let outcome = add_up(options).with_context(|| (*name).to_owned())?;
            if round > 0 {
                outcomes.push(outcome); // what came before is a warm-up
            }
        }
    }
    judge(&outcomes);
    Ok(())
}

fn without_protection(options: &Options) -> Result<Outcome> {
    let balance = AtomicU64::new(0); // so that it is wrong, and yet not undefined
    let add = || balance.store(balance.load(Relaxed) + 1, Relaxed);
    let done = contend(options, add, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn with_std_mutex(options: &Options) -> Result<Outcome> {
    let balance = std::sync::Mutex::new(0);
    let add = || *balance.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let done = contend(options, add, |_| ())?;
    Ok(done.and_balance(balance.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

fn with_mutex(options: &Options) -> Result<Outcome> {
    let balance = Mutex::new(0);
    let done = contend(options, || *balance.lock() += 1, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn with_fair_mutex(options: &Options) -> Result<Outcome> {
    let balance = FairMutex::new(0);
    let done = contend(options, || *balance.lock() += 1, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn with_rw_lock(options: &Options) -> Result<Outcome> {
    let balance = RwLock::new(0); // many may read at once, but only one may write
    let done = contend(options, || *balance.write() += 1, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn with_atomic_add(options: &Options) -> Result<Outcome> {
    let balance = AtomicU64::new(0);
    let add = || _ = balance.fetch_add(1, Relaxed);
    let done = contend(options, add, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn with_compare_and_swap(options: &Options) -> Result<Outcome> {
    let balance = AtomicU64::new(0);
    let add = || {
        let mut seen = balance.load(Relaxed);
        // Stores only if nobody has changed it since; else it looks again.
        while let Err(now) = balance.compare_exchange_weak(seen, seen + 1, Relaxed, Relaxed) {
            seen = now;
        }
    };
    let done = contend(options, add, |_| ())?;
    Ok(done.and_balance(balance.into_inner()))
}

fn through_a_channel(options: &Options) -> Result<Outcome> {
    let (sender, receiver) = channel::bounded(100);
    thread::scope(|scope| {
        // Only the owner has the balance; the others tell it what to add.
        let owner = thread::Builder::new().spawn_scoped(scope, move || receiver.iter().sum());
        let owner = owner.context("failed to start the owner's thread")?;
        let add = || _ = sender.send(1);
        let done = contend(options, add, |_| ());
        drop(sender); // the end, for the owner
        let balance = owner.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok(done?.and_balance(balance))
    })
}

fn with_a_total_per_thread(options: &Options) -> Result<Outcome> {
    let balance = AtomicU64::new(0);
    let merge = |total| _ = balance.fetch_add(total, Relaxed);
    let done = contend(options, || (), merge)?; // it counts for itself
    Ok(done.and_balance(balance.into_inner()))
}

/// Lets threads call `add` as often as they can until one of them has done it as often as
/// it should; and at the end `merge`, with how often they did.
fn contend(
    options: &Options,
    add: impl Fn() + Sync,
    merge: impl Fn(u64) + Sync,
) -> Result<Outcome> {
    let cpus = who::cpus().unwrap_or_default();
    let stop = AtomicBool::new(false);
    let here = AtomicU16::new(0);
    let work = |number: u16| {
        // On different CPUs: packed on one, threads seldom meet. (An error: any CPU.)
        if let Some(cpu) = cpus.get(usize::from(number) % cpus.len().max(1)) {
            let _ = who::stay_on(&[*cpu]);
        }
        here.fetch_add(1, SeqCst);
        while here.load(SeqCst) < options.threads && !stop.load(Relaxed) {
            thread::yield_now(); // awake, so that all begin at the same time
        }
        let begin = Instant::now();
        let mut made = 0;
        while made < options.iterations && !stop.load(Relaxed) {
            add();
            made += 1;
            if made % 100 == 0 && begin.elapsed() > MOST_TIME {
                break;
            }
        }
        stop.store(true, Relaxed);
        merge(made);
        (made, begin, Instant::now())
    };
    let done = thread::scope(|scope| {
        let work = &work;
        let start = |number| thread::Builder::new().spawn_scoped(scope, move || work(number));
        let threads: Vec<_> = (0..options.threads).map(start).collect();
        // Nobody is to wait for one that could not be started.
        stop.fetch_or(threads.iter().any(Result::is_err), Relaxed);
        let mut done = Vec::new();
        for (number, thread) in (1..).zip(threads) {
            let all = options.threads;
            let thread =
                thread.with_context(|| format!("failed to start thread {number} of {all}"))?;
            done.push(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        Ok::<_, shared_core::Error>(done)
    })?;
    let begin = done.iter().map(|(_, begin, _)| *begin).min();
    let end = done.iter().map(|(.., end)| *end).max();
    Ok(Outcome {
        made: done.into_iter().map(|(made, ..)| made).collect(),
        time: end
            .zip(begin)
            .map_or(Duration::ZERO, |(end, begin)| end - begin),
        balance: 0,
    })
}

// A first reading may skip the rest.

/// After this long a round ends in any case: a fair lock is slow.
const MOST_TIME: Duration = Duration::from_millis(20);

/// What came of a round.
struct Outcome {
    /// How often each thread has added.
    made: Vec<u64>,
    time: Duration,
    balance: u64,
}

impl Outcome {
    fn and_balance(self, balance: u64) -> Self {
        Self { balance, ..self }
    }

    fn all(&self) -> u64 {
        self.made.iter().sum()
    }

    /// The time of a thousand additions.
    fn of_a_thousand(&self) -> Duration {
        self.time.mul_f64(1000.0 / self.all().max(1) as f64)
    }

    /// The part of the work that the thread did which did least, or most, in percent.
    fn share(&self, made: Option<&u64>) -> f64 {
        100.0 * made.copied().unwrap_or(0) as f64 / self.all().max(1) as f64
    }
}

fn judge(outcomes: &[Vec<Outcome>]) {
    report!("balance, and the work of a thread:");
    let mut wrong = Vec::new();
    let mut fastest = None;
    for ((name, _), outcomes) in KINDS.iter().zip(outcomes) {
        let lost: u64 = outcomes
            .iter()
            .map(|of| of.all() - of.balance.min(of.all()))
            .sum();
        let is_right = outcomes.iter().all(|of| of.balance == of.all());
        let mean = |share: fn(&Outcome) -> f64| {
            outcomes.iter().map(share).sum::<f64>() / outcomes.len().max(1) as f64
        };
        let least = mean(|of| of.share(of.made.iter().min()));
        let most = mean(|of| of.share(of.made.iter().max()));
        let right = if is_right { "right" } else { "wrong" };
        report!("{name:<17} {right}  {least:>3.0} to {most:>3.0} %");
        let of_fact = name.replace(' ', "_").to_lowercase();
        fact(format_args!("{of_fact}_lost"), lost);
        fact(format_args!("{of_fact}_least_percent"), least);
        fact(format_args!("{of_fact}_most_percent"), most);
        match *name {
            "none" => fact!(
                "right_without_protection",
                if is_right { "yes" } else { "no" }
            ),
            _ if !is_right => wrong.push(*name),
            _ => {}
        }
        let measured = Measurement::of(outcomes.iter().map(Outcome::of_a_thousand).collect());
        if fastest.is_none_or(|(_, time)| measured.median < time) && *name != "none" {
            fastest = Some((*name, measured.median));
        }
    }
    for ((name, _), outcomes) in KINDS.iter().zip(outcomes) {
        let times = outcomes.iter().map(Outcome::of_a_thousand).collect();
        report::measured(name, &Measurement::of(times));
    }
    report!("bars: 1,000 additions on");
    report!("{}", who::machine());
    fact!("fastest", fastest.map(|(name, _)| name));
    check!(
        "with every protection each addition is in the balance",
        wrong,
        Vec::<&str>::new()
    );
}
