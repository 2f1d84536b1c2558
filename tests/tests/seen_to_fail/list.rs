//! The changes: each a mistake that a student might make, or the thing that a
//! lesson teaches taken out. Where the scheduler might have a say in the
//! outcome, the entry tells why it has none, or next to none.

/// A change to a lesson, and the check that must fail with it.
pub struct Entry {
    /// The file, from the top folder of the workspace.
    pub file: &'static str,
    /// What stands in it, exactly once.
    pub text: &'static str,
    /// What stands there instead.
    pub instead: &'static str,
    /// The demo and its arguments, the lesson first.
    pub run: &'static str,
    /// The check that turns ✘.
    pub check: &'static str,
}

pub const ENTRIES: &[Entry] = &[
    // fork-demo returns-twice
    Entry {
        // The child is thought to be given its own PID.
        file: "fork-demo/src/returns_twice.rs",
        text: r#"fact!("child_{n}_fork_returned", returned);"#,
        instead: r#"fact!("child_{n}_fork_returned", getpid().as_raw());"#,
        run: "fork-demo returns-twice",
        check: "in the child fork() returned 0",
    },
    Entry {
        // The parent is thought to be given its own PID.
        file: "fork-demo/src/returns_twice.rs",
        text: r#"fact!("parent_{n}_fork_returned", returned);"#,
        instead: r#"fact!("parent_{n}_fork_returned", getpid().as_raw());"#,
        run: "fork-demo returns-twice --children 2",
        check: "in the parent fork() returned the child's PID",
    },
    Entry {
        // The child asks for its own PID instead of its parent's.
        file: "fork-demo/src/returns_twice.rs",
        text: r#"fact!("child_{n}_getppid", getppid().as_raw());"#,
        instead: r#"fact!("child_{n}_getppid", getpid().as_raw());"#,
        run: "fork-demo returns-twice",
        check: "getppid() in the child is the parent's PID",
    },
    Entry {
        // The child forgets its exit status.
        file: "fork-demo/src/returns_twice.rs",
        text: "    EXIT_STATUS\n",
        instead: "    0\n",
        run: "fork-demo returns-twice",
        check: "for each child waitpid() returned the status that it exited with",
    },
    Entry {
        // Nobody waits for the children: a zip over nothing must not pass.
        file: "fork-demo/src/returns_twice.rs",
        text: "for child in &mut children {",
        instead: "for child in children.iter_mut().take(0) {",
        run: "fork-demo returns-twice --children 2",
        check: "for each child waitpid() returned the status that it exited with",
    },
    // fork-demo family
    Entry {
        // The child asks for its own PID.
        file: "fork-demo/src/family.rs",
        text: r#"fact!("child_{n}_getppid", getppid().as_raw());"#,
        instead: r#"fact!("child_{n}_getppid", who::pid());"#,
        run: "fork-demo family",
        check: "getppid() is the parent's PID in every child",
    },
    Entry {
        // The parent waits for the first child only.
        file: "fork-demo/src/family.rs",
        text: "for child in &mut children {",
        instead: "for child in children.iter_mut().take(1) {",
        run: "fork-demo family",
        check: "the parent reaped as many different children as it had made",
    },
    Entry {
        // The children forget their numbers.
        file: "fork-demo/src/family.rs",
        text: "    n.into()
",
        instead: "    0
",
        run: "fork-demo family",
        check: "each child but the last exited with its number, in eight bits",
    },
    Entry {
        // Another signal.
        file: "fork-demo/src/family.rs",
        text: "kill(last.pid(), Signal::SIGTERM)",
        instead: "kill(last.pid(), Signal::SIGKILL)",
        run: "fork-demo family",
        check: "the last child was killed by the signal that the parent sent",
    },
    // fork-demo tree
    Entry {
        // The child stops where its part is done.
        file: "fork-demo/src/tree.rs",
        text: r#"go_on(&format!("{path}{n}"), n, forks)"#,
        instead: "0",
        run: "fork-demo tree",
        check: "n forks in a row make 2^n processes",
    },
    Entry {
        // The same.
        file: "fork-demo/src/tree.rs",
        text: r#"go_on(&format!("{path}{n}"), n, forks)"#,
        instead: "0",
        run: "fork-demo tree --forks 2",
        check: "fork number n is run by 2^(n - 1) of them",
    },
    Entry {
        // The child asks for its own PID.
        file: "fork-demo/src/tree.rs",
        text: r#"fact!("getppid", who::ppid());"#,
        instead: r#"fact!("getppid", who::pid());"#,
        run: "fork-demo tree --forks 2",
        check: "getppid() in each process is its parent in the tree",
    },
    // fork-demo memory
    Entry {
        // The child looks at another variable.
        file: "fork-demo/src/memory.rs",
        text: r#"say_variable("child", &memory);"#,
        instead: r#"say_variable("child", &Memory(vec![2; 3 * PAGE]));"#,
        run: "fork-demo memory --mib 4",
        check: "the variable has the same address in both processes",
    },
    Entry {
        // The child writes what is there already.
        file: "fork-demo/src/memory.rs",
        text: "memory.write(page, 2)",
        instead: "memory.write(page, 1)",
        run: "fork-demo memory --mib 4",
        check: "it is 2 in the child, which wrote it, and 1 in the parent still",
    },
    Entry {
        // The child writes to half as many pages.
        file: "fork-demo/src/memory.rs",
        text: "(0..written).for_each",
        instead: "(0..written / 2).for_each",
        run: "fork-demo memory --mib 16 --touch 100",
        check: "there was a page fault for each page that the child wrote to",
    },
    Entry {
        // The same.
        file: "fork-demo/src/memory.rs",
        text: "(0..written).for_each",
        instead: "(0..written / 2).for_each",
        run: "fork-demo memory --mib 4",
        check: "before the child wrote no page was copied, afterwards just those",
    },
    Entry {
        // The memory does not grow.
        file: "fork-demo/src/memory.rs",
        text: "let memory = Memory::filled_with(1, mib)?;",
        instead: "let memory = Memory::filled_with(1, 1)?;",
        run: "fork-demo memory --mib 64",
        check: "the more memory, the bigger the page tables that fork() copies",
    },
    // fork-demo zombie
    Entry {
        // The child is reaped before anybody looks.
        file: "fork-demo/src/zombie.rs",
        text: r#"look("before_waitpid", pid);
    let status = child.reap(|pid| waitpid(pid, None))?;"#,
        instead: r#"let status = child.reap(|pid| waitpid(pid, None))?;
    look("before_waitpid", pid);"#,
        run: "fork-demo zombie",
        check: "a child that has ended still has its PID",
    },
    Entry {
        // The child is reaped before anybody looks.
        file: "fork-demo/src/zombie.rs",
        text: r#"look("before_waitpid", pid);
    let status = child.reap(|pid| waitpid(pid, None))?;"#,
        instead: r#"let status = child.reap(|pid| waitpid(pid, None))?;
    look("before_waitpid", pid);"#,
        run: "fork-demo zombie --status 1",
        check: "in between it was a zombie: state Z",
    },
    Entry {
        // Somebody looks at the wrong process.
        file: "fork-demo/src/zombie.rs",
        text: r#"look("after_waitpid", pid);"#,
        instead: r#"look("after_waitpid", who::pid());"#,
        run: "fork-demo zombie",
        check: "after waitpid() there is no such PID",
    },
    Entry {
        // The child forgets its status.
        file: "fork-demo/src/zombie.rs",
        text: "            options.status.into()
",
        instead: "            0
",
        run: "fork-demo zombie",
        check: "waitpid() returned the exit status that the kernel had kept",
    },
    Entry {
        // The zombie had failed.
        file: "fork-demo/src/zombie.rs",
        text: "0 => start.in_child(|| 0),",
        instead: "0 => start.in_child(|| 1),",
        run: "fork-demo zombie",
        check: "a zombie whose parent has ended is reaped by its new parent",
    },
    // fork-demo orphan
    Entry {
        // The child asks for its own PID.
        file: "fork-demo/src/orphan.rs",
        text: r#"fact!("parent_before", getppid().as_raw());"#,
        instead: r#"fact!("parent_before", std::process::id());"#,
        run: "fork-demo orphan",
        check: "before, getppid() in the child is the PID of the parent that made it",
    },
    Entry {
        // The parent waits for the end of its child.
        file: "fork-demo/src/orphan.rs",
        text: r#"drop(asks);
    {
        let _wait = waiting!("until the parent has ended");
        let _ = socket.read(&mut [0]);
    }"#,
        instead: "let (_asks, _socket) = (asks, &mut socket);",
        run: "fork-demo orphan",
        check: "the child speaks after its parent was reaped",
    },
    Entry {
        // The parent waits for the end of its child.
        file: "fork-demo/src/orphan.rs",
        text: r#"drop(asks);
    {
        let _wait = waiting!("until the parent has ended");
        let _ = socket.read(&mut [0]);
    }"#,
        instead: "let (_asks, _socket) = (asks, &mut socket);",
        run: "fork-demo orphan --status 1",
        check: "afterwards it has another parent",
    },
    Entry {
        // The orphan exits with another status.
        file: "fork-demo/src/orphan.rs",
        text: "    status.into()
",
        instead: "    (status ^ 1).into()
",
        run: "fork-demo orphan",
        check: "the new parent reaps it",
    },
    // fork-demo exec
    Entry {
        // A process of its own for the shell.
        file: "fork-demo/src/exec.rs",
        text: "Ok(execve(
        &program?,
        &[name?, option?, script?],
        &[word?, path?],
    )?)",
        instead: r#"let _ = (program?, name?, option?, script?, word?, path?);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", SCRIPT]).status()?;
    unsafe { libc::_exit(0) }"#,
        run: "fork-demo exec",
        check: "the new program has the PID that fork() returned",
    },
    Entry {
        // A process of its own for the shell.
        file: "fork-demo/src/exec.rs",
        text: "Ok(execve(
        &program?,
        &[name?, option?, script?],
        &[word?, path?],
    )?)",
        instead: r#"let _ = (program?, name?, option?, script?, word?, path?);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", SCRIPT]).status()?;
    unsafe { libc::_exit(0) }"#,
        run: "fork-demo exec --word a",
        check: "its parent is the process that forked",
    },
    Entry {
        // The variable is not handed on.
        file: "fork-demo/src/exec.rs",
        text: "&[word?, path?]",
        instead: "&[path?]",
        run: "fork-demo exec",
        check: "it has the environment that execve() was given",
    },
    Entry {
        // Marked close-on-exec.
        file: "fork-demo/src/exec.rs",
        text: "F_SETFD(FdFlag::empty())",
        instead: "F_SETFD(FdFlag::FD_CLOEXEC)",
        run: "fork-demo exec",
        check: "a descriptor is open still, unless it is marked close-on-exec",
    },
    Entry {
        // One more descriptor slips through.
        file: "fork-demo/src/exec.rs",
        text: "let open_before = open_across_exec();",
        instead: "let open_before = open_across_exec();
    fcntl(&closed, FcntlArg::F_SETFD(FdFlag::empty()))?;",
        run: "fork-demo exec",
        check: "no other descriptor is open",
    },
    Entry {
        // The signal is not ignored.
        file: "fork-demo/src/exec.rs",
        text: "sigaction(Signal::SIGUSR1, &ignore)?;",
        instead: "",
        run: "fork-demo exec",
        check: "an ignored signal is ignored still",
    },
    Entry {
        // It is ignored, not caught.
        file: "fork-demo/src/exec.rs",
        text: "sigaction(Signal::SIGUSR2, &catch)?;",
        instead: "sigaction(Signal::SIGUSR2, &ignore)?;",
        run: "fork-demo exec",
        check: "a caught signal has its default action again: it kills",
    },
    // fork-demo buffer
    Entry {
        // The parent flushes first.
        file: "fork-demo/src/buffer.rs",
        text: r#"("unflushed", false, true)"#,
        instead: r#"("unflushed", true, true)"#,
        run: "fork-demo buffer",
        check: "what was in the buffer at fork is printed twice",
    },
    Entry {
        // It does not.
        file: "fork-demo/src/buffer.rs",
        text: r#"("flushed", true, true)"#,
        instead: r#"("flushed", false, true)"#,
        run: "fork-demo buffer",
        check: "what was flushed before fork is printed once",
    },
    Entry {
        // The child flushes all the same.
        file: "fork-demo/src/buffer.rs",
        text: r#"("exited", false, false)"#,
        instead: r#"("exited", false, true)"#,
        run: "fork-demo buffer",
        check: "and so is the buffer of a child that ends by _exit()",
    },
    // fork-demo with-threads
    Entry {
        // The child starts a thread of its own.
        file: "fork-demo/src/with_threads.rs",
        text: r#"fact!("threads_in_the_child", who::threads());"#,
        instead: r#"let _own = thread::spawn(thread::park);
    fact!("threads_in_the_child", who::threads());"#,
        run: "fork-demo with-threads",
        check: "the child of a process with three threads has one",
    },
    Entry {
        // Nobody holds the lock.
        file: "fork-demo/src/with_threads.rs",
        text: "hold(held.then_some(lock),",
        instead: "hold(held.then_some(lock).filter(|_| false),",
        run: "fork-demo with-threads",
        check: "the lock is in the child as it was at fork",
    },
    Entry {
        // Nobody holds the lock.
        file: "fork-demo/src/with_threads.rs",
        text: "hold(held.then_some(lock),",
        instead: "hold(held.then_some(lock).filter(|_| false),",
        run: "fork-demo with-threads",
        check: "the child waits for ever for a lock that another thread held",
    },
    Entry {
        // The worker answers something else.
        file: "fork-demo/src/with_threads.rs",
        text: "answer.send(42)",
        instead: "answer.send(41)",
        run: "fork-demo with-threads",
        check: "a thread answers in the parent",
    },
    Entry {
        // The child does not ask.
        file: "fork-demo/src/with_threads.rs",
        text: r#"fact!("answer_in_the_child", ask(&jobs));"#,
        instead: r#"fact!("answer_in_the_child", 42);"#,
        run: "fork-demo with-threads",
        check: "in the child nobody answers: it waits for ever too",
    },
    // fork-demo puzzle
    Entry {
        // Other letters.
        file: "fork-demo/src/puzzle.rs",
        text: "out.write_all(&[letter as u8])",
        instead: "out.write_all(&[letter as u8 + 1])",
        run: "fork-demo puzzle --runs 1",
        check: "each output that was seen is one that is possible",
    },
    Entry {
        // The child exits at once.
        file: "fork-demo/src/puzzle.rs",
        text: "let rest = || status_of(execute(program, at + 1, out, drawn));",
        instead: "let rest = || 0;",
        run: "fork-demo puzzle --runs 1",
        check: "the number of lines is the same in each run",
    },
    Entry {
        // The first process exits as if something had gone wrong.
        file: "fork-demo/src/puzzle.rs",
        text: "status_of(execute(&program, 0, &out, n == 1))",
        instead: "1 + status_of(execute(&program, 0, &out, n == 1))",
        run: "fork-demo puzzle --runs 1",
        check: "every run came to its end",
    },
    // process-demo run
    Entry {
        // The function is called, and no process is made.
        file: "process-demo/src/run.rs",
        text: r#"process.start()?;
    let pid = process.pid();

    let joining = waiting!("join");
    let status = process.join()?;
"#,
        instead: r#"run_process(options.name.clone());
    let pid = Some(who::pid());

    let joining = waiting!("join");
    let status = std::process::ExitStatus::default();
"#,
        run: "process-demo run",
        check: "the function ran in a process of its own",
    },
    Entry {
        // The function is given another value than the one that was asked for.
        file: "process-demo/src/run.rs",
        text: "Process::new(run_process, options.name.clone())",
        instead: r#"Process::new(run_process, "test".to_owned())"#,
        run: "process-demo run --name Ada",
        check: "it was given the argument",
    },
    Entry {
        // The child asks for its own PID instead of its parent's.
        file: "process-demo/src/run.rs",
        text: r#"fact!("child_ppid", who::ppid());"#,
        instead: r#"fact!("child_ppid", who::pid());"#,
        run: "process-demo run",
        check: "its parent is the process that started it",
    },
    Entry {
        // No join. Certain: until it is reaped the child exists, be it as a
        // zombie.
        file: "process-demo/src/run.rs",
        text: "let status = process.join()?;",
        instead: "let status = std::process::ExitStatus::default();",
        run: "process-demo run",
        check: "after join() the process no longer exists",
    },
    Entry {
        // The function leaves as if it had failed.
        file: "process-demo/src/run.rs",
        text: r#"fact!("child_was_given", name);"#,
        instead: r#"fact!("child_was_given", name);
    std::process::exit(1);"#,
        run: "process-demo run",
        check: "it exited with status 0",
    },
    // process-demo ends
    Entry {
        // The function does not return its status.
        file: "process-demo/src/ends.rs",
        text: "ExitCode::from(status)",
        instead: "ExitCode::SUCCESS",
        run: "process-demo ends",
        check: "a process that returns exits with its own status",
    },
    Entry {
        // The function does not panic.
        file: "process-demo/src/ends.rs",
        text: r#"panic!("this function fails");"#,
        instead: r#"report!("this function does not fail");"#,
        run: "process-demo ends",
        check: "a process that panics exits with status 101",
    },
    Entry {
        // It exits with the number that a shell shows for SIGABRT.
        file: "process-demo/src/ends.rs",
        text: "std::process::abort();",
        instead: "std::process::exit(134);",
        run: "process-demo ends",
        check: "a process that aborts ends in a way of its own",
    },
    Entry {
        // The process is asked to end first. Certain: then join has its time.
        file: "process-demo/src/ends.rs",
        text: "let joined = asked.join_timeout(Duration::from_millis(20))?",
        instead: "asked.terminate()?;
    let joined = asked.join_timeout(Duration::from_secs(15))?",
        run: "process-demo ends",
        check: "a join with a time limit returns while the process still runs",
    },
    Entry {
        // One of them is killed too early. Certain: it is joined as well.
        file: "process-demo/src/ends.rs",
        text: "let alive = asked.is_alive()?",
        instead: "killed.kill()?;
    killed.join()?;
    let alive = asked.is_alive()?",
        run: "process-demo ends",
        check: "the other three were still alive then",
    },
    Entry {
        // Killed instead of asked.
        file: "process-demo/src/ends.rs",
        text: "asked.terminate()?;",
        instead: "asked.kill()?;",
        run: "process-demo ends",
        check: "terminate() sends SIGTERM",
    },
    Entry {
        // Asked instead of killed.
        file: "process-demo/src/ends.rs",
        text: "killed.kill()?;",
        instead: "killed.terminate()?;",
        run: "process-demo ends",
        check: "kill() sends SIGKILL",
    },
    Entry {
        // Forgotten instead of dropped: nobody ends the process.
        file: "process-demo/src/ends.rs",
        text: "drop(daemon);",
        instead: "std::mem::forget(daemon);",
        run: "process-demo ends",
        check: "dropping a daemon Process ends its process",
    },
    // process-demo many
    Entry {
        // Joined in the loop that starts them. (None waits for the others then, or
        // the run would not end.)
        file: "process-demo/src/many.rs",
        text: r"process.start()?;
        processes.push((process, begun));",
        instead: r#"process.start()?;
        process.send("all have begun")?;
        process.join()?;
        drop((begun, &processes));
        processes = Vec::<(Process, std::io::PipeReader)>::new();"#,
        run: "process-demo many --work-ms 1",
        check: "all started, then all joined: all were alive at once",
    },
    Entry {
        // The first one is joined too late. Certain: it works until it is told that
        // the second one has begun.
        file: "process-demo/src/many.rs",
        text: r#"let (_begun, tell) = pipe().context("failed to make a pipe")?;
        let process = Process::new(work, options.work_ms);
        let mut process = process.named(&format!("in turn {n}")).piped(tell);
        process.start()?;"#,
        instead: r#"let (mut begun, tell) = pipe().context("failed to make a pipe")?;
        let process = Process::new(work, options.work_ms);
        let mut early = process.named(&format!("in turn {n}, early")).piped(tell);
        early.start()?;
        wait_for(&mut begun, "early")?;
        let (mut begun, tell) = pipe().context("failed to make a pipe")?;
        let process = Process::new(work, options.work_ms);
        let mut process = process.named(&format!("in turn {n}")).piped(tell);
        process.start()?;
        wait_for(&mut begun, "in turn")?;"#,
        run: "process-demo many --work-ms 1",
        check: "started and joined one by one: never more than one was alive",
    },
    Entry {
        // Killed instead of left to its work. As good as certain: a process is
        // started and killed in less than half a second.
        file: "process-demo/src/many.rs",
        text: "process.join()?; // only now",
        instead: "process.kill()?;
        process.join()?; // only now",
        run: "process-demo many --work-ms 500",
        check: "one by one it took at least as long as all the work together",
    },
    // process-demo isolation
    Entry {
        // As after fork: the child has what its parent had.
        file: "process-demo/src/isolation.rs",
        text: r#"fact!("child_began_with", look());"#,
        instead: r#"VARIABLE.store(5, SeqCst);
    fact!("child_began_with", look());"#,
        run: "process-demo isolation",
        check: "the child began with the variable of a new program",
    },
    Entry {
        // The child looks before it adds.
        file: "process-demo/src/isolation.rs",
        text: r#"slowly_add(add, step_ms);
    fact!("child_has", look());"#,
        instead: r#"fact!("child_has", look());
    slowly_add(add, step_ms);"#,
        run: "process-demo isolation",
        check: "the child added to its own variable",
    },
    Entry {
        // The function is called, and no process is made.
        file: "process-demo/src/isolation.rs",
        text: "process.start()?;
    let joining = waiting!(\"join\");
    process.join()?;",
        instead: "drop(process);
    add_in_child((add, step_ms));
    let joining = waiting!(\"join\");",
        run: "process-demo isolation",
        check: "in the parent it was not changed by the child",
    },
    Entry {
        // A thread-local variable: each thread has its own.
        file: "process-demo/src/isolation.rs",
        text: r#"fact!("thread_began_with", look());"#,
        instead: r#"thread_local! {
        static OWN: AtomicI64 = const { AtomicI64::new(0) };
    }
    fact!("thread_began_with", OWN.with(|own| own.load(SeqCst)));"#,
        run: "process-demo isolation",
        check: "the thread began with the parent's variable",
    },
    Entry {
        // What the thread should do a process does.
        file: "process-demo/src/isolation.rs",
        text: "thread.spawn(move || add_in_thread(add, step_ms));",
        instead: "thread.spawn(move || {
        let mut process = Process::new(add_in_child, (add, step_ms));
        let _ = process.start();
    });",
        run: "process-demo isolation",
        check: "what the thread added the parent sees",
    },
    Entry {
        // The address of the thread's own stack instead.
        file: "process-demo/src/isolation.rs",
        text: r#"fact!("thread_address", address());"#,
        instead: r#"let own = 0;
    fact!("thread_address", format!("{:p}", &raw const own));"#,
        run: "process-demo isolation",
        check: "parent and thread found the variable at the same address",
    },
    // process-demo message
    Entry {
        // The server replies to something else.
        file: "process-demo/src/message.rs",
        text: "map_or(0, |n: u32| 2 * n)",
        instead: "map_or(0, |n: u32| n)",
        run: "process-demo message",
        check: "each request was answered, in order",
    },
    Entry {
        // A producer sends what it has in another order.
        file: "process-demo/src/message.rs",
        text: "for n in 1..=messages {
        pipes.send(",
        instead: "for n in (1..=messages).rev() {
        pipes.send(",
        run: "process-demo message",
        check: "through the queue each message came once, whole, in its producer's order",
    },
    Entry {
        // The parent reads first, which is also a way out.
        file: "process-demo/src/message.rs",
        text: "let writing = waiting!(\"write\");
    let written = input",
        instead: "let mut first = vec![0; size - 1];
    reply.read_exact(&mut first)?;
    let writing = waiting!(\"write\");
    let written = input",
        run: "process-demo message",
        check: "where both wrote before they read, both waited for ever",
    },
    Entry {
        // The pipe is made as large as the message (F_SETPIPE_SZ, fcntl(2)).
        file: "process-demo/src/message.rs",
        text: r#"fn write_before_reading(size: usize) -> Result<()> {
    let (mut reply, theirs) = pipe().context("failed to make a pipe")?;"#,
        instead: r#"fn write_before_reading(size: usize) -> Result<()> {
    let (mut reply, theirs) = pipe().context("failed to make a pipe")?;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&theirs);
    unsafe { nix::libc::fcntl(raw, nix::libc::F_SETPIPE_SZ, 1 << 20) };"#,
        run: "process-demo message --large-kib 512",
        check: "the pipe did not hold the whole message",
    },
    Entry {
        // One read is taken for the whole message.
        file: "process-demo/src/message.rs",
        text: "reply.read_to_end(&mut message).map(|_| message.len())",
        instead: "message.resize(4096, 0);
        reply.read(&mut message)",
        run: "process-demo message",
        check: "where one of them read meanwhile, both messages arrived",
    },
    // process-demo outlive
    Entry {
        // The main process lets go of its child, which is killed then.
        file: "process-demo/src/outlive.rs",
        text: "std::mem::forget(child);",
        instead: "drop(child);",
        run: "process-demo outlive",
        check: "a child went on when its parent had returned",
    },
    Entry {
        // The main process says something before it returns.
        file: "process-demo/src/outlive.rs",
        text: "std::mem::forget(child);",
        instead: "child.send(\"goodbye\")?;
    std::mem::forget(child);",
        run: "process-demo outlive",
        check: "what it read from its parent had come to the end",
    },
    Entry {
        // The child tells which parent it had before.
        file: "process-demo/src/outlive.rs",
        text: r#"fact!("new_parent", who::ppid());"#,
        instead: r#"fact!("new_parent", parent);"#,
        run: "process-demo outlive",
        check: "it was given another parent",
    },
    Entry {
        // Only the main process is sent the signal.
        file: "process-demo/src/unix_only.rs",
        text: "killpg(Pid::from_raw(leader), Signal::SIGINT)",
        instead: "nix::sys::signal::kill(Pid::from_raw(leader), Signal::SIGINT)",
        run: "process-demo outlive",
        check: "Ctrl-C ended both, for they were in one group",
    },
    Entry {
        // No session, hence no terminal that hangs up.
        file: "process-demo/src/unix_only.rs",
        text: r#"nix::unistd::setsid().context("failed to begin a session")?;"#,
        instead: "",
        run: "process-demo outlive",
        check: "the child of a session's leader was killed by SIGHUP",
    },
    Entry {
        // It has not asked for it.
        file: "process-demo/src/outlive.rs",
        text: "child = child.ends_with_this_thread();",
        instead: "child = child.outlives_its_parent();",
        run: "process-demo outlive",
        check: "one that asked for it was killed when the thread that made it ended",
    },
    Entry {
        // It is killed too.
        file: "process-demo/src/outlive.rs",
        text: "let alive = free.is_alive()?;",
        instead: "free.kill()?;
    free.join()?;
    let alive = free.is_alive()?;",
        run: "process-demo outlive",
        check: "another one that the thread had made went on",
    },
    // process-demo shared-memory
    Entry {
        // A mapping of one's own.
        file: "process-demo/src/mapping.rs",
        text: "MapFlags::MAP_SHARED",
        instead: "MapFlags::MAP_PRIVATE",
        run: "process-demo shared-memory --step-ms 1",
        check: "what the child had written the parent saw",
    },
    Entry {
        // The parent writes before the child reads.
        file: "process-demo/src/shared_memory.rs",
        text: r#"child.send("go on")?;
    let joining"#,
        instead: r#"write(number, before + options.first, step);
    child.send("go on")?;
    let joining"#,
        run: "process-demo shared-memory --step-ms 1",
        check: "both read the number before either had written it",
    },
    Entry {
        // The parent reads and writes in one step.
        file: "process-demo/src/shared_memory.rs",
        text: "write(number, before + options.first, step);",
        instead: "number.fetch_add(options.first, SeqCst);",
        run: "process-demo shared-memory --step-ms 1",
        check: "of the two additions only the parent's is in the sum",
    },
    Entry {
        // The parent reads before the child adds, and writes when it has ended.
        file: "process-demo/src/shared_memory.rs",
        text: "for _ in 0..options.times {
        number.fetch_add(1, SeqCst);
    }",
        instead: "let before = number.swap(0, SeqCst);
    child.join()?;
    number.store(before + i64::from(options.times), SeqCst);",
        run: "process-demo shared-memory --step-ms 1",
        check: "of the atomic additions none was lost",
    },
    // pool-demo tasks
    Entry {
        // Every task is submitted twice.
        file: "pool-demo/src/tasks.rs",
        text: "results.push(pool.apply_async(task)); // it does not wait",
        instead: "drop(pool.apply_async(Sleep { ..task }));
        results.push(pool.apply_async(task));",
        run: "pool-demo tasks --work-ms 10",
        check: "every task ran exactly once, and to completion",
    },
    Entry {
        // The parent does the work itself.
        file: "pool-demo/src/tasks.rs",
        text: "outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let total",
        instead: "outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let outcomes: Vec<Outcome<Sleep>> = vec![Ok(who::pid())];
    let total",
        run: "pool-demo tasks --work-ms 10",
        check: "every task ran in a worker process, not in the parent",
    },
    Entry {
        // One worker too many. As good as certain: it would have to begin its
        // task half a second after the others.
        file: "pool-demo/src/tasks.rs",
        text: ".workers(options.workers.into())",
        instead: ".workers(usize::from(options.workers) + 1)",
        run: "pool-demo tasks --workers 1 --tasks 2 --work-ms 500",
        check: "never more tasks at once than workers",
    },
    Entry {
        // A worker for each task, so that none waits.
        file: "pool-demo/src/tasks.rs",
        text: ".workers(options.workers.into())",
        instead: ".workers(options.tasks.into())",
        run: "pool-demo tasks --workers 2 --tasks 4 --work-ms 500",
        check: "a task that had to wait began only after another had ended",
    },
    // pool-demo crash
    Entry {
        // The cube.
        file: "pool-demo/src/crash.rs",
        text: "u32::from(id).pow(2)
",
        instead: "u32::from(id).pow(3)
",
        run: "pool-demo crash",
        check: "all tasks but four have a result, and it is right",
    },
    Entry {
        // A panic without words.
        file: "pool-demo/src/crash.rs",
        text: r#"panic!("no square of {id}");"#,
        instead: "std::panic::panic_any(id);",
        run: "pool-demo crash",
        check: "the error of the panic has its message and its place",
    },
    Entry {
        // It leaves as if all were well.
        file: "pool-demo/src/crash.rs",
        text: "system::abort_without_core_file();",
        instead: "std::process::exit(0);",
        run: "pool-demo crash",
        check: "that of the abort names the worker which ran it, and how it died",
    },
    Entry {
        // It exits with the number of the signal.
        file: "pool-demo/src/crash.rs",
        text: "system::kill_this_process();",
        instead: "std::process::exit(9);",
        run: "pool-demo crash",
        check: "so does that of the task that killed itself",
    },
    Entry {
        // Another limit than was asked for.
        file: "pool-demo/src/crash.rs",
        text: "let pool = pool.task_timeout(limit).draws();",
        instead: "let pool = pool.task_timeout(limit * 2).draws();",
        run: "pool-demo crash",
        check: "that of the task which ran on names the worker and the limit",
    },
    Entry {
        // Workers are replaced that have not died.
        file: "pool-demo/src/crash.rs",
        text: "let pool = pool.task_timeout(limit).draws();",
        instead: "let pool = pool.max_tasks_per_worker(2).task_timeout(limit).draws();",
        run: "pool-demo crash",
        check: "workers started: as many as the pool has, and three",
    },
    Entry {
        // A second try: the errors name those that died last.
        file: "pool-demo/src/crash.rs",
        text: "let pool = pool.task_timeout(limit).draws();",
        instead: "let pool = pool.retries(1).task_timeout(limit).draws();",
        run: "pool-demo crash",
        check: "those that died are those that the errors name, and no others",
    },
    Entry {
        // The successor is thought to have the PID of the dead one.
        file: "pool-demo/src/crash.rs",
        text: "other.name == dead.name && other.ts >= dead.ts",
        instead: "other.pid == dead.pid && other.ts >= dead.ts",
        run: "pool-demo crash",
        check: "each of them has a successor of the same name, started after its end",
    },
    Entry {
        // What a panic of the main thread does where nobody catches it.
        file: "pool-demo/src/crash.rs",
        text: r#"panic!("no square of {id}");"#,
        instead: "std::process::exit(101);",
        run: "pool-demo crash",
        check: "the worker whose task panicked went on",
    },
    Entry {
        // A second try: what dies is begun twice.
        file: "pool-demo/src/crash.rs",
        text: "let pool = pool.task_timeout(limit).draws();",
        instead: "let pool = pool.retries(1).task_timeout(limit).draws();",
        run: "pool-demo crash",
        check: "every task was begun exactly once",
    },
    // pool-demo backpressure
    Entry {
        // Somebody counts from 1.
        file: "pool-demo/src/backpressure.rs",
        text: "let input = (0..tasks).map(|number| {",
        instead: "let input = (1..tasks).map(|number| {",
        run: "pool-demo backpressure --tasks 1000",
        check: "every input came back exactly once",
    },
    Entry {
        // Ten tasks are sent in one go.
        file: "pool-demo/src/backpressure.rs",
        text: "pool.imap_unordered(input, 1)",
        instead: "pool.imap_unordered(input, 10)",
        run: "pool-demo backpressure --tasks 1000",
        check: "two inputs for each worker had been read when the first result came",
    },
    Entry {
        // Ten tasks are sent in one go.
        file: "pool-demo/src/backpressure.rs",
        text: "pool.imap_unordered(input, 1)",
        instead: "pool.imap_unordered(input, 10)",
        run: "pool-demo backpressure --tasks 1000",
        check: "of slow tasks never more were ahead",
    },
    Entry {
        // The whole input is read first.
        file: "pool-demo/src/backpressure.rs",
        text: "pool.imap_unordered(input, 1)",
        instead: "pool.map(input, Some(1))",
        run: "pool-demo backpressure",
        check: "of tiny ones no more than twice what the workers may have, few or many",
    },
    Entry {
        // What is ahead is taken for what was read meanwhile. Never nothing: it was just
        // filled up.
        file: "pool-demo/src/backpressure.rs",
        text: "let before = read.get();",
        instead: "let before = flow.results;",
        run: "pool-demo backpressure --tasks 1000",
        check: "while nobody took a result no input was read",
    },
    Entry {
        // The whole input is read first.
        file: "pool-demo/src/backpressure.rs",
        text: "pool.imap_unordered(input, 1)",
        instead: "pool.map(input, Some(1))",
        run: "pool-demo backpressure",
        check: "for ten times as many neither parent nor worker needs more memory",
    },
    // pool-demo wordcount
    Entry {
        // A piece begins where it was to begin, in the middle of a word that the
        // piece before it has too.
        file: "pool-demo/src/wordcount/piece.rs",
        text: "let begin = if is_first { 0 } else { cut(&bytes, 0) };",
        instead: "let begin = usize::from(is_first) - usize::from(is_first);",
        run: "pool-demo wordcount",
        check: "each byte was in exactly one piece",
    },
    Entry {
        // Only as many pieces as there are workers.
        file: "pool-demo/src/wordcount.rs",
        text: "pool.imap_unordered(pieces, 1)",
        instead: "pool.imap_unordered(pieces.take(4), 1)",
        run: "pool-demo wordcount",
        check: "each byte was in exactly one piece",
    },
    Entry {
        // The table of one piece takes the place of the others.
        file: "pool-demo/src/wordcount.rs",
        text: "*self.counts.entry(word).or_insert(0) += count;",
        instead: "*self.counts.entry(word).or_insert(0) = count;",
        run: "pool-demo wordcount",
        check: "the counts of all words add up to the number of words",
    },
    Entry {
        // The parent does the work itself.
        file: "pool-demo/src/wordcount.rs",
        text: "pool.imap_unordered(pieces, 1)",
        instead: "pool.imap_unordered(std::iter::empty::<Piece>(), 1)
            .chain(pieces.map(|piece| Ok(piece.run())))",
        run: "pool-demo wordcount",
        check: "worker processes read all pieces",
    },
    Entry {
        // There are no threads.
        file: "pool-demo/src/wordcount.rs",
        text: "    if options.threads {
        count_on_threads(",
        instead: "    if false {
        count_on_threads(",
        run: "pool-demo wordcount --threads",
        check: "threads of the parent read all pieces",
    },
    Entry {
        // It is cut where it was to be cut, also inside of a word.
        file: "pool-demo/src/wordcount/piece.rs",
        text: "    at + cut.unwrap_or(rest.len())",
        instead: "    cut.map_or(at, |_| at)",
        run: "pool-demo wordcount",
        check: "without cuts the parent alone counts each word as often",
    },
    // pool-demo speed
    Entry {
        // The threads forget a task.
        file: "pool-demo/src/speed.rs",
        text: "let each = tasks.par_iter().with_max_len(1);",
        instead: "let each = tasks[1..].par_iter().with_max_len(1);",
        run: "pool-demo speed --rounds 1 --wait-ms 0 --mib 1",
        check: "each kind of work had the same results in all three ways",
    },
    Entry {
        // The threads are given copies, too.
        file: "pool-demo/src/speed.rs",
        text: "threads.install(|| each.map(|task| Ok(task.work())).collect())",
        instead:
            "let copy = |task| serde_json::from_value::<Work>(serde_json::to_value(task).unwrap());
            threads.install(|| each.map(|task| Ok(copy(task).unwrap().work())).collect())",
        run: "pool-demo speed --rounds 1 --wait-ms 0 --mib 1",
        check: "every byte was copied to get to a process, and none to get to a thread",
    },
    Entry {
        // No processes: the parent runs their tasks itself.
        file: "pool-demo/src/speed.rs",
        text: "pool.map(tasks, Some(1))",
        instead: "tasks.into_iter().map(|task| Ok(task.run())).collect()",
        run: "pool-demo speed --rounds 1 --wait-ms 0 --mib 1",
        check: "every byte was copied to get to a process, and none to get to a thread",
    },
    Entry {
        // Tasks that do not wait. As good as certain: they would have to take a
        // second for nothing.
        file: "pool-demo/src/speed.rs",
        text: "thread::sleep(*time);",
        instead: "thread::sleep(*time / 1000);",
        run: "pool-demo speed --rounds 1 --wait-ms 1000",
        check: "one after the other the tasks waited at least the sum of their times",
    },
    Entry {
        // One thread too many. As good as certain: it would have to begin half a
        // second after the other.
        file: "pool-demo/src/speed.rs",
        text: "ThreadPoolBuilder::new().num_threads(workers)",
        instead: "ThreadPoolBuilder::new().num_threads(workers + 1)",
        run: "pool-demo speed --rounds 1 --workers 1 --tasks 2 --wait-ms 1000",
        check: "together they waited at least as long as the tasks of one thread or worker",
    },
    // thread-demo start-join
    Entry {
        // The thread's number is taken for that of its process.
        file: "thread-demo/src/start_join.rs",
        text: r#"fact!("thread_pid", who::pid());"#,
        instead: r#"fact!("thread_pid", who::tid());"#,
        run: "thread-demo start-join --sleep-ms 1",
        check: "both threads have the same PID",
    },
    Entry {
        // The function is called, and the thread is made from nothing: in
        // Python Thread(target=count_up()).
        file: "thread-demo/src/start_join.rs",
        text: ".spawn(move || count_up(count, Duration::from_millis(sleep_ms.into())))",
        instead: ".spawn({
            count_up(count, Duration::from_millis(sleep_ms.into()));
            || ()
        })",
        run: "thread-demo start-join --sleep-ms 1",
        check: "each has a TID of its own",
    },
    Entry {
        // One less: range in Python.
        file: "thread-demo/src/start_join.rs",
        text: "for n in 1..=count {",
        instead: "for n in 1..count {",
        run: "thread-demo start-join --sleep-ms 1",
        check: "the thread counted to the end",
    },
    Entry {
        // Detached instead of joined. As good as certain: the thread sleeps
        // for half a second yet.
        file: "thread-demo/src/start_join.rs",
        text: "thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    joining.end();",
        instead: "drop(thread);
    joining.end();",
        run: "thread-demo start-join --count 1 --sleep-ms 500",
        check: "MainThread went on only after LoopThread had ended",
    },
    // thread-demo ids
    Entry {
        // The number of the thread is taken for that of its process.
        file: "thread-demo/src/ids.rs",
        text: r#"fact(format_args!("thread_{n}_pid"), who::pid());"#,
        instead: r#"fact(format_args!("thread_{n}_pid"), who::tid());"#,
        run: "thread-demo ids",
        check: "all threads have the PID of their process",
    },
    Entry {
        // And the other way round.
        file: "thread-demo/src/ids.rs",
        text: r#"fact(format_args!("thread_{n}_tid"), who::tid());"#,
        instead: r#"fact(format_args!("thread_{n}_tid"), who::pid());"#,
        run: "thread-demo ids",
        check: "each has a number of its own",
    },
    Entry {
        // A thread is there already when it is asked who is. Certain: it waits for ever.
        file: "thread-demo/src/ids.rs",
        text: "let at_first = listed_by_the_kernel();",
        instead: "let _thread = thread::spawn(|| loop { thread::park() });
    let at_first = listed_by_the_kernel();",
        run: "thread-demo ids",
        check: "at first there was one thread, and its number is the PID",
    },
    Entry {
        // The same while they are together.
        file: "thread-demo/src/ids.rs",
        text: "let waiting = waiting!(\"all\");",
        instead: "let _thread = thread::spawn(|| loop { thread::park() });
        let waiting = waiting!(\"all\");",
        run: "thread-demo ids",
        check: "the threads which the kernel lists are these, and no others",
    },
    Entry {
        // The other runs are thought to be this one.
        file: "thread-demo/src/ids.rs",
        text: "say(format_args!(\"{} {}\", who::pid(), this_program()?.display()));",
        instead: "say(format_args!(\"{} {}\", who::ppid().unwrap_or(0), this_program()?.display()));",
        run: "thread-demo ids",
        check: "three runs of a program are three processes",
    },
    Entry {
        // A name is made up.
        file: "thread-demo/src/ids.rs",
        text: "say(format_args!(\"{} {}\", who::pid(), this_program()?.display()));",
        instead: "say(format_args!(\"{0} {1}-{0}\", who::pid(), this_program()?.display()));",
        run: "thread-demo ids",
        check: "all three execute the same file",
    },
    // thread-demo levels
    Entry {
        // The function forgets what it was given.
        file: "thread-demo/src/levels.rs",
        text: "work.square = work.number.pow(2);",
        instead: "",
        run: "thread-demo levels",
        check: "both calls ran the function",
    },
    Entry {
        // A thread's number is taken for that of its process.
        file: "thread-demo/src/levels.rs",
        text: r#"fact(format_args!("{level}_pid"), who::pid());"#,
        instead: r#"fact(format_args!("{level}_pid"), who::tid());"#,
        run: "thread-demo levels",
        check: "both threads were in this process",
    },
    Entry {
        // The one who asks is asked after, and not the thread.
        file: "thread-demo/src/levels.rs",
        text: "let (square, itself) = joined.unwrap_or_else(|panic| resume_unwind(panic));",
        instead: "let (square, _) = joined.unwrap_or_else(|panic| resume_unwind(panic));
    let itself = tell(\"main\");",
        run: "thread-demo levels",
        check: "in the thread of thread::spawn pthread_self() was what the handle wraps",
    },
    Entry {
        // The thread is given a copy.
        file: "thread-demo/src/levels.rs",
        text: "fact!(\"borrowed_at\", address(&numbers));",
        instead: "fact!(\"borrowed_at\", address(&numbers.clone()));",
        run: "thread-demo levels",
        check: "a thread in a scope used its caller's data where it is",
    },
    Entry {
        // The panic is caught before it leaves the function.
        file: "thread-demo/src/levels.rs",
        text: "panic!(\"it has nowhere to go\");",
        instead: "let _ = panic::catch_unwind(|| panic!(\"it has nowhere to go\"));
        null_mut()",
        run: "thread-demo levels",
        check: "a panic out of the plain function aborted the process",
    },
    Entry {
        // A constant message is a &str, not a String.
        file: "thread-demo/src/levels.rs",
        text: "panic!(\"{MESSAGE}\")",
        instead: "panic!(\"join() returns it\")",
        run: "thread-demo levels",
        check: "a panic in the other one was a value for the one who joined",
    },
    // thread-demo join
    Entry {
        // The caller waits first. Certain: it looks only when the thread has ended.
        file: "thread-demo/src/join.rs",
        text: "let ended = adder.is_finished();",
        instead: "drop(stop);
    let stop = ();
    while !adder.is_finished() {}
    let ended = adder.is_finished();",
        run: "thread-demo join",
        check: "who started a thread went on before it had ended",
    },
    Entry {
        // Another sum.
        file: "thread-demo/src/join.rs",
        text: "20 + 22",
        instead: "20 - 22",
        run: "thread-demo join",
        check: "join() returned what the function returned",
    },
    Entry {
        // A constant message is a &str, not a String.
        file: "thread-demo/src/join.rs",
        text: "panic!(\"{MESSAGE}\")",
        instead: "panic!(\"no sum today\")",
        run: "thread-demo join",
        check: "join() returned the panic, with its message",
    },
    Entry {
        // The sender is dropped when the thread begins, not when it ends. Certain: the
        // channel has ended, sooner or later, while the thread waits on.
        file: "thread-demo/src/join.rs",
        text: "let _alive = alive;",
        instead: "drop(alive);",
        run: "thread-demo join --limit-ms 10000",
        check: "the join with a limit ended at the limit, and the thread had not ended",
    },
    Entry {
        // Nobody is joined. Certain: the first thread is told to stop only when the
        // second one has ended.
        file: "thread-demo/src/join.rs",
        text: "first.join().unwrap_or_else(|panic| resume_unwind(panic));
            joining.end();
            report!(\"{GOES_ON}\");
        });
        drop(stop);",
        instead: "drop(first);
            joining.end();
            report!(\"{GOES_ON}\");
        });
        let _stop = stop;",
        run: "thread-demo join",
        check: "a thread that joined another one went on only after its end",
    },
    // thread-demo sharing
    Entry {
        // The thread forgets one.
        file: "thread-demo/src/sharing.rs",
        text: "STATIC.store(*value, SeqCst);",
        instead: "",
        run: "thread-demo sharing",
        check: "the thread had changed everything that it had",
    },
    Entry {
        // The same for the child.
        file: "thread-demo/src/sharing.rs",
        text: "THREAD_LOCAL.set(*value);",
        instead: "if who == \"thread\" { THREAD_LOCAL.set(*value); }",
        run: "thread-demo sharing",
        check: "the child had changed everything that it had",
    },
    Entry {
        // The thread is given things of its own.
        file: "thread-demo/src/sharing.rs",
        text: "let theirs = mine.clone();",
        instead: "let theirs = Arc::new(Things::new()?);",
        run: "thread-demo sharing",
        check: "what threads share it had changed for me, too",
    },
    Entry {
        // It is the first thread that changes all.
        file: "thread-demo/src/sharing.rs",
        text: "let thread = thread.spawn(move || theirs.change(\"thread\", &value));",
        instead: "theirs.change(\"thread\", &value);
    let thread = thread.spawn(|| 0);",
        run: "thread-demo sharing",
        check: "what each thread has for itself it had not",
    },
    Entry {
        // So there is no stack but that of the first one.
        file: "thread-demo/src/sharing.rs",
        text: "let thread = thread.spawn(move || theirs.change(\"thread\", &value));",
        instead: "theirs.change(\"thread\", &value);
    let thread = thread.spawn(|| 0);",
        run: "thread-demo sharing",
        check: "stack, thread-locals and errno the thread has elsewhere",
    },
    Entry {
        // The parent runs the part of its child.
        file: "thread-demo/src/sharing.rs",
        text: "mine.values()
    };",
        instead: "mine.change(\"parent\", &value);
        mine.values()
    };",
        run: "thread-demo sharing",
        check: "it had changed nothing for me",
    },
    Entry {
        // The child is given a copy that we made.
        file: "thread-demo/src/sharing.rs",
        text: "0 => start.in_child(|| mine.change(\"child\", &value)),",
        instead: "0 => start.in_child(|| Things::new().map_or(1, |it| it.change(\"child\", &value))),",
        run: "thread-demo sharing",
        check: "its copies were at the same addresses",
    },
    // thread-demo parallel
    Entry {
        // Each asks only when the one before it has its answer.
        file: "thread-demo/src/parallel.rs",
        text: "order.send(Order::Ask(cpus.one()));
        }
        let _ = results.iter().take(tasks).count();",
        instead: "order.send(Order::Ask(cpus.one()));
            let _ = order.send(Order::Answer);
            let _ = results.iter().take(2).count();
        }",
        run: "thread-demo parallel --work-ms 1",
        check: "all tasks waited at the same time",
    },
    Entry {
        // Not on one CPU. Next to certain: a hand-over takes a tenth of a microsecond
        // there, and the two do as many as they can in a second.
        file: "thread-demo/src/parallel.rs",
        text: "hand_over(FEW, [Some(cpu); 2])",
        instead: "hand_over(MANY, [Some(cpu), cpus.number(1)])",
        run: "thread-demo parallel --work-ms 1",
        check: "on one CPU each hand-over needed a switch",
    },
    Entry {
        // On one CPU, and not on two. (It is tried for ten seconds.)
        file: "thread-demo/src/parallel.rs",
        text: "[cpus.number(0), cpus.number(1)]",
        instead: "[cpus.one(); 2]",
        run: "thread-demo parallel --work-ms 1",
        check: "on two CPUs most needed none: both ran at the same instant",
    },
    // thread-demo switch
    Entry {
        // It stops at once. Next to certain: nobody is switched out ten times in
        // a few microseconds.
        file: "thread-demo/src/switch.rs",
        text: "switches.involuntary >= TURNS || time",
        instead: "switches.involuntary + TURNS >= TURNS || time",
        run: "thread-demo switch",
        check: "who computes was switched out, though it gave up nothing",
    },
    Entry {
        file: "thread-demo/src/switch.rs",
        text: "thread::sleep(Duration::from_millis(1));",
        instead: "compute();",
        run: "thread-demo switch --sleeps 1000",
        check: "who sleeps waits for as long as it asked, or longer",
    },
    Entry {
        // It does not sleep. Next to certain: see above.
        file: "thread-demo/src/switch.rs",
        text: "thread::sleep(Duration::from_millis(1));",
        instead: "compute();",
        run: "thread-demo switch --sleeps 1000",
        check: "who sleeps was switched out each time",
    },
    Entry {
        // It spins, too. (Whether it sleeps is asked for ten seconds.)
        file: "thread-demo/src/switch.rs",
        text: "let _ = told_to_stop.recv();",
        instead: "while told_to_stop.try_recv() == Err(crossbeam::channel::TryRecvError::Empty) {}",
        run: "thread-demo switch",
        check: "who waits sleeps, says the kernel",
    },
    Entry {
        file: "thread-demo/src/switch.rs",
        text: "let _ = told_to_stop.recv();",
        instead: "while told_to_stop.try_recv() == Err(crossbeam::channel::TryRecvError::Empty) {}",
        run: "thread-demo switch",
        check: "waiting used less than a tenth of the CPU time of spinning",
    },
    // thread-demo main-ends
    Entry {
        // Main does not wait until all have begun. Certain: one never begins.
        file: "thread-demo/src/main_ends.rs",
        text: "for n in 1..=threads {",
        instead: "for n in 1..threads {",
        run: "thread-demo main-ends",
        check: "all threads of main 1 had begun when it returned",
    },
    Entry {
        // Main joins them.
        file: "thread-demo/src/main_ends.rs",
        text: "thread.with_context(|| format!(\"failed to start thread {n} of {threads}\"))?;",
        instead: "let _ = thread?.join();",
        run: "thread-demo main-ends --work-ms 500",
        check: "none of them came to the end of its work, for the process had ended",
    },
    Entry {
        // The maker waits for what it has made. Certain: it ends after that one.
        file: "thread-demo/src/main_ends.rs",
        text: "report!(\"I have made a thread, and end\");
        Ok((made, go_on))",
        instead: "drop(go_on);
        let _ = made.join();
        let (go_on, _) = channel::<()>();
        let made = thread::Builder::new().spawn(|| ())?;
        Ok((made, go_on))",
        run: "thread-demo main-ends",
        check: "a thread went on when the one that made it had ended",
    },
    Entry {
        // The child says nothing after its parent's end.
        file: "thread-demo/src/main_ends.rs",
        text: "say(GOES_ON);",
        instead: "",
        run: "thread-demo main-ends",
        check: "a process went on when its parent had ended",
    },
    // thread-demo cost
    Entry {
        // The thread does more than the process. As good as certain: a process is
        // started and reaped in less than that, at least in one of the rounds.
        file: "thread-demo/src/cost.rs",
        text: "let thread = thread::Builder::new().spawn(|| ());",
        instead: "let thread = thread::Builder::new()
        .spawn(|| thread::sleep(Duration::from_millis(50)));",
        run: "thread-demo cost --rounds 5 --heap-mib 0",
        check: "a thread, started and joined, takes less time than a program",
    },
    Entry {
        // The same, and a fork is over sooner still.
        file: "thread-demo/src/cost.rs",
        text: "let thread = thread::Builder::new().spawn(|| ());",
        instead: "let thread = thread::Builder::new()
        .spawn(|| thread::sleep(Duration::from_millis(50)));",
        run: "thread-demo cost --rounds 5 --heap-mib 0",
        check: "it takes less than a fork, too",
    },
    Entry {
        // The heaps are mixed up. As good as certain: see the other way round.
        file: "thread-demo/src/cost.rs",
        text: "Helper::start(&format!(\"{mib} MiB\"), *mib)?",
        instead: "Helper::start(&format!(\"{mib} MiB\"), 256 - *mib)?",
        run: "thread-demo cost --rounds 5 --heap-mib 0,256",
        check: "a fork takes longer with the largest heap than with the smallest",
    },
    Entry {
        // The same.
        file: "thread-demo/src/cost.rs",
        text: "Helper::start(&format!(\"{mib} MiB\"), *mib)?",
        instead: "Helper::start(&format!(\"{mib} MiB\"), 256 - *mib)?",
        run: "thread-demo cost --rounds 5 --heap-mib 0,256",
        check: "with the smallest it takes less time than a program, with the largest more",
    },
    Entry {
        // The threads have a heap of their own.
        file: "thread-demo/src/cost.rs",
        text: "let _ = begins.send(());",
        instead: "let heap = vec![1_u8; 4 << 20];
                let _ = begins.send(());
                let _ = told_to_stop.recv();
                black_box(&heap);",
        run: "thread-demo cost --rounds 5 --heap-mib 0",
        check: "an idle thread needs less memory than an idle process",
    },
    // lock-demo lost-update
    Entry {
        // The first thread waits too late, when it has stored. Certain: the
        // second one waits for it.
        file: "lock-demo/src/lost_update.rs",
        text: "let _ = has_read.send(());
            wait(&wait_until_written);
            // The balance is another one by now.
            write(balance, before + options.first, step);",
        instead: "write(balance, before + options.first, step);
            let _ = has_read.send(());
            wait(&wait_until_written);",
        run: "lock-demo lost-update --step-ms 1",
        check: "of the two deposits only the first one is in the balance",
    },
    Entry {
        // The second thread waits until the first one has written.
        file: "lock-demo/src/lost_update.rs",
        text: "let _ = has_read.send(());
            wait(&wait_until_written);
            // The balance is another one by now.
            write(balance, before + options.first, step);",
        instead: "write(balance, before + options.first, step);
            let _ = has_read.send(());
            drop(wait_until_written);",
        run: "lock-demo lost-update --step-ms 1",
        check: "both threads read the balance before either had written it",
    },
    // lock-demo balance
    Entry {
        // The balance is wrong for another reason: less is withdrawn than was
        // deposited. Certain: the threads take turns, so no update is lost.
        file: "lock-demo/src/balance.rs",
        text: "update(amount, true);
        let waiting = waiting!(\"wait\");
        update(-amount, false);
        everyone.wait(); // until each thread is as far as this one
        waiting.end();",
        instead: "static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock();
        update(amount, true);
        update(1 - amount, false);
        drop(everyone);",
        run: "lock-demo balance --iterations 10",
        check: "without a lock: a wrong balance means that updates were lost",
    },
    Entry {
        // Two critical sections instead of one. As good as certain: each of
        // the threads gives way 20000 times in between.
        file: "lock-demo/src/balance.rs",
        text: "let mut account = account.lock();
        // From here on no other thread comes in, until `account` is dropped.
        drop(waiting);
        let _holding = first.then(|| span!(\"hold\"));
        if first {
            thread::sleep(HOLD);
        }
        let before = *account;
        *account = before.add(amount);",
        instead: "drop(waiting);
        let before = *account.lock();
        thread::yield_now();
        *account.lock() = before.add(amount);",
        run: "lock-demo balance --iterations 10000",
        check: "with a lock: no update is lost, and the balance is 0",
    },
    // lock-demo interleavings
    Entry {
        // One of the orders is forgotten.
        file: "lock-demo/src/interleavings.rs",
        text: "(0..1 << steps).filter(half);",
        instead: "(0..1 << steps).filter(half).skip(1);",
        run: "lock-demo interleavings",
        check: "there are as many interleavings as ways to choose A's steps among all",
    },
    Entry {
        // A deposit is thought to have two steps.
        file: "lock-demo/src/interleavings.rs",
        text: ".chunks(STEPS)",
        instead: ".chunks(2)",
        run: "lock-demo interleavings",
        check: "money is lost in those in which a deposit is interrupted, and in no others",
    },
    Entry {
        // To add and to store is one step: more orders are right.
        file: "lock-demo/src/interleavings.rs",
        text: "1 => sums[who] += THREADS[who].1,",
        instead: "1 => sums[who] = balance + THREADS[who].1,",
        run: "lock-demo interleavings --operations 2",
        check: "nothing is lost in as many as there are orders of whole deposits",
    },
    Entry {
        // The thread loads once more, when it adds.
        file: "lock-demo/src/interleavings.rs",
        text: "let sum = seen + amount;",
        instead: "let sum = balance.load(SeqCst) + amount;",
        run: "lock-demo interleavings",
        check: "two threads that make their steps in this order end with the same balance",
    },
    Entry {
        // The lock is released too early.
        file: "lock-demo/src/interleavings.rs",
        text: "let seen = balance.load(SeqCst);",
        instead: "let seen = balance.load(SeqCst);
    drop(held);
    let held = None::<()>;",
        run: "lock-demo interleavings --schedule ABBAAB --lock",
        check: "with the lock no deposit is interrupted, and nothing is lost",
    },
    // lock-demo exclusive
    Entry {
        // A thread has asked only when it has the lock.
        file: "lock-demo/src/exclusive.rs",
        text: "asked.fetch_add(1, SeqCst);
        drop(about_to_ask);
        let guard = lock.lock();",
        instead: "drop(about_to_ask);
        let guard = lock.lock();
        asked.fetch_add(1, SeqCst);",
        run: "lock-demo exclusive",
        check: "all threads had asked for the lock before the first one got it",
    },
    Entry {
        // The guard is dropped at once. As good as certain: they all sleep for long.
        file: "lock-demo/src/exclusive.rs",
        text: "let guard = lock.lock();
        // From",
        instead: "drop(lock.lock());
        let guard = ();
        // From",
        run: "lock-demo exclusive --hold-ms 500",
        check: "never did more than one thread hold it",
    },
    Entry {
        // The same: the spans overlap.
        file: "lock-demo/src/exclusive.rs",
        text: "let guard = lock.lock();
        // From",
        instead: "drop(lock.lock());
        let guard = ();
        // From",
        run: "lock-demo exclusive --hold-ms 500",
        check: "no two of the spans in which it was held overlap",
    },
    Entry {
        // It is not held for as long as it is said. Certain: by far.
        file: "lock-demo/src/exclusive.rs",
        text: "thread::sleep(hold);",
        instead: "let _ = hold;",
        run: "lock-demo exclusive --hold-ms 1000",
        check: "the last one waited for as long as all others held it, or longer",
    },
    // lock-demo poison
    Entry {
        // The poison is cleared before anybody looks.
        file: "lock-demo/src/poison.rs",
        text: "match accounts.lock() {",
        instead: "accounts.clear_poison();
    match accounts.lock() {",
        run: "lock-demo poison",
        check: "std: after the panic lock() returned an error",
    },
    Entry {
        // The panic comes before the change.
        file: "lock-demo/src/poison.rs",
        text: "accounts.first -= amount;
        panic!(\"{MESSAGE}\"); // before the other half",
        instead: "assert!(accounts.first < ALL, \"{MESSAGE}\");
        accounts.first -= amount;",
        run: "lock-demo poison",
        check: "the data was as the panic left it: half of the change was made",
    },
    Entry {
        // Nothing is repaired.
        file: "lock-demo/src/poison.rs",
        text: "accounts.second = ALL - accounts.first;",
        instead: "accounts.second = 0;",
        run: "lock-demo poison",
        check: "repaired, and no longer poisoned, it could be locked as before",
    },
    Entry {
        // The guard is never dropped.
        file: "lock-demo/src/poison.rs",
        text: "accounts.first -= amount;
        panic!(\"{MESSAGE}\");
    })?;",
        instead: "accounts.first -= amount;
        std::mem::forget(accounts);
        panic!(\"{MESSAGE}\");
    })?;",
        run: "lock-demo poison",
        check: "parking_lot: lock() returned the lock, and the data was half changed, too",
    },
    Entry {
        // The first half is stored at once.
        file: "lock-demo/src/poison.rs",
        text: "changed.first -= amount;",
        instead: "accounts.first -= amount;
        changed.first = accounts.first;",
        run: "lock-demo poison",
        check: "a change that is stored at once is made whole or not at all",
    },
    // lock-demo condition
    Entry {
        // Who finds the buffer full throws an item away. As good as certain: a hundred
        // items come faster than one is worked on.
        file: "lock-demo/src/condition.rs",
        text: "while items.len() == self.capacity {
            let _wait = waiting!(\"full\");
            self.not_full.wait(&mut items); // releases the lock while it sleeps
        }",
        instead: "if items.len() == self.capacity {
            items.pop_front();
        }",
        run: "lock-demo condition --items 100 --capacity 1 --consumers 1",
        check: "each item was taken once",
    },
    Entry {
        // Nobody waits for room. As good as certain, for the same reason.
        file: "lock-demo/src/condition.rs",
        text: "while items.len() == self.capacity {",
        instead: "while items.len() == 1000 {",
        run: "lock-demo condition --items 100 --capacity 1",
        check: "there were never more items in the buffer than fit into it",
    },
    Entry {
        // Looked at and waited for under one lock: no wake-up is lost. Certain: who
        // notifies has to have the lock.
        file: "lock-demo/src/condition.rs",
        text: "let nothing_there = !*is_there.lock(); // released at the end of this line
            let _ = looked.send(());
            let _ = until_notified.recv();
            let mut is_there = is_there.lock();",
        instead: "let mut is_there = is_there.lock();
            let nothing_there = !*is_there;
            let _ = looked.send(());
            drop(until_notified);
            const LIMIT: Duration = Duration::from_secs(15);",
        run: "lock-demo condition",
        check: "a notify before the wait woke nobody, and was not remembered",
    },
    Entry {
        // `if` instead of `while`.
        file: "lock-demo/src/condition.rs",
        text: "while shelf.item.is_none() {",
        instead: "if shelf.item.is_none() {",
        run: "lock-demo condition",
        check: "a thread was woken, found nothing there, and waited until it was woken again",
    },
    Entry {
        // A thread has come only when it has passed.
        file: "lock-demo/src/condition.rs",
        text: "came.fetch_add(1, SeqCst);
                barrier.wait();
                Some(came.load(SeqCst))",
        instead: "barrier.wait();
                Some(came.fetch_add(1, SeqCst))",
        run: "lock-demo condition",
        check: "nobody passed the barrier before all had come",
    },
    // lock-demo deadlock
    Entry {
        // Two threads take their locks in the same order. Certain: then there is no
        // circle, with or without a beginning that is forced.
        file: "lock-demo/src/deadlock.rs",
        text: "if way == Way::SameOrder {",
        instead: "if way != Way::WithALimit {",
        run: "lock-demo deadlock",
        check: "in opposite orders each waited for a lock that the next one held",
    },
    Entry {
        // They wait with a limit, so none waits for ever.
        file: "lock-demo/src/deadlock.rs",
        text: "_ => Some(locks.lock(me, other)),",
        instead: "_ => locks.try_lock_for(me, other, limit(me)),",
        run: "lock-demo deadlock",
        check: "nothing changed any more, and none of them did its work",
    },
    Entry {
        // The order is that of the opposite ones.
        file: "lock-demo/src/deadlock.rs",
        text: "mine.sort_unstable();",
        instead: "mine.reverse();",
        run: "lock-demo deadlock",
        check: "in the same order all of them did",
    },
    Entry {
        // No limit: they wait for ever, though nobody looks for a circle.
        file: "lock-demo/src/deadlock.rs",
        text: "Way::WithALimit => locks.try_lock_for(me, other, limit(me)),",
        instead: "",
        run: "lock-demo deadlock",
        check: "with a time limit somebody gave up, and in the end all did",
    },
    // lock-demo kinds
    Entry {
        // The last thread's total is stored over those of the others. As good as certain:
        // each of them has added something.
        file: "lock-demo/src/kinds.rs",
        text: "|total| _ = balance.fetch_add(total, Relaxed);",
        instead: "|total| balance.store(total, Relaxed);",
        run: "lock-demo kinds",
        check: "with every protection each addition is in the balance",
    },
    // lock-demo processes
    Entry {
        // The parent adds as well.
        file: "lock-demo/src/processes.rs",
        text: "report!(\"own variable: the parent's is {own}\");",
        instead: "own += 5;
    report!(\"own variable: the parent's is {own}\");",
        run: "lock-demo processes",
        check: "after fork the child's variable changed, the parent's did not",
    },
    Entry {
        // Two critical sections instead of one. As good as certain: each child gives way
        // 10000 times in between.
        file: "lock-demo/src/processes.rs",
        text: "*shared.lock().context(\"failed to lock\")? += 1;",
        instead: "let before = *shared.lock().context(\"failed to lock\")?;
            std::thread::yield_now();
            *shared.lock().context(\"failed to lock\")? = before + 1;",
        run: "lock-demo processes --children 8",
        check: "under a mutex in shared memory no addition was lost",
    },
    Entry {
        // Both mutexes are robust.
        file: "lock-demo/src/processes.rs",
        text: "owner_is_killed(\"default\", Kind::Default)?;",
        instead: "owner_is_killed(\"default\", Kind::Robust)?;",
        run: "lock-demo processes",
        check: "a default mutex stayed locked when its owner had been killed",
    },
    Entry {
        // The owner had not begun to change anything.
        file: "lock-demo/src/processes.rs",
        text: "*number = HALF; // it never comes to the other half",
        instead: "*number = WHOLE;",
        run: "lock-demo processes",
        check: "a robust one was locked next, and told of the owner's death in mid-change",
    },
    Entry {
        // Who got it does not say that it is repaired.
        file: "lock-demo/src/processes.rs",
        text: "number.repaired().context(\"failed to repair a mutex\")?;",
        instead: "",
        run: "lock-demo processes",
        check: "repaired, it could be locked as before",
    },
    Entry {
        // Looked at too late.
        file: "lock-demo/src/processes.rs",
        text: "let before = ours.try_lock().is_err();
    end_by_force(owner)?;",
        instead: "end_by_force(owner)?;
    let before = ours.try_lock().is_err();",
        run: "lock-demo processes",
        check: "a file was locked by its owner, and by nobody when that was killed",
    },
    // lock-demo refused
    Entry {
        // An Arc in place of the Rc: nothing to refuse.
        file: "lock-demo/refused/rc.rs",
        text: "use std::rc::Rc;",
        instead: "use std::sync::Arc as Rc;",
        run: "lock-demo refused",
        check: "rustc refuses each program, at the marked line",
    },
    Entry {
        // What is deposited into is a copy of what the lock guards.
        file: "lock-demo/src/refused.rs",
        text: r#"start(scope, "second", || *balance.lock() += second)"#,
        instead: r#"let mut copy = *balance.lock();
        start(scope, "second", move || copy += second)"#,
        run: "lock-demo refused",
        check: "with a Mutex both deposits are in the balance",
    },
    Entry {
        // The thread takes the value out of the guard with it instead of locking.
        file: "lock-demo/src/refused.rs",
        text: r#"start(scope, "locks too", || *balance.lock() += second)"#,
        instead: r#"let mut copy = *balance.lock();
        start(scope, "locks too", move || copy += second)"#,
        run: "lock-demo refused",
        check: "when each thread has a guard of its own, too",
    },
    Entry {
        // A second balance instead of a second owner.
        file: "lock-demo/src/refused.rs",
        text: "let theirs = Arc::clone(&balance);",
        instead: "let theirs = Arc::new(Mutex::new(0));",
        run: "lock-demo refused",
        check: "what an Arc holds is one balance for both its owners",
    },
    Entry {
        // `move` gives the thread a copy of the number.
        file: "lock-demo/src/refused.rs",
        text: r#"start(scope, "borrower", || balance += second)"#,
        instead: r#"start(scope, "borrower", move || balance += second)"#,
        run: "lock-demo refused",
        check: "in a scope a thread changed its caller's variable itself",
    },
];
