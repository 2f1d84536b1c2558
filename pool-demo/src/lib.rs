//! A pool of worker processes, after Python's `multiprocessing.Pool`, that never
//! hangs: whatever a task or a worker does, each task ends in exactly one way.
//!
//! ```no_run
//! use pool_demo::{Pool, Task, worker};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Square(u64);
//!
//! impl Task for Square {
//!     type Output = u64;
//!     const NAME: &'static str = "square";
//!     fn run(self) -> u64 {
//!         self.0 * self.0
//!     }
//! }
//!
//! fn main() -> shared_core::Result<std::process::ExitCode> {
//!     // A worker is this same program, started once more.
//!     if let Some(status) = worker::main(&[worker::of::<Square>()]) {
//!         return Ok(status);
//!     }
//!     let pool = Pool::start(4)?;
//!     for square in pool.map((0..10).map(Square), None) {
//!         println!("{}", square?);
//!     }
//!     pool.join();
//!     Ok(std::process::ExitCode::SUCCESS)
//! }
//! ```
//!
//! - `pool`: what a program calls; below it the thread that owns all state
//!   (`dispatcher`), what it decides by (`machine`), and a worker as it sees it
//!   (`process`);
//! - [`worker`]: the same from the worker's side;
//! - `frames`: what the two say to each other.

mod frames;
mod pool;
mod task;
pub mod worker;

pub use pool::{
    AsyncResult, Builder, Imap, ImapUnordered, Launcher, MOST_CHUNKS_AHEAD, MapResult, Pool,
    StartWorker, Terminator, WorkerCommand,
};
pub use task::{Failure, Outcome, Panic, Task};
