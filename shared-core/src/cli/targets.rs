//! The files that a run is asked to write.

use crate::{cause, complain};
use anyhow::Result;
use same_file::Handle;
use std::fs::File;
use std::io::{Error, Write};
use std::path::{Path, PathBuf};

/// A file that is open from before the run on, and written after it: so that it
/// can be written is found out in time. What stands in it stays there until then.
pub(super) struct Target {
    option: &'static str,
    path: PathBuf,
    file: File,
    /// There for a regular file only: two options may well name one terminal,
    /// pipe or /dev/null.
    identity: Option<Handle>,
}

impl Target {
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(option: &'static str, path: &Path) -> Result<Self> {
        let open = || {
            let mut options = File::options();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let identity = identity(&file)?;
            Ok((file, identity))
        };
        let (file, identity) = open().map_err(|error| failed(path, &error))?;
        let path = path.to_owned();
        Ok(Self {
            option,
            path,
            file,
            identity,
        })
    }

    /// What writes into the same file: another target, or stdout.
    pub(super) fn shares_with(&self, others: &[Self]) -> Option<&'static str> {
        let own = self.identity.as_ref()?;
        let other = others
            .iter()
            .find(|other| other.identity.as_ref() == Some(own));
        let stdout = || Handle::stdout().is_ok_and(|stdout| stdout == *own);
        other
            .map(|other| other.option)
            .or_else(|| stdout().then_some("stdout"))
    }

    /// The option that named it.
    pub(super) fn option(&self) -> &'static str {
        self.option
    }

    /// # Errors
    /// When the system refuses.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        let is_regular = self.identity.is_some();
        let empty = if is_regular {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        empty
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(|error| failed(&self.path, &error))?;
        complain(format_args!("wrote {}", self.path.display()));
        Ok(())
    }
}

fn identity(file: &File) -> std::io::Result<Option<Handle>> {
    let regular = file.metadata()?.is_file();
    regular
        .then(|| Handle::from_file(file.try_clone()?))
        .transpose()
}

fn failed(path: &Path, error: &Error) -> anyhow::Error {
    anyhow::anyhow!("write {}: {}", path.display(), cause(error))
}
