//! What several lessons say in the same words.

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use shared_core::children::WaitStatus as _;
use shared_core::report::failed;
use shared_core::{Error, Result, anyhow, cause};

/// What wait(2) tells of the end of a child, in words.
pub fn describe(status: WaitStatus) -> String {
    let end = status.end();
    end.map_or_else(|| format!("{status:?}"), |end| end.to_string())
}

/// The exit status of a child: 0, or 1 if it could not do its part.
pub fn status_of(part: Result<()>) -> i32 {
    match part {
        Ok(()) => 0,
        Err(error) => {
            failed(format_args!("{error:#}"));
            1
        }
    }
}

/// fork() returned -1 after it had made `made` of `total` children.
pub fn refused(errno: Errno, made: u16, total: u16) -> Error {
    let cause = cause(std::io::Error::from(errno));
    let hint = if errno == Errno::EAGAIN {
        "; see ulimit -u"
    } else {
        ""
    };
    anyhow!("fork: {cause} after {made} of {total} children{hint}")
}
