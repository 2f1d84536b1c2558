//! A cluster of the test's own: Slurm with two nodes, both of them on this host.

use super::place::processes;
use super::sshd::free_port;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Slurm {
    folder: TempDir,
    /// By name, the ones that depend on others last.
    daemons: Vec<(&'static str, Child)>,
}

impl Slurm {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let daemons = Vec::new();
        let mut slurm = Self { folder, daemons };
        let key = slurm.file("munge.key");
        fs::write(&key, [7; 1024]).expect("a file");
        set_mode(&key, 0o400);
        set_mode(&slurm.file(""), 0o755); // munge wants to get at its socket
        fs::write(slurm.file("slurm.conf"), slurm.configuration()).expect("a file");
        fs::create_dir(slurm.file("state")).expect("a folder");

        let option = |name: &str, file: &str| format!("--{name}={}", slurm.file(file).display());
        let munged = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            option("key-file", "munge.key"),
            option("socket", "munge.socket"),
            option("pid-file", "munged.pid"),
            option("log-file", "munged.log"),
            option("seed-file", "munged.seed"),
        ];
        slurm.daemon("munged", &munged);
        slurm.wait("munged", |slurm| slurm.file("munge.socket").exists());
        let conf = slurm.conf();
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        slurm.daemon("slurmctld", &words(&format!("-D -f {conf}")));
        for node in ["n1", "n2"] {
            slurm.daemon("slurmd", &words(&format!("-D -N {node} -f {conf}")));
        }
        slurm.wait("sinfo", |slurm| {
            slurm.ask("sinfo", &["-h", "-N", "-o", "%t"]) == "idle\nidle\n"
        });
        slurm
    }

    /// The name of its configuration file.
    pub fn conf(&self) -> String {
        self.file("slurm.conf").display().to_string()
    }

    /// Cancels one of the steps that run.
    pub fn cancel_one(&self) {
        let jobs = self.ask("squeue", &["-h", "-o", "%A"]);
        let job = jobs.lines().next().expect("a job");
        self.ask("scancel", &[job]);
    }

    /// Kills the slurmd of a node; its steps go on. Its name.
    pub fn kill_slurmd(&mut self) -> Option<&'static str> {
        let (name, mut slurmd) = self.daemons.pop()?;
        let _ = slurmd.kill();
        let _ = slurmd.wait();
        Some(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> String {
        let host = nix::unistd::gethostname().expect("a name");
        let host = host.to_str().expect("UTF-8");
        let folder = self.folder.path().display();
        let [controller, first, second] = [free_port(), free_port(), free_port()];
        let mut lines = vec![
            "ClusterName=c".to_owned(),
            format!("SlurmctldHost={host}(127.0.0.1)"),
            format!("SlurmctldPort={controller}"),
            "SlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nCredType=cred/munge".to_owned(),
            format!("AuthInfo=socket={folder}/munge.socket"),
            format!("StateSaveLocation={folder}/state"),
            format!("SlurmdSpoolDir={folder}/spool.%n"),
            format!("SlurmctldPidFile={folder}/slurmctld.pid"),
            format!("SlurmdPidFile={folder}/slurmd.%n.pid"),
            format!("SlurmctldLogFile={folder}/slurmctld.log"),
            format!("SlurmdLogFile={folder}/slurmd.%n.log"),
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core".to_owned(),
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none".to_owned(),
            "JobAcctGatherType=jobacct_gather/none\nMpiDefault=none".to_owned(),
            "ReturnToService=2\nSlurmdParameters=config_overrides".to_owned(),
        ];
        for (node, port) in [("n1", first), ("n2", second)] {
            let address = format!("NodeHostname={host} NodeAddr=127.0.0.1 Port={port}");
            lines.push(format!("NodeName={node} {address} CPUs=2"));
        }
        lines.push("PartitionName=p Nodes=ALL Default=YES OverSubscribe=FORCE:8\n".to_owned());
        lines.join("\n")
    }

    /// Starts a daemon that ends with this thread.
    fn daemon(&mut self, name: &'static str, args: &[String]) {
        let output = fs::File::create(self.file(&format!("{name}.out"))).expect("a file");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", name])
            .args(args)
            .env("SLURM_CONF", self.conf())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .spawn();
        self.daemons.push((name, process.expect(name)));
    }

    fn wait(&self, name: &str, until: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            let outputs = ["munged.out", "slurmctld.out", "slurmd.out"];
            let said = || outputs.map(|file| fs::read_to_string(self.file(file)));
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{name}: {:?}",
                said()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, command: &str, args: &[&str]) -> String {
        let mut asked = Command::new(command);
        let asked = asked.args(args).env("SLURM_CONF", self.conf()).output();
        let asked = asked.expect(command);
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for (_, daemon) in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // A slurmstepd has left its slurmd, and without slurmctld it never ends.
        for step in processes(|words| words[0].starts_with("slurmstepd: [")) {
            let files = fs::read_dir(format!("/proc/{step}/fd"));
            let files = files.into_iter().flatten().flatten();
            let mut files = files.filter_map(|file| fs::read_link(file.path()).ok());
            if files.any(|file| file.starts_with(self.folder.path())) {
                let _ = kill(Pid::from_raw(step), Signal::SIGKILL);
            }
        }
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}
