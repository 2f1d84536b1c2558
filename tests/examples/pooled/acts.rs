//! What a worker is told to do.

use crate::meeting;
use pool_demo::{Outcome, Pool, Task};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::process::{exit, id};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// A task; its result is a number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Act {
    /// Its square.
    Square(u64),
    /// The product of the two.
    Product(u64, u64),
    /// The PID of the worker.
    Pid,
    /// How many of these the worker has done, this one included.
    Count,
    /// Panics with this text.
    Panic(String),
    /// Panics with something that is no text.
    PanicWithANumber,
    /// Exits with this status.
    Exit(i32),
    /// Goes to a meeting at this port, and waits there until it is sent on; the PID.
    Meet(u16),
    /// The same, and then does not end.
    MeetForEver(u16),
    /// Goes to a meeting and exits, but for the third time.
    ExitTwice(u16),
    /// Has a pool of its own, with a square in it.
    Nested(u64),
    /// The same, with a task at a meeting, which does not end.
    NestedForEver(u16),
    /// What only some systems can do.
    #[cfg(target_os = "linux")]
    Harm(crate::harm::Harm),
}

impl Task for Act {
    type Output = u64;
    const NAME: &'static str = "act";

    fn run(self) -> u64 {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Square(number) => number * number,
            Self::Product(a, b) => a * b,
            Self::Pid => id().into(),
            Self::Count => COUNT.fetch_add(1, Relaxed) + 1,
            Self::Panic(text) => panic!("{text}"),
            Self::PanicWithANumber => std::panic::panic_any(7),
            Self::Exit(status) => exit(status),
            Self::Meet(port) => {
                meeting::go_to(port).wait();
                id().into()
            }
            Self::MeetForEver(port) => {
                let _guest = meeting::go_to(port);
                for_ever()
            }
            Self::ExitTwice(port) => match meeting::go_to(port).wait() {
                Some(2) => 2,
                _ => exit(7),
            },
            Self::Nested(number) => {
                let pool = pool(2);
                let square = pool.apply(Self::Square(number));
                pool.join();
                square.unwrap_or_else(|failure| panic!("{failure}"))
            }
            Self::NestedForEver(port) => {
                let _ = pool(2).apply(Self::MeetForEver(port));
                0
            }
            #[cfg(target_os = "linux")]
            Self::Harm(harm) => harm.run(),
        }
    }
}

pub fn for_ever() -> ! {
    loop {
        thread::park();
    }
}

impl From<(u64, u64)> for Act {
    fn from((a, b): (u64, u64)) -> Self {
        Self::Product(a, b)
    }
}

/// Bytes that come back as they are.
#[derive(Serialize, Deserialize)]
pub struct Blob(pub ByteBuf);

impl Task for Blob {
    type Output = ByteBuf;
    const NAME: &'static str = "blob";

    fn run(self) -> ByteBuf {
        self.0
    }
}

/// A pool of so many workers.
pub fn pool(workers: usize) -> Pool<Act> {
    Pool::start(workers).expect("a pool")
}

/// Tasks: the squares of `0..count`.
pub fn squares(count: u64) -> impl Iterator<Item = Act> + Clone {
    (0..count).map(Act::Square)
}

/// And what they return.
pub fn squared(count: u64) -> Vec<Outcome<Act>> {
    (0..count).map(|number| Ok(number * number)).collect()
}

/// The result of a task that has one.
pub fn result(outcome: Outcome<Act>) -> u64 {
    outcome.expect("a result")
}

/// Whether these are two workers. (PIDs on Windows come again soon.)
pub fn are_two(one: u32, other: u32) -> bool {
    cfg!(windows) || one != other
}

/// A PID as a task returns it.
pub fn pid(outcome: Outcome<Act>) -> u32 {
    result(outcome).try_into().expect("a PID")
}
