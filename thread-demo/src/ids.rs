//! A thread is what the kernel schedules; a process has at least one, and a run of a
//! program is a process. (notes 2, 3, 25)
//!
//! cargo run -p thread-demo -- ids --threads 5
//!
//! To copy: examples/ids.rs, what the kernel lists, without the other runs.

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use shared_core::again::{Again, say, this_program};
use shared_core::cli::Question;
use shared_core::report::{Input, fact, require};
use shared_core::{Context, Error, Result, check, ensure, fact, report, waiting, who};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::{fs, thread};

/// Threads have one PID, and each a number of its own
///
/// A thread is what the kernel schedules (sched(7)); a process is what its threads
/// share: memory, open files, the PID (pthreads(7)). There is no process without a
/// thread: the first one is there before main runs, and on Linux its number, the TID
/// (gettid(2)), is the PID. A file is no process, a run of it is one: the same program
/// run twice is two.
///
/// Try: cargo run -p thread-demo -- ids --threads 20
#[derive(clap::Args)]
pub struct Options {
    /// How many threads are started besides the first one (1 to 64)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "How many threads does the process have before it starts one?",
        choices: &[],
        fact: "threads_at_first",
        is_a_race: false,
    },
    Question {
        text: "It starts {threads}, and this program is run twice more. How many different PIDs \
               are there in all?",
        choices: &[],
        fact: "different_pids",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    let at_first = listed_by_the_kernel();
    tell(0);

    // They wait for an end that comes when `stop` is dropped, also on an error.
    let (stop, told_to_stop) = bounded::<()>(0);
    let (here, arrivals) = unbounded();
    let together = thread::scope(|scope| {
        let _stop = stop;
        for n in 1..=options.threads {
            let (here, told_to_stop) = (here.clone(), told_to_stop.clone());
            let thread = thread::Builder::new().name(format!("thread-{n}"));
            let thread = thread.spawn_scoped(scope, move || be_a_thread(n, &here, &told_to_stop));
            let started = format!("{} of {}", n - 1, options.threads);
            thread.with_context(|| format!("failed to start a thread after {started}"))?;
        }
        drop(here);
        let waiting = waiting!("all");
        let _ = arrivals.iter().take(options.threads.into()).count();
        waiting.end();
        Ok::<_, Error>(listed_by_the_kernel())
    })?; // the scope has joined them

    // The same program, run twice more: each run says who it is, and waits.
    let mut runs = [Again::start("run 2", "ids")?, Again::start("run 3", "ids")?];
    let said = [runs[0].line()?, runs[1].line()?];
    for run in runs {
        let status = run.end()?;
        ensure!(status.success(), "a run of this program failed: {status}");
    }
    judge(options, at_first.as_ref(), together.as_ref(), said)
}

/// What runs in each thread.
fn be_a_thread(n: u16, here: &Sender<()>, told_to_stop: &Receiver<()>) {
    tell(n);
    let _ = here.send(());
    let _wait = waiting!("stop");
    let _ = told_to_stop.recv(); // an error: this is the end
}

/// Who speaks.
fn tell(n: u16) {
    match who::cpu() {
        Some(cpu) => report!("I run, on CPU {cpu} just now"),
        None => report!("I run"),
    }
    fact(format_args!("thread_{n}_pid"), who::pid());
    fact(format_args!("thread_{n}_tid"), who::tid());
}

/// What another run of this program does.
pub fn run_again(mut input: Input) -> Result<()> {
    report!("I am another run of this program");
    say(format_args!("{} {}", who::pid(), this_program()?.display()));
    let _ = input.read(&mut [0]); // the end
    Ok(())
}

// A first reading may skip the rest.

/// The threads of this process, with their names, as the kernel lists them
/// (`/proc/self/task`, proc_pid_task(5)); `None` where it does not tell.
fn listed_by_the_kernel() -> Option<BTreeMap<u64, String>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let tid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        threads.insert(tid, name.trim_end().to_owned());
    }
    Some(threads)
}

fn judge(
    options: &Options,
    at_first: Option<&BTreeMap<u64, String>>,
    together: Option<&BTreeMap<u64, String>>,
    said: [String; 2],
) -> Result<()> {
    let told = |what| {
        let of = |n| require(&format!("thread_{n}_{what}")).as_u64().unwrap_or(0);
        (0..=options.threads).map(of).collect::<BTreeSet<u64>>()
    };
    let pid = u64::from(who::pid());
    check!(
        "all threads have the PID of their process",
        Vec::from_iter(told("pid")),
        vec![pid]
    );
    let tids = Vec::from_iter(told("tid"));
    check!(
        "each has a number of its own",
        tids.len(),
        options.threads + 1
    );
    if let Some((at_first, together)) = at_first.zip(together) {
        fact!("threads_at_first", at_first.len());
        check!(
            "at first there was one thread, and its number is the PID",
            at_first.keys().copied().collect::<Vec<_>>(),
            vec![pid]
        );
        check!(
            "the threads which the kernel lists are these, and no others",
            together.keys().copied().collect::<Vec<_>>(),
            tids
        );
    } else {
        report!("this system does not list the threads");
    }

    let runs = said.map(|line| match line.split_once(' ') {
        Some((pid, program)) => (pid.parse().unwrap_or(0), program.to_owned()),
        None => (0, line),
    });
    let ours = (pid, this_program()?.display().to_string());
    let (pids, programs): (BTreeSet<u64>, BTreeSet<String>) =
        runs.into_iter().chain([ours]).unzip();
    fact!("different_pids", pids.len());
    check!("three runs of a program are three processes", pids.len(), 3);
    check!("all three execute the same file", programs.len(), 1);
    Ok(())
}
