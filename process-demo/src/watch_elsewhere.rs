//! `watch` where it cannot be: it follows programs in the way of Linux.

use clap::Command;
use shared_core::cli::Tool;
use shared_core::complain;

/// The command, which only says so.
pub fn tool() -> Tool {
    let words = clap::Arg::new("command").num_args(0..);
    let words = words.trailing_var_arg(true).allow_hyphen_values(true);
    Tool {
        command: Command::new("watch")
            .about("Any program's processes and threads, seen from outside (Linux)")
            .arg(words),
        run: |_, _| {
            complain(format_args!(
                "watch follows programs in the way of Linux (ptrace(2), seccomp(2)); what goes \
                 everywhere: cargo run -p process-demo"
            ));
            Ok(2)
        },
    }
}
