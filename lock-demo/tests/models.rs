//! Three mistakes with locks as models: loom tries every order in which the threads can
//! make their steps. The mistake is found in some of them; without it all are right.
//!
//! cargo test -p lock-demo --test models

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use loom::sync::atomic::{AtomicI64, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::collections::{BTreeSet, VecDeque};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// For the threads of one order; there are so few of them that it may stay.
fn shared<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

// A lost update: another thread comes between load and store.

/// The balances, over all orders, after deposits of 5 and 8.
fn balances(under_a_lock: bool) -> BTreeSet<i64> {
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let found = Arc::clone(&seen);
    loom::model(move || {
        let (balance, lock) = shared((AtomicI64::new(0), Mutex::new(())));
        let deposits = [5, 8].map(|amount| {
            thread::spawn(move || {
                let held = under_a_lock.then(|| lock.lock().expect("no panic"));
                let before = balance.load(SeqCst);
                balance.store(before + amount, SeqCst);
                drop(held);
            })
        });
        for deposit in deposits {
            deposit.join().expect("no panic");
        }
        let balance = balance.load(SeqCst);
        found.lock().expect("no panic").insert(balance);
    });
    let seen = seen.lock().expect("no panic");
    seen.clone()
}

#[test]
fn without_a_lock_either_deposit_may_be_lost() {
    assert_eq!(balances(false), BTreeSet::from([5, 8, 13]));
}

#[test]
fn under_a_lock_none_is() {
    assert_eq!(balances(true), BTreeSet::from([13]));
}

// A buffer: two consumers take an item each, and sleep while there is none.

#[derive(Clone, Copy)]
enum Wait {
    /// `while` it is empty: wait.
    InALoop,
    /// `if` it is empty: wait.
    Once,
    /// It is looked at under one lock, and waited for under another.
    TooLate,
}

#[derive(Default)]
struct Buffer {
    items: Mutex<VecDeque<u32>>,
    not_empty: Condvar,
}

impl Buffer {
    fn put(&self, item: u32) {
        let mut items = self.items.lock().expect("no panic");
        items.push_back(item);
        self.not_empty.notify_one();
    }

    fn take(&self, how: Wait) -> u32 {
        let mut items = self.items.lock().expect("no panic");
        match how {
            Wait::InALoop => {
                while items.is_empty() {
                    items = self.not_empty.wait(items).expect("no panic");
                }
            }
            Wait::Once => {
                if items.is_empty() {
                    items = self.not_empty.wait(items).expect("no panic");
                }
            }
            Wait::TooLate => {
                while items.is_empty() {
                    drop(items); // here an item may come, and its notify be lost
                    items = self.items.lock().expect("no panic");
                    items = self.not_empty.wait(items).expect("no panic");
                }
            }
        }
        items.pop_front().expect("woken, and nothing is there")
    }
}

fn two_consumers(how: Wait) {
    loom::model(move || {
        let buffer = shared(Buffer::default());
        let consumers = [(); 2].map(|()| thread::spawn(move || buffer.take(how)));
        buffer.put(1);
        buffer.put(2);
        let mut taken = consumers.map(|consumer| consumer.join().expect("no panic"));
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn who_looks_again_when_woken_takes_an_item_in_every_order() {
    two_consumers(Wait::InALoop);
}

#[test]
#[should_panic(expected = "woken, and nothing is there")]
fn who_looks_once_may_find_nothing() {
    two_consumers(Wait::Once);
}

#[test]
#[should_panic(expected = "deadlock")]
fn who_waits_too_late_may_wait_for_ever() {
    two_consumers(Wait::TooLate);
}

// Two locks, of which both threads need both.

fn two_locks(in_the_same_order: bool) {
    loom::model(move || {
        let locks = shared([Mutex::new(0), Mutex::new(0)]);
        let second = if in_the_same_order { [0, 1] } else { [1, 0] };
        let threads = [[0, 1], second].map(|order| {
            thread::spawn(move || {
                // Not dropped when loom ends a deadlock: that would be a second panic.
                let lock = |lock: usize| ManuallyDrop::new(locks[lock].lock().expect("no panic"));
                let [mut one, mut other] = order.map(lock);
                **one += 1;
                **other += 1;
                drop([one, other].map(ManuallyDrop::into_inner));
            })
        });
        for thread in threads {
            thread.join().expect("no panic");
        }
        let done = [0, 1].map(|lock| *locks[lock].lock().expect("no panic"));
        assert_eq!(done, [2, 2]);
    });
}

#[test]
fn locks_that_are_taken_in_the_same_order_come_free_in_every_order() {
    two_locks(true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn in_opposite_orders_two_threads_may_wait_for_each_other() {
    two_locks(false);
}
