//! An sshd of the test's own, on a port of this host.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Sshd {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Sshd {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(file(key))
                .status();
            assert!(made.is_ok_and(|status| status.success()), "ssh-keygen");
        }
        fs::copy(file("user.pub"), file("authorized")).expect("a copy");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(file("authorized"), private).expect("permissions");
        let port = free_port();
        let conf = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nMaxStartups 100\n",
            file("host").display(),
            file("authorized").display()
        );
        fs::write(file("conf"), conf).expect("a file");
        fs::create_dir_all("/run/sshd").expect("its folder"); // Debian's sshd wants it
        // It must be started by its full path.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-f"])
            .arg(file("conf"))
            .arg("-E")
            .arg(file("log"))
            .stdin(Stdio::null())
            .spawn();
        let sshd = Self {
            process: process.expect("sshd"),
            folder,
            port,
        };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(sshd.file("log"));
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", log());
            thread::sleep(Duration::from_millis(10));
        }
        sshd
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The words that start a program there.
    pub fn launcher(&self) -> String {
        format!(
            "ssh -F none -p {} -i {} -o BatchMode=yes -o LogLevel=ERROR \
             -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1",
            self.port,
            self.file("user").display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One that nobody listens on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
