//! The same computation one part after the other, on threads, and in processes.
//!
//! cargo add rayon

use rayon::prelude::*;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, io};

/// More of them than CPUs: whoever is done early takes another one.
const PARTS: u32 = 64;
const PROCESSES: u32 = 2;

fn main() -> io::Result<()> {
    // A worker is this same program, started with its number.
    if let Some(number) = env::args().nth(1) {
        let number = number.parse().map_err(io::Error::other)?;
        let parts = (number..PARTS).step_by(PROCESSES as usize);
        println!("{}", parts.map(primes).sum::<u32>());
        return Ok(());
    }
    time("sequential", || Ok((0..PARTS).map(primes).sum()))?;
    time("threads", || {
        Ok((0..PARTS).into_par_iter().map(primes).sum())
    })?;
    time("processes", || {
        // Break it: leave out the first of the two `collect`s, and its
        // type: each process is waited for before the next one starts.
        let workers = (0..PROCESSES).map(start);
        let workers: Vec<io::Result<Child>> = workers.collect();
        workers.into_iter().map(|worker| result(worker?)).sum()
    })
}

fn start(number: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .arg(number.to_string())
        .stdout(Stdio::piped())
        .spawn()
}

fn result(worker: Child) -> io::Result<u32> {
    let output = worker.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(io::Error::other)
}

fn time(name: &str, count: impl Fn() -> io::Result<u32>) -> io::Result<()> {
    let start = Instant::now();
    let primes = count()?;
    println!("{name:<10} {primes} primes in {:.1?}", start.elapsed());
    Ok(())
}

/// How many primes there are in a part of the numbers.
fn primes(part: u32) -> u32 {
    let numbers = part * 1000..(part + 1) * 1000;
    numbers.map(|n| u32::from(is_prime(n))).sum()
}

fn is_prime(n: u32) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= n);
    n >= 2 && divisors.all(|divisor| !n.is_multiple_of(divisor))
}
