//! Each way in which a task ends without a result, and what it spares.

use crate::acts::{Act, pid, pool, squared, squares};
use crate::meeting::Meeting;
use crate::watchdog::step;
use pool_demo::{Failure, Pool};
use std::time::Duration;

pub fn panics() {
    let pool = pool(1);
    let worker = pid(pool.apply(Act::Pid));
    for text in ["no", "", "two\nlines", "größer"] {
        let failure = pool
            .apply(Act::Panic(text.to_owned()))
            .expect_err("a panic");
        let Failure::Panicked(panic) = &failure else {
            panic!("{failure}");
        };
        assert_eq!(panic.message, text);
        let file = panic.place.replace('\\', "/");
        assert!(file.contains("pooled/acts.rs:"), "{file}");
        let said = format!("panicked: {text} ({})", panic.place);
        assert_eq!(failure.to_string(), said);
    }
    let Err(Failure::Panicked(panic)) = pool.apply(Act::PanicWithANumber) else {
        panic!("a panic");
    };
    assert_eq!(panic.message, "without a message");
    assert!(panic.place.contains("acts.rs:"), "{}", panic.place);

    // In a chunk the others have their results.
    let tasks = squares(6)
        .chain([Act::Panic("no".to_owned())])
        .chain(squares(6));
    for chunk_size in [1, 4, 100] {
        let mut outcomes = pool.map(tasks.clone(), Some(chunk_size));
        let failure = outcomes.remove(6).expect_err("a panic");
        assert!(matches!(failure, Failure::Panicked(_)));
        assert_eq!(outcomes.split_off(6), squared(6));
        assert_eq!(outcomes, squared(6));
    }
    assert_eq!(pid(pool.apply(Act::Pid)), worker, "it lives on");

    // Each task of a big panicking crowd is told of, and the pool ends.
    let text = "x".repeat(1 << 20);
    let outcomes = pool.map([Act::Panic(text.clone()), Act::Panic(text)], Some(1));
    assert!(outcomes.iter().all(Result::is_err));
    pool.join();
}

pub fn exits() {
    let pool = pool(2);
    for status in [0, 3] {
        for _ in 0..10 {
            let tasks = squares(5).chain([Act::Exit(status)]).chain(squares(5));
            let mut outcomes = pool.map(tasks, Some(1));
            let failure = outcomes.remove(5).expect_err("it exits");
            assert_eq!(outcomes.split_off(5), squared(5));
            assert_eq!(outcomes, squared(5), "no other task has failed");
            let Failure::WorkerDied { pid, how } = &failure else {
                panic!("{failure}");
            };
            assert!(how.ends_with(&format!(": {status}")), "{how}");
            // Elsewhere the next one may have its PID.
            assert!(!(cfg!(target_os = "linux") && pool.workers().contains(pid)));
            assert_eq!(failure.to_string(), format!("worker {pid} died: {how}"));
            step();
        }
    }
    // A chunk goes together.
    let outcomes = pool.map([Act::Square(1), Act::Exit(3)], Some(2));
    assert!(
        outcomes
            .iter()
            .all(|one| matches!(one, Err(Failure::WorkerDied { .. })))
    );
    pool.join();
}

pub fn timeouts() {
    let limit = Duration::from_millis(50);
    let pool = Pool::builder().workers(2).task_timeout(limit).start();
    let pool = pool.expect("a pool");
    let meeting = Meeting::new();
    for _ in 0..3 {
        let endless = pool.apply_async(meeting.endless_task());
        let behind = pool.map_async((0..20).map(|_| Act::Pid), Some(1));
        let failure = endless.get().expect_err("no end");
        assert!(failure.to_string().contains("after 50ms, its time limit"));
        let Failure::TimedOut { pid, limit: said } = failure else {
            panic!("{failure}");
        };
        assert_eq!(said, limit);
        for one in behind.get() {
            // (It may take the system so long to let a worker run.)
            let elsewhere = matches!(one, Ok(worker) if cfg!(windows) || worker != u64::from(pid));
            assert!(elsewhere || is_timeout(&one), "{pid}, {one:?}");
        }
        step();
    }
    // For a chunk the limits are added up: it is killed as a whole.
    let chunk = [Act::Square(1), meeting.endless_task(), Act::Square(1)];
    let outcomes = pool.map(chunk, Some(3));
    assert!(outcomes.iter().all(is_timeout), "{outcomes:?}");
    pool.join();
}

fn is_timeout(outcome: &Result<u64, Failure>) -> bool {
    matches!(outcome, Err(Failure::TimedOut { .. }))
}

pub fn retries() {
    let meeting = Meeting::new();
    for retries in [1, 2] {
        let pool = Pool::builder().workers(1).retries(retries).start();
        let pool = pool.expect("a pool");
        let task = pool.apply_async(Act::ExitTwice(meeting.port));
        let behind = pool.apply_async(Act::Square(3));
        // So often it is begun, each time in another worker.
        let times: Vec<u32> = (0..=u8::try_from(retries).expect("few"))
            .map(|time| {
                let guest = meeting.next();
                let pid = guest.pid;
                guest.send_on(time);
                pid
            })
            .collect();
        if retries == 2 {
            assert_eq!(task.get(), Ok(2));
        } else {
            let last = times.last().copied().unwrap_or_default();
            let failure = task.get().expect_err("it exits");
            assert!(matches!(failure, Failure::WorkerDied { pid, .. } if pid == last));
        }
        assert_eq!(behind.get(), Ok(9));
        // A panic is an answer: it is not tried again.
        let failure = pool.apply(Act::Panic(String::new()));
        assert!(matches!(failure, Err(Failure::Panicked(_))));
        pool.join();
    }
}

pub fn nested() {
    let pool = pool(2);
    let squares = pool.map((0..4).map(Act::Nested), Some(1));
    assert_eq!(squares, squared(4));
    let meeting = Meeting::new();
    let endless = pool.apply_async(Act::NestedForEver(meeting.port));
    let guest = meeting.next();
    assert!(!pool.workers().contains(&guest.pid), "a worker's worker");
    drop(pool);
    assert_eq!(endless.get(), Err(Failure::Cancelled));
}
