//! What processes do instead of sharing variables: they send messages. (note 26)
//!
//! cargo run -p process-demo -- message --messages 1000
//!
//! To copy: examples/message.rs, a request, a queue and a large message without
//! the reporting.

use crate::child::{Pipes, pipes, wait_for};
use crate::process::Process;
use shared_core::cli::Question;
use shared_core::report::{failed, require};
use shared_core::{Context, Result, check, fact, moment, report, span, waiting, who};
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

/// Processes send each other what they do not share
///
/// Through a pipe bytes arrive once and in order. One that several processes write
/// to is a queue: lines of up to PIPE_BUF bytes stay whole (pipe(7)). But a pipe
/// holds little, on Linux 64 KiB, and a write waits until the rest fits. Where both
/// sides write much before they read, each waits for the other, for ever: a
/// deadlock. One of them must read while it writes, with a thread, say.
///
/// Try: cargo run -p process-demo -- message --messages 10 --producers 5
#[derive(clap::Args)]
pub struct Options {
    /// Messages of each process (1 to 20000)
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    messages: u32,
    /// Processes that share a queue (1 to 50)
    #[arg(long, default_value_t = 3, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u16).range(1..=50))]
    producers: u16,
    /// The large message, in KiB (256 to 65536)
    #[arg(long, default_value_t = 1024, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(256..=65_536))]
    large_kib: u32,
}

/// What `--predict` asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        text: "{producers} processes write {messages} lines each into one pipe. How many arrive?",
        choices: &[],
        fact: "queue_arrived",
        is_a_race: false,
    },
    Question {
        text: "Parent and child write {large_kib} KiB to each other, then they read. What happens?",
        choices: &[BOTH_ARRIVE, DEADLOCK],
        fact: "both_write_first",
        is_a_race: false,
    },
];
const BOTH_ARRIVE: &str = "both messages arrive";
const DEADLOCK: &str = "both wait for ever";

pub fn run(options: &Options) -> Result<()> {
    ask(options.messages)?;
    share_a_queue(options.producers, options.messages)?;
    let size = usize::try_from(options.large_kib)? << 10;
    write_before_reading(size)?;
    write_while_reading(size)?;
    judge(options);
    Ok(())
}

/// Requests go through one pipe, replies come back through another.
fn ask(messages: u32) -> Result<()> {
    let (replies, theirs) = pipe().context("failed to make a pipe")?;
    let mut server = Process::new(double, ()).named("server").piped(theirs);
    server.start()?;

    let asking = span!("ask");
    let mut replies = BufReader::new(replies).lines();
    let mut right = 0;
    for n in 1..=messages {
        server.send(n)?;
        let reply = replies.next().context("the server has ended")?;
        right += u32::from(reply.context("failed to read a reply")? == (2 * n).to_string());
    }
    asking.end();
    drop(server.take_input()); // it reads the end of its input, so it ends
    server.join()?;

    report!("{messages} requests, {right} right replies");
    fact!("right_replies", right);
    Ok(())
}

/// A pipe that several processes write to is a queue.
fn share_a_queue(producers: u16, messages: u32) -> Result<()> {
    let (queue, theirs) = pipe().context("failed to make a pipe")?;
    let mut processes = Vec::new();
    for n in 1..=producers {
        let theirs = theirs.try_clone().context("failed to copy a pipe")?;
        let process = Process::new(produce, (n, messages));
        let mut process = process.named(&format!("producer {n}")).piped(theirs);
        process.start()?;
        processes.push(process);
    }
    drop(theirs); // the queue ends when nobody is left who can write to it

    let reading = span!("read");
    let lines = BufReader::new(queue).lines();
    let lines = lines.collect::<std::io::Result<Vec<String>>>();
    let lines = lines.context("failed to read the queue")?;
    reading.end();
    for process in &mut processes {
        process.join()?;
    }

    report!("{producers} producers, {} messages", lines.len());
    fact!("queue_arrived", lines.len());
    fact!(
        "whole_and_in_order",
        whole_and_in_order(&lines, producers, messages)
    );
    Ok(())
}

/// Parent and child write, and would then read: neither comes to that.
fn write_before_reading(size: usize) -> Result<()> {
    let (mut reply, theirs) = pipe().context("failed to make a pipe")?;
    let message = large(size)?;
    let mut process = Process::new(write_then_read, size)
        .named("stuck")
        .piped(theirs);
    process.start()?;
    let mut input = process.take_input().context("no input")?;
    wait_for(&mut reply, "stuck")?; // it writes

    let (parent, child) = (who::tid(), process.pid());
    let watchdog = thread::Builder::new().name("watchdog".to_owned());
    let watchdog = watchdog.spawn(move || {
        let watching = waiting!("watch");
        let stuck = both_sleep(parent, child, &mut process);
        watching.end();
        report!("both write, neither reads: I kill one");
        moment!("kill");
        process.kill()?;
        process.join()?;
        stuck
    });
    let watchdog = watchdog.context("failed to start a thread")?;
    let writing = waiting!("write");
    let written = input.write_all(&message); // fails when the child is killed
    drop((writing, input));
    let stuck = watchdog
        .join()
        .unwrap_or_else(|panic| resume_unwind(panic))?;

    let mut rest = Vec::new();
    reply
        .read_to_end(&mut rest)
        .context("failed to read from a pipe")?;
    let in_pipe = rest.len() + 1;
    report!("the pipe took {} of {} KiB", in_pipe >> 10, size >> 10);
    fact!("stuck_in_pipe_bytes", in_pipe);
    let both_wait = stuck && written.is_err();
    fact!(
        "both_write_first",
        [BOTH_ARRIVE, DEADLOCK][usize::from(both_wait)]
    );
    Ok(())
}

/// The same child; but a thread of the parent reads while the parent writes.
fn write_while_reading(size: usize) -> Result<()> {
    let (mut reply, theirs) = pipe().context("failed to make a pipe")?;
    let mut process = Process::new(write_then_read, size)
        .named("served")
        .piped(theirs);
    process.start()?;
    let mut input = process.take_input().context("no input")?;

    let reader = thread::Builder::new().name("reader".to_owned());
    let reader = reader.spawn(move || {
        let _span = span!("read");
        let mut message = Vec::new();
        reply.read_to_end(&mut message).map(|_| message.len())
    });
    let reader = reader.context("failed to start a thread")?;
    let writing = span!("write");
    let written = input.write_all(&large(size)?);
    written.context("failed to write to the child")?;
    drop((writing, input));
    let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
    process.join()?;

    let read = read.context("failed to read from the child")?;
    report!("both messages arrive: {} KiB each", read >> 10);
    fact!("parent_read_bytes", read);
    Ok(())
}

/// What runs in the server: a reply to each request.
pub fn double(_nothing: ()) {
    let Ok(mut pipes) = pipes() else { return };
    while let Some(request) = pipes.receive() {
        pipes.send(request.parse().map_or(0, |n: u32| 2 * n));
    }
}

/// What runs in each producer.
pub fn produce((producer, messages): (u16, u32)) {
    let Ok(mut pipes) = pipes() else { return };
    let _span = span!("write");
    for n in 1..=messages {
        pipes.send(format_args!("{producer} {n}"));
    }
}

/// What runs in both children that have a large message.
pub fn write_then_read(size: usize) {
    let Ok(Pipes {
        mut input,
        mut output,
    }) = pipes()
    else {
        return;
    };
    let message = match large(size) {
        Ok(message) => message,
        Err(error) => return failed(format_args!("{error:#}")),
    };
    let writing = waiting!("write");
    let _ = output.write_all(&message);
    drop((writing, output));
    let mut message = Vec::new();
    let _ = input.read_to_end(&mut message);
    fact!("child_read_bytes", message.len());
}

/// A message of so many bytes.
fn large(size: usize) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    let reserved = message.try_reserve_exact(size);
    reserved.with_context(|| format!("failed to reserve {} KiB", size >> 10))?;
    message.resize(size, b'm');
    Ok(message)
}

// A first reading may skip the rest.

fn judge(options: &Options) {
    let size = u64::from(options.large_kib) << 10;
    check!(
        "each request was answered, in order",
        require("right_replies"),
        options.messages
    );
    check!(
        "through the queue each message came once, whole, in its producer's order",
        require("whole_and_in_order"),
        options.producers
    );
    check!(
        "where both wrote before they read, both waited for ever",
        require("both_write_first"),
        DEADLOCK
    );
    let in_pipe = require("stuck_in_pipe_bytes");
    check!(
        "the pipe did not hold the whole message",
        in_pipe.clone(),
        in_pipe.as_u64() < Some(size),
        format!("less than {size}")
    );
    check!(
        "where one of them read meanwhile, both messages arrived",
        vec![require("parent_read_bytes"), require("child_read_bytes")],
        vec![size; 2]
    );
}

/// Of how many producers each message has arrived once, whole and in order.
fn whole_and_in_order(lines: &[String], producers: u16, messages: u32) -> usize {
    let all = (1..=producers).filter(|producer| {
        let from = format!("{producer} ");
        let numbers = lines.iter().filter_map(|line| line.strip_prefix(&from));
        numbers.eq((1..=messages).map(|n| n.to_string()))
    });
    all.count()
}

/// Waits until the thread `parent` and the process `child` both sleep, and still do
/// a moment later: each of them could only be woken by the other. Where the system
/// does not tell, `process` is given time to end.
fn both_sleep(parent: u64, child: Option<u32>, process: &mut Process) -> Result<bool> {
    let ids = [u32::try_from(parent).ok(), child];
    let sleeping = || ids.map(|id| id.and_then(who::state)) == [Some('S'); 2];
    if child.and_then(who::state).is_none() {
        let ended = process.join_timeout(Duration::from_millis(200))?;
        return Ok(ended.is_none());
    }
    while process.is_alive()? {
        thread::sleep(Duration::from_millis(1));
        if sleeping() {
            thread::sleep(Duration::from_millis(50));
            if sleeping() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
