//! The worker's side: runs the tasks that come over its stdin, and answers over its
//! stdout.

use crate::frames::{
    BEAT, Body, Frame, Frames, FromWorker, Heard, Silence, ToWorker, frame, keep_freed_memory,
    version,
};
use crate::pool::WorkerCommand;
use crate::task::{Panic, Task};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared_core::children::become_program;
use shared_core::report::{self, disregard_ctrl_c, redirect_stdout_to_stderr};
use shared_core::{Context, Result, cause, complain, ending::exit_now, ensure, waiting, who};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Whether this program has asked if it is a worker.
static KNOWS_WORKERS: AtomicBool = AtomicBool::new(false);

/// The first argument of a worker; behind it stands the name of its tasks.
pub(crate) const WORKER: &str = "worker";
/// And at the end, if a launcher started it.
pub(crate) const FROM_AFAR: &str = "--from-afar";
/// Or instead of a name, if it is to become a launcher itself; the PID of its parent and
/// the words of the launcher follow.
pub(crate) const LAUNCH: &str = "--launch";
const BY_HAND: &str = "--json";

/// The command line that starts a worker for these tasks, on this host: the one
/// place that knows. It needs a stdin and a stdout, and nothing else.
///
/// # Errors
/// When this program cannot be found; and when it has not called [`main`]: its workers
/// would not know what they are, and start pools of their own, without end.
pub fn command<T: Task>() -> Result<WorkerCommand> {
    let mut command = Command::new(own_program()?);
    command.args([WORKER, T::NAME]).stdout(Stdio::piped());
    let from_afar = false;
    Ok(WorkerCommand { command, from_afar })
}

/// The program that serves as a worker: this one.
pub(crate) fn own_program() -> Result<PathBuf> {
    let knows_workers = KNOWS_WORKERS.load(Relaxed);
    ensure!(knows_workers, "main must call worker::main before a pool");
    std::env::current_exe().context("failed to find this program")
}

/// A type of tasks that this program serves as a worker; made by [`of`].
pub struct Served {
    name: &'static str,
    version: String,
    initialize: fn(&Body) -> Option<Panic>,
    run_job: fn(u64, &Body) -> Vec<u8>,
    run_json: fn(&str) -> Result<Value>,
}

/// Tasks of this type, for [`main`].
#[must_use]
pub fn of<T: Task>() -> Served {
    Served {
        name: T::NAME,
        version: version::<T>(),
        initialize: initialize::<T>,
        run_job: run_job::<T>,
        run_json: run_json::<T>,
    }
}

/// Runs as a worker if that is how this program was started: to be called first in
/// `main`, with the types of tasks for which there are pools; no two of them may have
/// the same name. (A pool refuses workers that are for another type than its own.)
pub fn main(served: &[Served]) -> Option<ExitCode> {
    KNOWS_WORKERS.store(true, Relaxed);
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next()? != WORKER {
        return None;
    }
    let mut is_word = |word: &str| args.next_if(|arg| arg == word).is_some();
    if is_word(LAUNCH) {
        return Some(become_launcher(args));
    }
    let by_hand = is_word(BY_HAND);
    let named = served.iter().find(|tasks| is_word(tasks.name));
    let by_hand = by_hand || is_word(BY_HAND);
    let from_afar = is_word(FROM_AFAR);
    let tasks = named.or(served.first().filter(|_| by_hand));
    let has_more = args.peek().is_some();
    let status = match (tasks, by_hand && !from_afar && !has_more) {
        (Some(tasks), true) => work_by_hand(tasks),
        (Some(tasks), false) => work(tasks, args, from_afar),
        _ => Ok(false),
    };
    Some(match status {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            complain(format_args!(
                "a pool starts its workers by itself; to talk to one: {WORKER} {BY_HAND} [{}]",
                served
                    .iter()
                    .map(|tasks| tasks.name)
                    .collect::<Vec<_>>()
                    .join("|")
            ));
            ExitCode::from(2)
        }
        Err(error) => {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind != Some(ErrorKind::BrokenPipe) {
                complain(format_args!("{WORKER} {}: {}", who::pid(), cause(error)));
            } // else the pool is gone, and the worker goes with it
            ExitCode::FAILURE
        }
    })
}

/// Whether a task is running, the initializer included, and whether the pool has gone.
/// The thread that sets the one looks at the other afterwards, so one of them sees
/// both.
static BUSY: AtomicBool = AtomicBool::new(false);
static GONE: AtomicBool = AtomicBool::new(false);

/// Becomes the program that `words` name, behind the PID of our parent. What keeps us
/// from it the pool is told as by a worker.
fn become_launcher(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let parent = words.next().unwrap_or_default();
    let parent = parent.to_str().and_then(|parent| parent.parse().ok());
    let (Some(parent), Some(program)) = (parent, words.next()) else {
        return ExitCode::from(2); // only a pool knows this word
    };
    let error = become_program(Command::new(&program).args(words), parent);
    let why = format!("failed to start {}: {}", program.display(), cause(error));
    if let Ok(frame) = frame(&FromWorker::Ends(why), &()) {
        let _ = io::stdout().write_all(&frame); // else the pool is gone
    }
    ExitCode::FAILURE
}

/// Serves a pool, until it says that nothing more comes; `false` if the rest of the
/// command line is none of a pool.
fn work(tasks: &Served, args: impl Iterator<Item = OsString>, from_afar: bool) -> Result<bool> {
    let Some((part, input)) = report::take_part(args)? else {
        return Ok(false);
    };
    let answers = redirect_stdout_to_stderr().context("failed to keep stdout for answers")?;
    let answers = Arc::new(Mutex::new(answers));
    let (input, silence) = Heard::new(input);
    if from_afar {
        let start = thread::Builder::new().name("silence".to_owned());
        let same_answers = answers.clone();
        let start = start.spawn(move || end_with_the_pool(&silence, &same_answers));
        start.context("failed to start a thread")?;
        let hello = FromWorker::Hello(tasks.version.clone(), who::host());
        let written = answers.lock().write_all(&frame(&hello, &())?);
        written.context("failed to answer")?;
    }
    let jobs = Arc::new(Jobs::default());
    disregard_ctrl_c().context("failed to catch Ctrl-C")?;
    keep_panics();
    keep_freed_memory();

    // The input is read by a thread of its own, which notices at once, also in
    // the middle of a task, that it is cancelled or that the pool is gone.
    let (sender, batches) = channel();
    let (same_jobs, same_answers) = (jobs.clone(), answers.clone());
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_input(input, &sender, &same_jobs, &same_answers))
        .context("failed to start a thread")?;

    let draws = Cell::new(false);
    // While nothing has come it waits, which is drawn if somebody looks.
    let next = || {
        let batch = batches.try_recv().ok();
        batch.or_else(|| {
            let _wait = draws.get().then(|| waiting!("for a task"));
            batches.recv().ok()
        })
    };
    for (head, body) in std::iter::from_fn(next).flatten() {
        BUSY.store(true, SeqCst);
        if GONE.load(SeqCst) {
            break;
        }
        let frame = match head {
            ToWorker::Begin {
                draws: so,
                about_run,
            } => {
                draws.set(so);
                if let Some(about) = about_run {
                    take_part(&about, answers.clone())?;
                }
                continue;
            }
            ToWorker::Initialize => match (tasks.initialize)(&body) {
                None => frame(&FromWorker::Ready(tasks.version.clone()), &())?,
                Some(panic) => {
                    let why = format!("its initializer {panic}");
                    frame(&FromWorker::Ends(why), &())?
                }
            },
            ToWorker::Job(id) if jobs.begin(id) => {
                let answer = (tasks.run_job)(id, &body);
                jobs.end();
                answer
            }
            ToWorker::Job(id) => frame(&FromWorker::Answer(id, 0), &())?,
            ToWorker::Cancel(_) | ToWorker::Clock | ToWorker::Alive => continue, // done already
            ToWorker::End => {
                // The lane ends before stdout does: then the pool lets go of this
                // process.
                drop(part);
                return Ok(true);
            }
        };
        BUSY.store(false, SeqCst);
        // One write: an answer is away before the next task begins.
        let written = answers.lock().write_all(&frame);
        written.context("failed to answer")?;
    }
    exit_now(1) // the pool is gone
}

/// Takes part in the pool's run, whose event log is out of reach.
fn take_part(about: &str, answers: Arc<Mutex<File>>) -> Result<()> {
    report::take_part_from_afar(about, move |event| {
        if let Ok(frame) = frame(&FromWorker::Event(event.to_owned()), &()) {
            // An error means that the pool is gone, and this process will be, too.
            let _ = answers.lock().write_all(&frame);
        }
    })
}

/// Which job is running, and which are not wanted any more.
#[derive(Default)]
struct Jobs(Mutex<(Option<u64>, BTreeSet<u64>)>);

impl Jobs {
    /// The job is running from here on, unless it was cancelled.
    fn begin(&self, id: u64) -> bool {
        let (running, cancelled) = &mut *self.0.lock();
        let is_wanted = !cancelled.remove(&id);
        *running = is_wanted.then_some(id);
        is_wanted
    }

    /// It is done.
    fn end(&self) {
        self.0.lock().0 = None;
    }

    /// Nobody wants this job any more: this process ends if it is running.
    fn cancel(&self, id: u64, answers: &Mutex<File>) {
        let (running, cancelled) = &mut *self.0.lock();
        if *running == Some(id) {
            // The lock is kept: so no other job is begun meanwhile.
            let ends = FromWorker::Ends("its task was cancelled".to_owned());
            if let Ok(frame) = frame(&ends, &()) {
                let _ = answers.lock().write_all(&frame); // else the pool is gone
            }
            exit_now(1);
        }
        cancelled.insert(id); // for ever, if it is done already: eight bytes
    }
}

/// Ends this process when nothing has come from the pool for too long: it is gone, or
/// out of reach.
fn end_with_the_pool(silence: &Silence, answers: &Mutex<File>) {
    /// So many beats.
    const MOST: u32 = 10;
    while silence.fetch_add(1, Relaxed) < MOST {
        thread::sleep(BEAT);
    }
    // If only the way from there is gone, the pool may learn why.
    let why = format!("it heard nothing from the pool for {:?}", BEAT * MOST);
    answer(&FromWorker::Ends(why), answers);
    exit_now(1);
}

/// Reads what comes, and does itself what cannot wait until the task that runs is done.
fn read_input(
    input: impl Read,
    batches: &Sender<Vec<Frame<ToWorker>>>,
    jobs: &Jobs,
    answers: &Mutex<File>,
) {
    let mut frames = Frames::new(input);
    let mut last = false;
    loop {
        match frames.next_ones() {
            Ok(mut batch) if !batch.is_empty() => {
                for (head, _) in &batch {
                    match head {
                        ToWorker::Cancel(id) => jobs.cancel(*id, answers),
                        ToWorker::End => last = true,
                        ToWorker::Clock => answer(&FromWorker::Clock(report::clock()), answers),
                        ToWorker::Alive => answer(&FromWorker::Alive, answers),
                        _ => {}
                    }
                }
                batch.retain(|(head, _)| !is_done_at_once(head));
                if !batch.is_empty() && batches.send(batch).is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    if !last {
        answer(&FromWorker::Ends("its stdin ended".to_owned()), answers);
    }
    GONE.store(true, SeqCst);
    // In the middle of a task, or of the last ones.
    if last || BUSY.load(SeqCst) {
        exit_now(1);
    }
}

/// Whether the thread that reads does this itself.
fn is_done_at_once(head: &ToWorker) -> bool {
    matches!(
        head,
        ToWorker::Cancel(_) | ToWorker::Clock | ToWorker::Alive
    )
}

/// Answers at once, or not at all if another answer is being written: that says as much,
/// and to wait for it would keep us from hearing.
fn answer(head: &FromWorker, answers: &Mutex<File>) {
    /// The first frame may just have been written.
    const A_WHILE: Duration = Duration::from_millis(100);
    if let (Ok(frame), Some(mut answers)) = (frame(head, &()), answers.try_lock_for(A_WHILE)) {
        let _ = answers.write_all(&frame); // else the pool is gone
    }
}

/// What becomes of a job: its tasks in order, or why none of them could be run.
pub(crate) type Answer<O> = Result<Vec<Result<O, Panic>>, Panic>;

fn initialize<T: Task>(tasks: &Body) -> Option<Panic> {
    match run::<T>(tasks) {
        Ok(outcomes) => outcomes.into_iter().find_map(Result::err),
        Err(panic) => Some(panic),
    }
}

/// The answer to a job, as it is sent.
fn run_job<T: Task>(id: u64, tasks: &Body) -> Vec<u8> {
    let start = Instant::now();
    let answer = run::<T>(tasks);
    let busy = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let head = FromWorker::Answer(id, busy);
    let failure = match caught(|| frame(&head, &answer)) {
        Ok(Ok(frame)) => return frame,
        Ok(Err(error)) => Panic::new(cause(error), "its result"),
        Err(panic) => panic,
    };
    // Strings and nothing else: that can be encoded.
    frame(&head, &Answer::<()>::Err(failure)).unwrap_or_default()
}

fn run<T: Task>(tasks: &Body) -> Answer<T::Output> {
    let tasks = caught(|| tasks.decode::<Vec<T>>())?;
    let tasks = tasks.map_err(|error| Panic::new(cause(error), "its arguments"))?;
    let outcomes = tasks.into_iter().map(|task| caught(|| task.run()));
    Ok(outcomes.collect())
}

thread_local! {
    /// Where the last panic in a task was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic in a task is part of its outcome, and no words on stderr; elsewhere it
/// is as usual.
fn keep_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if BUSY.load(SeqCst) && who::is_main_thread() {
            let place = panic.location().map(ToString::to_string);
            PLACE.with(|last| last.replace(place));
        } else {
            usual(panic);
        }
    }));
}

/// Calls `work`, in a task: what it panics with, and where.
fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Panic> {
    let _ = who::was_forked(); // it is noticed from here on
    let result = catch_unwind(AssertUnwindSafe(work));
    if who::was_forked() {
        exit_now(0); // the task has forked, and this is the child
    }
    result.map_err(|panic| {
        let place = PLACE.take();
        Panic::new(message_of(&*panic), &place.unwrap_or_default())
    })
}

/// The text of `panic!("…")`.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Talks to a person: a task a line, in JSON, and what became of it.
fn work_by_hand(tasks: &Served) -> Result<bool> {
    let Some((_, input)) = report::take_part(std::iter::empty())? else {
        return Ok(false);
    };
    let mut answers = redirect_stdout_to_stderr().context("failed to keep stdout for answers")?;
    if input.get_ref().is_terminal() {
        complain(format_args!("type a task in JSON, and Enter; Ctrl-D ends"));
    }
    keep_panics();
    BUSY.store(true, SeqCst);
    let mut answer = |answer: &Value| {
        let line = format!("{answer}\n");
        (answers.write_all(line.as_bytes())).context("failed to answer")
    };
    answer(&"ready".into())?;
    for line in input.lines() {
        let line = line.context("failed to read a task from stdin")?;
        answer(&(tasks.run_json)(&line).with_context(|| format!("task {line:?}"))?)?;
    }
    Ok(true)
}

fn run_json<T: Task>(line: &str) -> Result<Value> {
    let task: T = serde_json::from_str(line)?;
    Ok(match caught(|| task.run()) {
        Ok(output) => json!({ "result": output }),
        Err(panic) => json!({ "panicked": panic }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nothing;

    impl Task for Nothing {
        type Output = ();
        const NAME: &'static str = "nothing";
        fn run(self) {}
    }

    #[test]
    fn a_program_that_does_not_know_its_workers_starts_none() {
        let refused = command::<Nothing>().map(|_| ()).map_err(cause);
        let why = "main must call worker::main before a pool";
        assert_eq!(refused, Err(why.to_owned()));
    }
}
