//! Workers are killed and stopped from outside.

use crate::acts::{Act, Blob, pid, pool, squared, squares};
use crate::meeting::Meeting;
use crate::watchdog::step;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{self, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use pool_demo::{AsyncResult, Failure, Outcome, Pool, Task};
use serde_bytes::ByteBuf;
use shared_core::who;
use std::fs;
use std::thread::{self, yield_now};
use std::time::Duration;

/// Sends a signal to a process that is there.
pub fn kill(pid: u32, signal: Signal) {
    signal::kill(Pid::from_raw(pid.cast_signed()), signal).expect("a process");
}

/// Stops a process, and waits until it is.
pub fn stop(pid: u32) {
    kill(pid, Signal::SIGSTOP);
    while who::state(pid) != Some('T') {
        yield_now();
    }
}

/// The children of this process.
pub fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").expect("a folder").flatten();
    let lists = tasks.flat_map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.flat_map(str::parse).collect()
}

/// From here on orphans of this process's workers become its own children.
pub fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("Linux");
}

/// Kills and reaps what tasks have forked and left behind. There must be no pool.
pub fn reap_orphans() -> usize {
    let orphans = children();
    for orphan in &orphans {
        kill(*orphan, Signal::SIGKILL);
        waitpid(Pid::from_raw(orphan.cast_signed()), None).expect("a child");
    }
    orphans.len()
}

/// Kills the idle worker of a pool of one, and waits until there is another one.
pub fn kill_and_wait_until_replaced<T: Task>(pool: &Pool<T>) {
    let old = pool.workers();
    kill(old[0], Signal::SIGKILL);
    loop {
        let now = pool.workers();
        if now.len() == 1 && now != old {
            return;
        }
        yield_now();
    }
}

pub fn killed_idle() {
    let pool = pool(3);
    for round in 0..20 {
        let old = pool.workers();
        // One of them, or all.
        let victims = &old[..if round % 5 == 0 { 3 } else { 1 }];
        for victim in victims {
            kill(*victim, Signal::SIGKILL);
        }
        let mut now = old.clone();
        while now.len() < 3 || now.iter().any(|pid| victims.contains(pid)) {
            now = pool.workers();
            yield_now();
        }
        for victim in victims {
            assert_eq!(who::state(*victim), None, "it is no zombie");
        }
        assert_eq!(pool.map(squares(50), Some(1)), squared(50));
        step();
    }
    pool.join();
    assert!(children().is_empty());
}

pub fn killed_at_work() {
    let meeting = Meeting::new();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGABRT] {
        // A new one: after short tasks a worker may be given several at once.
        let pool = pool(2);
        let tasks: Vec<_> = (0..6).map(|_| pool.apply_async(meeting.task())).collect();
        let [victim, spared] = [meeting.next(), meeting.next()];
        kill(victim.pid, signal);
        let mut failures = 0;
        // The others are given to whoever is there.
        thread::scope(|scope| {
            scope.spawn(|| {
                spared.send_on(0);
                (0..4).for_each(|_| meeting.next().send_on(0));
            });
            for task in tasks {
                let Err(failure) = task.get() else { continue };
                let Failure::WorkerDied { pid, how } = failure else {
                    panic!("{failure}");
                };
                assert_eq!(pid, victim.pid);
                assert!(
                    how.starts_with("signal: ") && how.contains(signal.as_str()),
                    "{how}"
                );
                failures += 1;
            }
        });
        assert_eq!(failures, 1);
        pool.join();
        step();
    }
    let pool = pool(2);
    // Ctrl-C is for the pool's program to answer.
    for worker in pool.workers() {
        kill(worker, Signal::SIGINT);
    }
    let all = (0..20)
        .map(|_| pid(pool.apply(Act::Pid)))
        .collect::<Vec<_>>();
    assert!(all.iter().all(|pid| pool.workers().contains(pid)));
    pool.join();
}

/// The system has no descriptors for another worker.
pub fn refused() {
    let pool = pool(2);
    let [first, second] = pool.workers()[..] else {
        panic!("two workers");
    };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("a lower limit");
    kill(first, Signal::SIGKILL);
    while pool.workers() != [second] {
        yield_now();
    }
    // The other one does it all, also when the first is given up.
    for _ in 0..50 {
        assert_eq!(pool.map(squares(20), Some(1)), squared(20));
        thread::sleep(Duration::from_millis(5));
    }
    kill(second, Signal::SIGKILL);
    while !pool.workers().is_empty() {
        yield_now();
    }
    let not_run = || Err(Failure::NotRun("no worker is left".to_owned()));
    let outcomes: Vec<Outcome<Act>> = pool.map(squares(20), Some(1));
    assert_eq!(outcomes, vec![not_run(); 20]);
    assert_eq!(pool.apply(Act::Square(2)), not_run());
    assert_eq!(pool.imap(squares(2), 1).last(), Some(not_run()));

    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the old limit");
    assert_eq!(pool.apply(Act::Square(2)), not_run(), "it stays so");
    pool.join();
    assert!(children().is_empty());

    // There are descriptors for some workers only.
    for limit in [4, 5, 6, 8, 10, 12, 15, 20, 25] {
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("a lower limit");
        let pool = Pool::<Act>::start(5);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the old limit");
        let Err(error) = pool else { continue };
        let error = format!("{error:#}");
        assert!(error.contains("Too many open files"), "{error}");
        assert!(error.contains(" of 5 workers"), "{error}");
        assert!(children().is_empty());
    }
}

pub fn stopped() {
    // The time limit counts on.
    let limit = Duration::from_millis(300);
    let limited = Pool::builder().workers(1).task_timeout(limit).start();
    let limited = limited.expect("a pool");
    let pid = limited.workers()[0];
    stop(pid);
    let failure = limited.apply(Act::Square(2));
    assert_eq!(failure, Err(Failure::TimedOut { pid, limit }));
    while limited.workers().is_empty() {
        yield_now();
    }
    assert_eq!(limited.map([Act::Square(3)], None).len(), 1);
    limited.join();
    step();

    // Without one it is waited for.
    let pool = pool(2);
    let meeting = Meeting::new();
    let task = pool.apply_async(meeting.task());
    let guest = meeting.next();
    let pid = guest.pid;
    stop(pid);
    guest.send_on(0);
    let task = still_waits(task, Duration::from_millis(300));
    assert_eq!(
        pool.map(squares(20), Some(1)),
        squared(20),
        "the other goes on"
    );
    kill(pid, Signal::SIGCONT);
    assert_eq!(task.get(), Ok(pid.into()));

    // One that is wanted no more does not wait for that: its worker is killed.
    let task = pool.apply_async(meeting.task());
    let guest = meeting.next();
    stop(guest.pid);
    task.cancel();
    assert_eq!(task.get(), Err(Failure::Cancelled));
    while pool.workers().len() < 2 || pool.workers().contains(&guest.pid) {
        yield_now();
    }

    // Stopped ones end too, whatever they were doing, and are waited for a little
    // when all is done.
    stop(pool.workers()[0]);
    let task = pool.apply_async(meeting.endless_task());
    pool.workers().into_iter().for_each(stop);
    drop(pool);
    assert!(task.get().is_err());
    let pool = self::pool(2);
    stop(pool.workers()[1]);
    pool.join();
    assert!(children().is_empty());
}

fn still_waits<T: Task>(task: AsyncResult<T>, so_long: Duration) -> AsyncResult<T> {
    match task.get_timeout(so_long) {
        Ok(_) => panic!("a stopped process has answered"),
        Err(task) => task,
    }
}

/// A worker is stopped for longer than one may leave unread what it was sent.
pub fn stopped_long() {
    let pool = Pool::<Blob>::start(1).expect("a pool");
    let pid = pool.workers()[0];
    for round in 0..2 {
        stop(pid);
        let bytes = ByteBuf::from(vec![round; 64 << 20]);
        let task = pool.apply_async(Blob(bytes.clone()));
        let task = still_waits(task, Duration::from_secs(32));
        kill(pid, Signal::SIGCONT);
        assert!(task.get() == Ok(bytes), "it lives on");
        assert_eq!(pool.workers(), [pid]);
        step();
    }
    pool.join();
}
