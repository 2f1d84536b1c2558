//! Waiting for something that another thread will do, without looking again and again:
//! condition variables, and what goes wrong with them.
//!
//! cargo run -p lock-demo -- condition --items 8 --capacity 2
//!
//! To copy: examples/condition.rs, the bounded buffer alone, with std's Condvar.

use parking_lot::{Condvar, Mutex, MutexGuard};
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::{Context, Error, Result, Value, check, fact, report, span, waiting};
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

/// Whoever waits looks again each time it is woken
///
/// wait() releases the lock and sleeps, in one step, and holds the lock again when it
/// returns (pthread_cond_wait(3p)). A condition variable remembers nothing: to notify when
/// nobody waits does nothing. So look at the condition under the lock, and wait under the
/// same lock: then no wake-up is lost. And look again after each wake-up, in a loop:
/// another thread may have been faster. A barrier is such a loop: it waits until all have
/// come (pthread_barrier_wait(3p)).
///
/// Try: cargo run -p lock-demo -- condition --capacity 1 --consumers 3
#[derive(clap::Args)]
pub struct Options {
    /// How many items are made (1 to 100)
    #[arg(long, default_value_t = 8, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    items: u16,
    /// How many of them fit into the buffer (1 to 100)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    capacity: u16,
    /// How many threads take them (1 to 8)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=8))]
    consumers: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "A thread sees that the buffer is empty. Before it waits, another one puts an item \
               in and notifies. What does wait() do?",
    choices: &[RETURNS, WAITS],
    fact: "wait_after_notify",
    is_a_race: false,
}];

/// What is in it, the first one in front; `None` tells a consumer that nothing more
/// comes.
struct Buffer {
    items: Mutex<VecDeque<Option<u16>>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

impl Buffer {
    /// Returns how many are in it now.
    fn put(&self, item: Option<u16>) -> usize {
        let mut items = self.items.lock();
        while items.len() == self.capacity {
            let _wait = waiting!("full");
            self.not_full.wait(&mut items); // releases the lock while it sleeps
        }
        items.push_back(item);
        self.not_empty.notify_one();
        items.len()
    }

    fn take(&self) -> Option<u16> {
        let mut items = self.items.lock();
        while items.is_empty() {
            let _wait = waiting!("empty");
            self.not_empty.wait(&mut items);
        }
        self.not_full.notify_one();
        items.pop_front().flatten()
    }
}

pub fn run(options: &Options) -> Result<()> {
    bounded_buffer(options)?;
    lost_wake_up()?;
    another_was_faster()?;
    barrier()?;
    judge(options);
    Ok(())
}

/// This thread puts items into a buffer that is soon full, others take them.
fn bounded_buffer(options: &Options) -> Result<()> {
    let Options {
        items, capacity, ..
    } = *options;
    let buffer = &Buffer {
        items: Mutex::default(),
        capacity: capacity.into(),
        not_empty: Condvar::new(),
        not_full: Condvar::new(),
    };
    let take_all = || {
        let mut taken = Vec::new();
        while let Some(item) = buffer.take() {
            let _span = span!("{item}");
            thread::sleep(WORK);
            taken.push(item);
        }
        report!("I took {}", taken.len());
        taken
    };
    let (most, taken) = thread::scope(|scope| {
        let start = |number| start(scope, &format!("consumer {number}"), take_all);
        let threads: Vec<_> = (1..=options.consumers).map(start).collect();
        let started = threads.iter().filter(|thread| thread.is_ok()).count();
        let all_started = started == threads.len();
        let items = (1..=items).filter(|_| all_started).map(Some);
        let most = items
            .chain(vec![None; started])
            .map(|item| buffer.put(item))
            .max();
        let taken = threads.into_iter().map(|thread| Ok(join(thread?)));
        Ok::<_, Error>((most, taken.collect::<Result<Vec<Vec<u16>>>>()?))
    })?;
    report!("through a buffer of {capacity}: {} in all", options.items);
    let mut all = taken.concat();
    all.sort_unstable();
    fact!("items_taken", all);
    fact!("most_items", most);
    Ok(())
}

/// A thread looks at the condition, releases the lock, and only then waits. Who notifies
/// in between wakes nobody.
fn lost_wake_up() -> Result<()> {
    let (is_there, arrival) = (&Mutex::new(false), &Condvar::new());
    let (looked, until_looked) = channel();
    let (notified, until_notified) = channel();
    let (woken, timed_out) = thread::scope(|scope| {
        let waits_too_late = move || {
            let nothing_there = !*is_there.lock(); // released at the end of this line
            let _ = looked.send(());
            let _ = until_notified.recv();
            let mut is_there = is_there.lock();
            let _wait = waiting!("notify");
            nothing_there && arrival.wait_for(&mut is_there, LIMIT).timed_out()
        };
        let thread = start(scope, "too late", waits_too_late)?;
        let _ = until_looked.recv();
        *is_there.lock() = true;
        let woken = arrival.notify_one();
        let _ = notified.send(());
        Ok::<_, Error>((woken, join(thread)))
    })?;
    report!("notified too early: woke a thread: {woken}");
    if timed_out {
        report!("waited {LIMIT:?} for what was there");
    }
    fact!("wait_after_notify", if timed_out { WAITS } else { RETURNS });
    fact!("early_notify_woke", woken);
    Ok(())
}

/// A thread is woken since there is an item; but before it holds the lock again another
/// one, here this one, has taken it.
fn another_was_faster() -> Result<()> {
    let (shelf, arrival) = (&Mutex::new(Shelf::default()), &Condvar::new());
    let (woken, (item, wake_ups)) = thread::scope(|scope| {
        let take = move || {
            let mut shelf = shelf.lock();
            while shelf.item.is_none() {
                shelf.somebody_waits = true;
                let _wait = waiting!("item");
                arrival.wait(&mut shelf);
                shelf.wake_ups += 1;
            }
            (shelf.item.take(), shelf.wake_ups)
        };
        let thread = start(scope, "woken", take)?;
        let mut woken = 0;
        for is_left in [false, true] {
            let mut shelf = until_it_waits(shelf, &thread);
            shelf.item = Some(ITEM);
            shelf.somebody_waits = false; // not after this
            woken += u32::from(arrival.notify_one());
            if !is_left {
                shelf.item = None; // it cannot look before we release the lock
            }
        }
        Ok::<_, Error>((woken, join(thread)))
    })?;
    report!("wake-ups for one item: {wake_ups}");
    fact!("notifies_that_woke", woken);
    fact!("wake_ups", wake_ups);
    fact!("item", item);
    Ok(())
}

/// Nobody passes a barrier before all have come.
fn barrier() -> Result<()> {
    let (barrier, came) = (&Barrier::new(MEET), &AtomicUsize::new(0));
    let passed = thread::scope(|scope| {
        let (mut gates, mut threads) = (Vec::new(), Vec::new());
        for number in 1..=MEET {
            let (gate, opens) = channel::<()>();
            let meet = move || {
                opens.recv().ok()?; // an error: not all could be started
                let _wait = waiting!("barrier");
                came.fetch_add(1, SeqCst);
                barrier.wait();
                Some(came.load(SeqCst))
            };
            threads.push(start(scope, &format!("meets {number}"), meet)?);
            gates.push(gate);
        }
        let _ = gates.iter().try_for_each(|gate| gate.send(()));
        Ok::<_, Error>(threads.into_iter().filter_map(join).collect::<Vec<usize>>())
    })?;
    report!("who passed the barrier saw {passed:?} come");
    fact!("came_before_one_passed", passed);
    Ok(())
}

// A first reading may skip the rest.

const RETURNS: &str = "it returns";
const WAITS: &str = "it waits for ever";
/// How long a consumer needs for an item.
const WORK: Duration = Duration::from_millis(2);
/// Instead of for ever.
const LIMIT: Duration = Duration::from_millis(20);
const ITEM: u32 = 7;
/// How many threads meet at the barrier.
const MEET: usize = 3;

#[derive(Default)]
struct Shelf {
    item: Option<u32>,
    /// Who sees this under the lock knows it: wait() releases the lock only when the
    /// thread sleeps.
    somebody_waits: bool,
    wake_ups: u32,
}

/// The lock, when the thread waits, or has ended.
fn until_it_waits<'a, T>(
    shelf: &'a Mutex<Shelf>,
    thread: &ScopedJoinHandle<'_, T>,
) -> MutexGuard<'a, Shelf> {
    loop {
        let shelf = shelf.lock();
        if shelf.somebody_waits || thread.is_finished() {
            return shelf;
        }
        drop(shelf);
        thread::yield_now();
    }
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let thread = thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn_scoped(scope, work);
    thread.with_context(|| format!("failed to start the thread {name}"))
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn judge(options: &Options) {
    check!(
        "each item was taken once",
        require("items_taken"),
        (1..=options.items).collect::<Vec<u16>>()
    );
    let (most, capacity) = (require("most_items"), options.capacity);
    check!(
        "there were never more items in the buffer than fit into it",
        most.clone(),
        most.as_u64().is_some_and(|most| most <= capacity.into()),
        format!("at most {capacity}")
    );
    check!(
        "a notify before the wait woke nobody, and was not remembered",
        vec![require("early_notify_woke"), require("wait_after_notify")],
        vec![Value::from(false), WAITS.into()]
    );
    check!(
        "a thread was woken, found nothing there, and waited until it was woken again",
        vec![
            require("notifies_that_woke"),
            require("wake_ups"),
            require("item")
        ],
        vec![2, 2, ITEM]
    );
    check!(
        "nobody passed the barrier before all had come",
        require("came_before_one_passed"),
        vec![MEET; MEET]
    );
}
