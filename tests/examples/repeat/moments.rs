//! A signal at random moments of a lesson.

use crate::guarded::{Ended, LONGEST, Orphans};
use crate::linux::{Lesson, Times};
use crate::tally::{Count, Tally, median_and_longest, ms};
use nix::sys::signal::Signal;
use shared_core::Result;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The columns of the table.
pub const HEADINGS: [&str; 7] = [
    "lesson",
    "signals",
    "had ended",
    "failed",
    "left",
    "median",
    "longest",
];

/// All must be gone so soon after their first process was killed.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Runs the lesson, and sends it the signal at a random moment, again and again.
/// `median` and `longest` in the row are the times from the signal until nothing
/// of the run was there any more.
pub fn tally(lesson: &Lesson, signal: Signal, times: Times, seed: u64) -> Result<Tally> {
    let length = length(lesson)?;
    let mut random = Random(seed);
    let (mut count, mut gone_after) = (Count::default(), Vec::new());
    let (mut signals, mut had_ended) = (0, 0);
    for run in times.each() {
        let moment = length.mul_f64(random.fraction());
        // A terminal sends its signals to the whole group.
        let to_the_group = signal != Signal::SIGKILL && run % 2 == 0;
        let (ended, after) = once(lesson, signal, moment, to_the_group)?;
        let wrong = match verdict(&ended, signal) {
            Verdict::HadEnded => {
                had_ended += 1;
                None
            }
            Verdict::EndedByIt => {
                signals += 1;
                gone_after.extend(after.filter(|_| ended.left.is_empty()));
                None
            }
            Verdict::Wrong(what) => Some(what),
        };
        let to = if to_the_group {
            "group"
        } else {
            "first process"
        };
        let what = format!(
            "{lesson}, run {run}, {signal} to the {to} after {}",
            ms(moment)
        );
        count.add(&what, &ended, wrong);
    }
    let (median, longest) = median_and_longest(gone_after);
    let row = vec![
        lesson.to_string(),
        signals.to_string(),
        had_ended.to_string(),
        count.failed.to_string(),
        count.left.to_string(),
        ms(median),
        ms(longest),
    ];
    let faults = count.faults;
    Ok(Tally { row, faults })
}

/// How long the lesson takes, about, from when its first process is there.
fn length(lesson: &Lesson) -> Result<Duration> {
    let mut took = Vec::new();
    // A short one more often: there the spread is large.
    while took.len() < 5 && took.iter().sum::<Duration>() < Duration::from_millis(200) {
        let mut run = lesson.start(Orphans::AreLeft)?;
        run.first_process()?;
        let start = Instant::now();
        run.end_within(LONGEST)?;
        took.push(start.elapsed());
    }
    let (median, _) = median_and_longest(took);
    Ok(median)
}

/// Runs the lesson, and sends the signal so long after its first process is
/// there. Returns how long after the signal all were gone; `None` if the lesson
/// had ended.
fn once(
    lesson: &Lesson,
    signal: Signal,
    moment: Duration,
    to_the_group: bool,
) -> Result<(Ended, Option<Duration>)> {
    let (orphans, limit) = match signal {
        // Nobody can kill and reap for a first process that was killed.
        Signal::SIGKILL => (Orphans::MayEnd, GONE_WITHIN),
        _ => (Orphans::AreLeft, LONGEST),
    };
    let mut run = lesson.start(orphans)?;
    let first = run.first_process()?;
    sleep(moment);
    let sent = match first {
        Some(first) if run.send(first, signal, to_the_group)? => Some(Instant::now()),
        _ => None,
    };
    let ended = run.end_within(limit)?;
    Ok((ended, sent.map(|sent| sent.elapsed())))
}

enum Verdict {
    HadEnded,
    EndedByIt,
    Wrong(&'static str),
}

fn verdict(ended: &Ended, signal: Signal) -> Verdict {
    let number = signal as i32;
    match (ended.status, ended.signal) {
        _ if ended.has_failed_check() => Verdict::Wrong("a check failed"),
        _ if ended.stderr.contains("panicked") => Verdict::Wrong("something panicked"),
        (Some(0), _) => Verdict::HadEnded,
        (_, Some(by)) if by == number && signal == Signal::SIGKILL => Verdict::EndedByIt,
        // Before it has said anything, it may not have a handler yet.
        (_, Some(by)) if by == number && ended.stdout.is_empty() => Verdict::EndedByIt,
        (Some(status), _) if status == 128 + number => Verdict::EndedByIt,
        (Some(_), _) => Verdict::Wrong("another exit status"),
        (None, _) => Verdict::Wrong("it was killed and did not end by itself"),
    }
}

/// Random numbers, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}
