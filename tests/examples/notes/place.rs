//! The folder that the site goes to: nothing of anybody else's is overwritten.

use shared_core::{Context, Result};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Stands in every file of a site.
pub const MARK: &str =
    r#"<meta name="generator" content="Executable notes on processes and threads">"#;

/// A folder that holds the beginning of an index, and nothing else.
pub struct Place(PathBuf);

/// The error that something is there which this program has not written.
#[derive(Debug)]
pub struct NotOurs(String);

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotOurs {}

impl Place {
    /// Makes the folder, or takes out what this program has written there before, and
    /// begins the index, so that a folder in which nothing can be written is found out at
    /// once.
    ///
    /// # Errors
    /// [`NotOurs`], and when the system refuses.
    pub fn take(folder: &Path, demos: &[&str]) -> Result<Self> {
        let place = Self(folder.to_owned());
        for file in place.old_files(demos)? {
            std::fs::remove_file(&file)
                .with_context(|| format!("failed to remove {}", file.display()))?;
        }
        place.write_index(&format!(
            "<!DOCTYPE html>\n{MARK}\nThere is more to come.\n"
        ))?;
        Ok(place)
    }

    /// What is there, all of it written by this program.
    fn old_files(&self, demos: &[&str]) -> Result<Vec<PathBuf>> {
        let name = self.0.display();
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = std::fs::create_dir_all(&self.0);
                made.with_context(|| format!("failed to make {name}"))?;
                return Ok(Vec::new());
            }
            entries => entries.with_context(|| format!("failed to read {name}"))?,
        };
        let mut names = vec![self.index()];
        names.extend(demos.iter().map(|demo| self.page(demo)));
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read {name}"))?;
            let path = entry.path();
            let is_file = path.symlink_metadata().is_ok_and(|entry| entry.is_file());
            if !(is_file && names.contains(&path) && is_marked(&path)) {
                let path = path.display();
                let text = format!("{name} is not empty: this program has not written {path}");
                return Err(NotOurs(text).into());
            }
            files.push(path);
        }
        Ok(files)
    }

    /// # Errors
    /// When the system refuses.
    pub fn write_index(&self, html: &str) -> Result<()> {
        let index = self.index();
        std::fs::write(&index, html).with_context(|| format!("failed to write {}", index.display()))
    }

    pub fn index(&self) -> PathBuf {
        self.0.join("index.html")
    }

    pub fn page(&self, demo: &str) -> PathBuf {
        self.0.join(format!("{demo}.html"))
    }
}

/// Whether this program has written the file: it has the mark, or is empty, as a demo that
/// was killed leaves it.
fn is_marked(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|text| {
        let mut parts = text.windows(MARK.len());
        text.is_empty() || parts.any(|part| part == MARK.as_bytes())
    })
}
