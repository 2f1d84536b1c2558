//! A place at which tasks say that they have begun, and wait: nothing needs to
//! sleep in order to find them at work.

use crate::acts::Act;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::id;

/// Held by the scenario.
pub struct Meeting {
    door: TcpListener,
    pub port: u16,
}

/// A task that has come, as the scenario sees it. Dropped, it is sent on.
pub struct Guest {
    /// The worker in which it runs.
    pub pid: u32,
    stream: TcpStream,
}

/// The scenario, as a task sees it.
pub struct Host(TcpStream);

impl Meeting {
    pub fn new() -> Self {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = door.local_addr().expect("a port").port();
        Self { door, port }
    }

    /// A task that comes here.
    pub fn task(&self) -> Act {
        Act::Meet(self.port)
    }

    /// A task that comes here, and never ends.
    pub fn endless_task(&self) -> Act {
        Act::MeetForEver(self.port)
    }

    /// Waits until a task has come, hence has begun.
    pub fn next(&self) -> Guest {
        loop {
            let (mut stream, _) = self.door.accept().expect("a guest");
            let mut pid = [0; 4];
            // One that was killed meanwhile says nothing.
            if stream.read_exact(&mut pid).is_ok() {
                let pid = u32::from_le_bytes(pid);
                return Guest { pid, stream };
            }
        }
    }
}

impl Guest {
    /// Lets the task go on, with a number.
    pub fn send_on(mut self, number: u8) {
        let _ = self.stream.write_all(&[number]); // it may have been killed
    }
}

/// In a task: goes to the meeting.
pub fn go_to(port: u16) -> Host {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a meeting");
    stream.write_all(&id().to_le_bytes()).expect("a host");
    Host(stream)
}

impl Host {
    /// Waits until this task is sent on; the number, if there is one.
    pub fn wait(mut self) -> Option<u8> {
        let mut number = [0];
        self.0.read_exact(&mut number).ok().map(|()| number[0])
    }
}
