//! From ptrace's stops to what the kernel did: who was made, executed a program,
//! called, returned, ended.

use super::calls::Call;
use super::ptrace::{self, Change, Syscall, Until, go_on, listen};
use super::{memory, proc};
use nix::libc;
use nix::sys::ptrace::getevent;
use nix::unistd::Pid;
use shared_core::report::clock;
use shared_core::{Context, Result, who};
use std::collections::{HashMap, HashSet};

/// One thing that was seen. Tasks are processes, by their PID, or threads, by their TID.
#[derive(Debug)]
pub enum Seen {
    /// A task was made.
    Made(Made),
    /// A process executes another program. Of its threads only the one goes on that
    /// called execve, as its main thread.
    Executes {
        process: i32,
        former: i32,
    },
    Calls {
        task: i32,
        call: Call,
    },
    /// What the last call of this task has returned, negative for an error; and the child
    /// that it reaped, 0 where the kernel gave no number that we know.
    Returns {
        task: i32,
        value: i64,
        reaped: Option<i32>,
    },
    /// A signal has stopped the process of this task.
    Stops {
        task: i32,
        signal: i32,
    },
    GoesOn {
        task: i32,
    },
    Ends {
        task: i32,
        end: End,
    },
    /// A process that had ended has become ours, as its parent did not reap it.
    LeftBehind {
        process: i32,
    },
}

/// Who was made by whom.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    pub task: i32,
    /// Whose thread it is; itself if it is a process.
    pub process: i32,
    pub by: i32,
    pub how: How,
    /// Where the kernel wakes those who wait for its end (set_tid_address(2)).
    pub end_at: Option<u64>,
}

/// How a task was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Fork,
    Vfork,
    Clone,
    /// Its maker was killed before it could tell.
    Unknown,
}

/// How a task ended: with this status, or by this signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

/// What is known of a task that is alive.
struct Task {
    process: i32,
    /// The call that is to return.
    call: Option<Call>,
    stopped: bool,
}

impl Task {
    fn of(process: i32) -> Self {
        Self {
            process,
            call: None,
            stopped: false,
        }
    }
}

/// Who follows the tasks.
pub struct Tracer {
    tasks: HashMap<i32, Task>,
    /// Tasks that are there, but that nobody has said to have made; and the process that
    /// did.
    early: HashMap<i32, i32>,
    /// Those that had ended by then.
    ended_early: HashMap<i32, End>,
    /// Processes that have ended, and that nobody was seen to reap.
    unreaped: HashSet<i32>,
}

impl Tracer {
    /// One that follows `first`, and all that will come from it.
    pub fn of(first: i32) -> Self {
        Self {
            tasks: HashMap::from([(first, Task::of(first))]),
            early: HashMap::new(),
            ended_early: HashMap::new(),
            unreaped: HashSet::new(),
        }
    }

    /// Follows them until the last one has ended. `see` is told what is seen, and when
    /// the clock showed what.
    ///
    /// # Errors
    /// When ptrace or wait fails.
    pub fn follow(mut self, mut see: impl FnMut(i64, Seen)) -> Result<()> {
        let mut changes = Vec::new();
        let wait = |waits| ptrace::wait(waits).context("failed to wait for the program");
        // When the last one has ended there may be zombies, and children that we had before.
        while let Some(first) = wait(!self.tasks.is_empty() || !self.early.is_empty())? {
            changes.push((clock(), first));
            // The kernel tells of the oldest task first: if that were let go on at once, a
            // busy one would keep us from hearing of the others.
            while let Some(next) = wait(false)? {
                changes.push((clock(), next));
            }
            for (now, (task, change)) in changes.drain(..) {
                self.on(task, change, &mut |what| see(now, what))
                    .with_context(|| format!("failed to follow {task}"))?;
            }
        }
        Ok(())
    }

    fn on(&mut self, task: i32, change: Change, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        match change {
            Change::Exited(status) => self.ends(task, End::Exited(status), see),
            Change::Killed(signal) => self.ends(task, End::Killed(signal), see),
            _ if !self.tasks.contains_key(&task) => {
                if let Some((process, parent)) = proc::process_and_parent(task) {
                    let maker = if process == task { parent } else { process };
                    self.early.insert(task, maker);
                }
                Ok(())
            }
            Change::Signal(signal) => go_on(task, self.until(task), signal),
            Change::Stopped(signal) => {
                listen(task)?;
                if let Some(known) = self.tasks.get_mut(&task) {
                    known.stopped = true;
                }
                see(Seen::Stops { task, signal });
                Ok(())
            }
            Change::There => {
                let known = self.tasks.get_mut(&task);
                let was_stopped = known.is_some_and(|known| std::mem::take(&mut known.stopped));
                if was_stopped {
                    see(Seen::GoesOn { task });
                }
                go_on(task, self.until(task), 0)
            }
            Change::Returns => self.returns(task, see),
            Change::Event(event) => match event {
                libc::PTRACE_EVENT_FORK => self.makes(task, How::Fork, see),
                libc::PTRACE_EVENT_VFORK => self.makes(task, How::Vfork, see),
                libc::PTRACE_EVENT_CLONE => self.makes(task, How::Clone, see),
                libc::PTRACE_EVENT_EXEC => self.executes(task, see),
                libc::PTRACE_EVENT_SECCOMP => self.calls(task, see),
                _ => go_on(task, self.until(task), 0),
            },
        }
    }

    /// How far it goes: what waits for a return is stopped there.
    fn until(&self, task: i32) -> Until {
        let call = self.tasks.get(&task).and_then(|task| task.call.as_ref());
        if call.is_some() {
            Until::Return
        } else {
            Until::Event
        }
    }

    fn makes(&mut self, by: i32, how: How, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        let made = message(by).filter(|task| !self.tasks.contains_key(task));
        let Some(task) = made else {
            return go_on(by, self.until(by), 0); // it was killed meanwhile
        };
        let maker = self.tasks.get(&by).map_or(by, |by| by.process);
        // What fork makes is a child of its maker. Others are what the flags say.
        let (process, parent) = match how {
            How::Fork => (task, maker),
            _ => proc::process_and_parent(task).unwrap_or((task, maker)),
        };
        let is_thread = process != task;
        let end_at = if is_thread { end_at(by) } else { None };
        let by_task = if is_thread || parent == maker {
            by
        } else {
            parent
        };
        self.knows(task, process)?;
        see(Seen::Made(Made {
            task,
            process,
            by: by_task,
            how,
            end_at,
        }));
        if let Some(end) = self.ended_early.remove(&task) {
            self.ends(task, end, see)?;
        }
        go_on(by, self.until(by), 0)
    }

    /// From here on this task is followed.
    fn knows(&mut self, task: i32, process: i32) -> nix::Result<()> {
        self.tasks.insert(task, Task::of(process));
        if self.early.remove(&task).is_some() {
            go_on(task, Until::Event, 0)?;
        }
        Ok(())
    }

    fn executes(&mut self, process: i32, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        let former = message(process).unwrap_or(process);
        self.tasks.remove(&former);
        self.tasks
            .retain(|task, known| known.process != process || *task == process);
        // The call that the thread was in was execve: it has not returned.
        self.tasks.insert(process, Task::of(process));
        see(Seen::Executes { process, former });
        go_on(process, Until::Event, 0)?;
        // The threads that are gone may have been making others.
        self.adopt(|maker| maker == process, process, see)
    }

    fn calls(&mut self, task: i32, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        let call = match ptrace::syscall(task) {
            Ok(Some(Syscall::Enters { number, args })) => Call::of(task, number, args),
            _ => None,
        };
        let returns = !matches!(call, None | Some(Call::Name(_) | Call::Trace));
        let until = if returns { Until::Return } else { Until::Event };
        go_on(task, until, 0)?;
        if let Some(known) = self.tasks.get_mut(&task) {
            known.call = call.clone().filter(|_| returns);
        }
        if let Some(call) = call {
            see(Seen::Calls { task, call });
        }
        Ok(())
    }

    fn returns(&mut self, task: i32, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        let Ok(Some(Syscall::Returns(value))) = ptrace::syscall(task) else {
            return go_on(task, self.until(task), 0);
        };
        let call = self.tasks.get_mut(&task).and_then(|task| task.call.take());
        let reaped = call.and_then(|call| call.reaped(task, value));
        go_on(task, Until::Event, 0)?;
        if let Some(reaped) = reaped {
            self.unreaped.remove(&reaped);
        }
        see(Seen::Returns {
            task,
            value,
            reaped,
        });
        Ok(())
    }

    fn ends(&mut self, task: i32, end: End, see: &mut dyn FnMut(Seen)) -> nix::Result<()> {
        self.early.remove(&task);
        if let Some(known) = self.tasks.remove(&task) {
            if known.process == task {
                self.unreaped.insert(task);
            }
            see(Seen::Ends { task, end });
        } else if self.unreaped.remove(&task) {
            see(Seen::LeftBehind { process: task });
        } else {
            self.ended_early.insert(task, end);
        }
        let alive: HashSet<i32> = match self.early.len() {
            0 => return Ok(()),
            _ => self.tasks.values().map(|task| task.process).collect(),
        };
        self.adopt(|maker| !alive.contains(&maker), task, see)
    }

    /// Takes those on whose maker cannot tell any more, as `is_gone` says of its process: it
    /// ended in the middle of fork, or another of its threads has executed a program.
    fn adopt(
        &mut self,
        is_gone: impl Fn(i32) -> bool,
        last: i32,
        see: &mut dyn FnMut(Seen),
    ) -> nix::Result<()> {
        let orphans = self.early.iter().filter(|(_, maker)| is_gone(**maker));
        let orphans: Vec<(i32, i32)> = orphans.map(|(task, maker)| (*task, *maker)).collect();
        for (task, maker) in orphans {
            let Some((process, _)) = proc::process_and_parent(task) else {
                continue; // it was killed meanwhile
            };
            self.knows(task, process)?;
            let was_known = maker != who::pid().cast_signed();
            see(Seen::Made(Made {
                task,
                process,
                by: if was_known { maker } else { last },
                how: How::Unknown,
                end_at: None,
            }));
        }
        Ok(())
    }
}

/// What ptrace has to say of the event that a task stopped at: a PID or a TID.
fn message(task: i32) -> Option<i32> {
    i32::try_from(getevent(Pid::from_raw(task)).ok()?).ok()
}

/// Where the kernel writes when the thread ends that `maker` has just made by clone(2)
/// or clone3(2), which are not over yet.
fn end_at(maker: i32) -> Option<u64> {
    /// In the arguments of clone; on x86 the pointer to the thread's storage is the last.
    const CHILD_TID: usize = if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        3
    } else {
        4
    };
    let (number, args) = proc::syscall(maker)?;
    let (flags, address) = if number == libc::SYS_clone3 {
        // struct clone_args: flags, pidfd, child_tid, …
        let word = |index: u64| memory::word(maker, args[0] + 8 * index);
        (word(0)?, word(2)?)
    } else {
        (args[0], args[CHILD_TID])
    };
    let clears = flags & u64::from(libc::CLONE_CHILD_CLEARTID.unsigned_abs()) != 0;
    clears.then_some(address)
}
