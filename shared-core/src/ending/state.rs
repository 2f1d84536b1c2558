//! Whether the run is being ended, and how many children are being made: one
//! atomic word, so that nobody can see the one without the other.

// Those of the standard library, or those of the model in tests/ending.rs.
use super::atomic::{AtomicU64, Ordering};

/// Low half: how many threads are making a child. High half: 1 + the status
/// with which the run is being ended, 0 while it is not.
pub(crate) struct State(pub(crate) AtomicU64);

const HALF: u32 = 32;
const LOW: u64 = u32::MAX as u64;

// What is done to the word releases what the thread did before (it put its
// child on the list) to whoever is the last to change the word (and then
// sweeps the list). With weaker orders the model in tests/ending.rs fails.
const ORDER: Ordering = Ordering::AcqRel;

impl State {
    /// This thread is going to make a child; `false` if it must not, because
    /// the run is being ended.
    pub(crate) fn begin(&self) -> bool {
        self.change(|word| (word >> HALF == 0).then_some(word + 1))
            .is_ok()
    }

    /// This thread has made its child and put it on the list. Returns the status
    /// of the run if it is being ended and this was the last thread to come.
    pub(crate) fn done(&self) -> Option<i32> {
        let before = self.0.fetch_sub(1, ORDER);
        (before & LOW == 1).then(|| status(before)).flatten()
    }

    /// Ends the run with `status`, or with that of who was first. Returns whether
    /// no child is being made: if one is, its maker sees that the run is ending.
    pub(crate) fn end(&self, status: i32) -> bool {
        let ending = u64::from((status + 1).cast_unsigned()) << HALF;
        let end = |word| {
            Some(if word >> HALF == 0 {
                word | ending
            } else {
                word
            })
        };
        let (Ok(before) | Err(before)) = self.change(end);
        before & LOW == 0
    }

    /// The status with which the run is being ended.
    pub(crate) fn status(&self) -> Option<i32> {
        status(self.0.load(Ordering::Acquire))
    }

    /// Whether children are being made.
    pub(crate) fn is_making(&self) -> bool {
        self.0.load(Ordering::Acquire) & LOW != 0
    }

    fn change(&self, to: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        self.0.fetch_update(ORDER, Ordering::Acquire, to)
    }
}

fn status(word: u64) -> Option<i32> {
    u32::try_from(word >> HALF)
        .ok()?
        .cast_signed()
        .checked_sub(1)
        .filter(|s| *s >= 0)
}
