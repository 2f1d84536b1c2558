//! Arguments and results that cannot be encoded, or not be decoded.

use crate::watchdog::step;
use pool_demo::{Failure, Panic, Pool, Task};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Value, json};
use std::panic::{self, AssertUnwindSafe, catch_unwind};

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    Nowhere,
    ArgumentEncoded,
    ArgumentDecoded,
    ResultEncoded,
    ResultDecoded,
}

/// A task whose argument and result are no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit {
    at: At,
    panics: bool,
}

/// Its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfitResult(Unfit);

impl Unfit {
    fn goes_wrong(self, here: At) -> bool {
        let goes_wrong = self.at == here;
        assert!(!(goes_wrong && self.panics), "a panic, {here:?}");
        goes_wrong
    }

    fn encode<S: Serializer>(self, serializer: S, here: At) -> Result<S::Ok, S::Error> {
        if self.goes_wrong(here) {
            return Err(ser::Error::custom("no"));
        }
        (self.at, self.panics).serialize(serializer)
    }

    fn decode<'de, D: Deserializer<'de>>(deserializer: D, here: At) -> Result<Self, D::Error> {
        let (at, panics) = Deserialize::deserialize(deserializer)?;
        let unfit = Self { at, panics };
        if unfit.goes_wrong(here) {
            return Err(de::Error::custom("no"));
        }
        Ok(unfit)
    }
}

impl Serialize for Unfit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encode(serializer, At::ArgumentEncoded)
    }
}

impl<'de> Deserialize<'de> for Unfit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(deserializer, At::ArgumentDecoded)
    }
}

impl Serialize for UnfitResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.encode(serializer, At::ResultEncoded)
    }
}

impl<'de> Deserialize<'de> for UnfitResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unfit::decode(deserializer, At::ResultDecoded).map(Self)
    }
}

impl Task for Unfit {
    type Output = UnfitResult;
    const NAME: &'static str = "unfit";

    fn run(self) -> UnfitResult {
        UnfitResult(self)
    }
}

/// A task whose argument postcard can encode, but not decode.
#[derive(Serialize, Deserialize)]
pub struct Any(Value);

impl Task for Any {
    type Output = ();
    const NAME: &'static str = "any";

    fn run(self) {}
}

pub fn encodings() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if !text.is_some_and(|text| text.starts_with("a panic, ")) {
            usual(panic);
        }
    }));
    let pool = Pool::start(1).expect("a pool");
    let workers = pool.workers();
    let fine = Unfit {
        at: At::Nowhere,
        panics: false,
    };
    for at in [
        At::ArgumentEncoded,
        At::ArgumentDecoded,
        At::ResultEncoded,
        At::ResultDecoded,
    ] {
        for panics in [false, true] {
            let unfit = Unfit { at, panics };
            for _ in 0..20 {
                one_unfit(&pool, unfit);
            }
            if !(panics && matches!(at, At::ArgumentEncoded | At::ResultDecoded)) {
                // Only its own chunk fails with it.
                let outcomes = pool.map([fine, unfit, fine, fine], Some(2));
                assert!(outcomes[0].is_err() && outcomes[1].is_err());
                assert_eq!(
                    outcomes[2..],
                    [Ok(UnfitResult(fine)), Ok(UnfitResult(fine))]
                );
                let lazy: Vec<_> = pool.imap([fine, unfit, fine, fine], 2).collect();
                assert_eq!(lazy, outcomes);
            }
            assert_eq!(pool.apply(fine), Ok(UnfitResult(fine)));
            step();
        }
    }
    assert_eq!(pool.workers(), workers, "the worker lives on");
    pool.join();

    let pool = Pool::start(1).expect("a pool");
    let failure = pool.apply(Any(json!({"a": 1}))).expect_err("no task");
    assert!(matches!(&failure, Failure::Panicked(panic) if panic.place == "its arguments"));
    pool.join();
}

/// A task that this program does not serve.
#[cfg(target_os = "linux")]
pub fn unserved() {
    let error = Pool::<Unserved>::start(2).err().expect("no pool");
    let error = format!("{error:#}");
    // Whichever of the two was first.
    let why = error
        .trim_start_matches("worker 1")
        .trim_start_matches("worker 2");
    assert_eq!(why, " ended before it was ready: exit status: 2", "{error}");
}

fn one_unfit(pool: &Pool<Unfit>, unfit: Unfit) {
    let outcome = catch_unwind(AssertUnwindSafe(|| pool.apply(unfit)));
    let Ok(outcome) = outcome else {
        // What panics in the caller's own process panics there.
        assert!(unfit.panics && matches!(unfit.at, At::ArgumentEncoded | At::ResultDecoded));
        return;
    };
    let failure = outcome.expect_err("something wrong");
    match (unfit.at, unfit.panics, failure) {
        (At::ArgumentEncoded, false, Failure::NotRun(why)) => {
            assert!(why.contains("failed to encode"), "{why}");
        }
        (_, true, Failure::Panicked(Panic { message, place })) => {
            assert!(message.starts_with("a panic, "), "{message}");
            assert!(place.contains("encodings.rs:"), "{place}");
        }
        (at, false, Failure::Panicked(Panic { message, place })) => {
            assert!(message.starts_with("failed to "), "{message}");
            let argument = at == At::ArgumentDecoded;
            assert_eq!(
                place,
                if argument {
                    "its arguments"
                } else {
                    "its result"
                }
            );
        }
        (.., other) => panic!("{unfit:?}: {other}"),
    }
}

#[cfg(target_os = "linux")]
#[derive(Serialize, Deserialize)]
struct Unserved;

#[cfg(target_os = "linux")]
impl Task for Unserved {
    type Output = ();
    const NAME: &'static str = "unserved";

    fn run(self) {}
}
