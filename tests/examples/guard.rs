//! guard REPORT now|wait COMMAND…: runs COMMAND, and says in the file REPORT
//! how it ended and what it left behind.
//!
//! The guard is the subreaper of the run (`PR_SET_CHILD_SUBREAPER`, prctl(2)):
//! whoever loses his parent becomes a child of the guard. With `now` such a
//! child is left behind, be it running or a zombie; with `wait` it may still
//! end by itself.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("guard: only Linux has subreapers");
    std::process::exit(2);
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::errno::Errno;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use serde_json::json;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, exit, id};
    use std::time::Duration;

    /// Only against a run that hangs: far longer than any run should take.
    const LIMIT: Duration = Duration::from_secs(180);

    #[expect(
        clippy::zombie_processes,
        reason = "waitpid reaps the command like all others"
    )]
    pub fn main() {
        let mut words = std::env::args_os().skip(1);
        let (Some(report), Some(when), Some(command)) = (words.next(), words.next(), words.next())
        else {
            fail("guard REPORT now|wait COMMAND…");
        };
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            fail(&format!("become a subreaper: {error}"));
        }
        // The run decides for itself what these do, whoever started the tests.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: no handler is installed.
            let _ = unsafe { sigaction(signal, &default) };
        }
        // A run has what a shell gives it, whatever the tests were given.
        // SAFETY: the call only marks descriptors; this program opens none.
        unsafe { nix::libc::close_range(3, u32::MAX, 4) }; // CLOSE_RANGE_CLOEXEC
        // A group of its own: a test may signal it as a terminal would.
        let child = Command::new(&command).args(words).process_group(0).spawn();
        let child =
            child.unwrap_or_else(|error| fail(&format!("start {}: {error}", command.display())));
        let child = Pid::from_raw(child.id().cast_signed());
        std::thread::spawn(|| {
            std::thread::sleep(LIMIT);
            for (pid, what) in children() {
                eprintln!("guard: {pid} {what} still runs after {LIMIT:?}");
                let _ = kill(pid, Signal::SIGKILL);
            }
            exit(1)
        });

        let mut left_behind = Vec::new();
        let status = loop {
            match waitpid(None, None) {
                Ok(status) if status.pid() == Some(child) => break status,
                // An orphan, handed to us while the run goes on.
                Ok(_) if when == "wait" => {}
                Ok(status) => left_behind.push(format!("{status:?}, lost by its parent")),
                Err(errno) => fail(&format!("waitpid: {errno}")),
            }
        };
        let flag = if when == "wait" {
            None
        } else {
            Some(WaitPidFlag::WNOHANG)
        };
        loop {
            match waitpid(None, flag) {
                Ok(WaitStatus::StillAlive) => {
                    for (pid, what) in children() {
                        left_behind.push(format!("{pid} {what}, running"));
                        let _ = kill(pid, Signal::SIGKILL);
                        let _ = waitpid(pid, None);
                    }
                }
                Ok(_) if when == "wait" => {} // it has ended by itself
                Ok(status) => left_behind.push(format!("{status:?}, not reaped")),
                Err(Errno::ECHILD) => break,
                Err(errno) => fail(&format!("waitpid: {errno}")),
            }
        }
        let (status, signal) = match status {
            WaitStatus::Exited(_, status) => (Some(status), None),
            WaitStatus::Signaled(_, signal, _) => (None, Some(signal as i32)),
            other => fail(&format!("{other:?}")),
        };
        let text = json!({ "status": status, "signal": signal, "left_behind": left_behind });
        if let Err(error) = std::fs::write(report, text.to_string()) {
            fail(&format!("write the report: {error}"));
        }
    }

    /// The children of this process, with their names (`/proc/PID/stat`).
    fn children() -> Vec<(Pid, String)> {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let child = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            let parent: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            let pid = pid.parse().ok().filter(|_| parent == id())?;
            Some((Pid::from_raw(pid), name.split_once('(')?.1.to_owned()))
        };
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|pid| child(&pid)).collect()
    }

    fn fail(text: &str) -> ! {
        eprintln!("guard: {text}");
        exit(1)
    }
}
