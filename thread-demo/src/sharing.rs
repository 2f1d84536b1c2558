//! What the threads of a process share and what each has for itself; and the same for a
//! child process. (notes 17, 26)
//!
//! cargo run -p thread-demo -- sharing --value 7
//!
//! To copy: examples/sharing.rs, a static beside a thread-local.

#[cfg(unix)]
use nix::{
    libc,
    sys::signal::{SigSet, Signal},
    sys::wait::waitpid,
};
#[cfg(unix)]
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::{fact, require};
use shared_core::{Context, Result, check, report, waiting};
use std::cell::Cell;
#[cfg(unix)]
use std::fs::File;
#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::{env, thread};

/// Threads share what a child process has copies of
///
/// A child process and then a thread change all that they can reach: what does the first
/// thread see of it? Threads share the memory of their process, its open files and its
/// working directory; each has a stack, thread-locals, errno and a signal mask of its
/// own (pthreads(7)). A child process begins with a copy of everything, at the same
/// addresses, and changes its copy (fork(2)). In safe Rust the compiler refuses what
/// threads would share unprotected: these values are atomic.
///
/// Try: cargo run -p thread-demo -- sharing --value 7
#[derive(clap::Args)]
pub struct Options {
    /// What the others change the values to (2 to 99)
    #[arg(long, default_value_t = 2, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(2..=99))]
    value: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "A static value is 1. A thread changes it to {value}. What does the first thread \
               read then?",
        choices: &[],
        fact: "static_after_thread",
        is_a_race: false,
    },
    Question {
        text: "And when a thread-local value is changed by the other thread?",
        choices: &[],
        fact: "thread_local_after_thread",
        is_a_race: false,
    },
];

static STATIC: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static THREAD_LOCAL: Cell<u32> = const { Cell::new(1) };
}

pub fn run(options: &Options) -> Result<()> {
    let Options { value } = *options;
    let mine = Arc::new(Things::new()?);
    let at_first = mine.values();

    // A child process begins with a copy of all that, and changes its copy.
    #[cfg(unix)]
    let after_child = {
        let start = about_to_fork("child")?; // alone in this process; no child slips out
        // SAFETY: this process has one thread, so no lock and no piece of the heap can
        // be half-changed in the child's copy.
        let mut child = match unsafe { libc::fork() } {
            0 => start.in_child(|| mine.change("child", &value)),
            -1 => return Err(io::Error::last_os_error()).context("fork"),
            pid => start.made(pid),
        };
        let reaping = waiting!("waitpid");
        child.reap(|pid| waitpid(pid, None))?;
        reaping.end();
        mine.values()
    };
    #[cfg(not(unix))]
    let after_child = at_first.clone(); // without fork there is no copy

    // A thread is in the same process.
    let theirs = mine.clone();
    let thread = thread::Builder::new().name("thread".to_owned());
    let thread = thread.spawn(move || theirs.change("thread", &value));
    let thread = thread.context("failed to start a thread")?;
    let joining = waiting!("join");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    joining.end();
    let after_thread = mine.values();

    let addresses = mine.addresses(&value);
    let _ = env::set_current_dir(&mine.directory); // for what is written at the end
    judge([&at_first, &after_child, &after_thread], &addresses);
    Ok(())
}

/// What the first thread has, and others may change.
struct Things {
    heap: AtomicU32,
    directory: PathBuf,
    #[cfg(unix)]
    descriptor: RawFd,
}

/// What was seen, by name.
type Seen = Vec<(&'static str, String)>;

impl Things {
    fn new() -> Result<Self> {
        let directory = env::current_dir().context("failed to find the working directory")?;
        Ok(Self {
            heap: AtomicU32::new(1),
            directory,
            #[cfg(unix)]
            descriptor: File::open("/")?.into_raw_fd(),
        })
    }

    /// What runs in the child, and in the thread: all that can be changed is changed.
    fn change(&self, who: &str, value: &u32) -> i32 {
        self.heap.store(*value, SeqCst);
        STATIC.store(*value, SeqCst);
        THREAD_LOCAL.set(*value);
        let _ = env::set_current_dir(elsewhere(&self.directory));
        #[cfg(unix)]
        {
            // SAFETY: this number belongs to nobody else, and nobody uses it after this.
            unsafe { libc::close(self.descriptor) };
            let _ = SigSet::from(Signal::SIGUSR2).thread_block();
        }
        report!("I have changed what I have");
        for (name, value) in self.values() {
            fact(format_args!("{who}_has_{name}"), value);
        }
        for (name, address) in self.addresses(value) {
            fact(format_args!("{who}_{name}_at"), address);
        }
        0
    }

    /// What the calling thread sees of it.
    fn values(&self) -> Seen {
        let directory = env::current_dir().unwrap_or_default();
        vec![
            ("heap", self.heap.load(SeqCst).to_string()),
            ("static", STATIC.load(SeqCst).to_string()),
            ("directory", directory.display().to_string()),
            #[cfg(unix)]
            ("descriptor", descriptor_state(self.descriptor)),
            ("thread_local", THREAD_LOCAL.get().to_string()),
            #[cfg(unix)]
            ("signal_mask", signal_mask()),
        ]
    }

    /// Where it has that.
    fn addresses(&self, on_the_stack: &u32) -> Seen {
        #[cfg(target_os = "linux")]
        // SAFETY: the call takes nothing, and always succeeds.
        let errno = unsafe { libc::__errno_location() };
        vec![
            ("heap", format!("{:p}", &raw const self.heap)),
            ("static", format!("{:p}", &raw const STATIC)),
            ("stack", format!("{on_the_stack:p}")),
            (
                "thread_local",
                THREAD_LOCAL.with(|it| format!("{:p}", &raw const *it)),
            ),
            #[cfg(target_os = "linux")]
            ("errno", format!("{errno:p}")),
        ]
    }
}

// A first reading may skip the rest.

/// Another folder than this one.
fn elsewhere(directory: &Path) -> PathBuf {
    let root = directory.ancestors().last().unwrap_or(directory);
    if directory == root {
        env::temp_dir()
    } else {
        root.to_owned()
    }
}

#[cfg(unix)]
fn descriptor_state(descriptor: RawFd) -> String {
    // SAFETY: the number is only asked after, whether it is open or not.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let open = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_GETFD).is_ok();
    ["closed", "open"][usize::from(open)].to_owned()
}

#[cfg(unix)]
fn signal_mask() -> String {
    let blocked = SigSet::thread_get_mask().is_ok_and(|mask| mask.contains(Signal::SIGUSR2));
    ["empty", "SIGUSR2"][usize::from(blocked)].to_owned()
}

/// Those of the things that threads share; the others each has for itself.
const SHARED: [&str; 4] = ["heap", "static", "directory", "descriptor"];

fn judge([first, child, thread]: [&Seen; 3], addresses: &Seen) {
    let last = |text: &str, most: usize| {
        let length = text.chars().count();
        let end: String = text.chars().skip(length.saturating_sub(most - 1)).collect();
        if length > most {
            format!("…{end}")
        } else {
            text.to_owned()
        }
    };
    let row = |name: &str, [a, b, c]: [&str; 3]| {
        let [a, b, c] = [a, b, c].map(|text| last(text, 7));
        report!("{:<12} {a:>7} {b:>7} {c:>7}", name.replace('_', " "));
    };
    let told = |who: &str, what: &str| {
        let told = require(&format!("{who}_{what}"));
        told.as_str().unwrap_or_default().to_owned()
    };
    // Without fork nobody tells.
    let of_child = |what: &str| {
        if cfg!(unix) {
            told("child", what)
        } else {
            "-".to_owned()
        }
    };

    report!("What I have: at first, after the");
    row("", ["", "child", "thread"]);
    for (((name, first), (_, child)), (_, thread)) in first.iter().zip(child).zip(thread) {
        row(name, [first, if cfg!(unix) { child } else { "-" }, thread]);
        fact(format_args!("{name}_after_thread"), thread.as_str());
    }
    report!("Where we have it: I, the");
    row("", ["", "child", "thread"]);
    let mut elsewhere = Vec::new();
    for (name, mine) in addresses {
        let at = format!("{name}_at");
        let (of_child, of_thread) = (of_child(&at), told("thread", &at));
        row(name, [mine, &of_child, &of_thread]);
        if of_thread != *mine {
            elsewhere.push(*name);
        }
    }

    let changed = |who: &str| {
        let of = first
            .iter()
            .map(|(name, _)| (*name, told(who, &format!("has_{name}"))));
        of.collect::<Seen>()
    };
    let all_other = |seen: &Seen| seen.iter().zip(first).all(|(a, b)| a != b);
    let (thread_has, others) = (changed("thread"), "all other than mine at first");
    check!(
        "the thread had changed everything that it had",
        values(&thread_has, |_| true),
        all_other(&thread_has),
        others
    );
    check!(
        "what threads share it had changed for me, too",
        values(thread, is_shared),
        values(&thread_has, is_shared)
    );
    check!(
        "what each thread has for itself it had not",
        values(thread, |name| !is_shared(name)),
        values(first, |name| !is_shared(name))
    );
    let own = addresses.iter().map(|(name, _)| *name);
    check!(
        "stack, thread-locals and errno the thread has elsewhere",
        elsewhere,
        own.filter(|name| !is_shared(name)).collect::<Vec<_>>()
    );
    if cfg!(unix) {
        let child_has = changed("child");
        check!(
            "the child had changed everything that it had",
            values(&child_has, |_| true),
            all_other(&child_has),
            others
        );
        check!(
            "it had changed nothing for me",
            values(child, |_| true),
            values(first, |_| true)
        );
        let same = addresses
            .iter()
            .map(|(name, _)| told("child", &format!("{name}_at")));
        check!(
            "its copies were at the same addresses",
            same.collect::<Vec<_>>(),
            values(addresses, |_| true)
        );
    }
}

fn is_shared(name: &str) -> bool {
    SHARED.contains(&name)
}

fn values(seen: &Seen, of: impl Fn(&str) -> bool) -> Vec<String> {
    let of = seen.iter().filter(|(name, _)| of(name));
    of.map(|(_, value)| value.clone()).collect()
}
