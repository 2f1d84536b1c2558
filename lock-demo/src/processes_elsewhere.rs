//! In the place of the lesson `processes` on a Unix that has no robust mutexes.

use shared_core::cli::Question;
use shared_core::{Result, bail};

/// A lock between processes must survive its owner
///
/// On Linux: this system has no mutex that outlives its owner
/// (pthread_mutexattr_setrobust(3)). A lock on a file it has (flock(2)).
///
/// Try: cargo run -p process-demo -- shared-memory
#[derive(clap::Args)]
pub struct Options {}

pub const QUESTIONS: &[Question] = &[];

pub fn run(_: &Options) -> Result<()> {
    bail!("this system has no robust mutexes; process-demo shared-memory has what it has")
}
