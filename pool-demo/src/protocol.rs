//! What a pool and its workers say to each other: JSON, one value per line.
//! Try it by hand: `cargo run -p pool-demo worker`, then type
//! `{"id": 1, "task": {"sleep_ms": 500}}`.

use serde::{Deserialize, Serialize};
use shared_core::report;
use std::thread;
use std::time::Duration;

/// From the pool to a worker: a task to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Counted by the pool, from 0 on.
    pub id: usize,
    /// What to do.
    pub task: Task,
}

/// What a worker can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Work that consists of waiting, for so many milliseconds.
    SleepMs(u64),
    /// Work that fails, with this message.
    Panic(String),
}

impl Task {
    /// Runs in the worker.
    pub fn run(&self, id: usize) {
        match self {
            Self::SleepMs(ms) => {
                report!("task {id} begins");
                thread::sleep(Duration::from_millis(*ms));
                report!("task {id} ends");
            }
            Self::Panic(message) => panic!("{message}"),
        }
    }
}

/// From a worker to the pool.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The worker is up and waits for its first task.
    Ready,
    /// It begins this task. A worker that dies has run just the task that it
    /// began and did not end.
    Started(usize),
    /// It has run this task.
    Done(usize),
    /// This task panicked, with this message; the worker lives on.
    Failed(usize, String),
}
