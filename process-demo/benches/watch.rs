//! What watching costs: three programs alone, under `strace`, which follows the same
//! events, and under `watch`, in turn, round by round.
//!
//! cargo bench -p process-demo
//!
//! The machine should have nothing else to do. Needs strace. Without `--bench`, as
//! `cargo test` calls it, each measurement is only tried.

#[cfg(target_os = "linux")]
fn main() -> shared_core::Result<()> {
    linux::main()
}

/// Elsewhere there is nothing to measure.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use nix::libc::{SYS_getppid, syscall};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork, pipe, read, write};
    use shared_core::ending::exit_now;
    use shared_core::timing::{Measurement, measure_in_turn};
    use shared_core::{Context, Result, ensure, who};
    use std::env;
    use std::process::{Command, Stdio};

    const ROUNDS: usize = 9;

    /// The programs: what they are called here, and how many times they do it.
    const PROGRAMS: [(&str, &str, u32); 3] = [
        ("forks", "3,000 forks", 3_000),
        ("calls", "1,000,000 calls of no interest", 1_000_000),
        ("trips", "200,000 round trips through pipes", 200_000),
    ];

    pub fn main() -> Result<()> {
        let words: Vec<String> = env::args().skip(1).collect();
        if let [program, times] = words.as_slice() {
            let times = times.parse()?;
            return match program.as_str() {
                "forks" => forks(times),
                "calls" => calls(times),
                "trips" => trips(times),
                _ => Ok(()),
            };
        }
        let is_real = words.iter().any(|word| word == "--bench");
        if is_real {
            println!("{}", who::machine());
        }
        for (program, what, times) in PROGRAMS {
            let (rounds, times) = if is_real { (ROUNDS, times) } else { (1, 10) };
            let own = env::current_exe()?.to_string_lossy().into_owned();
            let alone = [own.as_str(), program, &times.to_string()].map(str::to_owned);
            let under = |words: &str| {
                let before = words.split(' ').map(str::to_owned);
                before.chain(alone.clone()).collect::<Vec<_>>()
            };
            let strace = under("strace -f --seccomp-bpf -e trace=process,futex -o /dev/null");
            let watch = env!("CARGO_BIN_EXE_process-demo");
            let watch = under(&format!("{watch} watch --quiet --"));
            let programs: [&mut dyn FnMut() -> Result<()>; 3] = [
                &mut || run(&alone),
                &mut || run(&watch),
                // It stops at each read, and takes half a minute for these.
                &mut || {
                    if program == "trips" {
                        Ok(())
                    } else {
                        run(&strace)
                    }
                },
            ];
            let measured = measure_in_turn(rounds, programs)?;
            if is_real {
                say(what, &measured, program != "trips");
            }
        }
        Ok(())
    }

    fn run(words: &[String]) -> Result<()> {
        let (program, args) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        let status = command.args(args).stdin(Stdio::null()).status();
        let status = status.with_context(|| format!("failed to start {program}"))?;
        ensure!(status.success(), "{program}: {status}");
        Ok(())
    }

    fn say(what: &str, [alone, watch, strace]: &[Measurement; 3], beside_strace: bool) {
        let times = |of: &Measurement, than: &Measurement| {
            of.median.as_secs_f64() / than.median.as_secs_f64()
        };
        println!("{what}, {} rounds", alone.runs);
        println!("  alone   {alone}");
        println!("  watch   {watch}: {:.2} times", times(watch, alone));
        if beside_strace {
            println!("  strace  {strace}: {:.2} times", times(strace, alone));
            println!("  watch / strace: {:.2}", times(watch, strace));
        }
    }

    /// Children, one after another, that do nothing.
    fn forks(times: u32) -> Result<()> {
        for _ in 0..times {
            // SAFETY: this process has one thread, and its child leaves at once.
            match unsafe { fork() }? {
                ForkResult::Child => exit_now(0),
                ForkResult::Parent { child } => _ = waitpid(child, None)?,
            }
        }
        Ok(())
    }

    fn calls(times: u32) -> Result<()> {
        for _ in 0..times {
            // SAFETY: getppid takes nothing and changes nothing.
            ensure!(unsafe { syscall(SYS_getppid) } >= 0, "getppid failed");
        }
        Ok(())
    }

    /// A byte goes to a child and comes back. Both are on one CPU: on two it is a matter
    /// of how fast an idle one wakes up.
    fn trips(times: u32) -> Result<()> {
        let cpus = who::cpus().context("no CPUs")?;
        who::stay_on(&cpus[..1])?;
        let (from_parent, to_child) = pipe()?;
        let (from_child, to_parent) = pipe()?;
        let mut byte = [0];
        // SAFETY: this process has one thread, and its child only reads and writes.
        match unsafe { fork() }? {
            ForkResult::Child => {
                for _ in 0..times {
                    let read = read(&from_parent, &mut byte);
                    if read.and_then(|_| write(&to_parent, &byte)).is_err() {
                        exit_now(1);
                    }
                }
                exit_now(0)
            }
            ForkResult::Parent { child } => {
                for _ in 0..times {
                    write(&to_child, &byte)?;
                    read(&from_child, &mut byte)?;
                }
                waitpid(child, None)?;
            }
        }
        Ok(())
    }
}
