//! However many inputs there are, a pool reads only a few of them in advance, and
//! needs no more memory for many than for few. (beyond the notes)
//!
//! cargo run -p pool-demo -- backpressure --tasks 1000000
//!
//! To copy: examples/backpressure.rs, one worker and at most ten tasks on the way.

use crate::interrupt;
use pool_demo::{MOST_CHUNKS_AHEAD, Outcome, Pool, Task};
use serde::{Deserialize, Serialize};
use shared_core::cli::{Interrupted, Question};
use shared_core::{Result, bail, check, fact, moment, report, span, who};
use std::cell::Cell;
use std::fs::read_to_string;
use std::thread;
use std::time::Duration;

/// The input is read only as fast as the results are taken
///
/// Where work is made faster than it is done it piles up in memory, unless the one
/// who makes it has to wait: that is backpressure. (A pipe has it too: who writes to
/// a full one waits, pipe(7).) imap_unordered() is lazy: when it
/// is asked for a result it takes tasks from its input, if few are on the way. How
/// many are few depends on the tasks. A worker is given one slow task at a time; of
/// tiny ones a thousand, so that it need not wait for the next one. As many again
/// wait in the pool. So the input is ahead of the results by a number that does not
/// depend on its length, and neither does the memory. (map() reads the whole input
/// first.)
///
/// Try: cargo run -p pool-demo -- backpressure --tasks 1000000
///
/// Try: cargo run -p pool-demo -- backpressure --workers 1
#[derive(clap::Args)]
pub struct Options {
    /// How many tiny tasks (1000 to 10000000)
    #[arg(long, default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    tasks: u32,
    /// How many worker processes (1 to 32)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=32))]
    workers: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "{workers} workers have slow tasks to do. How many inputs are read before the first result?",
        choices: &["one", "a few", "all of them"],
        fact: "read_before_the_first",
        is_a_race: false,
    },
    Question {
        text: "Nobody takes a result for 20 ms. How many inputs are read meanwhile?",
        choices: &[],
        fact: "read_in_the_pauses",
        is_a_race: false,
    },
    Question {
        text: "How much more memory do {tasks} tasks need than a tenth of them?",
        choices: &["ten times as much", "hardly any"],
        fact: "more_memory",
        is_a_race: false,
    },
];

/// How long a slow task takes: so long that a worker is given one at a time.
const SLOW: Duration = Duration::from_millis(10);
/// How long the results are left where they are, once for each input.
const PAUSE: Duration = Duration::from_millis(20);

pub fn run(options: &Options) -> Result<()> {
    let pool = Pool::start(options.workers.into())?;
    interrupt::terminates(&pool)?;
    let slow = u32::from(options.workers) * 20;
    let mut flows = Vec::new();
    for (kind, tasks, work) in [
        ("slow", slow, SLOW),
        ("tiny", options.tasks / 10, Duration::ZERO),
        ("tiny", options.tasks, Duration::ZERO),
    ] {
        let mut flow = Flow::of(tasks, kind, options);
        let _span = span!("{tasks} {kind} tasks");

        // A lazy input: a task is made when somebody asks for it.
        let read = Cell::new(0);
        let input = (0..tasks).map(|number| {
            read.set(read.get() + 1);
            Work { number, work }
        });
        for outcome in pool.imap_unordered(input, 1) {
            flow.takes(outcome, read.get());
            if flow.results == tasks / 2 {
                // Who takes no result makes the input wait.
                let before = read.get();
                moment!("pause");
                thread::sleep(PAUSE);
                flow.read_in_the_pause = read.get() - before;
            }
            if flow.lost.is_some() {
                break;
            }
        }
        flow.ends(&pool);
        flows.push(flow);
    }
    pool.join();
    judge(options, &flows)
}

/// A number, which is returned after some work.
#[derive(Serialize, Deserialize)]
pub struct Work {
    number: u32,
    work: Duration,
}

impl Task for Work {
    type Output = u32;

    const NAME: &'static str = "number";

    /// What runs in a worker process.
    fn run(self) -> u32 {
        if !self.work.is_zero() {
            thread::sleep(self.work);
        }
        self.number
    }
}

// A first reading may skip the rest.

/// An input that flows through the pool.
struct Flow {
    tasks: u32,
    kind: &'static str,
    /// By how much its input may be ahead of its results.
    bound: u32,
    results: u32,
    sum: u64,
    /// How much was read when the first result came.
    read_first: u32,
    most_ahead: u32,
    /// The most in each part of the flow.
    picture: [u32; 22],
    read_in_the_pause: u32,
    /// What became of a task that has no result.
    lost: Option<String>,
    /// The most memory that the parent and a worker have had so far, in KiB.
    memory: Option<[u64; 2]>,
}

impl Flow {
    fn of(tasks: u32, kind: &'static str, options: &Options) -> Self {
        let chunks = if kind == "slow" { 2 } else { MOST_CHUNKS_AHEAD };
        let bound = chunks * usize::from(options.workers);
        Self {
            tasks,
            kind,
            bound: u32::try_from(bound).unwrap_or(u32::MAX),
            results: 0,
            sum: 0,
            read_first: 0,
            most_ahead: 0,
            picture: [0; 22],
            read_in_the_pause: 0,
            lost: None,
            memory: None,
        }
    }

    fn takes(&mut self, outcome: Outcome<Work>, read: u32) {
        let ahead = read - self.results;
        if self.results == 0 {
            self.read_first = read;
        }
        let parts = self.picture.len() as u64;
        let part = u64::from(self.results) * parts / u64::from(self.tasks);
        if let Some(most) = self.picture.get_mut(usize::try_from(part).unwrap_or(0)) {
            *most = ahead.max(*most);
        }
        self.most_ahead = ahead.max(self.most_ahead);
        match outcome {
            Ok(number) => {
                self.results += 1;
                self.sum += u64::from(number);
            }
            Err(failure) => self.lost = Some(failure.to_string()),
        }
    }

    /// Says what was seen.
    fn ends(&mut self, pool: &Pool<Work>) {
        if self.lost.is_some() {
            return;
        }
        report!(
            "{} {} tasks: at most {} ahead",
            self.tasks,
            self.kind,
            self.most_ahead
        );
        report!("ahead: {} of {}", self.draw(), self.bound);
        let of_workers = pool.workers().into_iter().map(peak_memory);
        let of_workers: Option<Vec<u64>> = of_workers.collect();
        let of_workers = of_workers.and_then(|all| all.into_iter().max());
        self.memory = peak_memory(who::pid()).zip(of_workers).map(Into::into);
        if let Some([parent, worker]) = self.memory.map(|kib| kib.map(|kib| kib as f64 / 1024.0)) {
            report!("peak: parent {parent:.1}, worker {worker:.1} MiB");
        }
    }

    fn draw(&self) -> String {
        let signs = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let heights = self
            .picture
            .iter()
            .map(|ahead| ahead * 7 / self.bound.max(1));
        let sign = |height| signs.get(height as usize).unwrap_or(&'█');
        heights.map(sign).collect()
    }
}

/// The most memory that a process has had so far, in KiB (`VmHWM`,
/// proc_pid_status(5)); none where the system does not tell.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line?.trim().strip_suffix(" kB")?.parse().ok()
}

fn judge(options: &Options, flows: &[Flow]) -> Result<()> {
    let all: u32 = flows.iter().map(|flow| flow.tasks).sum();
    let results: u32 = flows.iter().map(|flow| flow.results).sum();
    if interrupt::happened() {
        let rest = all - results;
        return Err(Interrupted(format!("{results} of {all} tasks done, {rest} not")).into());
    }
    if let Some(lost) = flows.iter().find_map(|flow| flow.lost.as_ref()) {
        bail!("a task has no result: {lost}");
    }
    let [slow, few, many] = flows else {
        bail!("{} flows, not three", flows.len());
    };

    let numbers = |flow: &Flow| (0..u64::from(flow.tasks)).sum::<u64>();
    check!(
        "every input came back exactly once",
        format!(
            "{results} results, sum {}",
            flows.iter().map(|flow| flow.sum).sum::<u64>()
        ),
        format!(
            "{all} results, sum {}",
            flows.iter().map(numbers).sum::<u64>()
        )
    );
    let first = match slow.read_first {
        1 => "one",
        some if some <= slow.bound => "a few",
        _ => "all of them",
    };
    fact!("read_before_the_first", first);
    check!(
        "two inputs for each worker had been read when the first result came",
        slow.read_first,
        2 * options.workers
    );
    fact!("slow_most_ahead", slow.most_ahead);
    check!(
        "of slow tasks never more were ahead",
        slow.most_ahead,
        slow.most_ahead <= slow.bound,
        format!("at most {}", slow.bound)
    );
    fact!("few_most_ahead", few.most_ahead);
    fact!("many_most_ahead", many.most_ahead);
    check!(
        "of tiny ones no more than twice what the workers may have, few or many",
        vec![few.most_ahead, many.most_ahead],
        few.most_ahead <= few.bound && many.most_ahead <= many.bound,
        format!("at most {} each", many.bound)
    );
    let paused: u32 = flows.iter().map(|flow| flow.read_in_the_pause).sum();
    fact!("read_in_the_pauses", paused);
    check!("while nobody took a result no input was read", paused, 0);

    let (Some(before), Some(after)) = (few.memory, many.memory) else {
        report!("this system does not tell the memory");
        return Ok(());
    };
    let grown = [0, 1].map(|of| after[of].saturating_sub(before[of]));
    fact!("parent_grew_kib", grown[0]);
    fact!("worker_grew_kib", grown[1]);
    // All that may be ahead may not have been so before.
    let most = 4096 + u64::from(many.bound) / 2;
    let hardly_any = grown.iter().all(|kib| *kib <= most);
    fact!(
        "more_memory",
        if hardly_any {
            "hardly any"
        } else {
            "ten times as much"
        }
    );
    check!(
        "for ten times as many neither parent nor worker needs more memory",
        grown.map(|kib| format!("{kib} KiB more")).to_vec(),
        hardly_any,
        format!("at most {most} KiB more, each")
    );
    Ok(())
}
