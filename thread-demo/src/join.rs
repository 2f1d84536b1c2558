//! Who joins a thread waits for its end, and is given what became of it; who does not
//! goes on at once. (note 23)
//!
//! cargo run -p thread-demo -- join --limit-ms 20
//!
//! To copy: examples/join.rs, the join with a time limit alone.

use shared_core::cli::Question;
use shared_core::report::{events, require};
use shared_core::timeline::{Lane, Timeline};
use shared_core::{Context, Result, check, fact, moment, report, waiting};
use std::panic::{self, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// join() waits for a thread, and returns what became of it
///
/// Who starts a thread goes on at once, while it works. join() waits until it has
/// ended (pthread_join(3)), and returns what its function returned, or the panic that
/// ended it. Any thread may join, not only the one that started it: whoever has the
/// handle, and only once. join() has no time limit; but a channel whose only sender is
/// in the thread ends when the thread does, and to wait for that may have one.
///
/// Try: cargo run -p thread-demo -- join --limit-ms 500
#[derive(clap::Args)]
pub struct Options {
    /// The time limit of a join, in ms (0 to 10000)
    #[arg(long, default_value_t = 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    limit_ms: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "MainThread starts a thread that works until it is told to stop. Has it ended when \
               the next line runs?",
        choices: &["yes", "no"],
        fact: "ended_before_join",
        is_a_race: false,
    },
    Question {
        text: "Another thread panics. What does join() do?",
        choices: &["it panics too", "it returns the panic", "it never returns"],
        fact: "join_after_a_panic",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    report_the_panic();

    // Who starts a thread goes on at once.
    let (stop, told_to_stop) = channel();
    let adder = start("adder", move || {
        until(&told_to_stop);
        20 + 22
    })?;
    let ended = adder.is_finished();
    report!("adder is started; has it ended: {ended}");
    fact!("ended_before_join", if ended { "yes" } else { "no" });
    drop(stop);
    let joining = waiting!("join");
    let joined = adder.join();
    joining.end();
    let sum = joined.unwrap_or_else(|panic| resume_unwind(panic));
    report!("adder has ended, it returned {sum}");
    fact!("sum", sum);

    // A panic ends its thread, and no other one.
    let panicker = start("panicker", || -> i32 { panic!("{MESSAGE}") })?;
    let joining = waiting!("join");
    let joined = panicker.join();
    joining.end();
    if let Err(panic) = joined {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.unwrap_or_default();
        report!("panicker has ended, join() returned:");
        report!("  {message}");
        fact!("panic", message);
        fact!("join_after_a_panic", RETURNS_IT);
    }

    with_a_limit(Duration::from_millis(options.limit_ms.into()))?;
    by_another_thread()?;
    judge(options)
}

/// A join with a time limit: the end of a channel is the end of the thread.
fn with_a_limit(limit: Duration) -> Result<()> {
    let (stop, told_to_stop) = channel();
    let (alive, end) = channel::<()>();
    let slow = start("slow", move || {
        let _alive = alive; // dropped when the thread ends, also by a panic
        until(&told_to_stop);
    })?;
    let begin = Instant::now();
    let joining = waiting!("join, with a limit");
    let in_time = end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout);
    joining.end();
    fact!("waited_ms", begin.elapsed().as_secs_f64() * 1e3);
    report!("waited {limit:?}: slow has ended: {in_time}");
    fact!("ended_in_time", in_time);

    drop(stop);
    let joining = waiting!("join");
    slow.join().unwrap_or_else(|panic| resume_unwind(panic));
    joining.end();
    report!("it was told to stop, and has ended");
    Ok(())
}

/// The one who joins a thread need not have started it.
fn by_another_thread() -> Result<()> {
    let (stop, told_to_stop) = channel();
    // In a scope, so that `first` is joined also if `second` cannot be started.
    thread::scope(|scope| {
        let first = thread::Builder::new().name("first".to_owned());
        let first = first.spawn_scoped(scope, move || until(&told_to_stop));
        let first = first.context("failed to start the thread first")?;
        let second = thread::Builder::new().name("second".to_owned());
        let second = second.spawn_scoped(scope, move || {
            let joining = waiting!("join first");
            first.join().unwrap_or_else(|panic| resume_unwind(panic));
            joining.end();
            report!("{GOES_ON}");
        });
        drop(stop);
        let second = second.context("failed to start the thread second")?;
        let joining = waiting!("join second");
        second.join().unwrap_or_else(|panic| resume_unwind(panic));
        joining.end();
        Ok(())
    })
}

/// What runs in most of the threads: they wait until the other end of the channel is
/// dropped.
fn until(told_to_stop: &Receiver<()>) {
    let _wait = waiting!("stop");
    let _ = told_to_stop.recv(); // an error: this is the end
}

fn start<T, F>(name: &str, function: F) -> Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let thread = thread::Builder::new().name(name.to_owned()).spawn(function);
    thread.with_context(|| format!("failed to start the thread {name}"))
}

// A first reading may skip the rest.

const MESSAGE: &str = "no sum today";
const RETURNS_IT: &str = "it returns the panic";
const GOES_ON: &str = "first has ended, so I go on";

/// The thread that panics says so itself; by default a panic is told on stderr.
fn report_the_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("panicker") {
            report!("I panic");
            moment!("panic");
        } else {
            usual(info);
        }
    }));
}

fn judge(options: &Options) -> Result<()> {
    check!(
        "who started a thread went on before it had ended",
        require("ended_before_join"),
        "no"
    );
    check!(
        "join() returned what the function returned",
        require("sum"),
        42
    );
    check!(
        "join() returned the panic, with its message",
        require("panic"),
        MESSAGE
    );
    let (in_time, waited) = (require("ended_in_time"), require("waited_ms"));
    check!(
        "the join with a limit ended at the limit, and the thread had not ended",
        vec![in_time.clone(), waited.clone()],
        in_time == false && waited.as_f64() >= Some(options.limit_ms.into()),
        format!("[false, {} or more]", options.limit_ms)
    );

    let events = events()?;
    let timeline = Timeline::new(&events);
    let lane = |name: &str| {
        let of = |lane: &&Lane| lane.label.split(' ').next() == Some(name);
        timeline.lanes.iter().find(of)
    };
    let end = lane("first").map(|lane| lane.life.end);
    let reports = lane("second")
        .map(|lane| &lane.reports[..])
        .unwrap_or_default();
    let went_on = reports.iter().find(|(_, text)| text == GOES_ON);
    let went_on = went_on.map(|(time, _)| *time);
    check!(
        "a thread that joined another one went on only after its end",
        went_on,
        end.zip(went_on)
            .is_some_and(|(end, went_on)| end <= went_on),
        format!("{end:?} or later")
    );
    Ok(())
}
