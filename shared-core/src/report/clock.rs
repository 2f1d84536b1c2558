//! The clocks of two hosts: each counts from a moment of its own, so what one of them
//! shows says nothing until it was compared with the other.

use crate::platform::now;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What this host's monotonic clock shows, in nanoseconds.
#[must_use]
pub fn clock() -> i64 {
    i64::try_from(now().as_nanos()).unwrap_or(i64::MAX)
}

/// What the clock of another host shows when ours shows 0, as found out by a round
/// trip: we ask, it answers with what it shows, the answer comes. Somewhere in between
/// the clock was read; the middle is wrong by half of the trip at most. (So does NTP,
/// RFC 5905.)
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Offset {
    /// In nanoseconds.
    shift: i64,
    /// How long it took until the answer came.
    pub round_trip: Duration,
}

impl Offset {
    /// We asked when our clock showed `sent`, and had the answer at `received`.
    #[must_use]
    pub fn of(sent: i64, theirs: i64, received: i64) -> Self {
        let round_trip = received.saturating_sub(sent).max(0);
        Self {
            shift: theirs.saturating_sub(sent + round_trip / 2),
            round_trip: Duration::from_nanos(round_trip.unsigned_abs()),
        }
    }

    /// How far it may be from the truth.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.round_trip / 2
    }

    /// What their clock shows when ours shows this.
    pub(super) fn there(&self, ours: i64) -> i64 {
        ours.saturating_add(self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_in_the_middle_of_a_round_trip_give_or_take_half_of_it() {
        // Theirs is 1000 ahead, and is read at some moment between 100 and 140.
        for read_at in 100..=140 {
            let offset = Offset::of(100, read_at + 1000, 140);
            assert_eq!(offset.within(), Duration::from_nanos(20));
            let wrong_by = offset.there(0) - 1000;
            assert!(wrong_by.unsigned_abs() <= 20, "{wrong_by}");
        }
        // It may have been switched on after our run began.
        assert_eq!(Offset::of(5_000, 10, 5_000).there(0), -4_990);
    }
}
