//! The system calls at which a program is stopped for a moment: those that wait, and
//! those that write to stdout and stderr. All others run at full speed, for a seccomp
//! filter in the kernel tells them apart (seccomp(2)).

use super::memory;
use super::proc::visible;
use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use shared_core::{Context, Result};

/// What a task asks of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// To wait for a child, this one or any (wait(2)); or only to look whether one has
    /// ended. `told` is where the kernel says how the child ended.
    Child {
        pid: i32,
        only_looks: bool,
        told: Told,
    },
    /// To wait at this address: for a lock, a condition, a thread's end (futex(2)).
    Futex { address: u64 },
    /// To wait for a time, or for files, for a time at most.
    Wait(&'static str),
    /// To go on with what a stop has interrupted (restart_syscall(2)).
    Again,
    /// To write these bytes, or at least the first of them, to stdout (1) or stderr (2).
    Write { stream: u64, bytes: Vec<u8> },
    /// To be called something else (prctl(2)).
    Name(String),
    /// To be a tracer itself, or to be traced by another (ptrace(2)).
    Trace,
}

/// Where the kernel says how a child ended: at an address, or nowhere if that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// As a status of wait4(2).
    Status(u64),
    /// As the siginfo of waitid(2).
    Info(u64),
    /// The child stays a zombie (WNOWAIT).
    NotReaped,
}

/// The kind of a call, by its number.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Wait4,
    Waitid,
    Futex,
    Wait(&'static str),
    Again,
    Write,
    Writev,
    Name,
    Trace,
}

/// The calls and their kinds; newer architectures have fewer of them.
const CALLS: &[(c_long, Kind)] = &[
    (libc::SYS_wait4, Kind::Wait4),
    (libc::SYS_waitid, Kind::Waitid),
    (libc::SYS_futex, Kind::Futex),
    (libc::SYS_nanosleep, Kind::Wait("sleep")),
    (libc::SYS_clock_nanosleep, Kind::Wait("sleep")),
    (libc::SYS_ppoll, Kind::Wait("poll")),
    (libc::SYS_pselect6, Kind::Wait("select")),
    (libc::SYS_epoll_pwait, Kind::Wait("epoll")),
    (libc::SYS_epoll_pwait2, Kind::Wait("epoll")),
    (libc::SYS_rt_sigtimedwait, Kind::Wait("sigwait")),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, Kind::Wait("poll")),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, Kind::Wait("select")),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, Kind::Wait("epoll")),
    (libc::SYS_restart_syscall, Kind::Again),
    (libc::SYS_write, Kind::Write),
    (libc::SYS_writev, Kind::Writev),
    (libc::SYS_prctl, Kind::Name),
    (libc::SYS_ptrace, Kind::Trace),
];

/// The operations of futex(2) that wait, without their flags.
const FUTEX_WAITS: [i32; 5] = [
    libc::FUTEX_WAIT,
    libc::FUTEX_WAIT_BITSET,
    libc::FUTEX_LOCK_PI,
    libc::FUTEX_LOCK_PI2,
    libc::FUTEX_WAIT_REQUEUE_PI,
];
const FUTEX_OPERATION: u64 = 0x7f;

/// The filter, as a program for the kernel.
///
/// # Errors
/// When there is none for this architecture.
pub fn filter() -> Result<BpfProgram> {
    let here = std::env::consts::ARCH.try_into();
    let rules = CALLS
        .iter()
        .map(|(number, kind)| Ok((*number, rules(*kind)?)));
    let filter = SeccompFilter::new(
        rules.collect::<Result<_>>()?,
        SeccompAction::Allow,
        SeccompAction::Trace(0),
        here.context("watch does not know this architecture")?,
    )?;
    let mut program = BpfProgram::try_from(filter)?;
    // It would kill a program of another architecture, of 32 bits say. Such a one runs
    // as it is, and its waiting is not seen.
    let foreign = program.get_mut(2);
    let foreign = foreign.filter(|step| step.k == libc::SECCOMP_RET_KILL_PROCESS);
    let foreign = foreign.context("the filter does not begin as it should")?;
    foreign.k = libc::SECCOMP_RET_ALLOW;
    Ok(program)
}

/// When a call of this kind is of interest: always if there is no rule.
fn rules(kind: Kind) -> Result<Vec<SeccompRule>> {
    let argument_is = |number, how, value: i32| {
        let value = u64::from(value.unsigned_abs());
        let condition = SeccompCondition::new(number, Dword, how, value)?;
        Ok(SeccompRule::new(vec![condition])?)
    };
    let equal = SeccompCmpOp::Eq;
    match kind {
        Kind::Write | Kind::Writev => [1, 2]
            .map(|fd| argument_is(0, equal.clone(), fd))
            .into_iter()
            .collect(),
        Kind::Futex => {
            let masked = SeccompCmpOp::MaskedEq(FUTEX_OPERATION);
            FUTEX_WAITS
                .map(|operation| argument_is(1, masked.clone(), operation))
                .into_iter()
                .collect()
        }
        Kind::Name => Ok(vec![argument_is(0, equal, libc::PR_SET_NAME)?]),
        _ => Ok(Vec::new()),
    }
}

/// Whether it is known without looking when a call with this number waits.
pub fn is_a_wait(number: c_long) -> bool {
    let kind = CALLS.iter().find(|(known, _)| *known == number);
    kind.is_some_and(|(_, kind)| !kind.writes())
}

impl Kind {
    /// A write may wait, but mostly does not.
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Writev)
    }
}

impl Call {
    /// Whether it is made in order to wait.
    pub fn waits(&self) -> bool {
        match self {
            Self::Child { .. } | Self::Futex { .. } | Self::Wait(_) | Self::Again => true,
            Self::Write { .. } | Self::Name(_) | Self::Trace => false,
        }
    }

    /// The child that this call, which has returned `value`, has reaped: 0 if the kernel
    /// does not tell which.
    pub fn reaped(&self, task: i32, value: i64) -> Option<i32> {
        /// After si_signo and si_errno, and after a gap (sigaction(2)).
        const SI_CODE: u64 = 8;
        const SI_PID: u64 = 16;
        let Self::Child {
            pid,
            only_looks,
            told,
        } = self
        else {
            return None;
        };
        match *told {
            Told::Status(address) if value > 0 => {
                let status = memory::int(task, address);
                let goes_on = |status| libc::WIFSTOPPED(status) || libc::WIFCONTINUED(status);
                let reaped = i32::try_from(value).ok();
                reaped.filter(|_| !status.is_some_and(goes_on))
            }
            Told::Info(address) if value == 0 => {
                let there = |offset| memory::int(task, address.checked_add(offset)?);
                match there(SI_CODE).zip(there(SI_PID)) {
                    Some((_, 0)) => None, // none had ended
                    Some((libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED, pid)) => {
                        Some(pid)
                    }
                    Some(_) => None, // it was stopped, or goes on
                    None => (!only_looks).then_some((*pid).max(0)),
                }
            }
            _ => None,
        }
    }

    /// What the call means, which a stopped task is about to make: what it points to
    /// is read from the task's memory.
    pub fn of(task: i32, number: c_long, args: [u64; 6]) -> Option<Self> {
        let (_, kind) = CALLS.iter().find(|(known, _)| *known == number)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an int is the lower half of a register"
        )]
        let int = |index: usize| args[index] as i32;
        let looks = |options: i32| options & libc::WNOHANG != 0;
        Some(match kind {
            Kind::Wait4 => Self::Child {
                pid: int(0),
                only_looks: looks(int(2)),
                told: Told::Status(args[1]),
            },
            Kind::Waitid => Self::Child {
                pid: if int(0) == libc::P_PID.cast_signed() {
                    int(1)
                } else {
                    -1
                },
                only_looks: looks(int(3)),
                told: if int(3) & libc::WNOWAIT == 0 {
                    Told::Info(args[2])
                } else {
                    Told::NotReaped
                },
            },
            Kind::Futex => Self::Futex { address: args[0] },
            Kind::Wait(what) => Self::Wait(what),
            Kind::Again => Self::Again,
            Kind::Write => Self::Write {
                stream: args[0],
                bytes: memory::read(task, args[1], args[2]),
            },
            Kind::Writev => Self::Write {
                stream: args[0],
                bytes: memory::read_all(task, args[1], args[2]),
            },
            Kind::Name => Self::Name(visible(&memory::text(task, args[1], 16))),
            Kind::Trace => Self::Trace,
        })
    }
}
