//! Every order in which two threads can make their steps, and which of them lose
//! money. (note 21)
//!
//! cargo run -p lock-demo -- interleavings --operations 1
//!
//! To copy: examples/interleavings.rs, which lists and counts; no threads.

use parking_lot::Mutex;
use shared_core::cli::Question;
use shared_core::{Context, Result, check, fact, moment, report, span, waiting};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Between two steps of a thread others may come
///
/// To deposit takes three steps: load the balance, add, store the sum. A thread makes its
/// steps in order, but the scheduler may let those of another thread come in between
/// (sched(7)): each such order is an interleaving. A store between another thread's load
/// and store is overwritten. So all the money is there only if no deposit interrupts
/// another one. A lock that is taken with the load and released with the store leaves
/// only those interleavings (pthread_mutex_lock(3p)).
///
/// Try: cargo run -p lock-demo -- interleavings --schedule ABBAAB
///
/// Try: cargo run -p lock-demo -- interleavings --schedule ABBAAB --lock
///
/// Try: cargo run -p lock-demo -- interleavings --play
#[derive(clap::Args)]
pub struct Options {
    /// How many deposits each thread makes (1 to 3)
    #[arg(long, default_value_t = 1, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u8).range(1..=3))]
    operations: u8,
    /// Replay a schedule, such as ABBAAB: whose step comes next, A's or B's, three for
    /// each deposit
    #[arg(long, value_parser = schedule, conflicts_with = "operations")]
    schedule: Option<String>,
    /// Load and store under a lock
    #[arg(long)]
    lock: bool,
    /// Be the scheduler yourself, first without a lock and then with one
    #[arg(long, conflicts_with_all = ["schedule", "lock"])]
    play: bool,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[Question {
    text: "Deposits of A: {operations}, of B: {operations}, in three steps each. In how many \
           interleavings is nothing lost?",
    choices: &[],
    fact: "nothing_lost",
    is_a_race: false,
}];

/// The threads, and what each deposits.
const THREADS: [(char, i64); 2] = [('A', 5), ('B', 8)];
/// Load, add, store.
const STEPS: usize = 3;
/// After each step, so that the picture shows it.
const PAUSE: Duration = Duration::from_millis(5);

pub fn run(options: &Options) -> Result<()> {
    let operations = match &options.schedule {
        Some(schedule) => schedule.len() / (2 * STEPS),
        None => options.operations.into(),
    };
    count(operations, options.lock);
    if options.play {
        let unlocked = play(operations, false)?;
        let locked = play(operations, true)?;
        judge(operations, &unlocked, Some(&locked));
        return Ok(());
    }
    // A loads, then B makes its deposit, then A goes on: its sum is an old one.
    let rest = "AA".to_owned() + &"AAABBB".repeat(operations - 1);
    let losing = "ABBB".to_owned() + &rest;
    let schedule = options.schedule.as_ref().unwrap_or(&losing);
    let made = step_through(operations, options.lock, follow(schedule))?;
    judge(operations, &made, options.lock.then_some(&made));
    Ok(())
}

/// What a thread does. Each step waits for its turn; `None` when there are no more.
fn deposit(
    balance: &AtomicI64,
    lock: Option<&Mutex<()>>,
    amount: i64,
    turns: &Turns,
) -> Option<()> {
    turns.wait()?;
    let mut held = None;
    if let Some(lock) = lock {
        held = lock.try_lock();
        while held.is_none() {
            turns.did(Did::Refused);
            turns.wait()?;
            held = lock.try_lock();
        }
    }
    let seen = balance.load(SeqCst);
    turns.did(Did::Step(format!("load {seen}")));

    turns.wait()?;
    let sum = seen + amount;
    turns.did(Did::Step(format!("add {amount}: {sum}")));

    turns.wait()?;
    balance.store(sum, SeqCst);
    drop(held); // only now another thread may load
    turns.did(Did::Step(format!("store {sum}")));
    Some(())
}

/// Lets two threads make their steps, one at a time, in the order that `next` says: it
/// is told how many steps each has made.
fn step_through(
    operations: usize,
    locked: bool,
    mut next: impl FnMut([usize; 2]) -> Result<char>,
) -> Result<Made> {
    let (balance, lock) = (&AtomicI64::new(0), &Mutex::new(()));
    let lock = locked.then_some(lock);
    let mut made = Made::default();
    report!("   A              B           balance");
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (name, amount) in THREADS {
            let ((turn, turns), (did, done)) = (channel(), channel());
            let work = move || {
                let turns = Turns { turns, did };
                for _ in 0..operations {
                    deposit(balance, lock, amount, &turns)?;
                }
                Some(())
            };
            let thread = thread::Builder::new().name(name.to_string());
            let thread = thread.spawn_scoped(scope, work);
            thread.with_context(|| format!("failed to start the thread {name}"))?;
            threads.push((turn, done));
        }
        while made.steps != [operations * STEPS; 2] {
            let name = next(made.steps)?;
            let index = usize::from(name == 'B');
            let (turn, done) = &threads[index];
            turn.send(()).context("the thread has ended")?;
            made.note(index, name, &done.recv().context("the thread has ended")?);
            made.balance = balance.load(SeqCst);
            made.row(index);
        }
        Ok(made)
    })
}

// A first reading may skip the rest.

/// The turns of a thread, and what it did.
struct Turns {
    turns: Receiver<()>,
    did: Sender<Did>,
}

enum Did {
    Step(String),
    /// Another thread holds the lock.
    Refused,
}

impl Turns {
    fn wait(&self) -> Option<()> {
        let _wait = waiting!("turn");
        self.turns.recv().ok()
    }

    fn did(&self, did: Did) {
        match &did {
            Did::Step(what) => {
                let _span = span!("{what}");
                thread::sleep(PAUSE);
            }
            Did::Refused => moment!("locked"),
        }
        let _ = self.did.send(did); // nobody asks any more
    }
}

/// What came of a schedule.
#[derive(Default)]
struct Made {
    /// How many steps each thread has made.
    steps: [usize; 2],
    /// Who made them, in this order.
    order: String,
    balance: i64,
    /// How often a step was refused.
    refused: usize,
    /// What was done last.
    last: String,
}

impl Made {
    fn note(&mut self, index: usize, name: char, did: &Did) {
        match did {
            Did::Step(what) => {
                self.last.clone_from(what);
                self.steps[index] += 1;
                self.order.push(name);
            }
            Did::Refused => {
                "locked, waits".clone_into(&mut self.last);
                self.refused += 1;
            }
        }
    }

    /// A row of the table: a column for each thread, and the balance.
    fn row(&self, index: usize) {
        let number = self.order.len() + self.refused;
        let mut cells = ["", ""];
        cells[index] = &self.last;
        let [a, b] = cells;
        report!("{number:>2} {a:<15}{b:<15}{:>3}", self.balance);
    }
}

/// The order of a schedule. A step that was refused comes later: first who holds the lock
/// goes on, then A, then B.
fn follow(schedule: &str) -> impl FnMut([usize; 2]) -> Result<char> {
    let mut letters = schedule.to_owned().into_bytes().into_iter();
    move |steps| Ok(letters.next().map_or_else(|| whose_turn(steps), char::from))
}

/// Who is to go on if nobody chooses.
fn whose_turn(steps: [usize; 2]) -> char {
    let [a, b] = steps;
    let in_a_deposit = |made| made % STEPS > 0;
    if in_a_deposit(a) || !in_a_deposit(b) && a <= b {
        'A'
    } else {
        'B'
    }
}

/// A round in which a person is the scheduler.
fn play(operations: usize, locked: bool) -> Result<Made> {
    let all = all_money(operations);
    let how = if locked { "with" } else { "without" };
    report!("You are the scheduler, {how} a lock.");
    report!("Your aim: a balance below {all}");
    let mut over = false;
    let made = step_through(operations, locked, |steps| {
        let ended = steps.map(|steps| steps == operations * STEPS);
        while !over {
            match ask()? {
                None => {
                    report!("nobody chooses any more");
                    over = true;
                }
                Some(name) if ended[usize::from(name == 'B')] => report!("{name} has ended"),
                Some(name) => return Ok(name),
            }
        }
        Ok(match ended {
            [true, _] => 'B',
            [_, true] => 'A',
            _ => whose_turn(steps),
        })
    })?;
    match all - made.balance {
        0 => report!("nothing is lost: {all}"),
        lost => report!("{lost} lost: you have done it"),
    }
    Ok(made)
}

/// Whose step is to come next; none when the input has ended.
fn ask() -> Result<Option<char>> {
    loop {
        let _ = write!(io::stderr(), "1 (A) or 2 (B)? > ");
        let mut line = Vec::new(); // whatever was typed
        let read = io::stdin().lock().read_until(b'\n', &mut line);
        if read.context("failed to read whose turn it is")? == 0 {
            let _ = writeln!(io::stderr()); // nobody has typed a newline
            return Ok(None);
        }
        match line.trim_ascii() {
            b"1" | b"A" | b"a" => return Ok(Some('A')),
            b"2" | b"B" | b"b" => return Ok(Some('B')),
            other => {
                let other = String::from_utf8_lossy(other);
                let _ = writeln!(io::stderr(), "{other:?} is neither 1 nor 2");
            }
        }
    }
}

/// What a schedule is, as it stands behind `--schedule`.
fn schedule(text: &str) -> std::result::Result<String, String> {
    let text = text.to_uppercase();
    let of = |name| text.matches(name).count();
    let (a, b) = (of('A'), of('B'));
    if a == b && a + b == text.chars().count() && [3, 6, 9].contains(&a) {
        return Ok(text);
    }
    Err("A and B, each three times, or each six or nine times".to_owned())
}

/// Every interleaving of two threads that make as many deposits.
fn interleavings(operations: usize) -> impl Iterator<Item = String> {
    let steps = operations * 2 * STEPS;
    let half = move |bits: &u32| bits.count_ones() as usize * 2 == steps;
    let letter = |bits: u32, step| if bits >> step & 1 == 0 { 'A' } else { 'B' };
    let all = (0..1 << steps).filter(half);
    all.map(move |bits| (0..steps).rev().map(|step| letter(bits, step)).collect())
}

/// The balance after it.
fn balance_after(schedule: &str) -> i64 {
    let (mut balance, mut sums, mut made) = (0, [0; 2], [0; 2]);
    for letter in schedule.chars() {
        let who = usize::from(letter == 'B');
        match made[who] % STEPS {
            0 => sums[who] = balance,
            1 => sums[who] += THREADS[who].1,
            _ => balance = sums[who],
        }
        made[who] += 1;
    }
    balance
}

/// Whether one thread makes a step in the middle of the other one's deposit.
fn is_interrupted(schedule: &str) -> bool {
    let letters: Vec<char> = schedule.chars().collect();
    letters
        .chunks(STEPS)
        .any(|three| three.iter().any(|letter| *letter != three[0]))
}

fn all_money(operations: usize) -> i64 {
    let once: i64 = THREADS.iter().map(|(_, amount)| amount).sum();
    once * i64::try_from(operations).unwrap_or(i64::MAX)
}

/// Makes every interleaving, on paper, and says what the balances are.
fn count(operations: usize, lock: bool) {
    let mut by_balance: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut as_said = 0;
    for schedule in interleavings(operations) {
        let balance = balance_after(&schedule);
        let loses = balance != all_money(operations);
        as_said += u64::from(loses == is_interrupted(&schedule));
        by_balance.entry(balance).or_default().push(schedule);
    }
    let all: usize = by_balance.values().map(Vec::len).sum();
    report!("{all} interleavings, and the balances:");
    for (balance, schedules) in &by_balance {
        report!("{balance:>3} after {} of them", schedules.len());
        if operations == 1 {
            for some in schedules.chunks(5) {
                report!("   {}", some.join(" "));
            }
        }
    }
    let right = by_balance.get(&all_money(operations)).map_or(0, Vec::len);
    if lock {
        report!("a lock leaves {right} of them");
    }
    fact!("interleavings", all);
    fact!("nothing_lost", right);
    fact!("balances", by_balance.into_keys().collect::<Vec<_>>());
    let operations = operations as u64;
    check!(
        "there are as many interleavings as ways to choose A's steps among all",
        all,
        ways_to_choose(3 * operations, 6 * operations)
    );
    check!(
        "money is lost in those in which a deposit is interrupted, and in no others",
        as_said,
        all
    );
    check!(
        "nothing is lost in as many as there are orders of whole deposits",
        right,
        ways_to_choose(operations, 2 * operations)
    );
}

/// How many ways there are to choose `some` of `all`: 2 of 4 in 6 ways.
fn ways_to_choose(some: u64, all: u64) -> u64 {
    (1..=some).fold(1, |ways, n| ways * (all - some + n) / n)
}

fn judge(operations: usize, made: &Made, under_a_lock: Option<&Made>) {
    fact!("order", made.order.as_str());
    fact!("balance", made.balance);
    check!(
        "two threads that make their steps in this order end with the same balance",
        made.balance,
        balance_after(&made.order)
    );
    if let Some(Made {
        order,
        balance,
        refused,
        ..
    }) = under_a_lock
    {
        fact!("order_under_a_lock", order.as_str());
        fact!("refused", *refused);
        let all = all_money(operations);
        check!(
            "with the lock no deposit is interrupted, and nothing is lost",
            format!("{order}, balance {balance}"),
            !is_interrupted(order) && *balance == all,
            format!("whole deposits, balance {all}")
        );
    }
}
