//! Wherever a text is cut, its words are counted once.

use super::piece::{LICENCE, LONGEST, Piece, count};
use super::*;
use std::ffi::OsString;
use std::io::Cursor;

/// Counts the text in pieces of this size, as the workers do.
fn in_pieces(text: &[u8], piece_bytes: usize) -> Tally {
    let mut tally = Tally::new(ProgressBar::hidden());
    for begin in (0..text.len()).step_by(piece_bytes) {
        let piece = Piece {
            begin: begin as u64,
            end: text.len().min(begin + piece_bytes) as u64,
            size: text.len() as u64,
            ..Piece::default()
        };
        tally.add(Ok(Ok(count(&piece.read(Cursor::new(text)).unwrap()))));
    }
    tally
}

#[test]
fn wherever_a_text_is_cut_the_counts_are_the_same() {
    let invalid = b"ab\xff\xfe c\xe2\x82d \xc3\xa9\x80\xc3 \xe4\xbd\xa0\xa0e\n".as_slice();
    for text in [
        b"".as_slice(),
        b"x",
        b"to be, or not to be",
        b"  leading and trailing  \n",
        "Stra\u{df}e, \u{cc}d\u{e9}e; \u{4f60}\u{597d}\u{3002}\u{4e16}\u{754c} \u{1d7d8}x"
            .as_bytes(),
        "\u{391}\u{3a3}'\u{391} \u{3a3}".as_bytes(),
        &invalid.repeat(3),
        LICENCE.as_bytes(),
    ] {
        let whole = in_pieces(text, text.len().max(1));
        assert_eq!(whole.bytes, text.len() as u64);
        for piece_bytes in 1..=text.len().min(40) {
            let pieces = in_pieces(text, piece_bytes);
            assert_eq!(pieces.bytes, whole.bytes);
            assert_eq!(pieces.words, whole.words);
            assert_eq!(pieces.counts, whole.counts);
        }
    }
}

#[test]
fn a_word_is_whole_up_to_the_limit_and_every_byte_is_in_one_piece_beyond_it() {
    for (word, whole) in [
        ("a".repeat(LONGEST - 1), true),
        ("\u{e9}".repeat(LONGEST / 2 - 1), true),
        ("a".repeat(3 * LONGEST), false),
        ("\u{e9}".repeat(LONGEST), false),
        ("\u{4f60}".repeat(LONGEST), false),
    ] {
        let text = format!("one {word} two");
        for piece_bytes in [1009, 5000, LONGEST, LONGEST + 1] {
            let pieces = in_pieces(text.as_bytes(), piece_bytes);
            assert_eq!(pieces.bytes, text.len() as u64);
            assert_eq!(pieces.counts.contains_key(&word), whole);
            // It is cut between characters, and nothing of it is lost.
            let letters = pieces.counts.iter();
            let letters = letters.map(|(word, count)| word.len() as u64 * count);
            assert_eq!(letters.sum::<u64>(), word.len() as u64 + 6);
        }
    }
    let stray = [&b"a "[..], &vec![0x80; 3 * LONGEST], b" b"].concat();
    for piece_bytes in [1000, LONGEST] {
        let pieces = in_pieces(&stray, piece_bytes);
        assert_eq!((pieces.bytes, pieces.words), (stray.len() as u64, 2));
    }
}

#[test]
fn what_has_become_shorter_is_an_error() {
    let piece = Piece {
        end: 4,
        size: 4,
        ..Piece::default()
    };
    let error = piece.read(Cursor::new("abc")).unwrap_err();
    assert_eq!(error.to_string(), "it is shorter than it was said to be");
    let longer = piece.read(Cursor::new("abcdef")).unwrap();
    assert_eq!(longer, b"abcd");
}

#[test]
fn a_path_that_is_no_text_is_sent_as_it_is() {
    #[cfg(unix)]
    let path: OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0x61, 0xff]);
    #[cfg(windows)]
    let path: OsString = std::os::windows::ffi::OsStringExt::from_wide(&[0x61, 0xd800]);
    let piece = Piece {
        file: Some(path.clone()),
        ..Piece::default()
    };
    let sent = postcard::to_stdvec(&piece).unwrap();
    let received: Piece = postcard::from_bytes(&sent).unwrap();
    assert_eq!(received.file, Some(path));
}
