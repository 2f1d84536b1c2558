//! Repeated measurement: a figure comes with its runs, its spread and its
//! machine. For a single stretch of time `std::time::Instant` is the
//! stopwatch.

use anyhow::Result;
use std::fmt;
use std::time::{Duration, Instant};

/// What [`measure`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// How many times it was measured.
    pub runs: usize,
    /// The middle one of the times in order of size.
    pub median: Duration,
    /// A quarter of the times are below this one.
    pub lower_quartile: Duration,
    /// A quarter of the times are above this one.
    pub upper_quartile: Duration,
}

/// Calls `work` `runs` times (at least once) and times each call.
///
/// # Errors
/// The first one of `work`.
pub fn measure(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Measurement> {
    let times = (0..runs.max(1)).map(|_| {
        let start = Instant::now();
        work().map(|()| start.elapsed())
    });
    Ok(Measurement::of(times.collect::<Result<_>>()?))
}

impl Measurement {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |quarter| times[(times.len() - 1) * quarter / 4];
        Self {
            runs: times.len(),
            median: at(2),
            lower_quartile: at(1),
            upper_quartile: at(3),
        }
    }
}

/// The median and, in brackets, the quartiles.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "median {:.1?} ({:.1?} to {:.1?})",
            self.median, self.lower_quartile, self.upper_quartile
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles_are_measured_times() {
        let times = [5, 1, 4, 2, 3].map(Duration::from_micros).to_vec();
        let found = Measurement::of(times);
        assert_eq!(found.median, Duration::from_micros(3));
        assert_eq!(found.lower_quartile, Duration::from_micros(2));
        assert_eq!(found.upper_quartile, Duration::from_micros(4));
        assert_eq!(found.to_string(), "median 3.0µs (2.0µs to 4.0µs)");
    }

    #[test]
    fn measures_at_least_once() {
        let mut calls = 0;
        let work = || {
            calls += 1;
            Ok(())
        };
        assert_eq!(measure(0, work).expect("no error").runs, 1);
        assert_eq!(calls, 1);
    }
}
