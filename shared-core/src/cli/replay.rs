//! A run that is over, once more and slowly: `--slow`.

use crate::report::{Event, Session};
use crate::timeline::Timeline;
use std::thread;
use std::time::{Duration, Instant};

/// Prints what was said in the run, so that it takes so many seconds; the times stay those
/// of the run.
pub(super) fn replay(session: &Session, events: &[Event], timeline: &Timeline, seconds: u16) {
    let took = Duration::from_secs_f64(timeline.length / 1e6);
    session.say(&format!(
        "Replay: what took {took:.1?} takes {seconds} s.\n"
    ));
    let slower = f64::from(seconds) / timeline.length.max(f64::MIN_POSITIVE);
    let lane = |event: &Event| {
        let mut lanes = timeline.lanes.iter();
        let own = lanes.find(|lane| (lane.pid, lane.tid) == (event.pid, event.tid));
        own.map_or(0, |lane| lane.number)
    };
    let start = Instant::now();
    for report in events.iter().filter(|event| event.cat == "report") {
        let due = Duration::from_secs_f64((report.ts * slower).min(f64::from(seconds)));
        thread::sleep(due.saturating_sub(start.elapsed()));
        session.say(&session.line_of(report, lane));
    }
}
