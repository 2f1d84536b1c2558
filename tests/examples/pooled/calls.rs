//! Tasks are given to a pool in each way that there is.

use crate::acts::{Act, are_two, pid, pool, result, squared, squares};
use crate::meeting::Meeting;
use crate::watchdog::step;
use pool_demo::Failure;
use std::collections::HashSet;
use std::time::Duration;

pub fn apply() {
    let pool = pool(2);
    assert_eq!(pool.apply(Act::Square(5)), Ok(25));
    let results: Vec<_> = (0..50)
        .map(|number| pool.apply_async(Act::Square(number)))
        .collect();
    // In whichever order they are asked for.
    for (number, result) in (0..50).zip(results).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(result.get(), Ok(number * number));
    }
    pool.join();
}

pub fn map() {
    let pool = pool(2);
    for count in [1, 2, 10, 100] {
        for chunk_size in [None, Some(0), Some(1), Some(3), Some(20), Some(usize::MAX)] {
            assert_eq!(pool.map(squares(count), chunk_size), squared(count));
            step();
        }
    }
    let together = [1000, 10].map(|count| pool.map_async(squares(count), None));
    for (mut results, count) in together.into_iter().zip([1000, 10]) {
        while !results.ready() {
            std::thread::yield_now();
        }
        assert_eq!(results.get(), squared(count));
    }
    for chunk_size in [None, Some(20)] {
        let products = pool.starmap((0..100).zip((0..100).rev()), chunk_size);
        let expected: Vec<_> = (0..100).map(|a| Ok(a * (99 - a))).collect();
        assert_eq!(products, expected);
    }
    pool.join();
}

pub fn imap() {
    let pool = pool(2);
    for (count, chunk_size) in [(1, 1), (10, 1), (10, 0), (1000, 1), (1000, 100), (10, 1000)] {
        let mut results = pool.imap(squares(count), chunk_size);
        for number in 0..count {
            assert_eq!(results.next(), Some(Ok(number * number)));
        }
        assert_eq!((results.next(), results.next()), (None, None));

        let results = pool.imap_unordered(squares(count), chunk_size);
        let mut results: Vec<u64> = results.map(result).collect();
        results.sort_unstable();
        assert_eq!(
            results.into_iter().map(Ok).collect::<Vec<_>>(),
            squared(count)
        );
        step();
    }

    pool.join();

    // Out of order, the first comes last; in order it does not, though it is done
    // last. (In new pools, whose workers are given one task at a time.)
    let meeting = Meeting::new();
    let tasks = || [meeting.task()].into_iter().chain(squares(1));
    let pool = crate::acts::pool(2);
    let mut results = pool.imap_unordered(tasks(), 1);
    assert_eq!(results.next(), Some(Ok(0)));
    let guest = meeting.next();
    let waited = u64::from(guest.pid);
    guest.send_on(0);
    assert_eq!((results.next(), results.next()), (Some(Ok(waited)), None));
    pool.join();

    let pool = crate::acts::pool(2);
    let mut results = pool.imap(tasks().chain([meeting.task()]), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let first = meeting.next();
            // The other worker has done the other task, or it would not be here.
            meeting.next().send_on(0);
            first.send_on(0);
        });
        assert!(matches!(results.next(), Some(Ok(_))));
        assert_eq!(results.next(), Some(Ok(0)));
        assert!(matches!(results.next(), Some(Ok(_))));
        assert_eq!(results.next(), None);
    });
    pool.join();
}

pub fn nothing() {
    let pool = pool(1);
    for chunk_size in [None, Some(1)] {
        assert_eq!(pool.map([], chunk_size), []);
        assert_eq!(pool.map_async([], chunk_size).get(), []);
        assert!(pool.map_async([], chunk_size).ready());
        let at_once = pool.map_async([], chunk_size).get_timeout(Duration::ZERO);
        assert!(at_once.is_ok());
    }
    assert_eq!(pool.imap([], 1).next(), None);
    assert_eq!(pool.imap_unordered([], 1).next(), None);
    assert_eq!(pool.starmap(Vec::<(u64, u64)>::new(), None), []);
    pool.join();
    crate::acts::pool(3).join(); // no task at all
    drop(crate::acts::pool(3));
}

pub fn get_with_a_limit() {
    let pool = pool(2);
    let meeting = Meeting::new();
    let mut one = pool.apply_async(meeting.task());
    let mut all = pool.map_async([meeting.task(), Act::Square(3)], Some(1));
    let guests = [meeting.next(), meeting.next()];
    assert!(!one.ready() && !all.ready());
    for limit in [Duration::ZERO, Duration::from_millis(20)] {
        one = still_waits(one.get_timeout(limit));
        all = still_waits(all.get_timeout(limit));
    }
    let pids: HashSet<u64> = guests.iter().map(|guest| guest.pid.into()).collect();
    for guest in guests {
        guest.send_on(0);
    }
    let one = one.get_timeout(Duration::MAX).ok().expect("it is done");
    let all = all.get_timeout(Duration::MAX).ok().expect("they are done");
    assert_eq!(all[1], Ok(9));
    let met = [result(one), result(all[0].clone())];
    assert_eq!(HashSet::from(met), pids);

    let mut one = pool.apply_async(Act::Square(4));
    while !one.ready() {
        std::thread::yield_now();
    }
    let one = one.get_timeout(Duration::ZERO).ok().expect("it is ready");
    assert_eq!(one, Ok(16));
    pool.join();
}

/// What is to be waited for once more.
fn still_waits<O, R>(got: Result<O, R>) -> R {
    match got {
        Ok(_) => panic!("an outcome"),
        Err(result) => result,
    }
}

pub fn cancel() {
    let pool = pool(1);
    let meeting = Meeting::new();
    let done = pool.apply_async(Act::Square(2));
    assert_eq!(pool.apply(Act::Square(3)), Ok(9)); // so the other is done, too
    let running = pool.apply_async(meeting.endless_task());
    let queued = pool.apply_async(meeting.endless_task());
    let wanted = pool.apply_async(Act::Pid);
    let guest = meeting.next();
    done.cancel();
    queued.cancel();
    assert_eq!(queued.get(), Err(Failure::Cancelled)); // while the first runs
    running.cancel();
    running.cancel();
    assert_eq!(running.get(), Err(Failure::Cancelled));
    let elsewhere = are_two(pid(wanted.get()), guest.pid);
    assert!(elsewhere, "it was killed with its task");
    assert_eq!(done.get(), Ok(4));

    // One that a busy worker has already is not run, and costs no worker.
    let workers = pool.workers();
    assert!(pool.map(squares(1000), Some(1)).iter().all(Result::is_ok)); // they are tiny
    let running = pool.apply_async(meeting.task());
    let unwanted: Vec<_> = squares(9).map(|task| pool.apply_async(task)).collect();
    let guest = meeting.next();
    for result in unwanted {
        result.cancel();
        assert_eq!(result.get(), Err(Failure::Cancelled));
    }
    guest.send_on(0);
    assert_eq!(pid(running.get()), workers[0]);
    assert_eq!(pool.workers(), workers);

    // Whether it is running just now only the worker knows.
    for _ in 0..20 {
        let results: Vec<_> = squares(50).map(|task| pool.apply_async(task)).collect();
        for result in results.iter().step_by(7) {
            result.cancel();
        }
        for (number, result) in (0..).zip(results) {
            match result.get() {
                Err(Failure::Cancelled) => assert_eq!(number % 7, 0),
                other => assert_eq!(other, Ok(number * number)),
            }
        }
        step();
    }
    pool.join();
}

pub fn workers() {
    let pool = pool(3);
    let mut pids = pool.workers();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert!(!pids.contains(&std::process::id()));
    let meeting = Meeting::new();
    let results = pool.map_async((0..3).map(|_| meeting.task()), Some(1));
    let guests = [meeting.next(), meeting.next(), meeting.next()];
    let mut seen = guests.each_ref().map(|guest| guest.pid);
    seen.sort_unstable();
    assert_eq!(seen[..], pids, "each of them is at work");
    drop(guests);
    results
        .get()
        .into_iter()
        .for_each(|one| assert!(pids.contains(&pid(one))));
    pool.close();
    while !pool.workers().is_empty() {
        std::thread::yield_now();
    }
    pool.join();
}
