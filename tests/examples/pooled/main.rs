//! pooled SCENARIO: builds pools, does to them what a test wants, and asserts what
//! comes of it. Exit status 0: it was as it should be.
//!
//! The program is its own worker, and also what stands in for a worker that does
//! not behave.

#![allow(
    clippy::expect_used,
    reason = "a scenario fails by a panic, also in its helpers"
)]

mod acts;
mod calls;
mod encodings;
mod failures;
mod iterators;
mod lifetimes;
mod meeting;
mod watchdog;

#[cfg(target_os = "linux")]
mod bad_workers;
#[cfg(target_os = "linux")]
mod deaths;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod harm;
#[cfg(target_os = "linux")]
mod leaks;
#[cfg(target_os = "linux")]
mod soak;

use pool_demo::worker;
use std::process::ExitCode;

/// The name of a scenario, and what it does with the rest of the command line.
type Scenario = (&'static str, fn(&[String]));

/// Those that need no signal, no /proc and nothing else of one system only.
const PORTABLE: &[Scenario] = &[
    ("apply", |_| calls::apply()),
    ("map", |_| calls::map()),
    ("imap", |_| calls::imap()),
    ("nothing", |_| calls::nothing()),
    ("get-with-a-limit", |_| calls::get_with_a_limit()),
    ("cancel", |_| calls::cancel()),
    ("workers", |_| calls::workers()),
    ("panics", |_| failures::panics()),
    ("exits", |_| failures::exits()),
    ("timeouts", |_| failures::timeouts()),
    ("retries", |_| failures::retries()),
    ("initializer", |_| lifetimes::initializer()),
    ("max-tasks", |_| lifetimes::max_tasks()),
    ("close", |_| lifetimes::close()),
    ("terminate", |_| lifetimes::terminate()),
    ("no-limit", |_| lifetimes::no_limit()),
    ("lazy", |_| iterators::lazy()),
    ("iterator-panics", |_| iterators::panics()),
    ("encodings", |_| encodings::encodings()),
    ("nested", |_| failures::nested()),
];

#[cfg(not(target_os = "linux"))]
const LINUX: &[Scenario] = &[];

#[cfg(target_os = "linux")]
const LINUX: &[Scenario] = &[
    ("unserved", |_| encodings::unserved()),
    ("killed-idle", |_| deaths::killed_idle()),
    ("killed-at-work", |_| deaths::killed_at_work()),
    ("refused", |_| deaths::refused()),
    ("stopped", |_| deaths::stopped()),
    ("stopped-long", |_| deaths::stopped_long()),
    ("bad-starts", |_| bad_workers::bad_starts()),
    ("bad-answers", |_| bad_workers::bad_answers()),
    ("never-ends", |_| bad_workers::never_ends()),
    ("does-not-read", |_| bad_workers::does_not_read()),
    ("does-not-read-long", |_| bad_workers::does_not_read_long()),
    ("hang", ends::hang),
    ("ends", |_| ends::ends()),
    ("prints", |_| harm::prints()),
    ("closes", |_| harm::closes()),
    ("forks", |_| harm::forks()),
    ("overflows", |_| harm::overflows()),
    ("big", |_| harm::big()),
    ("too-big", |_| harm::too_big()),
    ("memory", leaks::memory),
    ("leaks", leaks::leaks),
    ("soak", soak::soak),
];

fn main() -> ExitCode {
    let served = [
        worker::of::<acts::Act>(),
        worker::of::<acts::Blob>(),
        worker::of::<encodings::Unfit>(),
        worker::of::<encodings::Any>(),
    ];
    if let Some(status) = worker::main(&served) {
        return status;
    }
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    #[cfg(target_os = "linux")]
    if name == bad_workers::BAD {
        bad_workers::be(&args);
    }
    let mut scenarios = PORTABLE.iter().chain(LINUX);
    let Some((_, scenario)) = scenarios.find(|(of, _)| *of == name) else {
        let names: Vec<&str> = PORTABLE.iter().chain(LINUX).map(|of| of.0).collect();
        eprintln!("pooled {}", names.join("|"));
        return ExitCode::from(2);
    };
    watchdog::start();
    scenario(&args);
    ExitCode::SUCCESS
}
