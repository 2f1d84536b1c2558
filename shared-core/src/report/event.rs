//! What stands in the event log.

use crate::to_json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// One line of the event log, in the Trace Event Format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The span, the fact, the check, the text of a report, or the role of
    /// who was started or reaped.
    pub name: String,
    /// `life`, `span`, `wait`, `slice`, `moment`, `queued`, `report`, `fact`,
    /// `check`, `measured`, `started`, `reaped`, `clock`, `error` or `metadata`.
    pub cat: String,
    /// What kind of event this is.
    pub ph: Phase,
    /// Microseconds since the start of the run.
    pub ts: f64,
    /// The process whose event this is.
    pub pid: u32,
    /// The thread whose event this is; the main thread has the PID.
    pub tid: u64,
    /// The host, of a process that a launcher started, maybe elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The PID of that launcher, on the host of the first process. PIDs and TIDs of two
    /// hosts may be equal; with this they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<u32>,
    /// `value` of a fact, `ok` of a check, the `runs`, the median and the quartiles of
    /// what was measured, `cpu` of a span or slice, `name` of a
    /// process or thread, the number of a `lane` in order of start, the thread
    /// `by` which a process was started or reaped, the `status` or the
    /// `signal` that wait told of its end, and how exactly the `clock` of another host
    /// is known, `within_us`. `at` is the line of source where it was done, by the thread
    /// itself or, where there is one, by the thread `by`; the child of a fork goes on
    /// behind the line that it comes `from`. Of a program that is watched: `how` a process
    /// or thread was made, its `executable`, the `stream` that it wrote to, the `address`
    /// of the futex that it waits for, and whether the wait was only `sampled`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
}

/// How a process ended, as wait tells it (wait(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// It was killed by this signal: `SIGKILL`.
    Killed(String),
}

impl End {
    /// As one of the `args` of an event.
    #[must_use]
    pub fn arg(&self) -> (String, Value) {
        match self {
            Self::Exited(status) => ("status".to_owned(), (*status).into()),
            Self::Killed(signal) => ("signal".to_owned(), signal.as_str().into()),
        }
    }

    /// From the `args` of an event.
    pub(crate) fn from_args(args: &Map<String, Value>) -> Option<Self> {
        let signal = args.get("signal").and_then(Value::as_str);
        let status = args.get("status").and_then(Value::as_i64);
        let exited = || Some(Self::Exited(status?.try_into().ok()?));
        signal
            .map(|signal| Self::Killed(signal.to_owned()))
            .or_else(exited)
    }
}

/// `exited with status 7`, `killed by SIGKILL`.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed(signal) => write!(f, "killed by {signal}"),
        }
    }
}

impl Event {
    /// A number for the process that is unique in the run: its PID, or that of its
    /// launcher.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.via.unwrap_or(self.pid)
    }

    /// The TID, of any thread but the main one.
    #[must_use]
    pub fn thread(&self) -> Option<u64> {
        (self.tid != u64::from(self.pid)).then_some(self.tid)
    }

    /// The event as one JSON object, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// How the record of a lane that begins reads, whatever its name: a quote in a name
/// would be escaped.
pub(super) const LIFE_BEGINS: &str = r#","cat":"life","ph":"B","#;

/// The phases of the Trace Event Format that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A span begins.
    #[serde(rename = "B")]
    Begin,
    /// The innermost open span of this thread ends.
    #[serde(rename = "E")]
    End,
    /// Something happened at one moment.
    #[serde(rename = "i")]
    Instant,
    /// A process or thread is given its name.
    #[serde(rename = "M")]
    Metadata,
}
