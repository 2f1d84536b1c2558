//! The CPUs that a lesson lets its threads run on, and some work for them.

use shared_core::{cause, report, who};
use std::hint::black_box;

/// The CPUs that this program may use; none if the system does not let a thread choose.
pub fn to_choose_from() -> Vec<usize> {
    let cpus = who::cpus().unwrap_or_default();
    // To choose those that it has changes nothing.
    match who::stay_on(&cpus) {
        Ok(()) => cpus,
        Err(error) => {
            report!("I may not choose a CPU:");
            report!("  {}", cause(error));
            Vec::new()
        }
    }
}

/// Lets the calling thread stay on this CPU; an error means that it is gone.
pub fn stay_on(cpu: Option<usize>) {
    if let Some(cpu) = cpu {
        let _ = who::stay_on(&[cpu]);
    }
}

/// Some microseconds of work.
pub fn compute() {
    let sum = (0..500_u64).fold(1, |sum, n| black_box(sum ^ n).wrapping_mul(31));
    black_box(sum);
}
