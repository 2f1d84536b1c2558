//! What `/proc` tells of a task (proc(5)).

use nix::libc::c_long;
use std::fs;

/// What a task is called: up to 15 bytes (proc_pid_comm(5)).
pub fn name(task: i32) -> String {
    let name = fs::read(format!("/proc/{task}/comm")).unwrap_or_default();
    visible(String::from_utf8_lossy(&name).trim_end())
}

/// A text without what could play tricks on a terminal.
pub fn visible(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(visible).collect()
}

/// Whether the PIDs that a process is told are others than those that we are told.
pub fn is_in_another_pid_namespace(process: i32) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid"));
    let theirs = namespace(&process.to_string());
    theirs.is_ok_and(|theirs| namespace("self").is_ok_and(|ours| ours != theirs))
}

/// Whether `/proc` shows the PIDs that we are told, and not those of another namespace.
pub fn is_ours() -> bool {
    let own = fs::read_link("/proc/self");
    own.is_ok_and(|own| own.as_os_str() == std::process::id().to_string().as_str())
}

/// The file that a process executes.
pub fn executable(process: i32) -> String {
    let link = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// The process of a task, and the parent of that process.
pub fn process_and_parent(task: i32) -> Option<(i32, i32)> {
    let status = status(task)?;
    Some((number(&status, "Tgid:")?, number(&status, "PPid:")?))
}

/// Who traces a task (0: nobody).
pub fn tracer(task: i32) -> Option<i32> {
    number(&status(task)?, "TracerPid:")
}

fn status(task: i32) -> Option<String> {
    let status = fs::read(format!("/proc/{task}/status")).ok()?;
    Some(String::from_utf8_lossy(&status).into_owned())
}

fn number(status: &str, field: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line?.trim().parse().ok()
}

/// The system call in which a task is blocked, and its arguments
/// (proc_pid_syscall(5)); `None` if it runs, or is gone.
pub fn syscall(task: i32) -> Option<(c_long, [u64; 6])> {
    let line = fs::read_to_string(format!("/proc/{task}/syscall")).ok()?;
    let mut words = line.split_whitespace();
    let number = words.next()?.parse().ok()?; // it says `running`, or -1
    let mut args = [0; 6];
    for (arg, word) in args.iter_mut().zip(words) {
        *arg = u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()?;
    }
    Some((number, args)).filter(|(number, _)| *number >= 0)
}

/// What a file descriptor of a task is: `pipe`, `socket`, a path.
pub fn file(task: i32, descriptor: u64) -> Option<String> {
    let link = fs::read_link(format!("/proc/{task}/fd/{descriptor}")).ok()?;
    let link = link.to_string_lossy();
    let kind = link.split_once(":[").map(|(kind, _)| kind.to_owned());
    Some(kind.unwrap_or_else(|| link.into_owned()))
}
