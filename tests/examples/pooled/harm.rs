//! Tasks that do what no task should.

use crate::acts::{Act, Blob, for_ever, pid, pool, result, squared, squares};
use crate::deaths::{adopt_orphans, children, reap_orphans};
use crate::watchdog::step;
use nix::unistd::{ForkResult, close, fork};
use pool_demo::{Failure, Pool};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::hint::black_box;
use std::io::Read;
use std::process::Command;

/// What a task does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Harm {
    /// Prints, through everything that is stdout, and reads stdin; how much it read.
    Print,
    /// Closes descriptors 0, 1 and 2.
    CloseStandard,
    /// Closes all others.
    CloseAll,
    /// Forks a child that lingers; its PID.
    ForkAndLinger,
    /// Forks one that comes back; its PID, 0 in the child.
    ForkAndReturn,
    /// Forks one that panics.
    ForkAndPanic,
    /// Starts a program that lingers; its PID.
    Spawn,
    /// Leaves behind a thread that never ends.
    Thread,
    /// Needs more stack than there is.
    Overflow(u64),
}

impl Harm {
    pub fn run(self) -> u64 {
        match self {
            Self::Print => {
                println!("printed");
                print!("not flushed");
                let _ = std::fs::write("/dev/stdout", "to stdout\n");
                let mut text = Vec::new();
                std::io::stdin().read_to_end(&mut text).expect("an end");
                text.len() as u64
            }
            Self::CloseStandard => (0..3).filter(|fd| close(*fd).is_ok()).count() as u64,
            Self::CloseAll => (3..100).filter(|fd| close(*fd).is_ok()).count() as u64,
            Self::ForkAndLinger => fork_child(|| for_ever()),
            Self::ForkAndReturn => fork_child(|| 0),
            Self::ForkAndPanic => fork_child(|| panic!("in the child")),
            Self::Spawn => {
                let child = Command::new("sleep").arg("600").spawn();
                child.expect("a program").id().into()
            }
            Self::Thread => {
                std::thread::spawn(|| for_ever());
                0
            }
            Self::Overflow(depth) => overflow(depth),
        }
    }
}

/// The PID of the child, which does and returns what it is told.
fn fork_child(child: impl FnOnce() -> u64) -> u64 {
    // SAFETY: what the child needs, the heap perhaps, is whole after fork: glibc sees
    // to that, and the worker's other thread only reads.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => child.as_raw().unsigned_abs().into(),
        Ok(ForkResult::Child) => child(),
        Err(errno) => panic!("{errno}"),
    }
}

#[expect(unconditional_recursion, reason = "that is the harm")]
fn overflow(depth: u64) -> u64 {
    let space = black_box([depth; 100]);
    overflow(depth + 1) + space[7]
}

pub fn prints() {
    let pool = pool(1);
    for _ in 0..3 {
        assert_eq!(pool.apply(Act::Harm(Harm::Print)), Ok(0));
    }
    pool.join();
}

pub fn closes() {
    let pool = pool(1);
    assert_eq!(pool.apply(Act::Harm(Harm::CloseStandard)), Ok(3));
    assert_eq!(pool.map(squares(9), Some(1)), squared(9));
    let failure = pool
        .apply(Act::Harm(Harm::CloseAll))
        .expect_err("no way to answer");
    assert!(matches!(failure, Failure::WorkerDied { .. }), "{failure}");
    assert_eq!(pool.map(squares(9), Some(1)), squared(9));
    pool.join();
    assert!(children().is_empty());
}

pub fn forks() {
    adopt_orphans();
    for harm in [
        Harm::ForkAndLinger,
        Harm::ForkAndReturn,
        Harm::ForkAndPanic,
        Harm::Spawn,
    ] {
        for how in 0..5 {
            let pool = pool(1);
            let worker = pid(pool.apply(Act::Pid));
            let children = pool.map([Act::Harm(harm), Act::Harm(harm)], Some(1));
            assert!(children.into_iter().all(|child| result(child) > 0));
            assert_eq!(pool.map(squares(9), Some(2)), squared(9));
            assert_eq!(pid(pool.apply(Act::Pid)), worker, "{harm:?}");
            match how {
                0 => pool.join(),
                1 => drop(pool),
                2 => {
                    let failure = pool.apply(Act::Exit(3)).expect_err("it exits");
                    let Failure::WorkerDied { pid, how } = failure else {
                        panic!("{failure}");
                    };
                    assert_eq!((pid, &*how), (worker, "exit status: 3"));
                    assert_eq!(pool.map(squares(9), Some(2)), squared(9));
                    pool.join();
                }
                3 => {
                    crate::deaths::kill_and_wait_until_replaced(&pool);
                    assert_eq!(pool.map(squares(9), Some(2)), squared(9));
                    pool.join();
                }
                _ => {
                    let failure = pool.apply(Act::Harm(Harm::Overflow(0)));
                    assert!(matches!(failure, Err(Failure::WorkerDied { .. })));
                    assert_eq!(pool.map(squares(9), Some(2)), squared(9));
                    pool.join();
                }
            }
            // Nothing waits for them; here they are, running still or zombies.
            assert_eq!(reap_orphans(), 2, "{harm:?}");
            step();
        }
    }
    let pool = pool(1);
    assert_eq!(pool.apply(Act::Harm(Harm::Thread)), Ok(0));
    pool.join();
}

pub fn overflows() {
    let pool = pool(2);
    let tasks = squares(9)
        .chain([Act::Harm(Harm::Overflow(0))])
        .chain(squares(9));
    let mut outcomes = pool.map(tasks, Some(1));
    let failure = outcomes.remove(9).expect_err("too deep");
    let Failure::WorkerDied { how, .. } = failure else {
        panic!("{failure}");
    };
    assert!(how.starts_with("signal: "), "{how}");
    assert_eq!(outcomes.split_off(9), squared(9));
    assert_eq!(outcomes, squared(9));
    pool.join();
}

pub fn big() {
    let pool = Pool::<Blob>::start(2).expect("a pool");
    let blob = |byte| ByteBuf::from(vec![byte; 64 << 20]);
    let outcomes = pool.map((0..2).map(|byte| Blob(blob(byte))), Some(1));
    for (byte, outcome) in (0..2).zip(outcomes) {
        assert!(outcome == Ok(blob(byte)));
    }
    pool.join();
}

/// More than a frame holds.
pub fn too_big() {
    let pool = Pool::<Blob>::start(1).expect("a pool");
    let small = Blob(ByteBuf::from(vec![1]));
    for length in [(1 << 30) - 4, 1 << 30] {
        let outcome = pool.apply(Blob(ByteBuf::from(vec![7; length])));
        let why = match outcome {
            Ok(bytes) => {
                assert_eq!(bytes.len(), length);
                continue;
            }
            Err(Failure::NotRun(why)) => why,
            Err(Failure::Panicked(panic)) => panic.message,
            Err(other) => panic!("{length}: {other}"),
        };
        assert!(why.contains("too many to send"), "{why}");
        step();
    }
    assert!(pool.apply(small).is_ok());
    pool.join();
}
