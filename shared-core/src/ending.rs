//! The list of children and the end of a run: no child outlives it, however it
//! ends. A signal handler comes here, so there are atomics only: no lock, no
//! heap.
//!
//! A child is on the list from the moment it exists, as far as an ending run
//! can see: it does not end while a child is being made.

/// What the state is made of; a model takes others.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}
mod state;

use crate::platform::{self, Output, each_child, kill_and_reap};
pub use crate::platform::{exit_now, ignores_ctrl_c};
use anyhow::{Result, ensure};
use state::State;
use std::cell::Cell;
use std::io;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// How many children the list holds at one time: more than any lesson makes.
pub const MOST_CHILDREN: usize = 1024;

/// One place a child: its PID, 0 while it is being made, and above it the number
/// of the place's present owner. So who was forgotten here, having been
/// reaped behind our back, cannot be taken for the next one with the same PID.
static PLACES: [AtomicU64; MOST_CHILDREN] = [const { AtomicU64::new(0) }; MOST_CHILDREN];
static OWNERS: AtomicU32 = AtomicU32::new(0);

static STATE: State = State(AtomicU64::new(0));
static FIRST_PROCESS: AtomicU32 = AtomicU32::new(0);
/// Children that this process had when the run began: those of the shell that
/// executed it, say. They are none of ours.
static OLD_CHILDREN: OnceLock<Vec<i32>> = OnceLock::new();
/// The first signal is sent on to the children instead of ending them.
static SENDS_ON: AtomicBool = AtomicBool::new(false);
/// The signal that was sent on, 0 if none was.
static SENT_ON: AtomicI32 = AtomicI32::new(0);
/// What to say when a signal ends the run.
static LAST_WORDS: AtomicPtr<(Output, Vec<u8>)> = AtomicPtr::new(null_mut());

thread_local! {
    /// Whether this thread is making a child.
    static MAKING: Cell<bool> = const { Cell::new(false) };
}

/// Held while a child is made, from before fork or spawn until it is on the
/// list: in between the run does not end, so no child slips out of it.
#[derive(Debug)]
#[must_use = "hold it until the child is on the list"]
pub(crate) struct Starting(Place);

impl Starting {
    /// Never returns once the run is being ended.
    ///
    /// # Errors
    /// When the list is full.
    pub(crate) fn begin() -> Result<Self> {
        let place = Place::reserve();
        ensure!(
            place.is_some(),
            "there are {MOST_CHILDREN} children already, the most at one time"
        );
        if !STATE.begin() {
            park();
        }
        MAKING.set(true);
        Ok(Self(place.unwrap_or_else(|| unreachable!("ensured above"))))
    }

    /// Puts the child on the list.
    pub(crate) fn made(self, pid: i32) -> Place {
        let place = self.0.fill(pid);
        drop(self);
        place
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.empty(0); // it was not filled: no child was made
        MAKING.set(false);
        if let Some(status) = STATE.done() {
            finish(status);
        }
        park_if_ending();
    }
}

/// A child's place on the list: what was written there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    index: usize,
    owner: u32,
}

impl Place {
    fn reserve() -> Option<Self> {
        let owner = OWNERS.fetch_add(1, Relaxed).wrapping_add(1).max(1);
        let place = |index| Self { index, owner };
        (0..MOST_CHILDREN)
            .map(place)
            .find(|place| place.replace(0, place.content(0)))
    }

    fn fill(self, pid: i32) -> Self {
        // The PID is free again, so who had it was reaped behind our back.
        for place in &PLACES {
            let content = place.load(Acquire);
            if pid > 0 && pid_in(content) == pid {
                let _ = place.compare_exchange(content, 0, AcqRel, Relaxed);
            }
        }
        self.replace(self.content(0), self.content(pid));
        self
    }

    /// Whether it holds this child still.
    pub(crate) fn belongs_to(self, pid: i32) -> bool {
        PLACES[self.index].load(Acquire) == self.content(pid)
    }

    /// Gives the place up; `false` if it had been taken away.
    pub(crate) fn empty(self, pid: i32) -> bool {
        self.replace(self.content(pid), 0)
    }

    fn content(self, pid: i32) -> u64 {
        u64::from(self.owner) << 32 | u64::from(pid.cast_unsigned())
    }

    fn replace(self, old: u64, new: u64) -> bool {
        let place = &PLACES[self.index];
        place.compare_exchange(old, new, AcqRel, Relaxed).is_ok()
    }
}

/// The PID in a place, which is in its low half.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn pid_in(content: u64) -> i32 {
    (content as u32).cast_signed()
}

/// Whether this is the process with which the run began.
#[must_use]
pub fn is_first_process() -> bool {
    FIRST_PROCESS.load(Relaxed) == std::process::id()
}

/// Makes this the first process of a run: Ctrl-C, SIGTERM and SIGHUP end it, its
/// children and their orphans, with status 128 + signal: 130 for Ctrl-C. What it
/// was started to ignore among SIGINT and SIGHUP stays ignored.
pub(crate) fn begin_run() -> io::Result<()> {
    FIRST_PROCESS.store(std::process::id(), Relaxed);
    let mut old = Vec::new();
    each_child(|pid| old.push(pid));
    if old.is_empty() {
        platform::become_subreaper();
    } // else the orphans of the old children would come here too
    let _ = OLD_CHILDREN.set(old);
    platform::prepare_signals()?;
    // SAFETY: on_signal calls only async-signal-safe functions (waitpid, kill,
    // getpid, open, read, poll, write, _exit: signal-safety(7)), touches only
    // atomics, and leaves errno as it was when it returns.
    unsafe { platform::on_end_of_run(on_signal) }
}

/// From here on the first signal is sent on to the children, which end by
/// themselves; the second ends this process and them.
pub(crate) fn send_signals_on() {
    SENDS_ON.store(true, Relaxed);
}

/// From here on a signal ends this process again: there is no child to send it to.
pub(crate) fn end_at_signals() {
    SENDS_ON.store(false, Relaxed);
}

/// The signal that was sent on. It is sent once more, to a child that was not on
/// the list yet.
pub(crate) fn sent_on() -> Option<i32> {
    let signal = Some(SENT_ON.load(Relaxed)).filter(|signal| *signal != 0)?;
    send_on(signal);
    Some(signal)
}

fn send_on(signal: i32) {
    on_list().for_each(|pid| platform::send(pid, signal));
}

/// The PIDs of the children on the list.
fn on_list() -> impl Iterator<Item = i32> {
    let pids = PLACES.iter().map(|place| pid_in(place.load(Acquire)));
    pids.filter(|pid| *pid > 0)
}

/// What to write to stdout when a signal ends the run; `None`: nothing.
pub(crate) fn set_last_words(words: Option<(Output, Vec<u8>)>) {
    let words = words.map_or(null_mut(), |words| Box::into_raw(Box::new(words)));
    // The old ones are not freed: a handler may be reading them.
    LAST_WORDS.swap(words, AcqRel);
}

/// In a forked child, which has none of its parent's children and duties.
#[cfg(unix)]
pub(crate) fn forget_parents_children() {
    for place in &PLACES {
        place.store(0, Relaxed);
    }
    MAKING.set(false);
    STATE.0.store(0, Relaxed);
}

/// Kills and reaps all children on the list; in the first process on Linux also
/// those that the kernel knows besides: orphans, for whom it is the subreaper.
pub(crate) fn sweep() {
    for pid in on_list() {
        kill_and_reap(pid);
    }
    let Some(old) = OLD_CHILDREN.get().filter(|_| is_first_process()) else {
        return;
    };
    // Who is killed may leave orphans: once more, until there are none.
    let mut found = true;
    while std::mem::take(&mut found) {
        each_child(|pid| found |= !old.contains(&pid) && kill_and_reap(pid).is_some());
    }
    if old.is_empty() {
        platform::reap_zombies(); // where the kernel does not list children
    }
}

/// Ends the run with `status`: children are killed and reaped first. In another
/// process than the first it ends only that one, with its own children.
pub fn stop(status: i32) -> ! {
    let status = end(status);
    say_last_words(status);
    exit_now(status)
}

/// As [`stop`], but returns when no child is left and none can be made, with the
/// status of whoever ended the run first: for the end of `main`.
pub(crate) fn end(status: i32) -> i32 {
    let mut nobody_is_making = STATE.end(status);
    if MAKING.take() {
        // It is this thread that is making a child, and it will not come to it.
        nobody_is_making = STATE.done().is_some();
    }
    if is_first_process() && !nobody_is_making {
        park(); // who makes a child ends the run afterwards
    }
    sweep();
    STATE.status().unwrap_or(status)
}

/// Never returns once the run is being ended: a thread that finds its child
/// dead then has nothing to say about that, and nothing to do.
pub fn park_if_ending() {
    if STATE.status().is_some() {
        park();
    }
}

/// Another thread ends the run.
fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// Ends the run: nobody is making a child.
fn finish(status: i32) -> ! {
    sweep();
    say_last_words(status);
    exit_now(status)
}

fn say_last_words(status: i32) {
    // Those that signals end with: otherwise the reason was said elsewhere.
    if matches!(status, 129 | 130 | 143) {
        let words = LAST_WORDS.swap(null_mut(), AcqRel);
        // SAFETY: set_last_words made it from a Box that is never freed, and
        // the swap gave it to this thread alone.
        if let Some((output, words)) = unsafe { words.as_ref() } {
            output.write_if_ready(words);
        }
    }
}

extern "C" fn on_signal(signal: i32) {
    let errno = platform::errno();
    if is_first_process() {
        let is_first_signal = STATE.status().is_none();
        if SENDS_ON.swap(false, Relaxed) {
            SENT_ON.store(signal, Relaxed);
            // From a terminal they have it already. One that is ending does so
            // meanwhile, and is not reaped before this returns.
            if on_list().next().is_some() {
                platform::pause_100_ms();
            }
            send_on(signal);
        } else if STATE.end(128 + signal) {
            finish(STATE.status().unwrap_or(128 + signal));
        } else if !is_first_signal {
            // Whoever makes a child is stuck. It is given a little more time.
            for _ in 0..3 {
                if STATE.is_making() {
                    platform::pause_100_ms();
                }
            }
            finish(STATE.status().unwrap_or(128 + signal));
        }
    } else {
        platform::die_of(signal);
    }
    platform::set_errno(errno);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No PID of anybody: above what Linux allows (proc_sys_kernel(5)).
    const PID: i32 = 1 << 30;

    #[test]
    fn who_was_reaped_behind_our_back_is_not_taken_for_the_next_with_its_pid() {
        let place = || Place::reserve().expect("a place");
        let first = place().fill(PID);
        assert!(first.belongs_to(PID));
        let second = place().fill(PID);
        assert!(!first.belongs_to(PID) && second.belongs_to(PID));
        assert!(!first.empty(PID), "it has no place to give up");
        assert!(second.belongs_to(PID) && second.empty(PID));
        // The same place again, for the same PID.
        let third = place().fill(PID);
        assert!(!first.belongs_to(PID) && !second.belongs_to(PID));
        assert!(third.empty(PID));
    }
}
