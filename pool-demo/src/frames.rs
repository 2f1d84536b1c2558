//! What a pool and its workers say to each other: frames, each of which is a length
//! (four bytes, little endian), a head in postcard, and what is sent with it, as
//! it is.

use postcard::{take_from_bytes, to_extend, to_stdvec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_core::{Context, Result, ensure};
use std::io::{self, Read};

/// Longer than this is no frame.
const LONGEST: usize = 1 << 30;

/// And a head that goes with something is shorter than this.
const LONGEST_HEAD: usize = 32;

/// What a worker says first. The pool knows by it that the two understand each
/// other.
pub const VERSION: &str = concat!("pool-demo ", env!("CARGO_PKG_VERSION"));

/// From the pool to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first frame: run the task that is sent with it, if there is one, and then
    /// be ready.
    Begin {
        /// Whether to draw when it waits for a job.
        draws: bool,
        /// The run to take part in, for a worker that was not handed the event log.
        about_run: Option<String>,
    },
    /// A job: tasks of the pool's type.
    Job(u64),
    /// Nothing more comes; when all jobs are done, end. (If what is read ends without
    /// this, the pool is gone.)
    End,
}

/// From a worker to the pool.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It waits for jobs.
    Ready(String),
    /// It did not become ready, for this reason.
    NotReady(String),
    /// It has done this job, in so many nanoseconds; the answer is sent with it.
    Answer(u64, u64),
    /// An event for the event log.
    Event(String),
    /// What is to be printed.
    Text(String),
}

/// Appends a frame to `bytes`.
///
/// # Errors
/// When it is too long.
pub fn append(bytes: &mut Vec<u8>, head: &impl Serialize, body: &[u8]) -> Result<()> {
    let start = bytes.len();
    bytes.extend([0; 4]);
    *bytes = to_extend(head, std::mem::take(bytes))?;
    let length = bytes.len() - start - 4 + body.len();
    ensure!(length <= LONGEST, "{length} bytes are too many to send");
    bytes[start..start + 4].copy_from_slice(&u32::try_from(length)?.to_le_bytes());
    bytes.extend_from_slice(body);
    Ok(())
}

/// A value as bytes.
///
/// # Errors
/// When its type says so, or it is too long for a frame.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let bytes = to_stdvec(value).context("failed to encode")?;
    let length = bytes.len();
    ensure!(
        length <= LONGEST - LONGEST_HEAD,
        "{length} bytes are too many to send"
    );
    Ok(bytes)
}

/// The value that was encoded.
///
/// # Errors
/// When it is none.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).context("failed to decode")
}

/// Takes what was read apart.
pub struct Frames<R> {
    from: R,
    buffer: Vec<u8>,
    /// What was read and not taken yet: a range of the buffer.
    taken: usize,
    filled: usize,
}

/// So much is read at once, and kept for the next time.
const BUFFER: usize = 1 << 16;

impl<R: Read> Frames<R> {
    /// The frames in what `from` reads.
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            taken: 0,
            filled: 0,
        }
    }

    /// All frames that can be had by reading once, or as often as one frame takes;
    /// none at the end.
    ///
    /// # Errors
    /// When what is read is no frame, or ends in the middle of one.
    pub fn next_ones<H: DeserializeOwned>(&mut self) -> Result<Vec<(H, Vec<u8>)>> {
        let mut frames = Vec::new();
        loop {
            while let Some(frame) = self.take()? {
                frames.push(frame);
            }
            if !frames.is_empty() || !self.read()? {
                return Ok(frames);
            }
        }
    }

    /// Takes the next frame if it is there.
    fn take<H: DeserializeOwned>(&mut self) -> Result<Option<(H, Vec<u8>)>> {
        let rest = &self.buffer[self.taken..self.filled];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        ensure!(length <= LONGEST, "a frame of {length} bytes is none");
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let (head, body) = take_from_bytes(frame).context("failed to decode a frame")?;
        let frame = (head, body.to_vec());
        self.taken += 4 + length;
        Ok(Some(frame))
    }

    /// Reads what there is; `false` at the end.
    fn read(&mut self) -> Result<bool> {
        if self.taken > 0 {
            self.buffer.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        // A long frame makes the buffer grow, as it comes and not before: what
        // nonsense says of its length must not cost memory.
        if self.filled == self.buffer.len() {
            self.buffer.resize((2 * self.filled).max(BUFFER), 0);
        } else if self.filled < BUFFER && self.buffer.len() > 16 * BUFFER {
            self.buffer.truncate(BUFFER);
            self.buffer.shrink_to_fit();
        }
        let read = loop {
            match self.from.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.context("failed to read")?,
            }
        };
        self.filled += read;
        ensure!(
            read > 0 || self.filled == 0,
            "it ends in the middle of a frame"
        );
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
                some => all.extend(some),
            }
        }
    }

    #[test]
    fn what_was_appended_is_taken() {
        let sent: Vec<(u32, Vec<u8>)> = [0, 1, 127, 128, 70_000]
            .map(|length: u32| (length, vec![7; length as usize]))
            .into();
        let mut bytes = Vec::new();
        let mut ends = vec![];
        for (head, body) in &sent {
            append(&mut bytes, head, body).expect("a frame");
            ends.push(bytes.len());
        }
        assert_eq!(all(&bytes).expect("frames"), sent);
        // Wherever it is cut off, that is noticed, but for between two frames.
        for length in 1..200 {
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
