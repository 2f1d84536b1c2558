//! Which pieces there are: files are looked for when somebody wants them.

use super::piece::{LICENCE, Piece, failed};
use super::{Options, Tally};
use parking_lot::Mutex;
use std::fs::ReadDir;
use std::path::{PathBuf, absolute};

/// The pieces of all files; a file is looked for when its first piece is wanted.
pub struct Pieces<'a> {
    given: std::slice::Iter<'a, PathBuf>,
    is_elsewhere: bool,
    /// Still to be opened.
    folders: Vec<PathBuf>,
    /// The one that is being read.
    folder: Option<(PathBuf, ReadDir)>,
    /// What is left of the file at hand.
    rest: Option<Piece>,
    piece_bytes: u64,
    number: u64,
    tally: &'a Mutex<Tally>,
}

impl<'a> Pieces<'a> {
    /// The pieces of what is to be counted; `tally` is told of each file, and of what
    /// cannot be read.
    pub fn of(options: &'a Options, tally: &'a Mutex<Tally>) -> Self {
        let mut pieces = Self {
            given: options.paths.iter(),
            is_elsewhere: options.elsewhere.launcher().is_some(),
            folders: Vec::new(),
            folder: None,
            rest: None,
            piece_bytes: options.piece_bytes.into(),
            number: 0,
            tally,
        };
        if options.paths.is_empty() {
            pieces.rest = Some(pieces.whole(None, LICENCE.len() as u64));
        }
        pieces
    }

    fn whole(&self, file: Option<PathBuf>, size: u64) -> Piece {
        let piece = Piece {
            file: file.map(PathBuf::into_os_string),
            end: size,
            size,
            ..Piece::default()
        };
        self.tally.lock().list(&piece);
        piece
    }

    fn next_file(&mut self) -> Option<Piece> {
        loop {
            let (path, metadata, was_given) = if let Some((path, folder)) = &mut self.folder {
                match folder.next() {
                    Some(Ok(entry)) => (entry.path(), entry.metadata(), false),
                    Some(Err(error)) => (path.clone(), Err(error), false),
                    None => {
                        self.folder = None;
                        continue;
                    }
                }
            } else if let Some(path) = self.folders.pop() {
                match path.read_dir() {
                    Ok(folder) => {
                        self.folder = Some((path, folder));
                        continue;
                    }
                    Err(error) => (path, Err(error), false),
                }
            } else {
                // Here, and only here, a symbolic link is followed: so there is no loop.
                let path = self.given.next()?;
                let found = path.metadata();
                // Over there a worker may be in another folder.
                let whole = self.is_elsewhere.then(|| absolute(path).ok()).flatten();
                (whole.unwrap_or_else(|| path.clone()), found, true)
            };
            match metadata {
                Ok(file) if file.is_file() => return Some(self.whole(Some(path), file.len())),
                Ok(folder) if folder.is_dir() => self.folders.push(path),
                Ok(_) if was_given => {
                    let why = format!("skipped {}: neither a file nor a folder", path.display());
                    self.tally.lock().fail(why);
                }
                Ok(_) => {}
                Err(error) => self.tally.lock().fail(failed(&path, None, &error)),
            }
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut rest = match self.rest.take() {
            Some(rest) => rest,
            None => self.next_file()?,
        };
        let mut piece = rest.clone();
        piece.end = piece.size.min(piece.begin + self.piece_bytes);
        piece.number = self.number;
        self.number += 1;
        rest.begin = piece.end;
        self.rest = (rest.begin < rest.end).then_some(rest); // an empty file is one piece
        Some(piece)
    }
}
