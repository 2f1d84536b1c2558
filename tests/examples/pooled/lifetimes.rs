//! How workers and pools begin and end.

use crate::acts::{Act, pool, result, squared, squares};
use crate::meeting::Meeting;
use crate::watchdog::step;
use pool_demo::{Failure, Pool};
use std::time::Duration;

pub fn initializer() {
    // It runs once in each worker, before all else: the next count is the second.
    let pool = Pool::builder().workers(3).initializer(Act::Count);
    let pool = pool.max_tasks_per_worker(1).start().expect("a pool");
    let counts = pool.map((0..9).map(|_| Act::Count), Some(1));
    assert_eq!(counts, vec![Ok(2); 9]);
    pool.join();

    for (initializer, why) in [
        (Act::Panic("no ink".to_owned()), "panicked: no ink"),
        (Act::Exit(3), ": 3"),
    ] {
        let pool = Pool::builder().workers(2).initializer(initializer).start();
        let error = format!("{:#}", pool.err().expect("no pool"));
        assert!(error.starts_with("worker "), "{error}");
        assert!(
            error.contains(" ended before it was ready: ") && error.contains(why),
            "{error}"
        );
    }
}

pub fn max_tasks() {
    let of = |tasks| {
        let pool = Pool::builder().workers(3).max_tasks_per_worker(tasks);
        pool.start().expect("a pool")
    };
    let pool = of(10);
    let results: Vec<_> = (0..100).map(|_| pool.apply_async(Act::Count)).collect();
    let counts: Vec<u64> = results.into_iter().map(|one| result(one.get())).collect();
    assert!(
        counts.iter().all(|count| (1..=10).contains(count)),
        "{counts:?}"
    );
    let first = counts.iter().filter(|count| **count == 1).count();
    assert!(first >= 10, "{counts:?}");
    assert_eq!(pool.map(squares(100), None), squared(100));
    pool.join();

    // Closed while there is much to do.
    let pool = of(1);
    let results: Vec<_> = (0..12).map(|_| pool.apply_async(Act::Count)).collect();
    pool.close();
    pool.join();
    for result in results {
        assert_eq!(result.get(), Ok(1), "each in a worker of its own");
    }
    step();

    // A chunk is not split.
    let pool = of(2);
    let counts = pool.map((0..15).map(|_| Act::Count), Some(5));
    let expected: Vec<_> = (0..3).flat_map(|_| (1..=5).map(Ok)).collect();
    assert_eq!(counts, expected);
    pool.join();
}

pub fn close() {
    let pool = pool(2);
    let meeting = Meeting::new();
    let tasks: Vec<_> = (0..2).map(|_| pool.apply_async(meeting.task())).collect();
    let queued = pool.apply_async(Act::Square(3));
    let guests = [meeting.next(), meeting.next()];
    pool.close();
    pool.close();
    let closed = Failure::NotRun("the pool is closed".to_owned());
    assert_eq!(pool.apply(Act::Square(1)), Err(closed.clone()));
    assert_eq!(pool.map(squares(9), Some(2)), vec![Err(closed.clone()); 9]);
    assert_eq!(pool.imap(squares(1), 1).next(), Some(Err(closed.clone())));
    assert_eq!(closed.to_string(), "not run: the pool is closed");
    let mut lazy = pool.imap_unordered(squares(3), 1);
    drop(guests);
    pool.join(); // it waits for all three
    assert_eq!(queued.get(), Ok(9));
    for task in tasks {
        assert!(task.get().is_ok());
    }
    // Who has kept a way to the pool is told that it is no more.
    assert!(matches!(lazy.next(), Some(Err(Failure::NotRun(_)))));
}

pub fn terminate() {
    let meeting = Meeting::new();
    for how in 0..4 {
        let pool = pool(2);
        let done = pool.apply_async(Act::Square(2));
        assert_eq!(pool.apply(Act::Square(3)), Ok(9));
        let done_too = pool.apply_async(Act::Square(2)).get();
        let mut lazy = pool.imap((0..).map(|_| meeting.endless_task()), 1);
        let results = pool.map_async((0..10_000).map(|_| meeting.endless_task()), Some(1));
        let _guests = [meeting.next(), meeting.next()];
        let not_run = || Failure::NotRun("the pool was terminated".to_owned());
        let expected_later = match how {
            0 => {
                drop(pool);
                Failure::NotRun("the pool has ended".to_owned())
            }
            1 => {
                pool.terminate();
                pool.terminate();
                let later = pool.apply(Act::Square(1));
                assert!(matches!(later, Err(Failure::NotRun(_))));
                pool.join();
                Failure::NotRun("the pool has ended".to_owned())
            }
            2 => {
                let terminator = pool.terminator();
                let thread = std::thread::spawn(move || terminator.terminate());
                let _ = results.get_timeout(Duration::ZERO);
                thread.join().expect("no panic");
                pool.join();
                continue;
            }
            _ => {
                pool.terminate();
                not_run()
            }
        };
        let outcomes = results.get();
        let count = |what: &Failure| {
            let is_it = |one: &&Result<u64, Failure>| one.as_ref() == Err(what);
            outcomes.iter().filter(is_it).count()
        };
        assert_eq!(count(&Failure::Cancelled), 2, "those that were at work");
        assert_eq!(count(&not_run()), 9_998);
        assert_eq!((done.get(), done_too), (Ok(4), Ok(4)));
        let last = lazy.next();
        if how < 2 {
            assert_eq!(last, Some(Err(expected_later)));
        }
        step();
    }
}

pub fn no_limit() {
    // As large as it can be said.
    let pool = Pool::builder().workers(1).task_timeout(Duration::MAX);
    let pool = pool.start_timeout(Duration::MAX).start().expect("a pool");
    assert_eq!(pool.map(squares(4), Some(2)), squared(4));
    pool.join();
}
