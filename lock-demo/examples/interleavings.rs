//! Every order in which two threads can make the three steps of a deposit, and
//! the balance after each: nothing is left to luck.
//!
//! Nothing to `cargo add`.

/// Load, add, store.
const STEPS: usize = 3;

#[derive(Clone, Copy)]
struct Thread {
    amount: i64,
    made: usize,
    sum: i64,
}

fn main() {
    let threads = [5, 8].map(|amount| Thread {
        amount,
        made: 0,
        sum: 0,
    });
    let mut balances = Vec::new();
    go_on(threads, 0, "", &mut balances);
    let right = balances.iter().filter(|b| **b == 13).count();
    println!("13 in {right} of {}", balances.len());
}

/// Lets each thread in turn make the next step, and goes on from there.
fn go_on(threads: [Thread; 2], balance: i64, order: &str, all: &mut Vec<i64>) {
    if threads.iter().all(|thread| thread.made == STEPS) {
        println!("{order}: {balance}");
        all.push(balance);
        return;
    }
    for (who, name) in ["A", "B"].iter().enumerate() {
        let (mut threads, mut balance) = (threads, balance);
        let thread = &mut threads[who];
        match thread.made {
            0 => thread.sum = balance,
            1 => thread.sum += thread.amount,
            // Break it: write balance += thread.amount; to add in one step, as
            // an atomic add does, loses nothing: 13 in 20 of 20.
            2 => balance = thread.sum,
            _ => continue, // it has ended
        }
        thread.made += 1;
        go_on(threads, balance, &format!("{order}{name}"), all);
    }
}
