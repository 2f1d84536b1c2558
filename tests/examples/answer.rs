//! Answers over its stdout, as a worker does, and prints as a task may.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut answers = shared_core::report::redirect_stdout_to_stderr()?;
    println!("printed");
    answers.write_all(b"answered\n")
}
