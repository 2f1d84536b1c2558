//! A pool does real work: it counts the words in files. (note 13)
//!
//! cargo run -p pool-demo -- wordcount --top 20 pool-demo/src README.md
//!
//! To copy: examples/wordcount.rs, the same cuts, with a process for each piece of
//! one text.

use crate::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use pool_demo::{Outcome, Pool, Task};
use rayon::ThreadPoolBuilder;
use rayon::iter::{ParallelBridge, ParallelIterator};
use serde::{Deserialize, Serialize};
use shared_core::cli::{Interrupted, Question};
use shared_core::report::events;
use shared_core::{Result, anyhow, bail, cause, check, complain, fact, report, span, who};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{File, ReadDir};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Workers count the words of files, piece by piece
///
/// The parent sends a worker a path and two numbers. The worker reads that piece of
/// the file and sends back its table of words, which the parent adds to its own. A
/// file is cut only where an ASCII character stands that is neither letter nor
/// digit: it is in no word, and in UTF-8 no part of another character (utf-8(7)).
///
/// A word is a run of letters and digits, in lower case; bytes that are not UTF-8
/// are in no word. (One of more than 64 KiB may be cut.) If there are at most 1000
/// files of together 1 MiB, the parent counts once more, alone and without cuts.
///
/// Try: cargo run -p pool-demo -- wordcount --threads --top 5
///
/// Try: cargo run -p pool-demo -- wordcount --piece-bytes 16 --top 3
#[derive(clap::Args)]
pub struct Options {
    /// Files and folders; one that is named twice counts twice. Symbolic links
    /// inside folders are not followed. If there is none: the Apache licence
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How many worker processes (1 to 128)
    #[arg(long, default_value_t = 4, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: u16,
    /// Count on as many threads of the parent instead
    #[arg(long)]
    threads: bool,
    /// How many words to show, the most frequent ones (0 to 1000000)
    #[arg(long, default_value_t = 10, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    top: u32,
    /// How many bytes a piece has, or a few more; with a PATH, 4194304 unless
    /// you say otherwise (1 to 67108864)
    #[arg(long, default_value_t = 1024, allow_negative_numbers = true,
          default_value_if("paths", clap::builder::ArgPredicate::IsPresent, "4194304"),
          value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    piece_bytes: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "The text is to be cut every {piece_bytes} bytes, be it in a word. How many words \
               more are counted than without cuts?",
        choices: &[],
        fact: "words_too_many",
        is_a_race: false,
    },
    Question {
        text: "Who reads the text?",
        choices: &[PARENT, WORKERS],
        fact: "reader",
        is_a_race: false,
    },
];
const PARENT: &str = "the parent";
const WORKERS: &str = "the workers";

pub fn run(options: &Options) -> Result<()> {
    let tally = Mutex::new(Tally::new(progress_bar()));
    let pieces = Pieces::of(options, &tally); // none is looked for yet
    if options.threads {
        count_on_threads(options.workers, pieces, &tally)?;
    } else {
        let pool = Pool::builder().workers(options.workers.into());
        // A piece whose worker has died can be counted again by another one.
        let pool = pool.retries(1).start()?;
        interrupt::terminates(&pool)?;
        report!("worker processes: {}", options.workers);
        // Only a few pieces are looked for before they are wanted.
        for counted in pool.imap_unordered(pieces, 1) {
            if interrupt::has_come() {
                break;
            }
            tally.lock().add(counted);
        }
        pool.join();
    }
    let tally = tally.into_inner();
    tally.bar.finish_and_clear();
    if interrupt::happened() {
        let done = format!("{} pieces counted, the others not", tally.pieces);
        return Err(Interrupted(done).into());
    }

    report!("pieces: {}, bytes: {}", tally.pieces, tally.bytes);
    let (words, different) = (tally.words, tally.counts.len());
    report!("words: {words}, different: {different}");
    for (word, count) in tally.most_frequent().take(options.top as usize) {
        report!("{count:>9} {word}");
    }
    judge(options, &tally)?;
    match tally.failed.len() {
        0 => Ok(()),
        1 => bail!("not everything was counted: 1 error"),
        number => bail!("not everything was counted: {number} errors"),
    }
}

/// The same without processes: the threads of the parent share the tally, and
/// one at a time adds to it.
fn count_on_threads(threads: u16, pieces: Pieces<'_>, tally: &Mutex<Tally>) -> Result<()> {
    interrupt::is_noticed()?;
    report!("threads: {threads}");
    let pieces = pieces.take_while(|_| !interrupt::has_come());
    let pool = ThreadPoolBuilder::new().num_threads(threads.into());
    let pool = pool.thread_name(|n| format!("thread {}", n + 1));
    let count = |piece: Piece| {
        let counted = piece.run();
        tally.lock().add(Ok(counted));
    };
    // Scoped: all threads have ended when it returns.
    let done = pool.build_scoped(rayon::ThreadBuilder::run, |pool| {
        pool.install(|| pieces.par_bridge().for_each(count));
    });
    // Its cause would say the same once more.
    done.map_err(|error| anyhow!("failed to start a thread: {error}"))
}

/// A piece of a text: what is sent to a worker.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Piece {
    /// Without a file: the licence, which each of the processes has in it. (No
    /// `PathBuf`: serde sends only those that are UTF-8.)
    file: Option<OsString>,
    /// Where it begins and ends, before that is moved to where it can be cut.
    begin: u64,
    end: u64,
    /// The size of the whole text when it was looked for.
    size: u64,
    number: u64,
}

/// What is sent back.
#[derive(Serialize, Deserialize)]
pub struct Counted {
    pid: u32,
    bytes: u64,
    words: u64,
    counts: HashMap<String, u64>,
}

impl Task for Piece {
    type Output = Result<Counted, String>;

    const NAME: &'static str = "count";

    /// What runs in a worker process.
    fn run(self) -> Result<Counted, String> {
        let number = self.number;
        let _span = (number < DRAWN).then(|| span!("piece {number}"));
        self.count()
    }
}

/// What is counted if nothing else is named.
const LICENCE: &str = include_str!("../../LICENSE-APACHE");

/// A picture of more pieces shows nothing.
const DRAWN: u64 = 1000;

impl Piece {
    fn count(&self) -> Result<Counted, String> {
        let bytes = match &self.file {
            None => self.read(Cursor::new(LICENCE)),
            Some(file) => File::open(file).and_then(|file| self.read(file)),
        };
        let path = Path::new(self.file.as_deref().unwrap_or_default());
        let bytes = bytes.map_err(|error| failed(path, &error))?;
        Ok(count(&bytes))
    }

    /// Reads from where the text is cut at the beginning to where it is cut at the end.
    fn read(&self, mut text: impl Read + Seek) -> io::Result<Vec<u8>> {
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
const LONGEST: usize = 1 << 16;

fn count(bytes: &[u8]) -> Counted {
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
        pid: who::pid(),
        bytes: bytes.len() as u64,
        words,
        counts,
    }
}

/// The pieces of all files; a file is looked for when its first piece is wanted.
struct Pieces<'a> {
    given: std::slice::Iter<'a, PathBuf>,
    /// Still to be opened.
    folders: Vec<PathBuf>,
    /// The one that is being read.
    folder: Option<(PathBuf, ReadDir)>,
    /// What is left of the file at hand.
    rest: Option<Piece>,
    piece_bytes: u64,
    number: u64,
    tally: &'a Mutex<Tally>,
}

impl<'a> Pieces<'a> {
    fn of(options: &'a Options, tally: &'a Mutex<Tally>) -> Self {
        let mut pieces = Self {
            given: options.paths.iter(),
            folders: Vec::new(),
            folder: None,
            rest: None,
            piece_bytes: options.piece_bytes.into(),
            number: 0,
            tally,
        };
        if options.paths.is_empty() {
            pieces.rest = Some(pieces.whole(None, LICENCE.len() as u64));
        }
        pieces
    }

    fn whole(&self, file: Option<PathBuf>, size: u64) -> Piece {
        let piece = Piece {
            file: file.map(PathBuf::into_os_string),
            end: size,
            size,
            ..Piece::default()
        };
        self.tally.lock().list(&piece);
        piece
    }

    fn next_file(&mut self) -> Option<Piece> {
        loop {
            let (path, metadata, was_given) = if let Some((path, folder)) = &mut self.folder {
                match folder.next() {
                    Some(Ok(entry)) => (entry.path(), entry.metadata(), false),
                    Some(Err(error)) => (path.clone(), Err(error), false),
                    None => {
                        self.folder = None;
                        continue;
                    }
                }
            } else if let Some(path) = self.folders.pop() {
                match path.read_dir() {
                    Ok(folder) => {
                        self.folder = Some((path, folder));
                        continue;
                    }
                    Err(error) => (path, Err(error), false),
                }
            } else {
                // Here, and only here, a symbolic link is followed: so there is no loop.
                let path = self.given.next()?;
                (path.clone(), path.metadata(), true)
            };
            match metadata {
                Ok(file) if file.is_file() => return Some(self.whole(Some(path), file.len())),
                Ok(folder) if folder.is_dir() => self.folders.push(path),
                Ok(_) if was_given => {
                    let why = format!("skipped {}: neither a file nor a folder", path.display());
                    self.tally.lock().fail(why);
                }
                Ok(_) => {}
                Err(error) => self.tally.lock().fail(failed(&path, &error)),
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut rest = match self.rest.take() {
            Some(rest) => rest,
            None => self.next_file()?,
        };
        let mut piece = rest.clone();
        piece.end = piece.size.min(piece.begin + self.piece_bytes);
        piece.number = self.number;
        self.number += 1;
        rest.begin = piece.end;
        self.rest = (rest.begin < rest.end).then_some(rest); // an empty file is one piece
        Some(piece)
    }
}

fn usize_of(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("failed to read {}: {}", path.display(), cause(error))
}

/// Up to so much the parent counts once more.
const SMALL_BYTES: u64 = 1 << 20;
const SMALL_FILES: usize = 1000;

/// What is known of all pieces together.
struct Tally {
    listed_bytes: u64,
    pieces: u64,
    bytes: u64,
    words: u64,
    counts: HashMap<String, u64>,
    readers: BTreeSet<u32>,
    /// What could not be counted, and why.
    failed: BTreeSet<String>,
    /// All files, uncut, if they are few and small.
    small: Option<Vec<Piece>>,
    bar: ProgressBar,
}

impl Tally {
    fn new(bar: ProgressBar) -> Self {
        Self {
            listed_bytes: 0,
            pieces: 0,
            bytes: 0,
            words: 0,
            counts: HashMap::new(),
            readers: BTreeSet::new(),
            failed: BTreeSet::new(),
            small: Some(Vec::new()),
            bar,
        }
    }

    fn list(&mut self, whole: &Piece) {
        self.listed_bytes += whole.size;
        self.bar.inc_length(whole.size);
        if let Some(small) = &mut self.small {
            small.push(whole.clone());
            if self.listed_bytes > SMALL_BYTES || small.len() > SMALL_FILES {
                self.small = None;
            }
        }
    }

    fn add(&mut self, outcome: Outcome<Piece>) {
        let counted = match outcome {
            Ok(Ok(counted)) => counted,
            Ok(Err(why)) => return self.fail(why),
            Err(failure) => return self.fail(format!("a piece was not counted: {failure}")),
        };
        self.pieces += 1;
        self.bytes += counted.bytes;
        self.words += counted.words;
        self.readers.insert(counted.pid);
        for (word, count) in counted.counts {
            *self.counts.entry(word).or_insert(0) += count;
        }
        self.bar.inc(counted.bytes);
    }

    /// Says it once, however many pieces the file has.
    fn fail(&mut self, why: String) {
        if !self.failed.contains(&why) {
            self.bar.suspend(|| complain(format_args!("{why}")));
            self.failed.insert(why);
        }
    }

    fn most_frequent(&self) -> impl Iterator<Item = (&String, &u64)> {
        let mut words: Vec<_> = self.counts.iter().collect();
        words.sort_by_key(|(word, count)| (u64::MAX - **count, *word));
        words.into_iter()
    }

    /// A few of the words that it has not as often as the other one.
    fn differs_from(&self, other: &Self) -> Vec<String> {
        let words: BTreeSet<&String> = self.counts.keys().chain(other.counts.keys()).collect();
        let count = |tally: &Self, word: &str| tally.counts.get(word).copied().unwrap_or(0);
        let both = words
            .into_iter()
            .map(|word| (word, count(self, word), count(other, word)));
        let different = both.filter(|(_, here, there)| here != there).take(3);
        different
            .map(|(word, here, there)| format!("{word}: {here}, not {there}"))
            .collect()
    }
}

/// It shows itself on stderr, and only if that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes} found");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

// A first reading may skip the rest.

fn judge(options: &Options, tally: &Tally) -> Result<()> {
    if tally.failed.is_empty() {
        check!(
            "each byte was in exactly one piece",
            tally.bytes,
            tally.listed_bytes
        );
    }
    check!(
        "the counts of all words add up to the number of words",
        tally.counts.values().sum::<u64>(),
        tally.words
    );

    let mut readers = vec![who::pid()];
    if !options.threads {
        let events = events()?;
        let workers = events.iter().filter(|event| event.cat == "started");
        readers = workers.map(|event| event.pid).collect();
    }
    let others = tally.readers.iter().filter(|pid| !readers.contains(pid));
    let others: Vec<u32> = others.copied().collect();
    let by_parent = tally.readers.contains(&who::pid());
    fact!("reader", if by_parent { PARENT } else { WORKERS });
    if options.threads {
        check!("threads of the parent read all pieces", others, vec![0; 0]);
    } else {
        check!("worker processes read all pieces", others, vec![0; 0]);
    }

    let uncut = tally.small.as_ref().filter(|_| tally.failed.is_empty());
    let counting = span!("alone");
    let uncut = uncut.map(|files| {
        files
            .iter()
            .map(Piece::count)
            .collect::<Result<Vec<_>, _>>()
    });
    drop(counting);
    // Unless a file has gone meanwhile.
    if let Some(Ok(uncut)) = uncut {
        let mut alone = Tally::new(ProgressBar::hidden());
        for counted in uncut {
            alone.add(Ok(Ok(counted)));
        }
        let too_many = tally.words.cast_signed() - alone.words.cast_signed();
        fact!("words_too_many", too_many);
        check!(
            "without cuts the parent alone counts each word as often",
            tally.differs_from(&alone),
            vec![""; 0]
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the text in pieces of this size, as the workers do.
    fn in_pieces(text: &[u8], piece_bytes: usize) -> Tally {
        let mut tally = Tally::new(ProgressBar::hidden());
        for begin in (0..text.len()).step_by(piece_bytes) {
            let piece = Piece {
                begin: begin as u64,
                end: text.len().min(begin + piece_bytes) as u64,
                size: text.len() as u64,
                ..Piece::default()
            };
            tally.add(Ok(Ok(count(&piece.read(Cursor::new(text)).unwrap()))));
        }
        tally
    }

    #[test]
    fn wherever_a_text_is_cut_the_counts_are_the_same() {
        let invalid = b"ab\xff\xfe c\xe2\x82d \xc3\xa9\x80\xc3 \xe4\xbd\xa0\xa0e\n".as_slice();
        for text in [
            b"".as_slice(),
            b"x",
            b"to be, or not to be",
            b"  leading and trailing  \n",
            "Stra\u{df}e, \u{cc}d\u{e9}e; \u{4f60}\u{597d}\u{3002}\u{4e16}\u{754c} \u{1d7d8}x"
                .as_bytes(),
            "\u{391}\u{3a3}'\u{391} \u{3a3}".as_bytes(),
            &invalid.repeat(3),
            LICENCE.as_bytes(),
        ] {
            let whole = in_pieces(text, text.len().max(1));
            assert_eq!(whole.bytes, text.len() as u64);
            for piece_bytes in 1..=text.len().min(40) {
                let pieces = in_pieces(text, piece_bytes);
                assert_eq!(pieces.bytes, whole.bytes);
                assert_eq!(pieces.words, whole.words);
                assert_eq!(pieces.counts, whole.counts);
            }
        }
    }

    #[test]
    fn a_word_is_whole_up_to_the_limit_and_every_byte_is_in_one_piece_beyond_it() {
        for (word, whole) in [
            ("a".repeat(LONGEST - 1), true),
            ("\u{e9}".repeat(LONGEST / 2 - 1), true),
            ("a".repeat(3 * LONGEST), false),
            ("\u{e9}".repeat(LONGEST), false),
            ("\u{4f60}".repeat(LONGEST), false),
        ] {
            let text = format!("one {word} two");
            for piece_bytes in [1009, 5000, LONGEST, LONGEST + 1] {
                let pieces = in_pieces(text.as_bytes(), piece_bytes);
                assert_eq!(pieces.bytes, text.len() as u64);
                assert_eq!(pieces.counts.contains_key(&word), whole);
                // It is cut between characters, and nothing of it is lost.
                let letters = pieces.counts.iter();
                let letters = letters.map(|(word, count)| word.len() as u64 * count);
                assert_eq!(letters.sum::<u64>(), word.len() as u64 + 6);
            }
        }
        let stray = [&b"a "[..], &vec![0x80; 3 * LONGEST], b" b"].concat();
        for piece_bytes in [1000, LONGEST] {
            let pieces = in_pieces(&stray, piece_bytes);
            assert_eq!((pieces.bytes, pieces.words), (stray.len() as u64, 2));
        }
    }

    #[test]
    fn what_has_become_shorter_is_an_error() {
        let piece = Piece {
            end: 4,
            size: 4,
            ..Piece::default()
        };
        let error = piece.read(Cursor::new("abc")).unwrap_err();
        assert_eq!(error.to_string(), "it is shorter than it was said to be");
        let longer = piece.read(Cursor::new("abcdef")).unwrap();
        assert_eq!(longer, b"abcd");
    }

    #[test]
    fn a_path_that_is_no_text_is_sent_as_it_is() {
        #[cfg(unix)]
        let path: OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0x61, 0xff]);
        #[cfg(windows)]
        let path: OsString = std::os::windows::ffi::OsStringExt::from_wide(&[0x61, 0xd800]);
        let piece = Piece {
            file: Some(path.clone()),
            ..Piece::default()
        };
        let sent = postcard::to_stdvec(&piece).unwrap();
        let received: Piece = postcard::from_bytes(&sent).unwrap();
        assert_eq!(received.file, Some(path));
    }
}
