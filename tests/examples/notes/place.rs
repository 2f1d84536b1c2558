//! The folder that the site goes to: nothing of anybody else's is overwritten.

use shared_core::{Context, Result, ensure};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Stands in every file of a site.
pub const MARK: &str =
    r#"<meta name="generator" content="Executable notes on processes and threads">"#;

/// A folder that holds nothing.
pub struct Place(PathBuf);

impl Place {
    /// Makes the folder, or takes out what this program has written there before.
    ///
    /// # Errors
    /// When something else is there.
    pub fn take(folder: &Path, demos: &[&str]) -> Result<Self> {
        let place = Self(folder.to_owned());
        let name = folder.display();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("failed to make {name}"))?;
                return Ok(place);
            }
            entries => entries.with_context(|| format!("failed to read {name}"))?,
        };
        let mut files = vec![place.index()];
        files.extend(demos.iter().map(|demo| place.page(demo)));
        let mut old = Vec::new();
        for entry in entries {
            let path = entry
                .with_context(|| format!("failed to read {name}"))?
                .path();
            let is_file = path.symlink_metadata().is_ok_and(|entry| entry.is_file());
            let is_ours = is_file && files.contains(&path) && is_marked(&path);
            ensure!(
                is_ours,
                "{name} is not empty: this program has not written {}",
                path.display()
            );
            old.push(path);
        }
        for file in old {
            std::fs::remove_file(&file)
                .with_context(|| format!("failed to remove {}", file.display()))?;
        }
        Ok(place)
    }

    pub fn index(&self) -> PathBuf {
        self.0.join("index.html")
    }

    pub fn page(&self, demo: &str) -> PathBuf {
        self.0.join(format!("{demo}.html"))
    }
}

fn is_marked(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|text| {
        let mut parts = text.windows(MARK.len());
        parts.any(|part| part == MARK.as_bytes())
    })
}
