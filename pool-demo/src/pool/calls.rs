//! What the pool's callers hold while their tasks run.

use super::dispatcher::{Event, Replies, Reply, Settled, Submitted};
use super::machine::{JobId, LARGEST_WINDOW};
use super::{Submitter, outcomes, pool_is_gone};
use crate::task::{Outcome, Task};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many chunks of tasks [`imap`](super::Pool::imap) and
/// [`imap_unordered`](super::Pool::imap_unordered) take in advance, at most, for each
/// worker: twice what it may have. Those whose outcomes were not yielded count.
pub const MOST_CHUNKS_AHEAD: usize = 2 * LARGEST_WINDOW;

/// What became of some tasks, one after the other.
type Outcomes<T> = std::vec::IntoIter<Outcome<T>>;

/// What becomes of a task that was given to a pool.
pub struct AsyncResult<T: Task> {
    submitter: Submitter,
    job: Option<JobId>,
    replies: Receiver<Replies>,
    /// There once somebody has looked.
    settled: Option<Settled>,
    tasks: PhantomData<fn() -> T>,
}

impl<T: Task> AsyncResult<T> {
    pub(super) fn new(submitter: Submitter, task: T) -> Self {
        let (to, replies) = bounded(1);
        let job = submitter.job(&[task], Reply { to, index: 0 });
        let id = job.as_ref().map(|submitted| submitted.job.id);
        submitter.submit(job.into_iter().collect());
        Self {
            submitter,
            job: id,
            replies,
            settled: None,
            tasks: PhantomData,
        }
    }

    /// Waits for what becomes of the task.
    ///
    /// # Errors
    /// What kept the task from returning.
    pub fn get(mut self) -> Outcome<T> {
        let settled = self.settled.take();
        outcome::<T>(settled.unwrap_or_else(|| match self.replies.recv() {
            Ok(replies) => only(replies),
            Err(_) => Err(pool_is_gone()),
        }))
    }

    /// Waits as [`get`](Self::get) does, but not longer than `limit`: then this is
    /// returned. The task goes on.
    ///
    /// # Errors
    /// This, to go on with, if there is no outcome yet.
    pub fn get_timeout(mut self, limit: Duration) -> Result<Outcome<T>, Self> {
        if self.settled.is_none() {
            self.settled = match self.replies.recv_timeout(limit) {
                Ok(replies) => Some(only(replies)),
                Err(RecvTimeoutError::Disconnected) => Some(Err(pool_is_gone())),
                Err(RecvTimeoutError::Timeout) => None,
            };
        }
        match self.settled.take() {
            Some(settled) => Ok(outcome::<T>(settled)),
            None => Err(self),
        }
    }

    /// Whether [`get`](Self::get) would return at once.
    pub fn ready(&mut self) -> bool {
        if self.settled.is_none() {
            self.settled = self.replies.try_recv().ok().map(only);
        }
        self.settled.is_some()
    }

    /// The task is no longer wanted: if it is running, its worker ends with it, and
    /// with no other task. What becomes of it is for [`get`](Self::get) to say: it may be done.
    pub fn cancel(&self) {
        if let Some(job) = self.job {
            self.submitter.tell(Event::Cancel(job));
        }
    }
}

fn only(replies: Replies) -> Settled {
    let mut replies = replies.into_iter();
    let (_, settled) = replies.next().unwrap_or((0, Err(pool_is_gone())));
    settled
}

fn outcome<T: Task>(settled: Settled) -> Outcome<T> {
    let mut outcomes = outcomes::<T>(settled, 1).into_iter();
    outcomes.next().unwrap_or_else(|| Err(pool_is_gone()))
}

/// What becomes of tasks that were given to a pool together.
pub struct MapResult<T: Task> {
    replies: Receiver<Replies>,
    /// How many tasks there are, and how many in each chunk but the last.
    count: usize,
    chunk_size: usize,
    /// What has come, by chunk.
    settled: Vec<Option<Settled>>,
    missing: usize,
    tasks: PhantomData<fn() -> T>,
}

impl<T: Task> MapResult<T> {
    pub(super) fn new(submitter: &Submitter, tasks: &[T], chunk_size: usize) -> Self {
        /// So that workers begin before all is encoded.
        const AT_ONCE: usize = 256;
        let (to, replies) = unbounded();
        let count = tasks.len();
        let chunks = tasks.chunks(chunk_size).enumerate();
        let mut jobs = chunks.filter_map(|(index, chunk)| {
            let to = to.clone();
            submitter.job(chunk, Reply { to, index })
        });
        loop {
            let some: Vec<_> = jobs.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            submitter.submit(some);
        }
        let missing = count.div_ceil(chunk_size);
        Self {
            replies,
            count,
            chunk_size,
            settled: (0..missing).map(|_| None).collect(),
            missing,
            tasks: PhantomData,
        }
    }

    /// Waits for all tasks, and returns what became of each, in order.
    #[must_use]
    pub fn get(mut self) -> Vec<Outcome<T>> {
        while self.missing > 0
            && let Ok(replies) = self.replies.recv()
        {
            self.take(replies);
        }
        self.outcomes()
    }

    /// Waits as [`get`](Self::get) does, but not longer than `limit`: then this is
    /// returned. The tasks go on.
    ///
    /// # Errors
    /// This, to go on with, if something is missing yet.
    pub fn get_timeout(mut self, limit: Duration) -> Result<Vec<Outcome<T>>, Self> {
        let until = Instant::now().checked_add(limit);
        while self.missing > 0 {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.replies.recv_timeout(left.unwrap_or(Duration::MAX)) {
                Ok(replies) => self.take(replies),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(self),
            }
        }
        Ok(self.outcomes())
    }

    /// Whether [`get`](Self::get) would return at once.
    pub fn ready(&mut self) -> bool {
        while let Ok(replies) = self.replies.try_recv() {
            self.take(replies);
        }
        self.missing == 0
    }

    fn take(&mut self, replies: Replies) {
        self.missing -= replies.len();
        for (index, settled) in replies {
            self.settled[index] = Some(settled);
        }
    }

    fn outcomes(self) -> Vec<Outcome<T>> {
        let chunks = self.settled.into_iter().enumerate();
        let outcomes = chunks.flat_map(|(index, settled)| {
            let size = self.chunk_size.min(self.count - index * self.chunk_size);
            outcomes::<T>(settled.unwrap_or_else(|| Err(pool_is_gone())), size)
        });
        outcomes.collect()
    }
}

/// The outcomes of tasks as they are done; see
/// [`Pool::imap_unordered`](super::Pool::imap_unordered).
pub struct ImapUnordered<T: Task, I> {
    submitter: Submitter,
    tasks: std::iter::Fuse<I>,
    chunk_size: usize,
    to: Sender<Replies>,
    replies: Receiver<Replies>,
    /// The chunks that were submitted and have not come: how many tasks each has.
    sizes: HashMap<usize, usize>,
    submitted: usize,
    /// Jobs that are about to be submitted. Here and not in a variable: the iterator
    /// may panic, and whoever asks on after that waits for these.
    unsent: Vec<Submitted>,
    /// What has come: the number of the chunk, and what is left of it.
    ready: VecDeque<(usize, Outcomes<T>)>,
}

impl<T: Task, I: Iterator<Item = T>> ImapUnordered<T, I> {
    pub(super) fn new(submitter: Submitter, tasks: I, chunk_size: usize) -> Self {
        let (to, replies) = unbounded();
        Self {
            submitter,
            tasks: tasks.fuse(),
            chunk_size,
            to,
            replies,
            sizes: HashMap::new(),
            submitted: 0,
            unsent: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Submits as many chunks as keep the workers busy until the next time, if those
    /// that wait anywhere, also `held_back` ones, are few.
    fn submit(&mut self, held_back: usize) {
        let most = 2 * self.submitter.shared.jobs_ahead.load(Relaxed).max(1);
        let waiting = self.sizes.len() + self.ready.len() + held_back;
        let room = if waiting > most / 2 {
            0
        } else {
            most - waiting
        };
        for _ in 0..room {
            let chunk: Vec<T> = self.tasks.by_ref().take(self.chunk_size).collect();
            if chunk.is_empty() {
                break;
            }
            let (to, index) = (self.to.clone(), self.submitted);
            let job = self.submitter.job(&chunk, Reply { to, index });
            self.submitted += 1;
            self.sizes.insert(index, chunk.len());
            self.unsent.extend(job);
        }
        self.submitter.submit(std::mem::take(&mut self.unsent));
    }

    /// The next chunk that is done.
    fn next_chunk(&mut self, held_back: usize) -> Option<(usize, Outcomes<T>)> {
        self.submit(held_back);
        if self.ready.is_empty() && !self.sizes.is_empty() {
            // The senders are ours and the dispatcher's: it sends what it has before
            // it ends, and if it panicked, nothing more will come.
            let replies = loop {
                match self.replies.recv_timeout(Duration::from_secs(1)) {
                    Ok(replies) => break replies,
                    Err(_) if self.submitter.is_gone() && self.replies.is_empty() => {
                        let missing = self.sizes.keys();
                        break missing.map(|index| (*index, Err(pool_is_gone()))).collect();
                    }
                    Err(_) => {}
                }
            };
            for (index, settled) in replies {
                let size = self.sizes.remove(&index).unwrap_or(0);
                let outcomes = outcomes::<T>(settled, size);
                self.ready.push_back((index, outcomes.into_iter()));
            }
        }
        self.ready.pop_front()
    }
}

impl<T: Task, I: Iterator<Item = T>> Iterator for ImapUnordered<T, I> {
    type Item = Outcome<T>;

    fn next(&mut self) -> Option<Outcome<T>> {
        loop {
            let (index, mut chunk) = self.next_chunk(0)?;
            if let Some(outcome) = chunk.next() {
                if chunk.len() > 0 {
                    self.ready.push_front((index, chunk));
                }
                return Some(outcome);
            }
        }
    }
}

/// The outcomes of tasks in order; see [`Pool::imap`](super::Pool::imap).
pub struct Imap<T: Task, I> {
    unordered: ImapUnordered<T, I>,
    /// Chunks that came before their turn.
    early: BTreeMap<usize, Outcomes<T>>,
    /// The chunk whose turn it is, and what is left of it.
    next: usize,
    chunk: Outcomes<T>,
}

impl<T: Task, I: Iterator<Item = T>> Imap<T, I> {
    pub(super) fn new(unordered: ImapUnordered<T, I>) -> Self {
        Self {
            unordered,
            early: BTreeMap::new(),
            next: 0,
            chunk: Vec::new().into_iter(),
        }
    }
}

impl<T: Task, I: Iterator<Item = T>> Iterator for Imap<T, I> {
    type Item = Outcome<T>;

    fn next(&mut self) -> Option<Outcome<T>> {
        loop {
            if let Some(outcome) = self.chunk.next() {
                return Some(outcome);
            }
            if let Some(chunk) = self.early.remove(&self.next) {
                self.chunk = chunk;
                self.next += 1;
                continue;
            }
            let (index, chunk) = self.unordered.next_chunk(self.early.len())?;
            self.early.insert(index, chunk);
        }
    }
}

impl Submitter {
    /// Whether the dispatcher has ended.
    fn is_gone(&self) -> bool {
        self.events.send(Event::Submit(Vec::new())).is_err()
    }
}
