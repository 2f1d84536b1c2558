//! A pool ends in the middle of its work.

use crate::acts::{Act, Blob, for_ever, pool};
use crate::deaths::{children, stop};
use crate::meeting::Meeting;
use pool_demo::{Failure, Pool};
use serde_bytes::ByteBuf;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{exit, id};
use std::thread;

/// Has a pool that is busy in the way that is named, says so, and then waits for
/// what the test does, or ends in some way with the pool at work.
pub fn hang(args: &[String]) {
    let meeting = Meeting::new();
    let how = args.first().map(String::as_str).unwrap_or_default();
    if how == "start" {
        let initializer = meeting.endless_task();
        thread::spawn(|| Pool::builder().workers(3).initializer(initializer).start());
        let _guests = [meeting.next(), meeting.next(), meeting.next()];
        say_and_wait();
    }
    if how == "write" || how == "answer" {
        let pool = Pool::<Blob>::start(2).expect("a pool");
        let blob = || Blob(ByteBuf::from(vec![7; 64 << 20]));
        if how == "write" {
            stop(pool.workers()[0]);
            stop(pool.workers()[1]);
        }
        let _both = [pool.apply_async(blob()), pool.apply_async(blob())];
        say_and_wait();
    }
    let pool = pool(3);
    let results = pool.map_async((0..9).map(|_| meeting.endless_task()), Some(1));
    let _guests = [meeting.next(), meeting.next(), meeting.next()];
    match how {
        "task" => say_and_wait(),
        "stopped" => {
            pool.workers().into_iter().for_each(stop);
            say_and_wait();
        }
        "nested" => {
            let _ = pool.apply_async(Act::Square(1));
            drop(pool);
            let pool = self::pool(2);
            let _results =
                pool.map_async((0..2).map(|_| Act::NestedForEver(meeting.port)), Some(1));
            let _guests = [meeting.next(), meeting.next()];
            say_and_wait();
        }
        "panic" => panic!("in the middle of it"),
        "exit" => exit(3),
        "forget" => std::mem::forget((pool, results)),
        other => panic!("{other}"),
    }
}

fn say_and_wait() -> ! {
    println!("{} is at work", id());
    std::io::stdout().flush().expect("a reader");
    for_ever()
}

pub fn ends() {
    let meeting = Meeting::new();
    let at_work = || {
        let pool = pool(3);
        let results = pool.map_async((0..9).map(|_| meeting.endless_task()), Some(1));
        let guests = [meeting.next(), meeting.next(), meeting.next()];
        (pool, results, guests)
    };
    let cancelled = |results: &[Result<u64, Failure>]| {
        let cancelled = |one: &&_| **one == Err(Failure::Cancelled);
        results.iter().filter(cancelled).count()
    };
    for _ in 0..10 {
        let (pool, results, _guests) = at_work();
        pool.terminate();
        pool.join();
        assert!(children().is_empty());
        assert_eq!(cancelled(&results.get()), 3);

        let (pool, results, _guests) = at_work();
        drop(pool);
        assert!(children().is_empty());
        assert_eq!(cancelled(&results.get()), 3);

        let (pool, results, _guests) = at_work();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _pool = pool;
            std::panic::resume_unwind(Box::new(7)); // no words on stderr
        }));
        assert!(panic.is_err());
        assert!(children().is_empty());
        assert_eq!(cancelled(&results.get()), 3);
        crate::watchdog::step();
    }
}
