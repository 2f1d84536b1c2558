//! Workers that do not behave: the program itself, which writes bytes of its own.

use crate::acts::{Act, Blob, for_ever, pid};
use crate::deaths::{adopt_orphans, kill_and_wait_until_replaced, reap_orphans};
use crate::watchdog::step;
use nix::errno::Errno;
use nix::libc::{FIONREAD, SYS_pidfd_getfd, SYS_pidfd_open, ioctl, syscall};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{ForkResult, fork};
use pool_demo::{Builder, Failure, Pool, Task, WorkerCommand, worker};
use serde_bytes::ByteBuf;
use shared_core::Result;
use std::any::type_name;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio, exit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The word on the command line that makes this program a bad worker.
pub const BAD: &str = "bad";

/// How the next ones are bad, and how many.
static HOW: Mutex<&str> = Mutex::new("");
static NEXT_ONES: AtomicUsize = AtomicUsize::new(0);

fn start<T: Task>() -> Result<WorkerCommand> {
    let fewer = |left: usize| left.checked_sub(1);
    if NEXT_ONES.fetch_update(SeqCst, SeqCst, fewer).is_err() {
        return worker::command::<T>();
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args([BAD, *HOW.lock().expect("no panic"), type_name::<T>()]);
    command.stdout(Stdio::piped());
    Ok(WorkerCommand {
        command,
        from_afar: false,
    })
}

/// The next `count` workers are bad.
fn next_are(how: &'static str, count: usize) {
    *HOW.lock().expect("no panic") = how;
    NEXT_ONES.store(count, SeqCst);
}

fn builder<T: Task>(workers: usize) -> Builder<T> {
    Pool::builder().workers(workers).command(start::<T>)
}

/// Far too short for a real worker on a busy machine, and enough for none at all.
const SHORT: Duration = Duration::from_millis(100);

/// How a worker is bad before it is ready, and what the pool says of it.
const STARTS: [(&str, &str); 10] = [
    ("silent", "not ready after 100ms"),
    ("exit", "exit status: 3"),
    ("die", "signal: 9 (SIGKILL)"),
    ("nonsense", "a frame of 1819043176 bytes is none"),
    ("zeros", "failed to decode"),
    ("half", "it ends in the middle of a frame"),
    ("half-and-stay", "not ready after 100ms"),
    ("version", "it is \"pool-demo 0.0.0\", not \"pool-demo "),
    ("ends", "no ink"),
    ("answer-first", "it answered job 0, which it was not to do"),
];

pub fn bad_starts() {
    for (how, why) in STARTS {
        next_are(how, 2);
        let pool = builder::<Act>(2).start_timeout(SHORT).start();
        let error = format!("{:#}", pool.err().expect("no pool"));
        let named = error.starts_with("worker 1 ended before it was ready: ")
            || error.starts_with("worker 2 ended before it was ready: ");
        // Either of them may be the first, and may hide the other.
        assert!(named && error.contains(why), "{how}: {error}");
        step();

        // In the place of one that died: another one takes it.
        if how == "half-and-stay" {
            continue; // as silent is
        }
        next_are("", 0);
        let pool = builder::<Act>(1).start_timeout(Duration::from_secs(3));
        let pool = pool.start().expect("a pool");
        next_are(how, 1);
        kill_and_wait_until_replaced(&pool);
        assert_eq!(pool.apply(Act::Square(3)), Ok(9), "{how}");
        pool.join();
        step();
    }
}

pub fn bad_answers() {
    for (how, why) in [
        ("ready;nonsense", "a frame of 1819043176 bytes is none"),
        ("ready;half", "it ends in the middle of a frame"),
        ("ready;other", "it answered job 1, which it was not to do"),
        ("ready;ready", "it said once more that it is ready"),
        ("ready;ends", "no ink"),
        ("ready;close", "it closed its stdout"),
        ("ready;exit", "exit status: 3"),
        ("ready;die", "signal: 9 (SIGKILL)"),
    ] {
        next_are(how, 1);
        let pool = builder::<Act>(1).start().expect("a pool");
        let bad = pool.workers()[0];
        let [first, second] = [2, 3].map(|number| pool.apply_async(Act::Square(number)));
        let failure = first.get().expect_err("a bad worker");
        let Failure::WorkerDied { pid, how: said } = failure else {
            panic!("{how}: {failure}");
        };
        assert_eq!(pid, bad);
        assert!(said.contains(why), "{how}: {said}");
        assert_eq!(second.get(), Ok(9), "{how}");
        pool.join();
        step();
    }

    // What it answers is in the right form, and yet no result.
    for (how, why) in [
        ("ready;garbage", "failed to decode"),
        ("ready;two-results", "2 results for 1"),
    ] {
        next_are(how, 1);
        let pool = builder::<Act>(1).start().expect("a pool");
        let failure = pool.apply(Act::Square(2)).expect_err("no result");
        assert!(
            matches!(&failure, Failure::Panicked(panic) if panic.message.contains(why)),
            "{how}: {failure}"
        );
        drop(pool);
    }

    // The first answer counts.
    next_are("ready;twice", 1);
    let pool = builder::<Act>(1).retries(1).start().expect("a pool");
    let bad = pool.workers()[0];
    assert_eq!(pool.apply(Act::Square(2)), Ok(4));
    assert_ne!(pid(pool.apply(Act::Pid)), bad);
    pool.join();

    // Half an answer may be one that is just being written: it is waited for, as
    // long as it may.
    next_are("ready;half-and-stay", 1);
    let limit = Duration::from_millis(200);
    let pool = builder::<Act>(1).task_timeout(limit).start();
    let pool = pool.expect("a pool");
    let pid = pool.workers()[0];
    let failure = pool.apply(Act::Square(2));
    assert_eq!(failure, Err(Failure::TimedOut { pid, limit }));
    pool.join();
}

/// Workers that have nothing more to do, and stay.
pub fn never_ends() {
    next_are("ready;stay", 1);
    builder::<Act>(1).start().expect("a pool").join();
    step();

    // This one becomes ready when the pool has been closed.
    next_are("", 0);
    let pool = builder::<Act>(1).start().expect("a pool");
    next_are("ready-at-the-end", 1);
    kill_and_wait_until_replaced(&pool);
    pool.join();
}

/// More than a pipe holds.
fn big_job() -> Blob {
    Blob(ByteBuf::from(vec![7; 64 << 20]))
}

/// The pool is in the middle of writing a job that nobody reads.
pub fn does_not_read() {
    adopt_orphans();
    for how in ["ready;stay", "ready;fork"] {
        let limit = Duration::from_millis(300);
        next_are(how, 1);
        let pool = builder::<Blob>(1).task_timeout(limit).start();
        let pool = pool.expect("a pool");
        let pid = pool.workers()[0];
        let outcome = pool.apply(big_job());
        assert_eq!(outcome, Err(Failure::TimedOut { pid, limit }));
        drop(pool);
        reap_orphans();
        step();

        let writing = || {
            next_are(how, 1);
            let pool = builder::<Blob>(1).start().expect("a pool");
            let bad = pool.workers()[0];
            let job = pool.apply_async(big_job());
            while !job_has_come(bad) {
                std::thread::yield_now();
            }
            (pool, job)
        };
        let (pool, job) = writing();
        let start = Instant::now();
        drop(pool);
        // Once it took twenty seconds.
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(job.get(), Err(Failure::Cancelled));
        reap_orphans();

        let (pool, job) = writing();
        job.cancel();
        assert_eq!(job.get(), Err(Failure::Cancelled));
        let small = pool.apply(Blob(ByteBuf::from(vec![1, 2])));
        assert_eq!(small, Ok(ByteBuf::from(vec![1, 2])));
        pool.join();
        reap_orphans();

        let (pool, job) = writing();
        let pid = pool.workers()[0];
        crate::deaths::kill(pid, Signal::SIGKILL);
        let failure = job.get().expect_err("its worker was killed");
        assert!(matches!(failure, Failure::WorkerDied { pid: of, .. } if of == pid));
        pool.join();
        reap_orphans();
        step();
    }
}

/// Whether a part of a job has come to a worker that has not read it.
fn job_has_come(worker: u32) -> bool {
    // Its stdin, in this process (pidfd_getfd(2)).
    // SAFETY: the call takes a number.
    let process = descriptor(unsafe { syscall(SYS_pidfd_open, worker, 0) });
    // SAFETY: the same.
    let stdin = descriptor(unsafe { syscall(SYS_pidfd_getfd, process.as_raw_fd(), 0, 0) });
    let mut bytes = 0;
    // SAFETY: the call writes one int (FIONREAD, ioctl_pipe(2)).
    unsafe { ioctl(stdin.as_raw_fd(), FIONREAD, &raw mut bytes) };
    bytes > 4096
}

fn descriptor(returned: i64) -> OwnedFd {
    assert!(returned >= 0, "{}", Errno::last());
    let number = returned.try_into().expect("a descriptor");
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

pub fn does_not_read_long() {
    next_are("ready;stay", 1);
    let pool = builder::<Blob>(1).start().expect("a pool");
    let bad = pool.workers()[0];
    let failure = pool.apply(big_job()).expect_err("it does not read");
    let Failure::WorkerDied { pid, how } = failure else {
        panic!("{failure}");
    };
    assert_eq!((pid, &*how), (bad, "it has read nothing for 30s"));
    assert!(pool.apply(Blob(ByteBuf::new())).is_ok());
    pool.join();
}

/// Is a bad worker: does what the words say, one after the other; before the second
/// it waits for a job.
pub fn be(args: &[String]) -> ! {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let mut to = std::io::stdout();
    let mut job = 0;
    let how = args.first().map(String::as_str).unwrap_or_default();
    let tasks = args.get(1).map(String::as_str).unwrap_or_default();
    let is_ready = ready(&format!(
        "pool-demo {} for {tasks}",
        env!("CARGO_PKG_VERSION")
    ));
    for (number, word) in how.split(';').enumerate() {
        if number > 0 && !matches!(word, "stay" | "fork") {
            job = next_job();
        }
        let bytes = match word {
            "ready" => frame(&is_ready),
            "version" => frame(&ready("pool-demo 0.0.0")),
            "ends" => frame(&[&[1, 6], &b"no ink"[..]].concat()),
            "nonsense" => b"hello, this is no frame\n".to_vec(),
            "zeros" => vec![0; 64],
            "half" | "half-and-stay" => frame(&ready("pool-demo"))[..7].to_vec(),
            "answer-first" => frame(&[2, 0, 0]),
            "other" => frame(&[2, job + 1, 0, 0, 1, 0, 4]),
            "garbage" => frame(&[2, job, 0, 9, 9, 9]),
            "two-results" => frame(&[2, job, 0, 0, 2, 0, 4, 0, 4]),
            "twice" => frame(&[2, job, 0, 0, 1, 0, 4]).repeat(2),
            _ => Vec::new(),
        };
        to.write_all(&bytes).expect("a reader");
        to.flush().expect("a reader");
        match word {
            "exit" => exit(3),
            "half" => exit(0),
            "die" => drop(raise(Signal::SIGKILL)),
            "close" => drop(nix::unistd::close(1)),
            "ready-at-the-end" => {
                while frame_of_pool()[0] != 3 {} // its input ends
                to.write_all(&frame(&is_ready)).expect("a reader");
                to.flush().expect("a reader");
            }
            // SAFETY: this program has one thread here.
            "fork" => match unsafe { fork() }.expect("a child") {
                ForkResult::Child => for_ever(),
                ForkResult::Parent { .. } => {}
            },
            _ => {}
        }
    }
    for_ever()
}

/// Its head is in postcard: a number for the variant, then the fields.
fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    [&length, body].concat()
}

fn ready(version: &str) -> Vec<u8> {
    let length = u8::try_from(version.len()).expect("short");
    [&[0, length], version.as_bytes()].concat()
}

/// The next frame that the pool sends.
fn frame_of_pool() -> Vec<u8> {
    let mut stdin = std::io::stdin().lock();
    let mut length = [0; 4];
    stdin.read_exact(&mut length).expect("a pool");
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stdin.read_exact(&mut body).expect("a pool");
    body
}

/// The number of the next job, of which there are few.
fn next_job() -> u8 {
    loop {
        if let [2, job, ..] = frame_of_pool()[..] {
            return job;
        }
    }
}
