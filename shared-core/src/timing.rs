//! Repeated measurement: a figure comes with its runs, its spread and its
//! machine. For a single stretch of time `std::time::Instant` is the
//! stopwatch.

use anyhow::Result;
use std::fmt;
use std::time::{Duration, Instant};

/// What [`measure_in_turn`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// How many times it was measured.
    pub runs: usize,
    /// The shortest of the times: that of the run which was least disturbed.
    pub shortest: Duration,
    /// The middle one of the times in order of size.
    pub median: Duration,
    /// A quarter of the times are below this one.
    pub lower_quartile: Duration,
    /// A quarter of the times are above this one.
    pub upper_quartile: Duration,
}

/// Calls each of `works` in turn, `runs` times (at least once), and times each
/// call: what disturbs one disturbs the others. A first round is thrown away.
///
/// # Errors
/// The first one of `works`.
pub fn measure_in_turn<const N: usize>(
    runs: usize,
    mut works: [&mut dyn FnMut() -> Result<()>; N],
) -> Result<[Measurement; N]> {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=runs.max(1) {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let start = Instant::now();
            work()?;
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    Ok(times.map(Measurement::of))
}

impl Measurement {
    /// What these times come to, of which there must be one at least.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |quarter| times[(times.len() - 1) * quarter / 4];
        Self {
            runs: times.len(),
            shortest: at(0),
            median: at(2),
            lower_quartile: at(1),
            upper_quartile: at(3),
        }
    }
}

/// The median and, in brackets, the quartiles.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, lower, upper] =
            [self.median, self.lower_quartile, self.upper_quartile].map(in_words);
        write!(f, "median {median} ({lower} to {upper})")
    }
}

/// `43.0 µs`
#[must_use]
pub fn in_words(time: Duration) -> String {
    let text = format!("{time:.1?}");
    let unit = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn median_and_quartiles_are_measured_times() {
        let times = [5, 1, 4, 2, 3].map(Duration::from_micros).to_vec();
        let found = Measurement::of(times);
        assert_eq!(found.median, Duration::from_micros(3));
        assert_eq!(found.lower_quartile, Duration::from_micros(2));
        assert_eq!(found.upper_quartile, Duration::from_micros(4));
        assert_eq!(found.to_string(), "median 3.0 µs (2.0 µs to 4.0 µs)");
    }

    #[test]
    fn what_is_measured_takes_turns() {
        let calls = RefCell::new(String::new());
        let call = |name| {
            calls.borrow_mut().push(name);
            Ok(())
        };
        let works: [&mut dyn FnMut() -> Result<()>; 2] = [&mut || call('a'), &mut || call('b')];
        let measured = measure_in_turn(2, works).expect("no error");
        assert_eq!(measured.map(|of| of.runs), [2, 2]);
        assert_eq!(calls.into_inner(), "ababab");
    }
}
