//! A pool does real work: it counts the words in files. (note 13)
//!
//! cargo run -p pool-demo -- wordcount --top 20 pool-demo/src README.md
//!
//! To copy: examples/wordcount.rs, the same cuts, with a process for each piece of
//! one text.

mod listing;
mod piece;
#[cfg(test)]
mod tests;

use crate::elsewhere::Elsewhere;
use crate::interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use listing::Pieces;
use parking_lot::Mutex;
pub use piece::{Counted, Piece, Unread};
use pool_demo::{Outcome, Pool, Task};
use rayon::ThreadPoolBuilder;
use rayon::iter::{ParallelBridge, ParallelIterator};
use shared_core::cli::{Interrupted, Question};
use shared_core::report::{Event, events};
use shared_core::{Result, anyhow, bail, check, complain, fact, report, span, who};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

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
    #[arg(long, conflicts_with = "launcher")]
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
    #[command(flatten)]
    elsewhere: Elsewhere,
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
    let tally = Mutex::new(Tally::new(progress_bar(options)));
    let pieces = Pieces::of(options, &tally); // none is looked for yet
    if options.threads {
        count_on_threads(options.workers, pieces, &tally)?;
    } else {
        let pool = Pool::builder().workers(options.workers.into());
        // A piece whose worker has died can be counted again by another one.
        let launcher = options.elsewhere.launcher();
        let pool = pool.retries(1).launcher(launcher.as_ref()).start()?;
        interrupt::terminates(&pool)?;
        (tally.lock().bar).suspend(|| report!("worker processes: {}", options.workers));
        // Only a few pieces are looked for before they are wanted.
        for counted in pool.imap_unordered(pieces, 1) {
            if interrupt::has_come() {
                break;
            }
            tally.lock().add(counted);
        }
        pool.join();
    }
    let mut tally = tally.into_inner();
    tally.say_what_is_missing();
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
    (tally.lock().bar).suspend(|| report!("threads: {threads}"));
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

impl Task for Piece {
    type Output = Result<Counted, Unread>;

    const NAME: &'static str = "count";

    /// What runs in a worker process.
    fn run(self) -> Result<Counted, Unread> {
        let number = self.number;
        let _span = (number < DRAWN).then(|| span!("piece {number}"));
        self.count()
    }
}

/// A picture of more pieces shows nothing.
const DRAWN: u64 = 1000;

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
    /// The hosts that have read something, and what the others do not have.
    hosts: BTreeSet<String>,
    missing: BTreeMap<String, BTreeSet<String>>,
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
            hosts: BTreeSet::new(),
            missing: BTreeMap::new(),
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
            Ok(Err(unread)) => return self.was_not_read(unread),
            Err(failure) => return self.fail(format!("a piece was not counted: {failure}")),
        };
        self.pieces += 1;
        self.bytes += counted.bytes;
        self.words += counted.words;
        self.readers.insert(counted.process);
        self.has_files(counted.host);
        for (word, count) in counted.counts {
            *self.counts.entry(word).or_insert(0) += count;
        }
        self.bar.inc(counted.bytes);
    }

    /// What one host does not have is said when it is known that it has something.
    fn was_not_read(&mut self, unread: Unread) {
        match unread.is_not_on.filter(|host| !self.hosts.contains(host)) {
            Some(host) => _ = self.missing.entry(host).or_default().insert(unread.why),
            None => self.fail(unread.why),
        }
    }

    fn has_files(&mut self, host: Option<String>) {
        let Some(host) = host.filter(|host| !self.hosts.contains(host)) else {
            return;
        };
        for why in self.missing.remove(&host).unwrap_or_default() {
            self.fail(why);
        }
        self.hosts.insert(host);
    }

    /// Once for each host that has nothing of what is to be read.
    fn say_what_is_missing(&mut self) {
        for (host, files) in std::mem::take(&mut self.missing) {
            let files = match files.len() {
                1 => "the file".to_owned(),
                number => format!("any of the {number} files"),
            };
            let hint = "workers read what all hosts see under the same name";
            self.fail(format!("{host} does not have {files}: {hint}"));
        }
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

/// It shows itself on stderr, and only if that is a terminal and something was named
/// that may take its time.
fn progress_bar(options: &Options) -> ProgressBar {
    if options.paths.is_empty() {
        return ProgressBar::hidden();
    }
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

    let mut readers = vec![who::process()];
    if !options.threads {
        let events = events()?;
        let workers = events.iter().filter(|event| event.cat == "started");
        readers = workers.map(Event::process).collect();
    }
    let others = tally.readers.iter().filter(|pid| !readers.contains(pid));
    let others: Vec<u32> = others.copied().collect();
    let by_parent = tally.readers.contains(&who::process());
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
    counting.end();
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
