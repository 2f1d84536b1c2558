//! Which thread runs is up to the kernel; a thread that waits needs no CPU; and what it
//! costs to switch from one to another. (notes 1, 22)
//!
//! cargo run -p thread-demo -- switch --sleeps 10
//!
//! To copy: examples/switch.rs, what the kernel counts, for three kinds of threads.

use crate::cpus::{self, compute, stay_on};
use crossbeam::channel::{Receiver, Sender, bounded};
use shared_core::cli::Question;
use shared_core::report::{Slices, fact, require};
use shared_core::timing::Measurement;
use shared_core::who::Switches;
use shared_core::{Context, Result, check, fact, report, span, waiting, who};
use std::hint::spin_loop;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::panic::resume_unwind;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
#[cfg(unix)]
use {
    nix::{libc, sys::wait::waitpid},
    shared_core::children::about_to_fork,
};

/// The kernel decides who runs, and counts the switches
///
/// Who waits, for time or for another thread, leaves the CPU to others: a voluntary
/// switch. Who computes is taken off it when others had to wait for long enough: an
/// involuntary one, and so counts a yield, too (getrusage(2), sched(7)). Waiting costs
/// no CPU; spinning costs all of one. Two that wake each other through a pipe on one CPU
/// switch at each hand-over: the kernel saves the registers of one and loads those of
/// the other, and for another process its memory map as well.
///
/// Try: cargo run -p thread-demo -- switch --sleeps 100
#[derive(clap::Args)]
pub struct Options {
    /// How often a thread sleeps for 1 ms (1 to 1000)
    #[arg(long, default_value_t = 10, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    sleeps: u16,
    /// How often each switch is measured (5 to 1000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Three threads share a CPU. One of them computes all the time. Most of its \
               switches are …?",
        choices: &["voluntary", "involuntary"],
        fact: "most_switches_of_computing",
        is_a_race: false,
    },
    Question {
        text: "One thread waits for another one, a second one spins until then. How much CPU \
               time does the waiting one use?",
        choices: &["next to none", "as much as the other one"],
        fact: "cpu_time_of_waiting",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let cpus = cpus::to_choose_from();

    // A process to switch to, made while this one has a single thread.
    #[cfg(unix)]
    let (mut child, to_child) = {
        let (ours, theirs) = Ends::of_two()?;
        let start = about_to_fork("partner")?; // alone in this process; no child slips out
        // SAFETY: this process has one thread, so no lock and no piece of the heap can
        // be half-changed in the child's copy.
        match unsafe { libc::fork() } {
            0 => start.in_child(|| {
                drop(ours); // or its input would never end
                theirs.answer(&cpus)
            }),
            -1 => return Err(std::io::Error::last_os_error()).context("fork"),
            pid => (start.made(pid), ours),
        }
    };

    let counted = thread::scope(|scope| share_a_cpu(scope, options, cpus.first().copied()))?;
    let used = thread::scope(wait_and_spin)?;

    // Who has the turn wakes the other one, and waits.
    let (to_thread, theirs) = Ends::of_two()?;
    let numbers = cpus.clone();
    let thread = thread::Builder::new().name("partner".to_owned());
    let thread = thread.spawn(move || theirs.answer(&numbers));
    let thread = thread.context("failed to start a thread")?;
    let mut partners = vec![("threads", to_thread)];
    #[cfg(unix)]
    partners.push(("processes", to_child));
    let costs = switch_to_and_fro(options, &cpus, &mut partners)?;
    drop(partners); // the end for both
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    #[cfg(unix)]
    child.reap(|pid| waitpid(pid, None))?;

    judge(options, &cpus, &counted, &used, costs);
    Ok(())
}

/// Three threads on one CPU, and what the kernel counted for each of them.
fn share_a_cpu<'scope>(
    scope: &'scope Scope<'scope, '_>,
    options: &Options,
    cpu: Option<usize>,
) -> Result<Vec<(&'static str, Option<Switches>)>> {
    let sleeps = options.sleeps;
    let (end, ended) = bounded::<()>(0); // it ends with the one that computes
    let sleeping = start(scope, "sleeping", move || {
        counted(cpu, |_| sleep_again_and_again(sleeps))
    })?;
    let yielding = start(scope, "yielding", move || {
        counted(cpu, |_| yield_until(&ended))
    })?;
    let computing = start(scope, "computing", move || {
        let _end = end;
        counted(cpu, |so_far| compute_until_switched_out(cpu, so_far))
    })?;
    let threads = [
        ("sleeping", sleeping),
        ("yielding", yielding),
        ("computing", computing),
    ];
    let _join = waiting!("join");
    let join = |(name, thread): (&'static str, ScopedJoinHandle<'_, _>)| {
        let switches = thread.join();
        (name, switches.unwrap_or_else(|panic| resume_unwind(panic)))
    };
    Ok(threads.into_iter().map(join).collect())
}

/// It never gives up the CPU; it goes on until that was taken from it some times.
fn compute_until_switched_out(cpu: Option<usize>, so_far: &dyn Fn() -> Option<Switches>) {
    let (begin, mut slices) = (Instant::now(), Slices::begin());
    loop {
        compute();
        slices.look();
        let time = begin.elapsed();
        let enough = match so_far().filter(|_| cpu.is_some()) {
            Some(switches) => switches.involuntary >= TURNS || time > MOST_TIME,
            None => time > A_WHILE, // maybe nobody wants its CPU
        };
        if enough {
            return;
        }
    }
}

fn sleep_again_and_again(times: u16) {
    let begin = Instant::now();
    for _ in 0..times {
        let _sleep = waiting!("sleep");
        thread::sleep(Duration::from_millis(1));
    }
    fact!("slept_ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// After each piece of work it lets others run before it.
fn yield_until(ended: &Receiver<()>) {
    let mut slices = Slices::begin();
    while ended.try_recv() == Err(crossbeam::channel::TryRecvError::Empty) {
        compute();
        slices.look();
        thread::yield_now();
    }
}

/// A thread waits and another one spins, until the spinning one has used some CPU time.
fn wait_and_spin<'scope>(scope: &'scope Scope<'scope, '_>) -> Result<Used> {
    let (stop, told_to_stop) = bounded::<()>(0);
    let (tid, tids) = bounded(1);
    let waiting = start(scope, "waiting", move || {
        let _ = tid.send(who::tid());
        let _wait = waiting!("stop");
        let before = who::cpu_time(); // to record that it waits takes some, too
        let _ = told_to_stop.recv(); // an error: this is the end
        cpu_time_since(before)
    })?;
    let (full, is_full) = bounded(1);
    let spinning = start(scope, "spinning", move || spin(&full))?;
    let stopped = waiting!("spinning");
    let _ = is_full.recv();
    stopped.end();
    let state = tids.recv().ok().and_then(state_of);
    drop(stop);
    let joined = [waiting, spinning].map(ScopedJoinHandle::join);
    let [waiting, spinning] = joined.map(|time| time.unwrap_or_else(|p| resume_unwind(p)));
    Ok(Used {
        state,
        waiting,
        spinning,
    })
}

/// It looks whether it has used enough CPU time, and looks again, and again.
fn spin(full: &Sender<()>) -> Option<Duration> {
    let (before, begin) = (who::cpu_time(), Instant::now());
    let mut slices = Slices::begin();
    loop {
        spin_loop();
        slices.look();
        let used = cpu_time_since(before).unwrap_or_else(|| begin.elapsed());
        if used > A_WHILE || begin.elapsed() > MOST_TIME {
            let _ = full.send(());
            return cpu_time_since(before);
        }
    }
}

/// One end of the two pipes between this thread and a partner, which may be in another
/// process.
struct Ends {
    to: PipeWriter,
    from: PipeReader,
}

impl Ends {
    fn of_two() -> Result<(Self, Self)> {
        let (theirs, to) = pipe().context("failed to make a pipe")?;
        let (from, mine) = pipe().context("failed to make a pipe")?;
        let partner = Self {
            to: mine,
            from: theirs,
        };
        Ok((Self { to, from }, partner))
    }

    /// What the partner does: it is woken, and wakes. A byte may say to which CPU it is
    /// to go.
    fn answer(mut self, cpus: &[usize]) -> i32 {
        let mut byte = [0];
        while self.from.read_exact(&mut byte).is_ok() {
            stay_on(cpus.get(usize::from(byte[0])).copied());
            if self.to.write_all(&byte).is_err() {
                break;
            }
        }
        0
    }

    fn there_and_back(&mut self, byte: u8) -> Result<()> {
        let sent = self.to.write_all(&[byte]);
        sent.context("failed to write to the partner")?;
        let read = self.from.read_exact(&mut [0]);
        read.context("failed to read from the partner")
    }
}

/// How long it takes from one to the other through a pipe, on one CPU and on two.
fn switch_to_and_fro(
    options: &Options,
    cpus: &[usize],
    partners: &mut [(&'static str, Ends)],
) -> Result<Vec<(String, Measurement)>> {
    let _measuring = span!("there and back");
    let places: &[(&str, u8)] = match cpus {
        [] => &[("free", STAY)],
        [_] => &[("one CPU", 0)],
        _ => &[("one CPU", 0), ("two CPUs", 1)],
    };
    stay_on(cpus.first().copied());
    let mut times = vec![Vec::new(); partners.len() * places.len()];
    for round in 0..=options.rounds {
        let mut all = times.iter_mut();
        for (_, partner) in partners.iter_mut() {
            for (_, place) in places {
                partner.there_and_back(*place)?;
                let begin = Instant::now();
                for _ in 0..TRIPS {
                    partner.there_and_back(STAY)?;
                }
                let of_one = begin.elapsed() / (2 * TRIPS);
                if let Some(times) = all.next().filter(|_| round > 0) {
                    times.push(of_one); // what came before is a warm-up
                }
            }
        }
    }
    let _ = who::stay_on(cpus); // on any of them again
    let names = partners.iter().flat_map(|(between, _)| {
        let name = move |(place, _): &(&str, u8)| format!("{between}, {place}");
        places.iter().map(name)
    });
    Ok(names.zip(times.into_iter().map(Measurement::of)).collect())
}

// A first reading may skip the rest.

/// So often a computing thread is to be switched out.
const TURNS: u64 = 10;
const A_WHILE: Duration = Duration::from_millis(20);
/// How long is waited for what a busy machine delays.
const MOST_TIME: Duration = Duration::from_secs(10);
/// So many trips there and back are measured together.
const TRIPS: u32 = 10;
/// What says to no CPU to go.
const STAY: u8 = u8::MAX;

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let thread = thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn_scoped(scope, work);
    thread.with_context(|| format!("failed to start the thread {name}"))
}

/// What the kernel counts for the calling thread while it does that, on this CPU.
fn counted(
    cpu: Option<usize>,
    work: impl FnOnce(&dyn Fn() -> Option<Switches>),
) -> Option<Switches> {
    stay_on(cpu);
    let before = who::switches();
    let so_far = || {
        let (now, before) = who::switches().zip(before)?;
        Some(now.since(before))
    };
    work(&so_far);
    so_far()
}

fn cpu_time_since(before: Option<Duration>) -> Option<Duration> {
    let (now, before) = who::cpu_time().zip(before)?;
    Some(now.saturating_sub(before))
}

/// What was seen of the thread that waited and of the one that was spinning.
struct Used {
    /// That of the one that waited.
    state: Option<char>,
    waiting: Option<Duration>,
    spinning: Option<Duration>,
}

/// The state of a thread, once it sleeps or that took too long.
fn state_of(tid: u64) -> Option<char> {
    let begin = Instant::now();
    loop {
        let state = who::state(tid.try_into().ok()?)?;
        if state == 'S' || begin.elapsed() > MOST_TIME {
            return Some(state);
        }
        thread::yield_now(); // it is about to
    }
}

fn judge(
    options: &Options,
    cpus: &[usize],
    counted: &[(&str, Option<Switches>)],
    used: &Used,
    costs: Vec<(String, Measurement)>,
) {
    let (slept, asked) = (require("slept_ms"), f64::from(options.sleeps));
    check!(
        "who sleeps waits for as long as it asked, or longer",
        slept.clone(),
        slept.as_f64() >= Some(asked),
        format!("at least {asked} ms")
    );
    if counted.iter().all(|(_, switches)| switches.is_some()) {
        report!("switches:  voluntary  involuntary");
    } else {
        report!("this system does not count switches");
    }
    for (name, switches) in counted {
        let Some(switches) = switches else { continue };
        let (voluntary, involuntary) = (switches.voluntary, switches.involuntary);
        report!("{name:<9} {voluntary:>10} {involuntary:>12}");
        fact(format_args!("{name}_voluntary"), voluntary);
        fact(format_args!("{name}_involuntary"), involuntary);
        match *name {
            "computing" if !cpus.is_empty() => {
                let most = if involuntary > voluntary {
                    "involuntary"
                } else {
                    "voluntary"
                };
                fact!("most_switches_of_computing", most);
                check!(
                    "who computes was switched out, though it gave up nothing",
                    involuntary,
                    involuntary >= TURNS,
                    format!("at least {TURNS}")
                );
            }
            "sleeping" => check!(
                "who sleeps was switched out each time",
                switches.all(),
                switches.all() >= u64::from(options.sleeps),
                format!("at least {}", options.sleeps)
            ),
            _ => {}
        }
    }

    let Used {
        state,
        waiting,
        spinning,
    } = *used;
    match state {
        Some(state) => {
            report!("waiting: the kernel says {state}");
            check!("who waits sleeps, says the kernel", state.to_string(), "S");
        }
        None => report!("this system does not tell states"),
    }
    if let Some((waiting, spinning)) = waiting.zip(spinning) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        report!("waiting used {:.3} ms of CPU time", ms(waiting));
        report!("spinning used {:.1} ms", ms(spinning));
        fact!("waiting_cpu_ms", ms(waiting));
        fact!("spinning_cpu_ms", ms(spinning));
        let is_little = waiting * 10 < spinning;
        let says = ["as much as the other one", "next to none"][usize::from(is_little)];
        fact!("cpu_time_of_waiting", says);
        check!(
            "waiting used less than a tenth of the CPU time of spinning",
            ms(waiting),
            is_little,
            format!("less than {} ms", ms(spinning) / 10.0)
        );
    }

    report!("bars: from one to the other, through");
    report!("a pipe, on {}", who::machine());
    for (name, cost) in costs {
        report::measured(&name, &cost);
    }
}
