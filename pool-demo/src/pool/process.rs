//! A worker process, as the pool sees it.

use super::StartWorker;
use crate::protocol::{Job, Message};
use crossbeam::channel::{Receiver, Sender, select, unbounded};
use serde_json::json;
use shared_core::who::{ChildGuard, starting};
use shared_core::{Context, Error, Result, bail, report};
use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::thread;

/// One worker process. Dropped, it is killed and reaped.
pub(super) struct WorkerProcess {
    pub(super) number: usize,
    child: Child,
    stdin: Option<ChildStdin>,
    pub(super) messages: Receiver<Message>,
    /// There until the worker is reaped.
    guard: Option<ChildGuard>,
}

impl WorkerProcess {
    pub(super) fn start(number: usize, command: StartWorker) -> Result<Self> {
        let role = role(number);
        let mut command = command(&role)?;
        let start = starting();
        let mut child = command.spawn().context("start a worker")?;
        let guard = start.guard(child.id());
        report::started(child.id(), &role);

        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, messages) = unbounded();
        let guard = Some(guard);
        let worker = Self {
            number,
            child,
            stdin,
            messages,
            guard,
        };
        thread::Builder::new()
            .name("messages".to_owned())
            .spawn(move || read_messages(stdout, &sender))
            .context("make a thread")?;
        Ok(worker)
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
        let status = self.kill()?;
        bail!("{} ended before it was ready: {status}", self.role())
    }

    /// An error is not looked at: it means that the worker has died, and that
    /// the end of its messages is on the way.
    pub(super) fn send(&mut self, job: &Job) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all((json!(job).to_string() + "\n").as_bytes());
        }
    }

    /// Lets an idle worker end by itself, unless the pool is terminated. It has
    /// ended when its messages have; drop reaps it, and kills one that only
    /// stopped talking.
    pub(super) fn end(&mut self, stop: &Receiver<Infallible>) {
        self.stdin = None;
        select! {
            recv(self.messages) -> _ => {}
            recv(stop) -> _ => {}
        }
    }

    /// Kills and reaps it. One that has ended before is only reaped; for one
    /// that was reaped before this is the status it had then.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        let status = self.child.wait()?;
        if let Some(guard) = self.guard.take() {
            guard.reaped();
            report::reaped(self.child.id(), &self.role());
        }
        Ok(status)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn role(&self) -> String {
        role(self.number)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.kill(); // an error would mean that it is no child of ours
    }
}

fn role(number: usize) -> String {
    format!("worker {number}")
}

/// Ends when the worker does: then `sender` goes, and the feeder notices. A
/// line that is no message ends it too, and the worker with it.
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
