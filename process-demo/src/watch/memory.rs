//! What a stopped task has in its memory (process_vm_readv(2)).

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;

/// Nobody looks at more of what is written at once.
const MOST: u64 = 1 << 16;

/// `length` bytes from `address` on, or as many of them as there are.
pub fn read(task: i32, address: u64, length: u64) -> Vec<u8> {
    if address == 0 {
        return Vec::new();
    }
    let mut bytes = vec![0; usize::try_from(length.min(MOST)).unwrap_or(0)];
    let there = RemoteIoVec {
        base: usize::try_from(address).unwrap_or(0),
        len: bytes.len(),
    };
    let here = &mut [IoSliceMut::new(&mut bytes)];
    let read = process_vm_readv(Pid::from_raw(task), here, &[there]);
    bytes.truncate(read.unwrap_or(0));
    bytes
}

/// The bytes that `count` iovecs from `address` on name, in a row (writev(2)).
pub fn read_all(task: i32, address: u64, count: u64) -> Vec<u8> {
    let vectors = read(task, address, count.min(1024) * 16);
    let mut words = vectors
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
    let mut all = Vec::new();
    while let (Some(base), Some(length)) = (words.next(), words.next()) {
        let room = MOST - all.len() as u64;
        all.extend(read(task, base, length.min(room)));
    }
    all
}

/// The number at `address`.
pub fn word(task: i32, address: u64) -> Option<u64> {
    let bytes = read(task, address, 8);
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// The int at `address`.
pub fn int(task: i32, address: u64) -> Option<i32> {
    let bytes = read(task, address, 4);
    Some(i32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The text at `address`, up to its zero byte.
pub fn text(task: i32, address: u64, most: u64) -> String {
    let bytes = read(task, address, most);
    let text = bytes.split(|byte| *byte == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
