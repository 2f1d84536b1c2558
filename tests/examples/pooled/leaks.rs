//! What many tasks and many pools must not cost.

use crate::acts::{Act, pool, result, squared, squares};
use crate::deaths::{children, kill};
use crate::watchdog::step;
use nix::sys::signal::Signal;
use pool_demo::Pool;
use std::fs;
use std::thread::yield_now;

/// The memory of a process, in KiB.
fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmRSS")
}

/// So many lazy inputs need no more memory than a tenth of them, on both sides.
pub fn memory(args: &[String]) {
    let count = args.first().and_then(|count| count.parse().ok());
    let count: u64 = count.unwrap_or(1_000_000);
    let pool = pool(2);
    let mut processes = pool.workers();
    processes.push(std::process::id());
    let memory = || {
        processes
            .iter()
            .map(|pid| memory_of(*pid))
            .collect::<Vec<_>>()
    };
    for in_order in [false, true] {
        let tasks = (0..count / 2).map(|number| Act::Square(number % 1000));
        let mut unordered = pool.imap_unordered(tasks.clone(), 1);
        let mut ordered = pool.imap(tasks, 1);
        let mut before = Vec::new();
        let mut number = 0;
        while let Some(outcome) = if in_order {
            ordered.next()
        } else {
            unordered.next()
        } {
            result(outcome);
            number += 1;
            if number == count / 20 {
                before = memory();
            }
            if number % 1000 == 0 {
                step();
            }
        }
        assert_eq!(number, count / 2);
        let after = memory();
        println!("{before:?} KiB, then {after:?}");
        for (before, after) in before.iter().zip(&after) {
            assert!(
                *after <= before + 8 * 1024,
                "{before} KiB, then {after} KiB"
            );
        }
    }
    pool.join();
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// So many pools, one after the other, leave no thread, descriptor or process.
pub fn leaks(args: &[String]) {
    let pools = args.first().and_then(|count| count.parse().ok());
    let pools = pools.unwrap_or(200);
    let threads = count("/proc/self/task");
    let descriptors = count("/proc/self/fd");
    for number in 0..pools {
        let pool = pool(2);
        match number % 5 {
            0 => pool.join(),
            1 => {
                assert_eq!(pool.map(squares(9), Some(1)), squared(9));
                pool.join();
            }
            2 => drop(pool),
            3 => {
                kill(pool.workers()[0], Signal::SIGKILL);
                let _ = pool.map_async(squares(9), Some(1));
                drop(pool);
            }
            _ => {
                drop(pool);
                let initializer = Act::Panic("no".to_owned());
                let pool = Pool::builder().workers(2).initializer(initializer);
                assert!(pool.start().is_err());
            }
        }
        assert!(children().is_empty());
        assert_eq!(count("/proc/self/fd"), descriptors);
        // A thread that was joined may be there still, for a moment.
        while count("/proc/self/task") > threads {
            yield_now();
        }
        step();
    }
}
