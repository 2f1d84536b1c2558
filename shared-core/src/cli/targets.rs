//! The files that a run is asked to write.

use crate::{cause, complain, platform};
use anyhow::{Context, Result};
use same_file::Handle;
use std::fs::File;
use std::io::{self, Error, Write};
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
    /// It was made for this run, and nothing is in it yet.
    is_new: bool,
}

impl Target {
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(option: &'static str, path: &Path) -> Result<Self> {
        let (file, is_new) = open(path).map_err(|error| failed(path, &error))?;
        let mut target = Self {
            option,
            path: path.to_owned(),
            file,
            identity: None,
            is_new,
        };
        target.identity = identity(&target.file).map_err(|error| failed(path, &error))?;
        Ok(target)
    }

    /// What writes into the same file: another target, stdout or stderr.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(super) fn shares_with(&self, others: &[Self]) -> Result<Option<&'static str>> {
        let Some(own) = &self.identity else {
            return Ok(None);
        };
        let other = others
            .iter()
            .find(|other| other.identity.as_ref() == Some(own));
        if let Some(other) = other {
            return Ok(Some(other.option));
        }
        let standard = platform::standard_files().context("failed to open stdout")?;
        for (name, file) in ["stdout", "stderr"].into_iter().zip(&standard) {
            // What the system does not describe is not a regular file.
            if identity(file).ok().flatten().as_ref() == Some(own) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The option that named it.
    pub(super) fn option(&self) -> &'static str {
        self.option
    }

    /// Whether the timeline is drawn there.
    pub(super) fn is_a_picture(&self) -> bool {
        self.option != "--trace"
    }

    /// # Errors
    /// When the system refuses.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        if let Err(error) = self.try_write(text) {
            if self.is_new {
                let _ = self.file.set_len(0); // half a file is none
            }
            return Err(failed(&self.path, &error));
        }
        self.is_new = false;
        complain(format_args!("wrote {}", self.path.display()));
        Ok(())
    }

    /// Whether it is still this file that has the name.
    fn is_there(&self) -> bool {
        Handle::from_path(&self.path).ok() == self.identity
    }

    fn try_write(&mut self, text: &str) -> io::Result<()> {
        if self.identity.is_none() {
            return self.file.write_all(text.as_bytes());
        }
        if !self.is_there() {
            // Somebody has removed it meanwhile, or put another one there.
            (self.file, self.is_new) = open(&self.path)?;
            self.identity = identity(&self.file)?;
        }
        // Another run may be writing the same file: one after the other. (Not
        // every file system has locks.)
        let _ = self.file.lock();
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|file| file.len() == 0);
        if self.is_new && is_empty && self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens a file to write it, and says whether it was made for that.
fn open(path: &Path) -> io::Result<(File, bool)> {
    if let Ok(file) = File::create_new(path) {
        return Ok((file, true));
    }
    let mut options = File::options(); // `create` for where a dangling link leads
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    Ok((file, false))
}

fn identity(file: &File) -> std::io::Result<Option<Handle>> {
    let regular = file.metadata()?.is_file();
    regular
        .then(|| Handle::from_file(file.try_clone()?))
        .transpose()
}

fn failed(path: &Path, error: &Error) -> anyhow::Error {
    anyhow::anyhow!("failed to write {}: {}", path.display(), cause(error))
}
