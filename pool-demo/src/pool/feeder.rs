//! The thread that feeds one worker.

use super::process::WorkerProcess;
use super::{Failure, Outcome, StartWorker};
use crate::protocol::{Job, Message};
use crossbeam::channel::{Receiver, Sender, never, select};
use shared_core::ending::park_if_ending;
use shared_core::{Result, cause, ensure, report};
use std::convert::Infallible;

/// How often a worker is replaced before it has done anything: one that dies
/// at once would be replaced for ever.
const MOST_DEATHS: u32 = 3;

/// Feeds one worker, and puts a new one in its place when it dies.
pub(super) struct Feeder {
    pub(super) worker: WorkerProcess,
    pub(super) command: StartWorker,
    /// What the worker was given and has not answered.
    pub(super) job: Option<Job>,
    /// The worker has begun it.
    pub(super) begun: bool,
    /// How many workers died since the last answer.
    pub(super) deaths: u32,
    pub(super) queue: Receiver<Job>,
    pub(super) answer: Sender<(usize, Outcome)>,
    pub(super) stop: Receiver<Infallible>,
}

impl Feeder {
    pub(super) fn run(mut self) {
        let no_job = never();
        let mut open = true;
        while open || self.job.is_some() {
            // A busy worker is given nothing.
            let queue = if self.job.is_none() {
                &self.queue
            } else {
                &no_job
            };
            select! {
                recv(self.stop) -> _ => return, // dropping the worker kills it
                recv(queue) -> job => match job {
                    Ok(job) => {
                        self.worker.send(&job);
                        self.job = Some(job);
                    }
                    Err(_) => open = false,
                },
                recv(self.worker.messages) -> message => {
                    let id = self.job.as_ref().map(|job| job.id);
                    match message {
                        Ok(Message::Started(n)) if Some(n) == id => self.begun = true,
                        Ok(Message::Done(n)) if Some(n) == id => self.answer(Ok(())),
                        Ok(Message::Failed(n, text)) if Some(n) == id => {
                            self.answer(Err(Failure::Panicked(text)));
                        }
                        // It died, or says what it has no reason to say.
                        _ => if let Err(error) = self.replace_worker() {
                            report!("no new {}: {}", self.worker.role(), cause(error));
                            return;
                        }
                    }
                },
            }
        }
        if let Err(error) = self.worker.end(&self.stop) {
            park_if_ending();
            report!("{}", cause(error));
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        self.begun = false;
        self.deaths = 0;
        if let Some(job) = self.job.take() {
            // An error means that nobody wants to know any more.
            let _ = self.answer.send((job.id, outcome));
        }
    }

    /// The worker died. The task that it had begun is lost with it; one that
    /// it had not begun goes to its successor.
    fn replace_worker(&mut self) -> Result<()> {
        let pid = self.worker.pid();
        let status = self.worker.wait_or_kill();
        park_if_ending();
        let status = status?;
        report!("{} {pid} died: {status}", self.worker.role());
        let deaths = self.deaths + 1;
        if self.begun || deaths >= MOST_DEATHS {
            self.answer(Err(Failure::WorkerDied { pid, status }));
        }
        self.deaths = deaths;
        ensure!(deaths <= MOST_DEATHS, "{deaths} died, one after the other");

        self.worker = WorkerProcess::start(self.worker.number, self.command)?;
        match self.worker.is_ready(&self.stop) {
            Ok(true) => {}
            Ok(false) => return Ok(()), // the pool is terminated: run() sees it
            Err(_) => return self.replace_worker(),
        }
        if let Some(job) = &self.job {
            self.worker.send(job);
        }
        Ok(())
    }
}
