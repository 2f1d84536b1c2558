//! A worker process, as the pool sees it.

use super::{StartWorker, WorkerCommand};
use crate::protocol::{Job, Message};
use crossbeam::channel::{Receiver, Sender, select, unbounded};
use serde_json::json;
use shared_core::children::{self, about_to_spawn};
use shared_core::report::HandOn;
use shared_core::{Context, Error, Result, anyhow, bail, cause};
use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::process::{Child, ChildStdout, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// How long a worker that talks no more may take to end.
const MOST_TIME_TO_END: Duration = Duration::from_secs(1);

/// One worker process. Dropped, it is killed and reaped.
pub(super) struct WorkerProcess {
    pub(super) number: usize,
    process: Child,
    guard: children::Child,
    stdin: Option<Box<dyn Write + Send>>,
    pub(super) messages: Receiver<Message>,
    /// There once the worker was reaped.
    status: Option<ExitStatus>,
}

impl WorkerProcess {
    pub(super) fn start(number: usize, command: StartWorker) -> Result<Self> {
        let role = role(number);
        let WorkerCommand {
            mut command,
            takes_part,
        } = command()?;
        // This thread stays until it has reaped the worker.
        let start = about_to_spawn(&role)?.ends_with_this_thread();
        let hand_on = takes_part.then(|| start.hand_on(&mut command));
        let hand_on = hand_on.transpose().context("failed to start a worker")?;
        let mut process = command.spawn().context("failed to start a worker")?;
        let guard = start.made(process.id());

        let (sender, messages) = unbounded();
        let stdout = process.stdout.take();
        let mut worker = Self {
            number,
            process,
            guard,
            stdin: None,
            messages,
            status: None,
        };
        worker.stdin = worker
            .take_stdin(hand_on)
            .context("failed to start a worker")?;
        thread::Builder::new()
            .name("messages".to_owned())
            .spawn(move || read_messages(stdout, &sender))
            .context("failed to start a thread")?;
        Ok(worker)
    }

    /// A worker of this run is sent what it needs for that over its stdin; one
    /// of another kind has a plain pipe.
    fn take_stdin(&mut self, hand_on: Option<HandOn>) -> io::Result<Option<Box<dyn Write + Send>>> {
        match hand_on {
            Some(hand_on) => {
                let stdin = self.guard.takes_part(hand_on, &mut self.process);
                // One that is gone already is found out when it is not ready.
                match stdin {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
                    stdin => Ok(Some(Box::new(stdin?))),
                }
            }
            None => Ok(self.process.stdin.take().map(|stdin| Box::new(stdin) as _)),
        }
    }

    /// Whether the worker is ready; `false` when the pool was terminated.
    ///
    /// # Errors
    /// When it has ended instead.
    pub(super) fn is_ready(&mut self, stop: &Receiver<Infallible>) -> Result<bool> {
        select! {
            recv(stop) -> _ => return Ok(false),
            recv(self.messages) -> message => if let Ok(Message::Ready) = message {
                return Ok(true);
            }
        }
        let status = self.wait_or_kill()?;
        bail!("{} ended before it was ready: {status}", self.role())
    }

    /// An error is not looked at: it means that the worker has died, and that
    /// the end of its messages is on the way.
    pub(super) fn send(&mut self, job: &Job) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all((json!(job).to_string() + "\n").as_bytes());
        }
    }

    /// Lets an idle worker end by itself, unless the pool is terminated. Its
    /// messages end when it does; one that only stopped talking is killed.
    pub(super) fn end(&mut self, stop: &Receiver<Infallible>) -> Result<()> {
        self.stdin = None;
        select! {
            recv(self.messages) -> _ => {}
            recv(stop) -> _ => return Ok(()), // dropping it kills it
        }
        self.wait_or_kill().map(drop)
    }

    /// Reaps a worker that talks no more: it is just ending, and has perhaps
    /// something to say about that on stderr. One that does not end is killed.
    pub(super) fn wait_or_kill(&mut self) -> Result<ExitStatus> {
        let talked_last = Instant::now();
        while self.status.is_none() && talked_last.elapsed() < MOST_TIME_TO_END {
            self.status = self.guard.reap(|_| self.process.try_wait())?;
            thread::sleep(Duration::from_micros(200));
        }
        self.kill()
    }

    /// Kills and reaps it. One that has ended before is only reaped; for one
    /// that was reaped before this is the status it had then.
    pub(super) fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.process
            .kill()
            .map_err(|error| anyhow!("failed to kill {}: {}", self.role(), cause(&error)))?;
        let status = self.guard.reap(|_| self.process.wait())?;
        self.status = Some(status);
        Ok(status)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn role(&self) -> String {
        role(self.number)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.kill(); // an error would mean that it is not our child
    }
}

fn role(number: usize) -> String {
    format!("worker {number}")
}

/// Ends when the worker does: then `sender` goes, and the feeder notices. A
/// line that is not a message ends it too, and the worker with it.
fn read_messages(stdout: Option<ChildStdout>, sender: &Sender<Message>) {
    for line in stdout
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).lines())
    {
        let message = line
            .map_err(Error::from)
            .and_then(|line| Ok(serde_json::from_str(&line)?));
        let Ok(message) = message else { return };
        if sender.send(message).is_err() {
            return;
        }
    }
}
