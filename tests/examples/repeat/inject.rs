//! The system refuses a call: strace lets it return an error (strace(1)).
//!
//! strace counts the calls of each process and each thread by itself: position 2
//! is the second such call of each of them. The first execve is not counted: with
//! it strace starts the program.

use crate::guarded::{Ended, Guarded, LONGEST, Orphans};
use crate::linux::{Lesson, Times};
use crate::tally::{Count, Tally};
use shared_core::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The columns of the table.
pub const HEADINGS: [&str; 5] = ["lesson", "call", "positions", "failed", "left"];

/// A call, the error that it returns, and the causes in words that may come of it.
/// (Where the system has no such call, `?` lets strace pass over it.)
const REFUSALS: [(&str, &str, &[&str]); 10] = [
    ("?clone", "EAGAIN", &["Resource temporarily unavailable"]),
    ("?clone3", "EAGAIN", &["Resource temporarily unavailable"]),
    ("?fork", "EAGAIN", &["Resource temporarily unavailable"]),
    ("?vfork", "EAGAIN", &["Resource temporarily unavailable"]),
    ("execve", "EACCES", &["Permission denied"]),
    ("pipe2", "EMFILE", &["Too many open files"]),
    ("socketpair", "EMFILE", &["Too many open files"]),
    // Of a stack that is refused pthread_create makes EAGAIN (pthread_create(3)).
    (
        "mmap",
        "ENOMEM",
        &[
            "Cannot allocate memory",
            "Out of memory",
            "Resource temporarily unavailable",
        ],
    ),
    // EINTR would be no refusal: who waits then waits again.
    ("wait4", "ECHILD", &["No child processes"]),
    ("waitid", "ECHILD", &["No child processes"]),
];

/// A row for each call that the lesson makes.
pub fn tallies(lesson: &Lesson, times: Times) -> Result<Vec<Tally>> {
    let tally = |refusal| tally(lesson, times, refusal).transpose();
    REFUSALS.iter().filter_map(tally).collect()
}

/// Refuses the call at one position after the other, until a run has no call
/// there (with fewer the row says `+`); `None` if there is no such call at all.
fn tally(
    lesson: &Lesson,
    times: Times,
    (call, error, causes): &(&str, &str, &[&str]),
) -> Result<Option<Tally>> {
    let before = if *call == "mmap" {
        match mmaps_before_main(lesson)? {
            Some(before) => before,
            None => return Ok(None),
        }
    } else {
        0
    };
    let (mut count, mut positions, mut seen_all) = (Count::default(), 0, false);
    for position in times.each().map(|n| before + n) {
        let what = format!("inject={call}:error={error}:when={position}");
        let (ended, trace) = traced(lesson, &["-e", &what, "-e", &format!("trace={call}")])?;
        let mut refused = trace.lines().filter(|line| line.ends_with("(INJECTED)"));
        let Some(first) = refused.next() else {
            seen_all = true;
            break;
        };
        positions += 1;
        let run = format!("{lesson}, {what}\n    {first}\n   ");
        count.add(&run, &ended, wrong(&ended, causes));
    }
    let row = vec![
        lesson.to_string(),
        call.trim_start_matches('?').to_owned(),
        format!("{positions}{}", if seen_all { "" } else { "+" }),
        count.failed.to_string(),
        count.left.to_string(),
    ];
    let faults = count.faults;
    Ok((positions > 0).then_some(Tally { row, faults }))
}

/// How many calls of mmap the first process makes before its `main` has begun: no
/// program can help it when the loader is refused memory. The first call that
/// only the program itself makes is the memfd_create of the event log. `None` if
/// there is no such call.
///
/// (A process that is spawned begins with the same calls. A thread does not, nor a
/// forked child: their first few calls are not refused.)
fn mmaps_before_main(lesson: &Lesson) -> Result<Option<u32>> {
    let (_, trace) = traced(lesson, &["-e", "trace=mmap,memfd_create"])?;
    let mut before = 0;
    for line in trace.lines() {
        if line.contains(" memfd_create(") {
            return Ok(Some(before));
        }
        before += u32::from(line.contains(" mmap("));
    }
    Ok(None)
}

/// Runs the lesson under strace, and returns the calls that strace has seen.
fn traced(lesson: &Lesson, options: &[&str]) -> Result<(Ended, String)> {
    let folder = tempfile::tempdir().context("failed to create a temporary folder")?;
    let trace = folder.path().join("trace");
    // With --seccomp-bpf only the calls in question stop the program.
    let strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none"];
    let mut words: Vec<&OsStr> = strace.iter().map(OsStr::new).collect();
    words.extend(options.iter().map(OsStr::new));
    let output: [&OsStr; 2] = ["-o".as_ref(), trace.as_ref()];
    words.extend(output);
    words.extend::<[&OsStr; 2]>([lesson.program.as_ref(), lesson.name.as_ref()]);
    let ended = Guarded::start(&words, Orphans::AreLeft)?.end_within(LONGEST)?;
    Ok((ended, read(&trace)?))
}

fn read(trace: &Path) -> Result<String> {
    let bytes = fs::read(trace).context("failed to read what strace has seen")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Either the lesson can do without the call, or it says what could not be done,
/// and why.
fn wrong(ended: &Ended, causes: &[&str]) -> Option<&'static str> {
    let stderr = &ended.stderr;
    // `fork-demo: failed to fork: cause`: more than a name and the cause.
    let says_why = |line: &&str| causes.iter().any(|cause| line.contains(cause));
    let mut causes_told = stderr.lines().filter(says_why).peekable();
    let says_what = |line: &str| line.matches(": ").count() >= 2;
    match ended.status {
        _ if stderr.contains("panicked") => Some("something panicked"),
        _ if stderr.contains("os error") => Some("a number where words should be"),
        _ if ended.has_failed_check() => Some("a check failed: it blames something else"),
        Some(0) if !stderr.is_empty() => Some("complaints, and exit status 0"),
        Some(1) if stderr.is_empty() => Some("not a word"),
        Some(1) if causes_told.peek().is_none() => Some("the cause is missing"),
        Some(1) if !causes_told.any(says_what) => Some("what failed is missing"),
        Some(0 | 1) => None,
        Some(_) => Some("another exit status"),
        None => Some("a signal killed it"),
    }
}
