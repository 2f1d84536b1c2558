//! Each thread holds a lock and waits for one that another holds: a deadlock, who is in
//! it, and two ways out.
//!
//! cargo run -p lock-demo -- deadlock --threads 2
//!
//! To copy: examples/deadlock.rs, where a detector of parking_lot's finds it.

use parking_lot::{Condvar, Mutex, MutexGuard};
use shared_core::again::{Again, say};
use shared_core::cli::Question;
use shared_core::report::{Input, Span, fact, require};
use shared_core::{Context, Result, Value, check, ensure, fact, report, span, waiting};
use std::io::BufRead;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Threads that lock in different orders can wait for ever
///
/// A thread that holds one lock and waits for another one lets go of neither. If each
/// waits for a lock that the next one holds, and the last one for the first one's, none
/// ever goes on: a deadlock (pthread_mutex_lock(3p)). If all take the locks in the same
/// order there is no such circle. Who cannot keep an order waits with a time limit, and
/// then lets go of what it holds, and starts again.
///
/// Try: cargo run -p lock-demo -- deadlock --threads 4
#[derive(clap::Args)]
pub struct Options {
    /// How many threads, and as many locks, of which each thread needs two (2 to 4)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u8).range(2..=4))]
    threads: u8,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "Each of {threads} threads holds a lock that another one waits for. How many of \
               them come to their end?",
        choices: &[],
        fact: "opposite_done",
        is_a_race: false,
    },
    Question {
        text: "All take the locks in the same order. How many come to their end?",
        choices: &[],
        fact: "same_done",
        is_a_race: false,
    },
];

/// In which order a thread takes its two locks, and how.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    OppositeOrders,
    SameOrder,
    WithALimit,
}

pub fn run(options: &Options) -> Result<()> {
    for way in Way::ALL {
        // A process of its own: its end is the only way out of a deadlock.
        let mut process = Again::start(way.name(), "deadlock")?;
        process.send(format_args!("{} {}", options.threads, way.name()))?;
        report!("{}:", way.in_words());
        while let Some(line) = Some(process.line()?).filter(|line| !line.is_empty()) {
            report!("{line}");
        }
        let status = process.wait()?;
        ensure!(status.success(), "{} failed: {status}", way.name());
    }
    judge(options);
    Ok(())
}

/// What runs in each process: its main thread looks on until all have done their work, or
/// wait for one another. When it returns, all threads end.
pub fn look_on(mut input: Input) -> Result<()> {
    let mut line = String::new();
    input.read_line(&mut line).context("failed to read")?;
    let (threads, way) = line.trim().split_once(' ').context("failed to read")?;
    let (threads, way) = (threads.parse()?, Way::of(way)?);

    let locks = Arc::new(Locks::new(threads));
    for me in 0..threads {
        let locks = Arc::clone(&locks);
        let thread = thread::Builder::new().name(name(me));
        let thread = thread.spawn(move || work(me, way, &locks));
        thread.with_context(|| format!("failed to start thread {}", name(me)))?;
    }
    let begin = Instant::now();
    let mut table = locks.table.lock();
    let circle = loop {
        // Who waits with a limit is in no deadlock.
        let circle = circle(&table).filter(|_| way != Way::WithALimit);
        if circle.is_some() || table.done == threads {
            break circle;
        }
        if locks
            .changed
            .wait_until(&mut table, begin + MOST_TIME)
            .timed_out()
        {
            say("nothing is done, and I see no circle");
            break None; // a watchdog: this process ends in any case
        }
    };
    if circle.is_some() {
        let changed = locks.changed.wait_for(&mut table, A_WHILE * 4);
        fact!("nothing_changed_any_more", changed.timed_out());
    }
    tell(&table, way, circle.as_deref());
    Ok(())
}

/// What runs in each thread. A needs locks 1 and 2, B needs 2 and 3, and so on; the last
/// one needs its own and 1.
fn work(me: usize, way: Way, locks: &Locks) {
    let mut mine = [me, (me + 1) % locks.mutexes.len()];
    if way == Way::SameOrder {
        mine.sort_unstable();
    }
    let [one, other] = mine;
    loop {
        let first = locks.lock(me, one);
        locks.wait_until_all_hold_or_wait();
        // It holds one lock, and asks for the other one.
        let second = match way {
            Way::WithALimit => locks.try_lock_for(me, other, limit(me)),
            _ => Some(locks.lock(me, other)),
        };
        if let Some(second) = second {
            thread::sleep(A_WHILE);
            locks.unlock(me, second);
            locks.unlock(me, first);
            break;
        }
        // It lets go of what it holds, so that another one can go on, and starts again.
        locks.unlock(me, first);
        locks.note(|table| table.gave_up += 1);
    }
    locks.note(|table| table.done += 1);
}

/// The locks, and a table of who holds which and who waits for which.
struct Locks {
    mutexes: Vec<Mutex<()>>,
    table: Mutex<Table>,
    changed: Condvar,
}

/// A lock that is held, and the span of it.
struct Held<'a> {
    lock: usize,
    _span: Span,
    _guard: MutexGuard<'a, ()>,
}

struct Table {
    /// One for each thread.
    rows: Vec<Row>,
    /// Once all held a lock, or waited for one that was held.
    has_begun: bool,
    done: usize,
    gave_up: usize,
}

#[derive(Clone, Default)]
struct Row {
    /// Only what it really holds: noted after it is locked, and until it is unlocked.
    holds: Vec<usize>,
    waits_for: Option<usize>,
}

impl Locks {
    fn lock(&self, me: usize, lock: usize) -> Held<'_> {
        let waiting = waiting!("wait {}", lock + 1);
        self.asks(me, lock);
        let guard = self.mutexes[lock].lock();
        waiting.end();
        self.asked(me, Some(lock));
        Held::new(lock, guard)
    }

    fn try_lock_for(&self, me: usize, lock: usize, limit: Duration) -> Option<Held<'_>> {
        let waiting = waiting!("wait {}", lock + 1);
        self.asks(me, lock);
        let guard = self.mutexes[lock].try_lock_for(limit);
        waiting.end();
        self.asked(me, guard.is_some().then_some(lock));
        Some(Held::new(lock, guard?))
    }

    fn unlock(&self, me: usize, held: Held<'_>) {
        self.note(|table| table.rows[me].holds.retain(|lock| *lock != held.lock));
        drop(held);
    }

    fn asks(&self, me: usize, lock: usize) {
        self.note(|table| table.rows[me].waits_for = Some(lock));
    }

    fn asked(&self, me: usize, got: Option<usize>) {
        self.note(|table| {
            table.rows[me].waits_for = None;
            table.rows[me].holds.extend(got);
        });
    }

    fn note(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table.lock();
        change(&mut table);
        table.has_begun |= table.all_hold_or_wait();
        self.changed.notify_all();
    }

    /// In the beginning: until each thread holds its first lock, or waits for it since
    /// another one holds it. Without this the scheduler would decide what happens.
    fn wait_until_all_hold_or_wait(&self) {
        let mut table = self.table.lock();
        while !table.has_begun {
            self.changed.wait(&mut table);
        }
    }
}

impl Table {
    fn holder(&self, lock: usize) -> Option<usize> {
        self.rows.iter().position(|row| row.holds.contains(&lock))
    }

    fn all_hold_or_wait(&self) -> bool {
        let waits = |row: &Row| {
            row.waits_for
                .is_some_and(|lock| self.holder(lock).is_some())
        };
        let mut rows = self.rows.iter();
        rows.all(|row| !row.holds.is_empty() || waits(row))
    }
}

/// Threads that wait for one another: each for a lock that the next one holds, and the
/// last one for a lock of the first one.
fn circle(table: &Table) -> Option<Vec<usize>> {
    let next = |thread: usize| table.holder(table.rows[thread].waits_for?);
    (0..table.rows.len()).find_map(|first| {
        let mut path = vec![first];
        while let Some(holder) = path.last().and_then(|last| next(*last)) {
            if holder == first {
                return Some(path);
            }
            if path.contains(&holder) {
                return None; // a circle without the first one
            }
            path.push(holder);
        }
        None
    })
}

// A first reading may skip the rest.

/// How long a thread works with both locks.
const A_WHILE: Duration = Duration::from_millis(5);
/// How long a process is watched in which nothing is seen.
const MOST_TIME: Duration = Duration::from_secs(10);

/// How long a thread waits before it gives up: not all give up at once.
fn limit(me: usize) -> Duration {
    A_WHILE * (2 * u32::try_from(me).unwrap_or(0) + 1)
}

/// `A`, `B`, …
fn name(thread: usize) -> String {
    ["A", "B", "C", "D"][thread].to_owned()
}

impl Way {
    const ALL: [Self; 3] = [Self::OppositeOrders, Self::SameOrder, Self::WithALimit];

    fn name(self) -> &'static str {
        match self {
            Self::OppositeOrders => "opposite",
            Self::SameOrder => "same",
            Self::WithALimit => "limit",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::OppositeOrders => "in opposite orders",
            Self::SameOrder => "in the same order",
            Self::WithALimit => "in opposite orders, with a time limit",
        }
    }

    fn of(name: &str) -> Result<Self> {
        let mut ways = Self::ALL.into_iter();
        ways.find(|way| way.name() == name).context("no such way")
    }
}

impl<'a> Held<'a> {
    fn new(lock: usize, guard: MutexGuard<'a, ()>) -> Self {
        Self {
            lock,
            _span: span!("hold {}", lock + 1),
            _guard: guard,
        }
    }
}

impl Locks {
    fn new(count: usize) -> Self {
        Self {
            mutexes: (0..count).map(|_| Mutex::new(())).collect(),
            table: Mutex::new(Table {
                rows: vec![Row::default(); count],
                has_begun: false,
                done: 0,
                gave_up: 0,
            }),
            changed: Condvar::new(),
        }
    }
}

/// Tells what became of the threads; a circle row by row, and in one line.
fn tell(table: &Table, way: Way, circle: Option<&[usize]>) {
    let number = |lock: Option<&usize>| lock.map_or(String::new(), |lock| (lock + 1).to_string());
    let circle = circle.unwrap_or_default();
    let mut line = String::new();
    for (place, thread) in circle.iter().enumerate() {
        let arrow = match place {
            0 => "┌▶",
            _ if place + 1 == circle.len() => "└─",
            _ => "│ ",
        };
        let (row, name) = (&table.rows[*thread], name(*thread));
        let (holds, waits_for) = (number(row.holds.first()), number(row.waits_for.as_ref()));
        say(format_args!(
            "{arrow} {name} holds {holds}, waits for {waits_for}"
        ));
        line += &format!("{name} → {waits_for} → ");
    }
    if let Some(first) = circle.first() {
        line += &name(*first);
        say(format_args!("   {line}"));
        fact(format_args!("{}_circle", way.name()), line);
    }
    if table.gave_up > 0 {
        say(format_args!(
            "   gave up and began again: {}",
            table.gave_up
        ));
    }
    say(format_args!(
        "   {} of {} did their work",
        table.done,
        table.rows.len()
    ));
    fact(format_args!("{}_done", way.name()), table.done);
    fact(format_args!("{}_gave_up", way.name()), table.gave_up);
}

fn judge(options: &Options) {
    let threads = usize::from(options.threads);
    let step = |me| format!("{} → {} → ", name(me), (me + 1) % threads + 1);
    let circle: String = (0..threads).map(step).collect();
    check!(
        "in opposite orders each waited for a lock that the next one held",
        require("opposite_circle"),
        circle + "A"
    );
    check!(
        "nothing changed any more, and none of them did its work",
        vec![
            require("nothing_changed_any_more"),
            require("opposite_done")
        ],
        vec![Value::from(true), 0.into()]
    );
    check!(
        "in the same order all of them did",
        require("same_done"),
        threads
    );
    let (done, gave_up) = (require("limit_done"), require("limit_gave_up"));
    check!(
        "with a time limit somebody gave up, and in the end all did",
        vec![done.clone(), gave_up.clone()],
        done == threads && gave_up.as_u64() >= Some(1),
        format!("[{threads}, 1 or more]")
    );
}
