//! What a picture of a run shows, whoever draws it: the SVG writer and the script of the
//! page draw these rows and shapes, and no others.

use super::bars::{self, Bars};
use super::{Lane, LaneEnd, Span, Timeline};
use crate::lane_colour;
use crate::report::End;
use serde::{Serialize, Serializer};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// The picture of a run. Times are in microseconds since its start.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    /// Where the time axis ends.
    pub(super) length: f64,
    /// From top to bottom: the lanes, then the CPUs.
    pub(super) rows: Vec<Row>,
    /// Who started whom, and who reaped whom.
    pub(super) arrows: Vec<Arrow>,
    /// How exact it is, if there are times of other hosts.
    #[serde(skip)]
    exactness: Option<String>,
    /// What was measured.
    pub(super) bars: Option<Bars>,
}

/// A lane, or a CPU.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) label: String,
    /// None for a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lane: Option<LaneOf>,
    /// In the order in which they are drawn, each over those before.
    pub(super) shapes: Vec<Shape>,
}

/// Whose lane a row is.
#[derive(Debug, Serialize)]
pub(super) struct LaneOf {
    /// The name alone, and what stands for it where there is little room.
    name: String,
    letter: Option<char>,
    pub(super) colour: &'static str,
    /// [`Event::process`](crate::report::Event::process) and
    /// [`Event::thread`](crate::report::Event::thread) of its events.
    process: u32,
    thread: Option<u64>,
}

/// A line from one row to another.
#[derive(Debug, Serialize)]
pub(super) struct Arrow {
    pub(super) time: f64,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Something on a row.
#[derive(Debug, Serialize)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) begin: f64,
    /// The same as `begin` for what has no length.
    pub(super) end: f64,
    /// What stands in it or beside it, where there is room.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    /// What is told of it on hover.
    pub(super) title: String,
    /// How many spans it stands in.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) depth: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) cut_off: bool,
    /// On the row of a CPU: the colour of the lane that was there, and what stands for its
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<(&'static str, Option<char>)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The kinds of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Life,
    Zombie,
    Slice,
    Span,
    Wait,
    Report,
    Killed,
    Exited,
    StillThere,
    Moment,
}

impl Kind {
    /// The class of its elements, in the SVG and on the page.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Zombie => "zombie",
            Self::Slice => "slice",
            Self::Span => "span",
            Self::Wait => "wait",
            Self::Report => "report",
            Self::Killed => "killed",
            Self::Exited => "exited",
            Self::StillThere => "still-there",
            Self::Moment => "moment",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.class())
    }
}

impl Drawing {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let lanes = timeline.lanes.iter();
        let mut rows: Vec<Row> = lanes.map(lane).collect();
        let cpus = timeline.cpus();
        rows.extend(cpus.iter().map(|(number, slices)| cpu(*number, slices)));
        Self {
            length: timeline.length,
            rows,
            arrows: arrows(&timeline.lanes),
            exactness: timeline.exactness(),
            bars: bars::drawing(&timeline.bars),
        }
    }
}

impl Drawing {
    /// Ends the picture at this time.
    pub(super) fn cut(&mut self, time: f64) {
        self.length = self.length.min(time);
        self.arrows.retain(|arrow| arrow.time < time);
        for row in &mut self.rows {
            row.shapes.retain(|shape| shape.begin < time);
            for shape in &mut row.shapes {
                shape.end = shape.end.min(time);
            }
        }
    }

    /// What the signs mean, those that occur.
    pub(super) fn legend(&self) -> Vec<String> {
        let has = |kind| {
            let mut shapes = self.rows.iter().flat_map(|row| &row.shapes);
            shapes.any(|shape| shape.kind == kind)
        };
        let signs = [
            (true, "thin: alive"),
            (has(Kind::Span), "thick: busy"),
            (has(Kind::Wait), "outlined: waiting"),
            (has(Kind::Slice), "blocks: on a CPU, and who was there"),
            (has(Kind::Report), "circle: report (text on hover)"),
            (!self.arrows.is_empty(), "upright line: started, reaped"),
            (has(Kind::Zombie), "dotted: zombie"),
            (has(Kind::Killed), "red ×: killed"),
            (has(Kind::Exited), "square: exited"),
            (has(Kind::StillThere), "arrow: still there"),
        ];
        let signs = signs.into_iter().filter(|(occurs, _)| *occurs);
        let signs = signs.map(|(_, sign)| sign.to_owned());
        signs.chain(self.exactness.clone()).collect()
    }

    /// Takes out these lanes, and rows of which nothing is left.
    pub(super) fn hide(&mut self, lanes: &HashSet<(u32, Option<u64>)>) {
        let is_shown = |row: &Row| {
            let own = row.lane.as_ref().map(|lane| (lane.process, lane.thread));
            !row.shapes.is_empty() && own.is_none_or(|own| !lanes.contains(&own))
        };
        let mut place = 0;
        let places = self.rows.iter().map(|row| {
            let shown = is_shown(row);
            place += usize::from(shown);
            shown.then(|| place - 1)
        });
        let places: Vec<Option<usize>> = places.collect();
        let arrows = self.arrows.iter().filter_map(|arrow| {
            let (from, to) = (places[arrow.from]?, places[arrow.to]?);
            let time = arrow.time;
            Some(Arrow { time, from, to })
        });
        self.arrows = arrows.collect();
        self.rows.retain(is_shown);
    }
}

fn lane(lane: &Lane) -> Row {
    let mut shapes = vec![of_span(Kind::Life, &lane.life)];
    if let Some(reaped) = lane.reaped.filter(|_| lane.was_a_zombie()) {
        let title = "ended, not yet reaped: a zombie".to_owned();
        let zombie = moment(Kind::Zombie, lane.life.end, String::new(), title);
        shapes.push(Shape {
            end: reaped,
            ..zombie
        });
    }
    let slices = lane.slices.iter();
    shapes.extend(slices.map(|slice| on_cpu(slice, &slice.name)));
    let spans = lane.spans.iter().map(|span| {
        let kind = if span.waits { Kind::Wait } else { Kind::Span };
        let text = span.name.clone();
        Shape {
            text,
            ..of_span(kind, span)
        }
    });
    shapes.extend(spans);
    shapes.extend(lane.reports.iter().map(|(time, text)| {
        let title = format!("{:.3} ms: {text}", time / 1e3);
        moment(Kind::Report, *time, String::new(), title)
    }));
    let end = match &lane.end {
        LaneEnd::Said => None,
        LaneEnd::Told(End::Killed(signal)) => Some((Kind::Killed, signal.clone())),
        LaneEnd::Told(End::Exited(_)) => Some((Kind::Exited, String::new())),
        LaneEnd::StillThere => Some((Kind::StillThere, String::new())),
    };
    shapes.extend(end.map(|(kind, text)| moment(kind, lane.life.end, text, lane.end.to_string())));
    shapes.extend(lane.moments.iter().map(|(time, label)| {
        let title = format!("{:.3} ms: {label}", time / 1e3);
        moment(Kind::Moment, *time, label.clone(), title)
    }));
    Row {
        label: lane.label.clone(),
        lane: Some(LaneOf {
            name: lane.life.name.clone(),
            letter: lane.letter(),
            colour: lane_colour(lane.number),
            process: lane.key().0,
            thread: lane.key().1,
        }),
        shapes,
    }
}

fn cpu(number: u64, slices: &[(&Lane, &Span)]) -> Row {
    let shapes = slices.iter().map(|(lane, slice)| {
        let name = &lane.life.name;
        Shape {
            text: name.clone(),
            of: Some((lane_colour(lane.number), lane.letter())),
            ..on_cpu(slice, name)
        }
    });
    Row {
        label: format!("CPU {number}"),
        lane: None,
        shapes: shapes.collect(),
    }
}

fn of_span(kind: Kind, span: &Span) -> Shape {
    Shape {
        end: span.end,
        depth: span.depth,
        cut_off: span.cut_off,
        ..moment(kind, span.begin, String::new(), tooltip(span))
    }
}

fn on_cpu(slice: &Span, what: &str) -> Shape {
    let named = Span {
        name: what.to_owned(),
        cpu: None,
        ..*slice
    };
    of_span(Kind::Slice, &named)
}

fn moment(kind: Kind, time: f64, text: String, title: String) -> Shape {
    Shape {
        kind,
        begin: time,
        end: time,
        text,
        title,
        depth: 0,
        cut_off: false,
        of: None,
    }
}

/// From who started a lane, and to who reaped it.
fn arrows(lanes: &[Lane]) -> Vec<Arrow> {
    let places = lanes.iter().enumerate().rev();
    let places: HashMap<u64, usize> = places.map(|(place, lane)| (lane.tid, place)).collect();
    let of_lane = |(to, lane): (usize, &Lane)| {
        let marks = lane.marks.iter().filter_map(|(time, by)| {
            let (time, from) = (*time, *places.get(by)?);
            Some(Arrow { time, from, to })
        });
        marks.collect::<Vec<_>>()
    };
    lanes.iter().enumerate().flat_map(of_lane).collect()
}

fn tooltip(span: &Span) -> String {
    let (begin, end) = (span.begin / 1e3, span.end / 1e3);
    let mut text = format!(
        "{}: {begin:.3} to {end:.3} ms ({:.3} ms)",
        span.name,
        end - begin
    );
    if let Some(cpu) = span.cpu {
        let _ = write!(text, ", began on CPU {cpu}");
    }
    if span.cut_off {
        text.push_str(", cut off");
    }
    text
}
