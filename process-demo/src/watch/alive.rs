//! The tasks that are alive, as others than the tracer must know them: who looks every
//! few milliseconds what they wait for, and who passes signals on.

use super::calls::is_a_wait;
use super::proc;
use nix::libc::{self, c_long};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use shared_core::ending::exit_now;
use shared_core::report::clock;
use shared_core::{Context, Result, complain, who};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// How often is looked what tasks wait for.
pub const PERIOD: Duration = Duration::from_millis(5);
/// The part of one CPU that looking may take.
const SHARE: u32 = 5;
/// So long after the program's end it is said that something of it is still there.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that are alive.
#[derive(Clone, Default)]
pub struct Alive(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tasks: HashMap<i32, Task>,
    /// What was seen of waits that are over.
    samples: Vec<Sample>,
    /// When the process ended that was started.
    ended: Option<Instant>,
    /// And all others.
    is_over: bool,
    /// It was said that others are still there.
    said: bool,
}

struct Task {
    process: i32,
    /// Stopped, or in a call at whose return it is stopped: that is known without looking.
    is_known: bool,
    sample: Option<Sample>,
}

/// A call in which a task was blocked each time that somebody looked.
pub struct Sample {
    pub task: i32,
    pub process: i32,
    pub name: String,
    pub begin: i64,
    pub end: i64,
    number: c_long,
    args: [u64; 6],
}

impl Alive {
    pub fn begins(&self, task: i32, process: i32) {
        let new = Task {
            process,
            is_known: false,
            sample: None,
        };
        self.state().tasks.insert(task, new);
    }

    /// Whether a look is of no use: it is known what the task does.
    pub fn is_known(&self, task: i32, is_known: bool) {
        let mut state = self.state();
        if let Some(task) = state.tasks.get_mut(&task) {
            task.is_known = is_known;
            let over = task.sample.take();
            state.samples.extend(over);
        }
    }

    pub fn ends(&self, task: i32) {
        let mut state = self.state();
        if let Some(task) = state.tasks.remove(&task) {
            state.samples.extend(task.sample);
        }
    }

    /// Of this process only the main thread is left.
    pub fn executes(&self, process: i32) {
        let mut state = self.state();
        let is_left = |task: &i32, known: &mut Task| known.process == process && *task != process;
        let gone: Vec<Task> = state
            .tasks
            .extract_if(is_left)
            .map(|(_, task)| task)
            .collect();
        state
            .samples
            .extend(gone.into_iter().filter_map(|task| task.sample));
    }

    /// The last one has ended: from here on a signal ends this process.
    pub fn all_have_ended(&self) {
        self.state().is_over = true;
    }

    /// The process that was started has ended.
    pub fn first_ends(&self) {
        self.state().ended = Some(Instant::now());
    }

    /// What was seen by looking, once all have ended.
    pub fn samples(&self) -> Vec<Sample> {
        std::mem::take(&mut self.state().samples)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to look, in a thread that ends with this process.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn look_again_and_again(&self, program: String) -> Result<()> {
        let alive = self.clone();
        let look = move || {
            loop {
                let begin = Instant::now();
                alive.look();
                alive.say_who_is_left(&program);
                sleep(PERIOD.max(begin.elapsed() * SHARE));
            }
        };
        let thread = thread::Builder::new().name("sampler".to_owned());
        thread.spawn(look).context("failed to start a thread")?;
        Ok(())
    }

    fn look(&self) {
        let tasks: Vec<i32> = {
            let state = self.state();
            let unknown = state.tasks.iter().filter(|(_, task)| !task.is_known);
            unknown.map(|(task, _)| *task).collect()
        };
        for task in tasks {
            // Where it is stopped for us it is not blocked.
            let sleeps =
                || who::state(task.unsigned_abs()).is_some_and(|state| "SD".contains(state));
            let blocked = proc::syscall(task).filter(|(number, _)| !is_a_wait(*number));
            let blocked = blocked.filter(|_| sleeps());
            let now = clock();
            let mut state = self.state();
            let Some(known) = state.tasks.get_mut(&task).filter(|task| !task.is_known) else {
                continue;
            };
            let process = known.process;
            let over = match (&mut known.sample, blocked) {
                (Some(sample), Some((number, args)))
                    if sample.number == number && sample.args == args =>
                {
                    sample.end = now;
                    continue;
                }
                (sample, blocked) => std::mem::replace(
                    sample,
                    blocked.map(|(number, args)| Sample {
                        task,
                        process,
                        name: name_of(task, number, args),
                        begin: now,
                        end: now,
                        number,
                        args,
                    }),
                ),
            };
            state.samples.extend(over);
        }
    }

    fn say_who_is_left(&self, program: &str) {
        let mut state = self.state();
        let long_ago = state.ended.is_some_and(|ended| ended.elapsed() > PATIENCE);
        if long_ago && !state.said && !state.tasks.is_empty() {
            state.said = true;
            let left = processes(&state).len();
            let (what, them) = match left {
                1 => ("1 process of it goes".to_owned(), "it"),
                _ => (format!("{left} processes of it go"), "them"),
            };
            drop(state);
            complain(format_args!(
                "{program} has ended, but {what} on: Ctrl-C ends {them}"
            ));
        }
    }

    /// Passes signals on to the program, in a thread that ends with this process. Those
    /// of the terminal's keys it has got itself. When it has ended, they end what is left
    /// of it, and when nothing is left, this process.
    ///
    /// # Errors
    /// When the system has no thread or no file for it.
    pub fn pass_signals_on(&self, signals: &SigSet, first: i32) -> Result<()> {
        let signals = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC);
        let signals = signals.context("failed to wait for signals")?;
        let alive = self.clone();
        let pass_on = move || {
            while let Ok(Some(signal)) = signals.read_signal() {
                let from_process = signal.ssi_code <= 0;
                let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
                if alive.state().ended.is_some() {
                    alive.kill_all(number);
                }
                // The end of a terminal is told to the leader of its session alone.
                if let Ok(signal) = Signal::try_from(number)
                    && (from_process || signal == Signal::SIGHUP)
                {
                    let _ = kill(Pid::from_raw(first), signal);
                }
            }
        };
        let thread = thread::Builder::new().name("signals".to_owned());
        thread.spawn(pass_on).context("failed to start a thread")?;
        Ok(())
    }

    /// Kills them until the tracer has found that none is left. If there is none, it is
    /// writing, and the signal ends this process.
    fn kill_all(&self, signal: i32) {
        if self.state().is_over {
            exit_now(128 + signal);
        }
        while !self.state().is_over {
            for process in processes(&self.state()) {
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            sleep(PERIOD);
        }
    }
}

fn processes(state: &State) -> BTreeSet<i32> {
    state.tasks.values().map(|task| task.process).collect()
}

/// `read: pipe`, by the numbers of this architecture.
fn name_of(task: i32, number: c_long, args: [u64; 6]) -> String {
    const FILES: &[(c_long, &str)] = &[
        (libc::SYS_read, "read"),
        (libc::SYS_readv, "read"),
        (libc::SYS_pread64, "read"),
        (libc::SYS_write, "write"),
        (libc::SYS_writev, "write"),
        (libc::SYS_pwrite64, "write"),
        (libc::SYS_recvfrom, "receive"),
        (libc::SYS_recvmsg, "receive"),
        (libc::SYS_sendto, "send"),
        (libc::SYS_sendmsg, "send"),
        (libc::SYS_accept, "accept"),
        (libc::SYS_accept4, "accept"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_flock, "flock"),
        (libc::SYS_fcntl, "lock of"),
        (libc::SYS_fsync, "fsync"),
        (libc::SYS_fdatasync, "fsync"),
        (libc::SYS_ioctl, "ioctl"),
        (libc::SYS_splice, "splice"),
    ];
    const OTHERS: &[(c_long, &str)] = &[
        (libc::SYS_clone, "vfork"),
        (libc::SYS_clone3, "vfork"),
        (libc::SYS_execve, "execve"),
        (libc::SYS_exit_group, "exit"),
        (libc::SYS_openat, "open"),
        (libc::SYS_rt_sigsuspend, "sigsuspend"),
        (libc::SYS_msgrcv, "message queue"),
        (libc::SYS_mq_timedreceive, "message queue"),
        (libc::SYS_semop, "semaphore"),
        (libc::SYS_semtimedop, "semaphore"),
        (libc::SYS_futex_waitv, "lock or condition"),
        (libc::SYS_mmap, "memory"),
        (libc::SYS_munmap, "memory"),
        (libc::SYS_madvise, "memory"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_vfork, "vfork"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_pause, "pause"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, "open"),
    ];
    let find = |names: &[(c_long, &'static str)]| {
        let name = names.iter().find(|(known, _)| *known == number);
        name.map(|(_, name)| *name)
    };
    let name = match (find(FILES), find(OTHERS)) {
        (Some(name), _) => match proc::file(task, args[0]) {
            Some(file) => format!("{name} {file}"),
            None => name.to_owned(),
        },
        (None, Some(name)) => name.to_owned(),
        (None, None) => format!("system call {number}"),
    };
    format!("{name} (sampled)")
}
