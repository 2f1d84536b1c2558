//! A worker process, with the two threads that write to it and read from it.

use super::dispatcher::Event;
use super::machine::WorkerId;
use super::{StartWorker, WorkerCommand};
use crate::frames::{BEAT, Frames, FromWorker, Heard, Silence, ToWorker, frame};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use shared_core::children::{self, BreakOff, FromChild, StopReading, about_to_spawn};
use shared_core::report::Stdin;
use shared_core::{Context, Result, anyhow, cause, who};
use std::io::{ErrorKind, Read, Write};
use std::panic::resume_unwind;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A frame for a worker; cheap to clone.
pub type Payload = Arc<Vec<u8>>;

/// A worker process. Dropped, it is killed and reaped, and its threads are joined.
pub struct WorkerProcess {
    pub place: usize,
    process: Child,
    guard: children::Child,
    /// To the thread that writes.
    frames: Option<Sender<Vec<Payload>>>,
    threads: Vec<JoinHandle<()>>,
    /// For the threads, when the process is gone and another one holds its pipes.
    pipes: Option<(BreakOff, StopReading)>,
    writing: Arc<Writing>,
    /// For how long it has something to do, in microseconds.
    work_ahead: Arc<AtomicU64>,
    /// A launcher started it: the process is the launcher.
    pub from_afar: bool,
    silence: Silence,
    /// Since when it has been on its way out.
    asked_to_end: Option<Instant>,
    status: Option<ExitStatus>,
}

/// Since when a write has not come to an end: milliseconds after `start`, and one;
/// 0 if none is under way.
struct Writing {
    start: Instant,
    since: AtomicU64,
}

impl WorkerProcess {
    /// Starts a worker. What comes of it goes to `events`, as from `id`.
    ///
    /// # Errors
    /// When the system refuses the process, a pipe or a thread.
    pub fn start(
        place: usize,
        command: &StartWorker,
        (id, events): (WorkerId, Sender<Event>),
    ) -> Result<Self> {
        let role = role(place);
        let WorkerCommand {
            mut command,
            from_afar,
        } = command()?;
        // This thread stays until it has reaped the worker.
        let start = about_to_spawn(&role)?.ends_with_this_thread();
        let hand_on = if from_afar {
            start.connect(&mut command)
        } else {
            start.hand_on(&mut command)
        };
        let hand_on = hand_on.context("failed to start a worker")?;
        let mut process = command.spawn().context("failed to start a worker")?;
        drop(command); // it holds the end of a pipe that is the worker's now
        let guard = start.made(process.id());
        let stdout = process.stdout.take();

        let (frames, to_write) = unbounded();
        let writing = Arc::new(Writing {
            start: Instant::now(),
            since: AtomicU64::new(0),
        });
        let mut worker = Self {
            place,
            process,
            guard,
            frames: Some(frames),
            threads: Vec::new(),
            pipes: None,
            writing,
            work_ahead: Arc::default(),
            from_afar,
            silence: Silence::default(),
            asked_to_end: None,
            status: None,
        };
        let stdin = match worker.guard.takes_part(hand_on, &mut worker.process) {
            // One that is gone already is found out when nothing comes from it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => None,
            stdin => Some(stdin.context("failed to start a worker")?),
        };
        let stdout = stdout.ok_or_else(|| anyhow!("the worker's stdout is not a pipe"))?;
        let (stdout, stop) = FromChild::new(stdout).context("failed to start a worker")?;
        let (stdout, silence) = Heard::new(stdout);
        worker.silence = silence;
        if let Some(stdin) = stdin {
            let break_off = BreakOff::of(&stdin).context("failed to start a worker")?;
            worker.pipes = Some((break_off, stop));
            let writing = worker.writing.clone();
            let beat = from_afar.then_some(BEAT);
            worker.thread("writer", move || write(stdin, &to_write, &writing, beat))?;
        }
        let work_ahead = worker.work_ahead.clone();
        worker.thread("reader", move || read(stdout, id, &events, &work_ahead))?;
        Ok(worker)
    }

    fn thread(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads
            .push(thread.context("failed to start a thread")?);
        Ok(())
    }

    /// Hands frames to the thread that writes. If that has ended, so has the worker,
    /// and it will be found out.
    pub fn send(&self, frames: Vec<Payload>) {
        if let Some(to) = &self.frames {
            let _ = to.send(frames);
        }
    }

    /// Its answers are needed only after so long.
    pub fn has_work_for(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(0);
        self.work_ahead.store(micros, Relaxed);
    }

    /// Kills it, if it has not ended. It is still to be reaped.
    ///
    /// A launcher is asked first: killed, it could not end what it has started. (The
    /// worker ends anyway, since its stdin does, or since it hears nothing any more.)
    pub fn kill(&mut self) {
        /// How long a launcher may take.
        const MOST_TIME_TO_END: Duration = Duration::from_secs(2);
        if self.status.is_some() {
            return;
        }
        let asked = *self.asked_to_end.get_or_insert_with(Instant::now);
        if self.from_afar && asked.elapsed() < MOST_TIME_TO_END {
            self.let_threads_end();
            self.guard.ask_to_end();
        } else {
            let _ = self.process.kill(); // an error would mean that it has ended
        }
    }

    /// It was asked to end, and may have to be killed.
    pub fn is_asked_to_end(&self) -> bool {
        self.asked_to_end.is_some()
    }

    /// Counts one more look at a worker from which nothing may have come since the last
    /// one; how many there were.
    pub fn silence(&self) -> u32 {
        self.silence.fetch_add(1, Relaxed)
    }

    /// How it ended, if it has. Then it has been reaped, and what it said is read to
    /// the end.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.guard.reap(|_| self.process.try_wait())?;
            if self.status.is_some() {
                self.let_threads_end();
            }
        }
        Ok(self.status)
    }

    fn let_threads_end(&mut self) {
        self.frames = None;
        if let Some((break_off, _stop)) = self.pipes.take() {
            break_off.now();
        }
    }

    /// Whether it has not read for so long what it was sent, though it was not stopped.
    pub fn does_not_read(&self, for_so_long: Duration) -> bool {
        const A_WHILE: u64 = 1000;
        let (since, now) = (self.writing.since.load(Relaxed), self.writing.now());
        let waits_for = now.saturating_sub(since);
        if since == 0 || waits_for < A_WHILE {
            return false;
        }
        if who::state(self.pid()) == Some('T') {
            // It has all the time again when it goes on.
            let written = &self.writing.since;
            let _ = written.compare_exchange(since, now, Relaxed, Relaxed); // it may be over
            return false;
        }
        waits_for >= millis(for_so_long)
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill();
        // An error would mean that it is not our child.
        while self.from_afar && matches!(self.has_ended(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
            self.kill();
        }
        if self.status.is_none() {
            let _ = self.guard.reap(|_| self.process.wait());
        }
        self.let_threads_end();
        for thread in self.threads.drain(..) {
            let joined = thread.join();
            if let Err(panic) = joined
                && !thread::panicking()
            {
                resume_unwind(panic);
            }
        }
    }
}

impl Writing {
    fn now(&self) -> u64 {
        millis(self.start.elapsed()) + 1
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the worker in this place is called.
pub fn role(place: usize) -> String {
    format!("worker {}", place + 1)
}

/// Writes what comes, as much of it as there is in one go, until nothing more will
/// come or the worker is gone. With a `beat` it writes so often at least that the pool
/// is there.
fn write(
    mut stdin: Stdin,
    frames: &Receiver<Vec<Payload>>,
    writing: &Writing,
    beat: Option<Duration>,
) {
    /// What is longer is written by itself, in pieces of this length: each shows that
    /// the worker reads.
    const AT_ONCE: usize = 1 << 16;
    let mut together = Vec::new();
    let mut write = |bytes: &[u8]| {
        bytes.chunks(AT_ONCE).try_for_each(|piece| {
            writing.since.store(writing.now(), Relaxed);
            let written = stdin.write_all(piece);
            writing.since.store(0, Relaxed);
            written
        })
    };
    let alive =
        frame(&ToWorker::Alive, &()).map_or_else(|_| Vec::new(), |frame| vec![frame.into()]);
    let next = || match beat {
        None => frames.recv().ok(),
        Some(beat) => match frames.recv_timeout(beat) {
            Err(RecvTimeoutError::Timeout) => Some(alive.clone()),
            next => next.ok(),
        },
    };
    while let Some(next) = next() {
        let more = std::iter::from_fn(|| frames.try_recv().ok());
        for frame in std::iter::once(next).chain(more).flatten() {
            if together.len() + frame.len() > AT_ONCE {
                if write(&together).is_err() {
                    return;
                }
                together.clear();
            }
            let is_long = frame.len() > AT_ONCE / 2;
            if !is_long {
                together.extend_from_slice(&frame);
            } else if write(&together).and_then(|()| write(&frame)).is_err() {
                return;
            } else {
                together.clear();
            }
        }
        if write(&together).is_err() {
            return;
        }
        together.clear();
    }
}

/// Hands on what the worker says, and then that it says nothing more.
///
/// While the worker has enough to do, a little is left to gather in the pipe: to be
/// woken for each answer would cost a small task more than the task itself.
fn read(stdout: impl Read, id: WorkerId, events: &Sender<Event>, work_ahead: &AtomicU64) {
    /// A sleep that is shorter takes about as long.
    const SHORTEST: Duration = Duration::from_micros(100);
    /// Of so many bytes several fit into a pipe (pipe(7): 64 KiB).
    const FEW: usize = 1 << 13;
    let mut frames = Frames::of_worker(stdout);
    let why = loop {
        match frames.next_ones::<FromWorker>() {
            Ok(none) if none.is_empty() => break None,
            Ok(frames) => {
                let few = frames
                    .iter()
                    .map(|(_, body)| body.frame_length())
                    .sum::<usize>()
                    <= FEW;
                if events.send(Event::Said(id, frames)).is_err() {
                    return; // nobody wants to know any more
                }
                let pause = Duration::from_micros(work_ahead.load(Relaxed) / 2);
                if few && pause >= SHORTEST {
                    thread::sleep(pause);
                }
            }
            Err(error) => break Some(cause(error)),
        }
    };
    let _ = events.send(Event::SaidAll(id, why));
}
