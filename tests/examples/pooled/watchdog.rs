//! Against a scenario that hangs: says where, and ends it.

use std::process::abort;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// No step of a scenario takes so long on any machine.
const LIMIT: Duration = Duration::from_secs(100);

static STEPS: AtomicU64 = AtomicU64::new(0);

/// The scenario goes on.
pub fn step() {
    STEPS.fetch_add(1, Relaxed);
}

pub fn start() {
    thread::spawn(|| {
        let mut steps = STEPS.load(Relaxed);
        loop {
            thread::sleep(LIMIT);
            let last = std::mem::replace(&mut steps, STEPS.load(Relaxed));
            if last == steps {
                eprintln!("watchdog: step {steps} does not end");
                #[cfg(target_os = "linux")]
                linux::say_where();
                abort();
            }
        }
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::process::{Command, id};

    /// What each thread of this process, and of those below it, waits for.
    pub fn say_where() {
        let mut processes = vec![id()];
        let mut next = 0;
        while let Some(&process) = processes.get(next) {
            next += 1;
            for thread in fs::read_dir(format!("/proc/{process}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let read = |file| {
                    let text = fs::read_to_string(thread.path().join(file));
                    text.unwrap_or_default().trim_end().replace('\n', "\n  ")
                };
                let status = read("status");
                let state = status.lines().find(|line| line.contains("State:"));
                eprintln!(
                    "process {process} thread {} {:?} {} in {:?} {}\n  {}",
                    thread.file_name().display(),
                    read("comm"),
                    state.unwrap_or_default().trim(),
                    read("wchan"),
                    read("syscall"),
                    read("stack"),
                );
                let children = read("children");
                processes.extend(
                    children
                        .split_whitespace()
                        .filter_map(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        // It may not be there.
        let _ = Command::new("gdb")
            .args(["-batch", "-ex", "thread apply all bt 30", "-p"])
            .arg(id().to_string())
            .status();
    }
}
