//! Processes count words: the text is cut between words, not inside.
//!
//! Nothing to `cargo add`.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::{env, io};

const TEXT: &str = "How much wood would a woodchuck chuck if a woodchuck \
    could chuck wood? As much wood as a woodchuck would chuck.";

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().collect();
    if let [_, begin, end] = &args[..] {
        count(begin.parse().unwrap_or(0), end.parse().unwrap_or(0));
        return Ok(());
    }
    let (mut workers, mut begin) = (Vec::new(), 0);
    for quarter in 1..=4 {
        // This piece ends where the next one begins.
        let end = cut(TEXT.len() * quarter / 4);
        let worker = Command::new(env::current_exe()?)
            .args([begin.to_string(), end.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        println!("pid {}: bytes {begin} to {end}", worker.id());
        workers.push(worker);
        begin = end;
    }
    let mut counts = BTreeMap::new();
    for worker in workers {
        let output = worker.wait_with_output()?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let (word, count) = line.split_once(' ').unwrap_or((line, ""));
            let count: usize = count.parse().unwrap_or(0);
            *counts.entry(word.to_owned()).or_insert(0) += count;
        }
    }
    println!("words: {}", counts.values().sum::<usize>());
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| usize::MAX - count);
    for (word, count) in counts.iter().take(3) {
        println!("{count:>7} {word}");
    }
    Ok(())
}

/// The first place from `at` on that is in no word.
fn cut(at: usize) -> usize {
    // Break it: return `at`, and it is no longer 21 words.
    let rest = TEXT.bytes().skip(at);
    at + rest.take_while(u8::is_ascii_alphanumeric).count()
}

/// What runs in a worker: it says its counts on stdout.
fn count(begin: usize, end: usize) {
    let words = TEXT[begin..end].split(|c: char| !c.is_alphanumeric());
    let mut counts = BTreeMap::new();
    for word in words.filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    for (word, count) in counts {
        println!("{word} {count}");
    }
}
