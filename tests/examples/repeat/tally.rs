//! What came of the runs of a lesson.

use crate::guarded::Ended;
use std::time::Duration;

/// A row of the table, and what was wrong.
pub struct Tally {
    /// The row of the table.
    pub row: Vec<String>,
    /// The first few; none means that there was none.
    pub faults: Vec<Fault>,
}

/// A run that was not as it should be.
pub struct Fault {
    /// Which, and what was wrong.
    pub what: String,
    /// All that it wrote.
    pub output: String,
}

/// Counts the runs that were not as they should be, and keeps the first few.
#[derive(Default)]
pub struct Count {
    /// Runs in which something was wrong besides what they left.
    pub failed: u32,
    /// Runs that left something behind.
    pub left: u32,
    /// The first few of both.
    pub faults: Vec<Fault>,
}

impl Count {
    const KEPT: usize = 3;

    /// Counts a run: `wrong` is what was wrong besides what it left.
    pub fn add(&mut self, run: &str, ended: &Ended, wrong: Option<&str>) {
        self.failed += u32::from(wrong.is_some());
        self.left += u32::from(!ended.left.is_empty());
        let left = format!("left: {}", ended.left.join("; "));
        let left = (!ended.left.is_empty()).then_some(left.as_str());
        let what: Vec<&str> = wrong.into_iter().chain(left).collect();
        if !what.is_empty() && self.faults.len() < Self::KEPT {
            self.faults.push(Fault {
                what: format!("{run}: {}", what.join("; ")),
                output: format!("{}{}", ended.stdout, ended.stderr),
            });
        }
    }
}

/// `0.1 ms`
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The median and the longest of some times.
pub fn median_and_longest(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    (median, times.last().copied().unwrap_or_default())
}
