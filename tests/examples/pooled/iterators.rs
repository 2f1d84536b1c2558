//! Inputs are read when they are needed, and an iterator may panic.

use crate::acts::{Act, pool, result, squared, squares};
use crate::meeting::Meeting;
use crate::watchdog::step;
use pool_demo::{Outcome, Pool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub fn lazy() {
    let pool = pool(2);
    let read = AtomicU64::new(0);
    let read_so_far = || read.load(Relaxed);
    let meeting = Meeting::new();
    let endless = || std::iter::repeat_with(|| read.fetch_add(1, Relaxed));

    // Nothing is read before somebody asks, and few while both workers are at work.
    let mut results = pool.imap_unordered(endless().map(|_| meeting.task()), 1);
    assert_eq!(read_so_far(), 0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| results.next());
        let guests = [meeting.next(), meeting.next()];
        assert!(read_so_far() <= 8, "{} read", read_so_far());
        drop(guests);
        assert!(matches!(first.join(), Ok(Some(Ok(_)))));
    });
    drop(results);
    drop(pool);
    step();

    // However many there are, whoever takes the results slowly has few of them wait.
    let pool = self::pool(2);
    for in_order in [false, true] {
        read.store(0, Relaxed);
        let tasks = endless().map(|_| Act::Square(3));
        let mut results: Box<dyn Iterator<Item = Outcome<Act>>> = if in_order {
            Box::new(pool.imap(tasks, 1))
        } else {
            Box::new(pool.imap_unordered(tasks, 1))
        };
        for taken in 1..=20_000 {
            assert_eq!(results.next(), Some(Ok(9)));
            // Twice what the workers may have, 1024 jobs each.
            let ahead = read_so_far() - taken;
            assert!(ahead <= 2 * 2 * 1025, "{ahead} read in advance");
        }
        step();
    }
    pool.join();
}

/// `0..count`, and a panic instead of the one with the number `bad`.
fn bad_at(count: u64, bad: u64) -> impl Iterator<Item = Act> {
    (0..count).map(move |number| {
        if number == bad {
            // Without the words of a panic! on stderr.
            std::panic::resume_unwind(Box::new("bad input"));
        }
        Act::Square(number)
    })
}

fn panics_with<R>(what: impl FnOnce() -> R) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(what)) else {
        panic!("no panic");
    };
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"bad input"));
}

pub fn panics() {
    let pool = pool(2);
    for (count, bad) in [(1, 0), (10, 3), (20, 7)] {
        for chunk_size in [1, 2, 4] {
            for _ in 0..2 {
                panics_with(|| pool.map(bad_at(count, bad), Some(chunk_size)));
                goes_on(&pool, pool.imap(bad_at(count, bad), chunk_size), count, bad);
                goes_on(
                    &pool,
                    pool.imap_unordered(bad_at(count, bad), chunk_size),
                    count,
                    bad,
                );
                step();
            }
        }
    }
    pool.join();
}

/// The panic comes to the caller once. What was read before is not lost but for the
/// chunk in which it is; who goes on has the rest.
fn goes_on(
    pool: &Pool<Act>,
    mut results: impl Iterator<Item = Outcome<Act>>,
    count: u64,
    bad: u64,
) {
    let (mut panics, mut all) = (0, Vec::new());
    loop {
        match catch_unwind(AssertUnwindSafe(|| results.next())) {
            Ok(Some(outcome)) => all.push(result(outcome)),
            Ok(None) => break,
            Err(_) => panics += 1,
        }
    }
    assert_eq!(panics, 1);
    let missing = (0..count).filter(|number| !all.contains(&(number * number)));
    let missing: Vec<u64> = missing.collect();
    let first = missing.first().copied().unwrap_or_default();
    assert_eq!(
        missing,
        (first..=bad).collect::<Vec<_>>(),
        "{bad} of {count}"
    );
    assert!(bad - first < 4);
    assert_eq!(pool.map(squares(3), None), squared(3));
}
