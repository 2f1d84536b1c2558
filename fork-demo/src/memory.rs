//! After fork parent and child have the same variables at the same addresses, each
//! its own: what one writes the other does not see. A page is copied when one of
//! them first writes to it. (notes 6, 16)
//!
//! cargo run -p fork-demo -- memory --mib 64 --touch 50
//!
//! To copy: examples/memory.rs, one variable with two values at one address.

use crate::common::refused;
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::waitpid;
use shared_core::children::about_to_fork;
use shared_core::cli::Question;
use shared_core::report::require;
use shared_core::timing::{in_words, measure_in_turn};
use shared_core::{Context, Result, Value, check, fact, moment, report, span, waiting, who};
use std::fs::{File, read_to_string};
use std::io::{Read, Seek, SeekFrom};

/// fork() copies memory, but a page only when it is written to
///
/// Parent and child have the same variables at the same addresses, and yet a write in
/// one is not seen in the other: each has its own. The copy is lazy (copy-on-write):
/// fork() copies the page tables and marks the pages read-only; the first write to a
/// page is a page fault, in which the kernel copies that page (fork(2)). So fork()
/// takes the longer the bigger the page tables are.
///
/// Try: cargo run -p fork-demo -- memory --touch 100
///
/// Try: cargo run -p fork-demo -- memory --mib 256
#[derive(clap::Args)]
pub struct Options {
    /// How much memory the parent has filled, in MiB (1 to 1024)
    #[arg(long, default_value_t = 64, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    mib: u16,
    /// How much of it the child writes to, in percent (1 to 100)
    #[arg(long, default_value_t = 25, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    touch: u16,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "A variable is 1. After fork the child sets it to 2. What is it in the parent?",
        choices: &[],
        fact: "parent_value",
        is_a_race: false,
    },
    Question {
        text: "The child writes to {touch} percent of the memory. How much of it is copied?",
        choices: &["nothing", "what is written to", "all of it"],
        fact: "how_much_is_copied",
        is_a_race: false,
    },
];

pub fn run(options: &Options) -> Result<()> {
    turn_huge_pages_off();
    let mut memory = Memory::filled_with(1, options.mib.into())?;
    let written = memory.pages() * usize::from(options.touch) / 100;
    report!("{} pages, all filled with 1", memory.pages());

    let start = about_to_fork("child")?;
    // SAFETY: as in returns-twice: this process has one thread.
    match unsafe { libc::fork() } {
        0 => start.in_child(|| {
            look("before", &memory);
            let faults = page_faults();
            let writing = span!("write");
            // The same addresses as in the parent, from now on other memory.
            (0..written).for_each(|page| memory.write(page, 2));
            writing.end();
            let faults = page_faults() - faults;
            report!("page faults: {faults}");
            fact!("page_faults", faults);
            moment!("wrote 2");
            look("after", &memory);
            say_variable("child", &memory);
            0
        }),
        -1 => return Err(refused(Errno::last(), 0, 1)),
        child => {
            let mut child = start.made(child);
            let _wait = waiting!("waitpid");
            child.reap(|pid| waitpid(pid, None))?;
        }
    }
    say_variable("parent", &memory);
    drop(memory);

    show_what_fork_costs()?;
    judge(written);
    Ok(())
}

fn say_variable(whose: &str, memory: &Memory) {
    let (address, value) = memory.variable();
    report!("at {address}: {value}");
    fact!("{whose}_address", address);
    fact!("{whose}_value", value);
}

/// How many pages are this process's alone, and which: a picture of the memory.
fn look(when: &str, memory: &Memory) {
    let Some(own) = memory.own_pages() else {
        return report!("this system does not tell which pages are shared");
    };
    let cells = own.chunks(own.len().div_ceil(32));
    let sign = |cell: &[bool]| if cell.contains(&true) { '█' } else { '░' };
    let picture: String = cells.map(sign).collect();
    let count = own.iter().filter(|own| **own).count();
    report!("{picture}");
    report!("{when} writing: {count} pages copied");
    fact!("copied_{when}", count);
}

/// What a fork costs with little memory and with much.
fn show_what_fork_costs() -> Result<()> {
    report!("fork and wait, median of 20, on");
    report!("{}:", who::machine());
    for mib in [0, 16, 64] {
        let _span = span!("{mib} MiB");
        let memory = Memory::filled_with(1, mib)?;
        let [cost] = measure_in_turn(20, [&mut fork_and_wait])?;
        let tables = page_tables_kib();
        let kib = tables.map_or("?".to_owned(), |kib| kib.to_string());
        let time = in_words(cost.median);
        report!("{mib:>4} MiB, tables {kib:>4} KiB: {time}");
        fact!("fork_at_{mib}_mib_us", cost.median.as_secs_f64() * 1e6);
        fact!("page_tables", tables);
        drop(memory);
    }
    Ok(())
}

/// The child is on no list and in no picture, and needs neither: it ends at once.
fn fork_and_wait() -> Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        // SAFETY: _exit takes a number and does not return.
        0 => unsafe { libc::_exit(0) },
        -1 => Err(refused(Errno::last(), 0, 1)),
        child => {
            let child = nix::unistd::Pid::from_raw(child);
            waitpid(child, None).context("failed to wait for a child")?;
            Ok(())
        }
    }
}

// A first reading may skip the rest.

const MIB: usize = 1 << 20;
/// The smallest page there is; where pages are bigger, several writes go to one.
const PAGE: usize = 4096;

/// What the kernel tells of each page of this process (Linux).
const PAGEMAP: &str = "/proc/self/pagemap";

/// A piece of the heap, looked at page by page.
struct Memory(Vec<u8>);

impl Memory {
    fn filled_with(byte: u8, mib: usize) -> Result<Self> {
        let mut memory = Vec::new();
        let reserved = memory.try_reserve_exact(mib * MIB);
        reserved.with_context(|| format!("failed to reserve {mib} MiB"))?;
        memory.resize(mib * MIB, byte);
        Ok(Self(memory))
    }

    /// The first whole page.
    fn begin(&self) -> usize {
        self.0.as_ptr().align_offset(PAGE)
    }

    fn pages(&self) -> usize {
        (self.0.len() - self.begin()) / PAGE
    }

    fn write(&mut self, page: usize, byte: u8) {
        let begin = self.begin();
        self.0[begin + page * PAGE] = byte;
    }

    /// The first byte of the first page: where it is, and what it is.
    fn variable(&self) -> (String, u8) {
        let variable = &self.0[self.begin()];
        (format!("{variable:p}"), *variable)
    }

    /// For each page whether it is this process's alone: bit 56 of its entry in
    /// the pagemap (proc_pid_pagemap(5)).
    fn own_pages(&self) -> Option<Vec<bool>> {
        let first = (self.0.as_ptr() as usize + self.begin()) / PAGE;
        let mut entries = vec![0; self.pages() * 8];
        let mut pagemap = File::open(PAGEMAP).ok()?;
        pagemap.seek(SeekFrom::Start(first as u64 * 8)).ok()?;
        pagemap.read_exact(&mut entries).ok()?;
        let own = |entry: &[u8]| entry[7] & 1 == 1;
        Some(entries.chunks_exact(8).map(own).collect())
    }
}

/// With huge pages a copy would be one of 2 MiB (madvise(2)).
fn turn_huge_pages_off() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true); // an old kernel: they stay on
}

/// Page faults that needed no disk (getrusage(2)).
fn page_faults() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.minor_page_faults())
}

/// The size of this process's page tables (proc_pid_status(5); Linux).
fn page_tables_kib() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    line?.trim().strip_suffix(" kB")?.parse().ok()
}

fn judge(written: usize) {
    check!(
        "the variable has the same address in both processes",
        require("child_address"),
        require("parent_address")
    );
    check!(
        "it is 2 in the child, which wrote it, and 1 in the parent still",
        vec![require("child_value"), require("parent_value")],
        vec![2, 1]
    );
    check!(
        "there was a page fault for each page that the child wrote to",
        require("page_faults"),
        require("page_faults").as_u64() >= Some(written as u64),
        format!("at least {written}")
    );
    if page_tables_kib().is_some() && File::open(PAGEMAP).is_ok() {
        let copied = ["copied_before", "copied_after"].map(require);
        let how_much = match &copied {
            [_, after] if *after == 0 => "nothing",
            [_, after] if *after == written => "what is written to",
            _ => "all of it",
        };
        fact!("how_much_is_copied", how_much);
        check!(
            "before the child wrote no page was copied, afterwards just those",
            copied.to_vec(),
            vec![Value::from(0), written.into()]
        );
        let events = shared_core::report::events().unwrap_or_default();
        let tables = events.iter().filter(|event| event.name == "page_tables");
        let tables = tables.map(|event| event.args["value"].as_u64());
        let tables: Vec<Option<u64>> = tables.collect();
        check!(
            "the more memory, the bigger the page tables that fork() copies",
            tables.clone(),
            tables.iter().flatten().count() == 3 && tables.is_sorted_by(|a, b| a < b),
            "three sizes, ever bigger"
        );
    }
}
