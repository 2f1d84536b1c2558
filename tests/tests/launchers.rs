//! Workers that a launcher starts: in another PID namespace, over ssh, under Slurm. What
//! they do is the same as on this host; whatever is killed in the middle of a task, each
//! task ends in one way, and nothing is left, on neither side.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    reason = "a test fails by a panic, also in its helpers"
)]

mod launchers {
    pub mod place;
    pub mod slurm;
    pub mod sshd;
}

use launchers::place::Place;
use launchers::slurm::Slurm;
use launchers::sshd::Sshd;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::{root, tool};

/// Where every worker is PID 1, and its clock shows something else than ours.
const NAMESPACE: &str = "unshare --pid --fork --mount-proc --time --monotonic 100000";

#[test]
fn in_another_pid_namespace() {
    if !(tool("unshare") && root()) {
        return;
    }
    let place = Place::new(NAMESPACE);
    place.gives_the_same_results();
    place.refuses_programs_that_are_no_workers();
    place.ends_with_its_parent();
    place.finishes_though("the launcher is killed", |worker| {
        kill_process(worker.launcher);
    });
    place.finishes_though("a worker is killed", |worker| kill_process(worker.pid));
}

#[test]
fn over_ssh() {
    if !(tool("ssh") && tool("sshd") && tool("ssh-keygen") && root()) {
        return;
    }
    let sshd = Sshd::start();
    let place = Place::new(&sshd.launcher());
    place.gives_the_same_results();
    place.refuses_programs_that_are_no_workers();
    place.ends_with_its_parent();
    place.finishes_though("the launcher is killed", |worker| {
        kill_process(worker.launcher);
    });
    place.finishes_though("the connection is lost", |worker| {
        kill_process(worker.parent());
    });
    drop(sshd);
    let run = place.run("tasks").run().expect_status(1);
    let says = "ended before it was ready: exit status: 255 (no connection, or it was lost)";
    assert!(run.stderr.contains(says), "{run:#?}");
}

#[test]
fn under_slurm() {
    let tools = ["munged", "slurmctld", "slurmd", "srun", "setpriv"];
    if !(tools.into_iter().all(tool) && root()) {
        return;
    }
    let mut slurm = Slurm::start();
    let place = Place::new("srun -Q --overlap -N1 -n1").env("SLURM_CONF", &slurm.conf());
    place.gives_the_same_results();
    place.is_on_several_hosts(&["n1", "n2"]);
    place.refuses_programs_that_are_no_workers();
    place.ends_with_its_parent();
    place.finishes_though("the launcher is killed", |worker| {
        kill_process(worker.launcher);
    });
    place.finishes_though("a node is lost", |worker| kill_process(worker.parent()));
    place.finishes_though("a step is cancelled", |_| slurm.cancel_one());
    let mut slurmd = None;
    place.finishes_though("a slurmd is killed", |_| slurmd = slurm.kill_slurmd());
    assert!(slurmd.is_some());
}

/// A launcher that waits for something is named; so is one that does not exist.
#[test]
fn a_launcher_that_starts_nothing_is_named() {
    let run = Place::new("no-such-launcher -x").run("tasks").run();
    let says = "(no-such-launcher -x) ended before it was ready: failed to start \
                no-such-launcher: No such file or directory\n";
    assert!(run.stderr.ends_with(says), "{run:#?}");
    assert_eq!(run.status, Some(1));
}

/// What comes instead of a worker's first words is quoted; and a worker says why it ends.
#[test]
fn a_launcher_that_does_not_pass_things_on_is_named() {
    for (script, says) in [
        (
            "echo You have mail; exec \"$@\"",
            "is none: \"You have mail\"\n",
        ),
        ("exec \"$@\" < /dev/null", ": its stdin ended, on "),
        ("exec \"$@\" > /dev/null", ": it closed its stdout\n"),
    ] {
        let run = Place::new(&format!("sh -c '{script}' x"))
            .run("tasks")
            .run();
        assert!(
            run.stderr.contains(" ended before it was ready: "),
            "{run:#?}"
        );
        assert!(run.stderr.contains(says), "{run:#?}");
        assert_eq!(run.status, Some(1));
    }
}

/// Tasks that are shorter than the clocks of two hosts are exact.
#[test]
fn tasks_that_take_no_time_are_counted() {
    let place = Place::new("env");
    let run = place.run("tasks --work-ms 0 --tasks 20").run();
    assert!(!run.expect_status(0).stdout.contains('✘'));
}

#[test]
#[ignore = "takes half a minute"]
fn a_launcher_that_waits_is_named() {
    let run = Place::new("sh -c 'sleep 1000'").run("tasks").run();
    let says = "(sh -c 'sleep 1000') ended before it was ready: not ready after 30s\n";
    assert!(run.stderr.ends_with(says), "{run:#?}");
    assert_eq!(run.status, Some(1));
}

/// A worker is stopped: it still has its pipes, but says nothing any more.
#[test]
#[ignore = "takes half a minute"]
fn a_worker_from_which_nothing_comes_any_more_is_given_up() {
    if !(tool("unshare") && root()) {
        return;
    }
    let mut stopped = 0;
    let place = Place::new(&format!("{NAMESPACE} --kill-child"));
    place.finishes_though("it is stopped", |worker| {
        stopped = worker.pid;
        kill(Pid::from_raw(stopped), Signal::SIGSTOP).expect("kill");
    });
    assert!(stopped > 0);
}

/// The pool says nothing any more, though its pipes are still there.
#[test]
fn a_worker_that_hears_nothing_from_its_pool_ends() {
    if !(tool("unshare") && root()) {
        return;
    }
    let place = Place::new(NAMESPACE);
    let (run, workers) = place.at_work("--work-ms 3600000");
    let parent = Pid::from_raw(workers[0].first_process());
    let start = Instant::now();
    kill(parent, Signal::SIGSTOP).expect("kill");
    for worker in &workers {
        worker.wait_until_gone();
    }
    assert!(start.elapsed() > Duration::from_secs(9));
    kill(parent, Signal::SIGKILL).expect("kill");
    let _ = run.finish();
    place.wait_until_all_are_gone();
}

/// A file that is not there, on one host: there all are missing.
#[test]
fn a_file_that_a_host_does_not_have_is_named_with_the_host() {
    if !(tool("unshare") && root()) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text");
    std::fs::write(&text, "one two two").expect("a file");
    // Over there another folder stands in its place.
    let hides = format!("mount -t tmpfs none '{}'", folder.path().display());
    let launcher = format!(r#"unshare --mount sh -c "{hides} && exec \"\$@\"" sh"#);
    let place = Place::new(&launcher);
    let count = |files: &[&Path]| place.run("wordcount").args(files).run().expect_status(1);
    let run = count(&[&text]);
    assert_eq!(
        run.stderr.matches(" does not have the file: ").count(),
        1,
        "{run:#?}"
    );
    let other = workspace_file();
    let run = count(&[&text, &other]);
    let says = format!("failed to read {} on ", text.display());
    assert_eq!(run.stderr.matches(&says).count(), 1, "{run:#?}");
    assert!(
        run.stderr.contains("not everything was counted: 1 error"),
        "{run:#?}"
    );
}

fn workspace_file() -> std::path::PathBuf {
    tests::workspace().join("LICENSE-MIT")
}

fn kill_process(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
}
