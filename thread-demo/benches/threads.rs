//! Threads, forks and switches beside the same calls from C and from CPython, in turn,
//! round by round: how many times as long.
//!
//! cargo bench -p thread-demo
//!
//! The machine should have nothing else to do. Needs cc and python3. Without `--bench`,
//! as `cargo test` calls it, each measurement is only tried.

#[cfg(target_os = "linux")]
fn main() -> shared_core::Result<()> {
    linux::main()
}

/// Elsewhere C would make other calls.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use nix::libc;
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;
    use shared_core::{Context, Result, anyhow, ensure, who};
    use std::io::{BufRead, BufReader, Read, Write, pipe};
    use std::panic::resume_unwind;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::thread;
    use std::time::Instant;

    const ROUNDS: usize = 21;

    /// What is measured, how it is called in the other languages, and how often it is
    /// done in a round.
    type Row = (&'static str, &'static str, u32, fn(u32) -> Result<()>);

    const ROWS: [Row; 5] = [
        ("thread::scope and spawn", "thread", 500, in_a_scope),
        ("thread::spawn and join", "thread", 500, spawned),
        // In C, too, with a second stack for signals: it is what std adds.
        ("  C with two stacks", "thread_two_stacks", 500, spawned),
        ("fork and wait", "process", 200, forked),
        ("there and back, two pipes", "ping_pong", 2_000, ping_pong),
    ];

    pub fn main() -> Result<()> {
        let is_real = std::env::args().any(|arg| arg == "--bench");
        if !is_real {
            return ROWS.iter().try_for_each(|(.., work)| work(2));
        }
        // All on one CPU: so a switch is a switch, for each of them.
        let cpu = *who::cpus().unwrap_or_default().first().context("no CPU")?;
        let machine = who::machine();
        who::stay_on(&[cpu]).context("failed to stay on a CPU")?;
        let mut c = Other::start(Command::new(compiled()?).arg(cpu.to_string()))?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/threads.py");
        let mut python = Other::start(Command::new("python3").args([script, &cpu.to_string()]))?;

        println!("{machine}, of which one; {ROUNDS} rounds; {}", python.says);
        println!(
            "{:26} {:>7} {:>7} {:>8}   {:18} {:18}",
            "µs each, medians", "here", "C", "CPython", "times as long as C", "CPython as C"
        );
        for (what, name, n, work) in ROWS {
            let mut times = [const { Vec::new() }; 3];
            for round in 0..=ROUNDS {
                let begin = Instant::now();
                work(n)?;
                let here = begin.elapsed().as_secs_f64();
                let all = [here, c.ask(name, n)?, python.ask(name, n)?];
                if round > 0 {
                    // What came before is a warm-up.
                    for (times, time) in times.iter_mut().zip(all) {
                        times.push(time / f64::from(n) * 1e6);
                    }
                }
            }
            let ratios = |of: usize| {
                let pairs = times[of].iter().zip(&times[1]);
                let [low, ratio, high] = quartiles(pairs.map(|(a, b)| a / b).collect());
                format!("{ratio:.2} ({low:.2}–{high:.2})")
            };
            let ratios = [ratios(0), ratios(2)];
            let [here, c, python] = times.map(|times| quartiles(times)[1]);
            println!(
                "{what:26} {here:>7.2} {c:>7.2} {python:>8.2}   {:18} {:18}",
                ratios[0], ratios[1]
            );
        }
        Ok(())
    }

    fn in_a_scope(n: u32) -> Result<()> {
        for _ in 0..n {
            thread::scope(|scope| {
                let thread = thread::Builder::new().spawn_scoped(scope, || ());
                thread.context("failed to start a thread").map(drop)
            })?;
        }
        Ok(())
    }

    fn spawned(n: u32) -> Result<()> {
        for _ in 0..n {
            let thread = thread::Builder::new().spawn(|| ());
            let thread = thread.context("failed to start a thread")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Ok(())
    }

    fn forked(n: u32) -> Result<()> {
        for _ in 0..n {
            // SAFETY: the child only leaves.
            match unsafe { libc::fork() } {
                // SAFETY: _exit takes a number and does not return.
                0 => unsafe { libc::_exit(0) },
                -1 => return Err(std::io::Error::last_os_error()).context("fork"),
                child => drop(waitpid(Pid::from_raw(child), None).context("waitpid")?),
            }
        }
        Ok(())
    }

    /// There and back, so often, between two threads.
    fn ping_pong(n: u32) -> Result<()> {
        let (mut there, mut to_there) = pipe()?;
        let (mut back, mut to_back) = pipe()?;
        thread::scope(|scope| {
            let partner = thread::Builder::new().spawn_scoped(scope, move || {
                let mut byte = [0];
                while there.read_exact(&mut byte).is_ok() && to_back.write_all(&byte).is_ok() {}
            });
            partner.context("failed to start a thread")?;
            for _ in 0..n {
                to_there.write_all(&[0])?;
                back.read_exact(&mut [0])?;
            }
            drop(to_there); // the end for the partner
            Ok(())
        })
    }

    /// The C program, built by cc.
    fn compiled() -> Result<&'static str> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/threads.c");
        let program = concat!(env!("CARGO_TARGET_TMPDIR"), "/threads-in-c");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Werror", "-pthread", "-o", program, source]);
        let status = cc.status().context("failed to run cc")?;
        ensure!(status.success(), "cc {source}: {status}");
        Ok(program)
    }

    /// A program in another language, which does the same when asked.
    struct Other {
        process: Child,
        to: Option<ChildStdin>,
        from: BufReader<ChildStdout>,
        /// What it said first.
        says: String,
    }

    impl Other {
        fn start(command: &mut Command) -> Result<Self> {
            let context = format!("failed to run {}", command.get_program().display());
            let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut process = piped.spawn().context(context)?;
            let (to, from) = (process.stdin.take(), process.stdout.take());
            let mut other = Self {
                to,
                from: BufReader::new(from.context("no stdout")?),
                process,
                says: String::new(),
            };
            other.says = other.line()?;
            Ok(other)
        }

        /// How many seconds that took.
        fn ask(&mut self, what: &str, n: u32) -> Result<f64> {
            let to = self.to.as_mut().context("no stdin")?;
            writeln!(to, "{what} {n}").with_context(|| self.says.clone())?;
            let line = self.line()?;
            line.parse()
                .map_err(|_| anyhow!("{} said {line:?}", self.says))
        }

        fn line(&mut self) -> Result<String> {
            let mut line = String::new();
            self.from.read_line(&mut line)?;
            Ok(line.trim().to_owned())
        }
    }

    impl Drop for Other {
        fn drop(&mut self) {
            self.to = None; // the end of its input is its end
            let _ = self.process.wait();
        }
    }

    fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
        values.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
    }
}
