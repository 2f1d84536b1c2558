//! A piece of a text: where it is cut, and what is counted in it.

use serde::{Deserialize, Serialize};
use shared_core::{cause, who};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// A piece of a text: what is sent to a worker.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Piece {
    /// Without a file: the licence, which each of the processes has in it. (No
    /// `PathBuf`: serde sends only those that are UTF-8.)
    pub file: Option<OsString>,
    /// Where it begins and ends, before that is moved to where it can be cut.
    pub begin: u64,
    /// See `begin`.
    pub end: u64,
    /// The size of the whole text when it was looked for.
    pub size: u64,
    /// Counted from 0 on.
    pub number: u64,
}

/// What is sent back.
#[derive(Serialize, Deserialize)]
pub struct Counted {
    /// The process that counted: its PID, or that of its launcher.
    pub process: u32,
    /// Its host, if a launcher started it.
    pub host: Option<String>,
    /// How many bytes the piece has.
    pub bytes: u64,
    /// And how many words.
    pub words: u64,
    /// How often each word is in it.
    pub counts: HashMap<String, u64>,
}

/// What is sent back when a piece could not be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unread {
    /// The file, the host if a launcher started the worker there, and the cause.
    pub why: String,
    /// The host whose file system has no such file.
    pub is_not_on: Option<String>,
}

/// What is counted if nothing else is named.
pub const LICENCE: &str = include_str!("../../../LICENSE-APACHE");

impl Piece {
    /// Reads the piece and counts its words.
    pub fn count(&self) -> Result<Counted, Unread> {
        let bytes = match &self.file {
            None => self.read(Cursor::new(LICENCE)),
            Some(file) => File::open(file).and_then(|file| self.read(file)),
        };
        let path = Path::new(self.file.as_deref().unwrap_or_default());
        let host = || who::elsewhere().map(|place| place.host.clone());
        let bytes = bytes.map_err(|error| Unread {
            why: failed(path, host().as_deref(), &error),
            is_not_on: host().filter(|_| error.kind() == io::ErrorKind::NotFound),
        })?;
        Ok(count(&bytes))
    }

    /// Reads from where the text is cut at the beginning to where it is cut at the end.
    pub fn read(&self, mut text: impl Read + Seek) -> io::Result<Vec<u8>> {
        let behind = LONGEST.min(usize_of(self.size - self.end)?);
        let length = usize_of(self.end - self.begin)?;
        let mut bytes = Vec::with_capacity(length + behind);
        text.seek(SeekFrom::Start(self.begin))?;
        text.take((length + behind) as u64)
            .read_to_end(&mut bytes)?;
        if bytes.len() < length + behind {
            return Err(io::Error::other("it is shorter than it was said to be"));
        }
        let is_first = self.begin == 0;
        let begin = if is_first { 0 } else { cut(&bytes, 0) };
        let end = cut(&bytes, length);
        bytes.truncate(end);
        bytes.drain(..begin);
        Ok(bytes)
    }
}

/// Where a text is cut that was to be cut at `at`, the same for the piece before and
/// for the piece behind: so each word is in one of them.
fn cut(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let rest = &rest[..rest.len().min(LONGEST)];
    let is_in_no_word = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    let is_within = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000; // a character
    let cut = match rest.iter().position(is_in_no_word) {
        None if rest.len() == LONGEST => rest.iter().position(|byte| !is_within(byte)),
        cut => cut,
    };
    at + cut.unwrap_or(rest.len())
}

/// A word may be cut that has more bytes.
pub const LONGEST: usize = 1 << 16;

/// Counts the words in a text.
pub fn count(bytes: &[u8]) -> Counted {
    let (mut words, mut counts) = (0, HashMap::<String, u64>::new());
    let mut lower = String::new();
    let texts = bytes.utf8_chunks().map(|chunk| chunk.valid());
    let all = texts.flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    for word in all.filter(|word| !word.is_empty()) {
        words += 1;
        lower.clear();
        lower.extend(word.chars().flat_map(char::to_lowercase));
        match counts.get_mut(&lower) {
            Some(count) => *count += 1,
            None => drop(counts.insert(lower.clone(), 1)),
        }
    }
    Counted {
        process: who::process(),
        host: who::elsewhere().map(|place| place.host.clone()),
        bytes: bytes.len() as u64,
        words,
        counts,
    }
}

fn usize_of(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

/// A file could not be read, on this host.
pub fn failed(path: &Path, host: Option<&str>, error: &io::Error) -> String {
    let on = host.map(|host| format!(" on {host}")).unwrap_or_default();
    format!("failed to read {}{on}: {}", path.display(), cause(error))
}
