//! A lesson as it is, again and again.

use crate::guarded::{Ended, LONGEST, Orphans};
use crate::linux::{Lesson, Times};
use crate::tally::{Count, Tally, median_and_longest, ms};
use shared_core::Result;

/// The columns of the table.
pub const HEADINGS: [&str; 6] = ["lesson", "runs", "failed", "left", "median", "longest"];

/// Runs the lesson again and again.
pub fn tally(lesson: &Lesson, times: Times) -> Result<Tally> {
    let mut count = Count::default();
    let mut took = Vec::new();
    for run in times.each() {
        let ended = lesson.start(Orphans::AreLeft)?.end_within(LONGEST)?;
        took.push(ended.took);
        count.add(&format!("{lesson}, run {run}"), &ended, wrong(&ended));
    }
    let runs = took.len();
    let (median, longest) = median_and_longest(took);
    let row = vec![
        lesson.to_string(),
        runs.to_string(),
        count.failed.to_string(),
        count.left.to_string(),
        ms(median),
        ms(longest),
    ];
    let faults = count.faults;
    Ok(Tally { row, faults })
}

fn wrong(ended: &Ended) -> Option<&'static str> {
    match ended.status {
        Some(0) if ended.has_failed_check() => Some("a check failed, and the exit status is 0"),
        Some(0) => None,
        _ if ended.has_failed_check() => Some("a check failed"),
        Some(_) => Some("the exit status is not 0"),
        None => Some("a signal killed it"),
    }
}
