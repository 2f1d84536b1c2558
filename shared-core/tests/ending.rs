//! The end of a run as a model: all orders in which two threads make a child
//! each while a third ends the run (loom, after the C11 memory model).

#![cfg(target_os = "linux")]
#![allow(dead_code, reason = "the model needs only a part of the state")]
#![allow(
    clippy::duplicate_mod,
    reason = "the same source, made of two kinds of atomics"
)]
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

/// The state as it is.
#[path = "../src/ending"]
mod right {
    mod atomic {
        pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    }
    pub(crate) mod state;

    pub(super) fn new() -> state::State {
        state::State(atomic::AtomicU64::new(0))
    }
}

/// The same with every order weakened.
#[path = "../src/ending"]
mod weakened {
    mod atomic {
        pub(super) use loom::sync::atomic::Ordering;
        use loom::sync::atomic::Ordering::Relaxed;

        pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

        impl AtomicU64 {
            pub(super) fn new(word: u64) -> Self {
                Self(loom::sync::atomic::AtomicU64::new(word))
            }

            pub(super) fn load(&self, _: Ordering) -> u64 {
                self.0.load(Relaxed)
            }

            pub(super) fn store(&self, word: u64, _: Ordering) {
                self.0.store(word, Relaxed);
            }

            pub(super) fn fetch_sub(&self, less: u64, _: Ordering) -> u64 {
                self.0.fetch_sub(less, Relaxed)
            }

            pub(super) fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                to: impl FnMut(u64) -> Option<u64>,
            ) -> Result<u64, u64> {
                self.0.fetch_update(Relaxed, Relaxed, to)
            }
        }
    }
    pub(crate) mod state;

    pub(super) fn new() -> state::State {
        state::State(atomic::AtomicU64::new(0))
    }
}

const STATUS: i32 = 7;

/// Two children: which were put on the list, and which a sweep has seen there.
#[derive(Default)]
struct Children {
    made: [AtomicBool; 2],
    swept: [AtomicBool; 2],
}

impl Children {
    fn sweep(&self) {
        for (made, swept) in self.made.iter().zip(&self.swept) {
            if made.load(Relaxed) {
                swept.store(true, Relaxed);
            }
        }
    }
}

macro_rules! model {
    ($kind:ident) => {
        loom::model(|| {
            let state = Arc::new($kind::new());
            let children = Arc::new(Children::default());
            let makers = [0, 1].map(|number| {
                let (state, children) = (state.clone(), children.clone());
                thread::spawn(move || {
                    let made = state.begin();
                    if made {
                        children.made[number].store(true, Relaxed);
                        if state.done() == Some(STATUS) {
                            children.sweep();
                        }
                    }
                    made
                })
            });
            if state.end(STATUS) {
                children.sweep();
            }
            let made = makers.map(|maker| maker.join().expect("no panic"));
            let swept = children.swept.each_ref().map(|swept| swept.load(Relaxed));
            assert_eq!(made, swept, "a child slipped out");
        })
    };
}

#[test]
fn whoever_sweeps_last_sees_every_child() {
    model!(right);
}

#[test]
#[should_panic(expected = "a child slipped out")]
fn with_weaker_orders_a_child_slips_out() {
    model!(weakened);
}
