//! Counting words on whatever files there are: the same counts as with the tools of
//! the system, and no harm from files that are odd, gone or large.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::{Outcome, Run, program, root, tool, workspace};

/// Counts the words of these paths and shows all of them.
fn count<P: AsRef<OsStr>>(options: &[&str], paths: &[P]) -> Outcome {
    let run = Run::program("pool-demo").args(["wordcount", "--json", "--top=1000000"]);
    run.args(options).args(paths).run()
}

/// What a run has counted.
fn counts(run: &Outcome) -> BTreeMap<String, u64> {
    let events = run.json();
    let reports = events.iter().filter(|event| event["cat"] == "report");
    let texts = reports.filter_map(|event| event["name"].as_str());
    texts.filter_map(word_and_count).collect()
}

/// `   12 word`
fn word_and_count(line: &str) -> Option<(String, u64)> {
    let (count, word) = line.trim().split_once(' ')?;
    Some((word.to_owned(), count.parse().ok()?))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

#[test]
fn the_counts_are_those_of_tr_sort_and_uniq() {
    let sources = fs::read_dir(workspace().join("tests/tests")).expect("a folder");
    let mut files: Vec<PathBuf> = sources.flatten().map(|file| file.path()).collect();
    files.extend(["LICENSE-APACHE", "LICENSE-MIT", "Cargo.lock"].map(|f| workspace().join(f)));
    // tr knows one byte a character.
    files.retain(|file| fs::read(file).is_ok_and(|text| text.is_ascii()));
    assert!(files.len() >= 6, "{files:?}");
    let script = "cat \"$@\" | tr A-Z a-z | tr -cs a-z0-9 '\\n' | grep . | sort | uniq -c";
    let theirs = Run::command("bash").env("LC_ALL", "C");
    let theirs = theirs.args(["-c", script, "bash"]).args(&files).run();
    let lines = theirs.stdout.lines();
    let theirs: BTreeMap<String, u64> = lines.filter_map(word_and_count).collect();
    assert!(theirs.len() > 500, "{theirs:?}");
    for options in [
        &[][..],
        &["--threads"],
        &["--piece-bytes=100", "--workers=1"],
        &["--piece-bytes=4099", "--threads"],
    ] {
        let run = count(options, &files).expect_status(0);
        assert!(counts(&run) == theirs, "{options:?}");
    }
}

#[test]
fn odd_files_do_no_harm() {
    let folder = folder();
    let top = folder.path();
    for name in ["empty", "d", "d/sub"] {
        fs::create_dir(top.join(name)).expect("a folder");
    }
    write(top, "d/nothing", "");
    write(top, "d/sub/text", "two");
    // A NUL, bytes that are not UTF-8, and the first half of a character.
    write(top, "d/binary", b"one\0two\xff\xfetwo caf\xc3\xa9 \xe4\xbd");
    let bad_name = top.join("d").join(OsStr::from_bytes(b"\xff\xfe"));
    fs::write(&bad_name, "three").expect("a file");
    let _socket = UnixListener::bind(top.join("d/socket")).expect("a socket");
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&top.join("d/fifo"), mode).expect("a FIFO");
    for (target, link) in [
        (".", "d/loop"),
        ("../../d", "d/sub/up"),
        ("self", "d/self"),
        ("nowhere", "d/dangling"),
        ("nothing", "d/again"),
        ("d", "link"),
    ] {
        symlink(target, top.join(link)).expect("a link");
    }

    let words = |list: &[(&str, u64)]| -> BTreeMap<String, u64> {
        let list = list.iter();
        list.map(|(word, count)| ((*word).to_owned(), *count))
            .collect()
    };
    let once = words(&[("café", 1), ("one", 1), ("three", 1), ("two", 3)]);
    let twice = words(&[("café", 2), ("one", 2), ("three", 2), ("two", 6)]);
    for mode in ["--workers=2", "--threads"] {
        let run = count(&[mode], &[top.join("d")]).expect_status(0);
        assert_eq!((counts(&run), &*run.stderr), (once.clone(), ""));
        // A link that is named is followed; what is named twice counts twice.
        let run = count(&[mode], &[top.join("d"), top.join("link")]).expect_status(0);
        assert_eq!((counts(&run), &*run.stderr), (twice.clone(), ""));
        let run = count(&[mode], std::slice::from_ref(&bad_name)).expect_status(0);
        assert_eq!(counts(&run), words(&[("three", 1)]));
        let run = count(&[mode], &[top.join("empty")]).expect_status(0);
        assert_eq!((counts(&run), &*run.stderr), (words(&[]), ""));
    }
}

#[test]
fn what_cannot_be_counted_is_named_and_the_rest_is_counted() {
    let folder = folder();
    let top = folder.path();
    write(top, "text", "one two two");
    symlink("self", top.join("self")).expect("a link");
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&top.join("fifo"), mode).expect("a FIFO");
    let paths = ["text", "nowhere", "text/x", "self", "fifo"].map(|name| top.join(name));
    for mode in ["--workers=2", "--threads"] {
        let run = count(&[mode], &paths).expect_status(1);
        assert_eq!(counts(&run), [("one".into(), 1), ("two".into(), 2)].into());
        let top = top.display();
        let told = format!(
            "pool-demo: failed to read {top}/nowhere: No such file or directory\n\
             pool-demo: failed to read {top}/text/x: Not a directory\n\
             pool-demo: failed to read {top}/self: Too many levels of symbolic links\n\
             pool-demo: skipped {top}/fifo: neither a file nor a folder\n\
             pool-demo: not everything was counted: 4 errors\n"
        );
        assert_eq!(run.stderr, told);
        let checks = run.summary()["checks"].clone();
        let checks = checks.as_array().expect("checks");
        assert!(checks.iter().all(|check| check["ok"] == true), "{checks:?}");
    }
}

#[test]
fn files_and_folders_that_may_not_be_read_are_named() {
    if !(root() && tool("setpriv")) {
        return;
    }
    let folder = folder();
    let top = folder.path();
    let mode = |path: &Path, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).expect("permissions");
    };
    mode(top, 0o755);
    let program_copy = top.join("pool-demo");
    fs::copy(program("pool-demo"), &program_copy).expect("a copy");
    let words = top.join("words");
    for name in ["words", "words/closed"] {
        fs::create_dir(top.join(name)).expect("a folder");
    }
    write(&words, "text", "one");
    let closed = [
        write(&words, "secret", "two"),
        write(&words, "empty", ""),
        words.join("closed"),
    ];
    for path in &closed {
        mode(path, 0);
    }
    // Of several pieces it is one error all the same.
    let run = Run::command("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args([&program_copy])
        .args(["wordcount", "--json", "--piece-bytes=1"])
        .args([&words])
        .run()
        .expect_status(1);
    assert_eq!(counts(&run), [("one".into(), 1)].into());
    for path in closed {
        let told = format!("failed to read {}: Permission denied\n", path.display());
        assert_eq!(run.stderr.matches(&told).count(), 1, "{run:#?}");
    }
    let last = "pool-demo: not everything was counted: 3 errors\n";
    assert!(run.stderr.ends_with(last), "{run:#?}");
}

#[test]
fn a_file_that_vanishes_before_it_is_read_is_named() {
    if !tool("strace") {
        return;
    }
    let folder = folder();
    let gone = write(folder.path(), "gone", "two");
    write(folder.path(), "text", "one");
    // It is found, and cannot be opened afterwards.
    let run = Run::shell(&format!(
        "strace -f -qq -o /dev/null -P {0} -e inject=openat:error=ENOENT \
         {{pool-demo}} wordcount --json {1}",
        gone.display(),
        folder.path().display()
    ));
    let run = run.run().expect_status(1);
    assert_eq!(counts(&run), [("one".into(), 1)].into());
    let told = format!(
        "pool-demo: failed to read {}: No such file or directory\n\
         pool-demo: not everything was counted: 1 error\n",
        gone.display()
    );
    assert_eq!(run.stderr, told);
}

#[test]
fn a_file_that_is_shorter_than_was_said_is_named() {
    // The kernel says 4096, whatever stands in it.
    let file = "/sys/devices/system/cpu/online";
    if fs::metadata(file).map_or(0, |file| file.len()) != 4096 {
        return;
    }
    let run = count(&[], &[file]).expect_status(1);
    let told = format!("failed to read {file}: it is shorter than it was said to be\n");
    assert!(run.stderr.contains(&told), "{run:#?}");
}

#[test]
fn a_word_that_lies_across_two_pieces_is_counted_once() {
    const PIECE: u64 = 4 << 20;
    let folder = folder();
    let path = folder.path().join("sparse");
    let file = File::create(&path).expect("a file");
    file.set_len(5 * PIECE).expect("a size");
    for n in 1..5 {
        let word = "Grüße".as_bytes();
        file.write_all_at(word, n * PIECE - n).expect("a word");
    }
    for mode in ["--workers=2", "--threads"] {
        let run = count(&[mode], &[&path]).expect_status(0);
        assert_eq!(counts(&run), [("grüße".into(), 4)].into());
        assert_eq!(run.json().len(), run.stdout.lines().count());
        let check = run.summary()["checks"][0].clone();
        assert_eq!(check["seen"], 5 * PIECE);
    }
}

#[test]
fn a_piece_whose_worker_is_killed_is_counted_all_the_same() {
    let folder = folder();
    let text = write(folder.path(), "text", "one two ".repeat(1 << 20));
    let run = Run::program("pool-demo").args(["wordcount", "--workers=1"]);
    let mut run = run.args([&text]).start();
    let parent = run.speaker("worker processes");
    let worker = child_of(parent).parse().expect("a PID");
    let worker = nix::unistd::Pid::from_raw(worker);
    nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGKILL).expect("kill");
    let run = run.finish().expect_status(0);
    for line in ["1048576 one\n", "1048576 two\n"] {
        assert!(run.stdout.contains(line), "{run:#?}");
    }
    assert!(run.stdout.contains("✔ each byte was in exactly one piece"));
}

#[test]
fn a_large_file_is_not_held_in_memory() {
    const MIB: u64 = 1 << 20;
    let folder = folder();
    let path = folder.path().join("large");
    let file = File::create(&path).expect("a file");
    file.set_len(1 << 40).expect("a size"); // more than any machine has
    for (mode, at_work) in [
        ("--workers=1", "worker processes"),
        ("--threads", "threads: 4"),
    ] {
        let run = Run::program("pool-demo").args(["wordcount", mode]);
        let mut run = run.args([&path]).start();
        let parent = run.speaker(at_work);
        let reader = if mode == "--threads" {
            parent.to_string()
        } else {
            child_of(parent)
        };
        // It reads piece after piece, each of 4 MiB.
        while number(&reader, "io", "rchar:") < 40 * MIB {
            std::thread::yield_now();
        }
        for pid in [&parent.to_string(), &reader] {
            let kib = number(pid, "status", "VmHWM:");
            assert!(kib << 10 < 40 * MIB, "{mode}: {kib} KiB");
        }
        let parent = nix::unistd::Pid::from_raw(parent);
        nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGINT).expect("kill");
        let _ = run.finish().expect_status(130);
    }
}

/// A child of this process; there is one.
fn child_of(parent: i32) -> String {
    let processes = fs::read_dir("/proc").expect("a folder").flatten();
    let names = processes.map(|process| process.file_name().to_string_lossy().into_owned());
    let mut pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let child = pids.find(|pid| {
        // It may have ended.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{parent}\n"))
    });
    child.expect("a child")
}

/// What the kernel says of a process after `name`.
fn number(pid: &str, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
fn the_bar_is_for_terminals_only() {
    let folder = folder();
    let text = write(folder.path(), "text", "one ".repeat(1 << 18));
    let command = format!(
        "{} wordcount --piece-bytes 65536 {}",
        program("pool-demo").display(),
        text.display()
    );
    let bar = "1.00 MiB found";
    // stderr is a terminal, stdout is not.
    let script = format!("script -qec \"{command} > out\" /dev/null; cat out >&2; rm out");
    let run = Run::shell(&script).run();
    assert!(run.stdout.contains(bar), "{run:#?}");
    assert!(run.stderr.contains("262144 one"), "{run:#?}");
    assert!(!run.stderr.contains(bar), "{run:#?}");
    // stdout is a terminal, stderr is not.
    let script = format!("script -qec \"{command} 2> err\" /dev/null; cat err >&2; rm err");
    let run = Run::shell(&script).run();
    assert!(run.stdout.contains("262144 one"), "{run:#?}");
    assert!(!run.stdout.contains(bar), "{run:#?}");
    assert_eq!(run.stderr, "");
}
