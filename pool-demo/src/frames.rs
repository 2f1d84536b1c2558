//! What a pool and its workers say to each other: frames, each of which is a length
//! (four bytes, little endian), a head in postcard, what is sent with it, as it is, and
//! the end of a line: srun passes on nothing else than lines (unless it is told
//! `--unbuffered`).

use postcard::{take_from_bytes, to_stdvec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_core::{Context, Result, ensure};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Longer than this is no frame.
const LONGEST: usize = 1 << 30;
/// Nor is the first one of a worker if it is longer than this: it says what the worker
/// is. So a text that comes instead, a launcher's greeting say, is known at once: its
/// fourth letter alone stands for more.
const LONGEST_FIRST: usize = 1 << 12;

/// What a worker for tasks of type `T` says first. The pool knows by it that the two
/// understand each other.
pub fn version<T>() -> String {
    let tasks = std::any::type_name::<T>();
    format!("pool-demo {} for {tasks}", env!("CARGO_PKG_VERSION"))
}

/// From the pool to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first frame.
    Begin {
        /// Whether to draw when it waits for a job.
        draws: bool,
        /// The run to take part in, for a worker that was not handed the event log.
        about_run: Option<String>,
    },
    /// The second: run the tasks that are sent with it (one or none), and be ready.
    Initialize,
    /// A job: tasks of the pool's type.
    Job(u64),
    /// Nothing more comes; when all jobs are done, end. (If what is read ends without
    /// this, the pool is gone.)
    End,
    /// Nobody wants this job any more: end if it is running, else skip it.
    Cancel(u64),
    /// What does your clock show?
    Clock,
    /// The pool is still there. (To workers that a launcher started.)
    Alive,
}

/// From a worker to the pool.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It waits for jobs.
    Ready(String),
    /// It ends, for this reason.
    Ends(String),
    /// It has done this job, in so many nanoseconds; the answer is sent with it. Or it
    /// has skipped one that was cancelled.
    Answer(u64, u64),
    /// An event for the event log, in JSON.
    Event(String),
    /// The first frame of a worker that a launcher started: what it is, as in `Ready`,
    /// and what its host is called.
    Hello(String, String),
    /// Its clock shows so many nanoseconds.
    Clock(i64),
    /// It has heard that the pool is still there, and so is it.
    Alive,
}

/// To a worker that a launcher started the pool sends something at least so often: what
/// lies between them may keep pipes open though one of the two is gone. (slurmstepd
/// kept a stdin open for more than 30 s after srun had been killed.)
pub const BEAT: Duration = Duration::from_secs(1);

/// Reads, and counts for how long nothing has come: whoever counts adds one now and
/// then, each byte that comes sets it back to 0. So whoever was stopped for a while
/// (SIGSTOP, signal(7)) does not take that for silence.
pub struct Heard<R> {
    from: R,
    silence: Silence,
}

/// See [`Heard`].
pub type Silence = Arc<AtomicU32>;

impl<R> Heard<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> (Self, Silence) {
        let silence = Silence::default();
        let counts = silence.clone();
        (Self { from, silence }, counts)
    }
}

impl<R: Read> Read for Heard<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(bytes);
        self.silence.store(0, Relaxed);
        read
    }
}

/// Lets the C library keep what is freed of long frames, and not give it back to the
/// system each time: to be given it anew costs a page fault for every 4 KiB. (glibc
/// takes the size of the largest block that was mapped and freed as the limit for
/// that, mallopt(3); others do nothing of the kind, and nothing is lost.)
pub fn keep_freed_memory() {
    const BLOCK: usize = 4 << 20;
    let mut block = Vec::<u8>::new();
    let _ = block.try_reserve_exact(BLOCK); // without so much memory there is none to keep
    drop(std::hint::black_box(block));
}

/// A frame as it is sent.
///
/// # Errors
/// When the type of `body` says so, or it is too long.
pub fn frame(head: &impl Serialize, body: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    let mut frame = to_stdvec(&([0u8; 4], head, body)).context("failed to encode")?;
    frame.push(b'\n');
    let length = frame.len() - 4;
    ensure!(length <= LONGEST, "{length} bytes are too many to send");
    frame[..4].copy_from_slice(&u32::try_from(length)?.to_le_bytes());
    Ok(frame)
}

/// What was sent with a head: the rest of a frame.
#[derive(Debug)]
pub struct Body {
    frame: Vec<u8>,
    from: usize,
}

impl Body {
    /// How many bytes there are, the head included.
    pub fn frame_length(&self) -> usize {
        self.frame.len()
    }

    /// The value that was sent.
    ///
    /// # Errors
    /// When it is none of this type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        postcard::from_bytes(&self.frame[self.from..]).context("failed to decode")
    }
}

/// A frame that came.
pub type Frame<H> = (H, Body);

/// Takes what was read apart.
pub struct Frames<R> {
    from: R,
    buffer: Vec<u8>,
    /// What was read and not taken yet: a range of the buffer.
    taken: usize,
    filled: usize,
    longest: usize,
}

/// So much is read at once, at most; and at first, since a worker may be idle.
const BUFFER: usize = 1 << 16;
const FIRST_BUFFER: usize = 1 << 12;
/// A frame that is longer is read into a place of its own.
const LONG: usize = BUFFER / 2;

impl<R: Read> Frames<R> {
    /// The frames in what `from` reads.
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; FIRST_BUFFER],
            taken: 0,
            filled: 0,
            longest: LONGEST,
        }
    }

    /// The same, where the first frame is a short one.
    pub fn of_worker(from: R) -> Self {
        Self {
            longest: LONGEST_FIRST,
            ..Self::new(from)
        }
    }

    /// All frames that can be had by reading once, or as often as one frame takes;
    /// none at the end.
    ///
    /// # Errors
    /// When what is read is no frame, or ends in the middle of one.
    pub fn next_ones<H: DeserializeOwned>(&mut self) -> Result<Vec<Frame<H>>> {
        let mut frames = Vec::new();
        loop {
            while let Some(length) = self.length()? {
                let unread = &self.buffer[self.taken..self.filled];
                let frame = match unread.get(..length) {
                    Some(frame) => frame.to_vec(),
                    None if length > LONG && frames.is_empty() => self.read_long(length)?,
                    None => break,
                };
                self.taken += length.min(self.filled - self.taken);
                self.longest = LONGEST;
                let (head, body) = take_from_bytes(&frame[4..]).context("failed to decode")?;
                let from = frame.len() - body.len();
                frames.push((head, Body { frame, from }));
            }
            if !frames.is_empty() || !self.read()? {
                return Ok(frames);
            }
        }
    }

    /// How long the next frame is, the length itself included, as far as it is known.
    fn length(&self) -> Result<Option<usize>> {
        let unread = &self.buffer[self.taken..self.filled];
        let Some(length) = unread.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        let text = String::from_utf8_lossy(&unread[..unread.len().min(40)]);
        let text = text.lines().next().unwrap_or_default();
        ensure!(
            length <= self.longest,
            "a frame of {length} bytes is none: {text:?}"
        );
        Ok(Some(4 + length))
    }

    /// Reads on until a frame is whole. Memory is taken as it comes and not before:
    /// what nonsense says of its length must not cost any.
    fn read_long(&mut self, length: usize) -> Result<Vec<u8>> {
        let unread = &self.buffer[self.taken..self.filled];
        let mut frame = Vec::with_capacity(length.min(1 << 20));
        frame.extend_from_slice(unread);
        let missing = (length - unread.len()) as u64;
        let rest = self.from.by_ref().take(missing);
        { rest }.read_to_end(&mut frame).context("failed to read")?;
        ensure!(frame.len() == length, "it ends in the middle of a frame");
        Ok(frame)
    }

    /// Reads what there is; `false` at the end.
    fn read(&mut self) -> Result<bool> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        if self.filled == self.buffer.len() {
            // All that was read before was one piece of a frame, not a long one.
            self.buffer.resize(BUFFER, 0);
        }
        let read = loop {
            match self.from.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.context("failed to read")?,
            }
        };
        self.filled += read;
        if read == FIRST_BUFFER {
            self.buffer.resize(BUFFER, 0); // there is much to read
        }
        let in_a_frame = read == 0 && self.filled > 0;
        ensure!(!in_a_frame, "it ends in the middle of a frame");
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>> {
        // As a pipe gives it: a few bytes at a time.
        struct Trickle<'a>(&'a [u8]);
        impl Read for Trickle<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let few = into.len().min(3);
                self.0.read(&mut into[..few])
            }
        }
        let mut frames = Frames::new(Trickle(bytes));
        let mut all = Vec::new();
        loop {
            match frames.next_ones()? {
                none if none.is_empty() => return Ok(all),
                some => {
                    for (head, body) in some {
                        all.push((head, body.decode()?));
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_sent_comes() {
        let sent: Vec<(u32, Vec<u8>)> = [0, 1, 127, 128, 70_000, 5, 200_000]
            .map(|length: u32| (length, vec![7; length as usize]))
            .into();
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for (head, body) in &sent {
            bytes.extend(frame(head, body).expect("a frame"));
            ends.push(bytes.len());
        }
        assert_eq!(all(&bytes).expect("frames"), sent);
        // Wherever it is cut off, that is noticed, but for between two frames.
        for length in (0..300).chain([70_000, 80_000, bytes.len() - 1]) {
            let is_whole = ends.contains(&length);
            assert_eq!(all(&bytes[..length]).is_ok(), is_whole, "{length} bytes");
        }
    }

    #[test]
    fn nonsense_is_no_frame() {
        assert!(all(b"hello\n").is_err());
        assert!(all(&[0; 64]).is_err(), "a head has at least one byte");
    }
}
