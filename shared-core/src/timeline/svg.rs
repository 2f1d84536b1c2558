//! The timeline as a picture.

use super::sheet::{MARGIN, RIGHT, WIDTH, escape, width_of};
use super::{Lane, LaneEnd, Span, Timeline, bars, ticks};
use crate::lane_colour;
use crate::report::End;
use std::collections::HashMap;
use std::fmt::Write;

const TOP: f64 = 96.0;
/// The frame of a bar whose end nobody has seen.
const CUT_OFF: &str = r##" stroke="#cc0000" stroke-width="2" stroke-dasharray="5 3""##;
/// The height of a line of labels above a lane, and the most of them.
const TIER: f64 = 20.0;
const MOST_TIERS: usize = 4;

/// Draws `timeline` as a self-contained SVG under `title`, with `subtitle`
/// below it: lane names, time axis, spans with labels, tooltips, a legend.
#[must_use]
pub fn draw(timeline: &Timeline, title: &str, subtitle: &str) -> String {
    let labels = timeline.lanes.iter().map(|lane| width_of(&lane.label));
    let left = labels.fold(0.0, f64::max).min(WIDTH / 4.0) + 2.0 * MARGIN;
    let row = if timeline.lanes.len() > 20 {
        24.0
    } else {
        40.0
    };
    let numbered = timeline.lanes.iter().enumerate();
    let mut picture = Picture {
        timeline,
        left,
        row,
        middles: Vec::new(),
        places: numbered
            .rev()
            .map(|(place, lane)| (lane.tid, place))
            .collect(),
    };
    let mut labels = String::new();
    let mut bottom = TOP;
    for lane in &timeline.lanes {
        let (tiers, places) = picture.place_labels(lane);
        bottom += TIER * tiers as f64 + row;
        let middle = bottom - row / 2.0;
        picture.middles.push(middle);
        labels += &picture.labels(lane, &places, middle);
    }
    let cpus = timeline.cpus();
    let mut of_cpus = String::new();
    for (number, slices) in &cpus {
        bottom += row;
        of_cpus += &picture.cpu(*number, slices, bottom - row / 2.0);
    }
    let legend = legend(timeline);
    let of_bars = bottom + 70.0 + TIER * 1.3 * legend.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="DejaVu Sans, Verdana, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif" font-size="18">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{MARGIN}" y="36" font-size="24" font-weight="bold">{}</text>
<text x="{MARGIN}" y="66" fill="#444444">{}</text>
"##,
        escape(title),
        escape(subtitle),
        height = of_bars - 10.0 + bars::height(&timeline.bars),
    );
    for (time, text) in ticks(timeline.length, 8) {
        let x = picture.x(time);
        svg += &format!(
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#cccccc"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>
"##,
            bottom + 26.0
        );
    }
    for index in 0..timeline.lanes.len() {
        svg += &picture.arrows(index);
    }
    for index in 0..timeline.lanes.len() {
        svg += &picture.lane(index);
    }
    svg += &of_cpus;
    svg += &labels;
    for (line, y) in legend
        .iter()
        .zip((0..).map(|n| bottom + 66.0 + TIER * 1.3 * f64::from(n)))
    {
        svg += &format!(
            r##"<text x="{MARGIN}" y="{y:.1}" fill="#444444">{line}</text>
"##
        );
    }
    svg + &bars::svg(&timeline.bars, of_bars) + "</svg>\n"
}

/// What the signs mean, those that occur, in lines that fit.
fn legend(timeline: &Timeline) -> Vec<String> {
    let any = |has: fn(&Lane) -> bool| timeline.lanes.iter().any(has);
    let exactness = timeline.exactness();
    let signs = [
        (true, "thin: alive"),
        (
            any(|lane| lane.spans.iter().any(|span| !span.waits)),
            "thick: busy",
        ),
        (
            any(|lane| lane.spans.iter().any(|span| span.waits)),
            "outlined: waiting",
        ),
        (
            any(|lane| !lane.slices.is_empty()),
            "blocks: on a CPU, and who was there",
        ),
        (
            any(|lane| !lane.reports.is_empty()),
            "circle: report (text on hover)",
        ),
        (
            any(|lane| !lane.marks.is_empty()),
            "upright line: started, reaped",
        ),
        (any(Lane::was_a_zombie), "dotted: zombie"),
        (any(|lane| lane.end.signal().is_some()), "red ×: killed"),
        (
            any(|lane| matches!(lane.end, LaneEnd::Told(End::Exited(_)))),
            "square: exited",
        ),
        (
            any(|lane| lane.end == LaneEnd::StillThere),
            "arrow: still there",
        ),
        (
            exactness.is_some(),
            exactness.as_deref().unwrap_or_default(),
        ),
    ];
    let signs = signs.iter().filter(|(occurs, _)| *occurs);
    let mut lines: Vec<String> = Vec::new();
    for (_, sign) in signs {
        let fits = |line: &&mut String| width_of(line) + width_of(sign) < WIDTH;
        match lines.last_mut().filter(fits) {
            Some(line) => *line += &format!("   |   {sign}"),
            None => lines.push((*sign).to_owned()),
        }
    }
    lines
}

struct Picture<'a> {
    timeline: &'a Timeline,
    /// Where time 0 is.
    left: f64,
    /// The height of a lane.
    row: f64,
    /// Where the middle of each lane is.
    middles: Vec<f64>,
    /// Which lane that of a thread is.
    places: HashMap<u64, usize>,
}

/// Where a label of a moment begins, and in which line above the lane, counted
/// from below.
struct Place {
    left: f64,
    tier: usize,
}

impl Picture<'_> {
    fn x(&self, time: f64) -> f64 {
        let length = self.timeline.length.max(f64::MIN_POSITIVE);
        self.left + (WIDTH - self.left - RIGHT) * time / length
    }

    /// Places the labels of a lane so that none covers another, nor the line of one
    /// that is earlier and so stands higher; returns the number of lines of labels,
    /// and the places. One for which there is no room is seen on hover only.
    fn place_labels(&self, lane: &Lane) -> (usize, Vec<Option<Place>>) {
        let mut begins: Vec<f64> = Vec::new();
        let places = lane.moments.iter().rev().map(|(time, label)| {
            let width = width_of(label) * 1.2; // as it is bold
            let left = self.x(*time).min(WIDTH - width);
            let tier = begins.iter().position(|begin| left + width + 8.0 <= *begin);
            let tier = tier.unwrap_or(begins.len());
            if tier == MOST_TIERS {
                return None;
            }
            begins.resize(begins.len().max(tier + 1), WIDTH);
            begins[tier] = left;
            Some(Place { left, tier })
        });
        let mut places: Vec<Option<Place>> = places.collect();
        places.reverse();
        (begins.len(), places)
    }

    /// The labels, each with a line down to its moment.
    fn labels(&self, lane: &Lane, places: &[Option<Place>], middle: f64) -> String {
        let colour = lane_colour(lane.number);
        let labels = lane.moments.iter().zip(places).map(|((time, label), place)| {
            let (x, label) = (self.x(*time), escape(label));
            let top = middle - self.row / 2.0;
            let title = format!("<title>{:.3} ms: {label}</title>", time / 1e3);
            let tier = place.as_ref().map_or(0, |place| place.tier);
            let y = top - TIER * tier as f64 - 4.0;
            let down = format!(
                r#"<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{middle:.1}" stroke="{colour}" stroke-width="2">{title}</line>
"#,
                y + 2.0
            );
            let text = place.as_ref().map(|Place { left, .. }| {
                format!(
                    r##"<text x="{left:.1}" y="{y:.1}" font-weight="bold" fill="{colour}" stroke="#ffffff" stroke-width="4" paint-order="stroke">{label}{title}</text>
"##
                )
            });
            down + &text.unwrap_or_default()
        });
        labels.collect()
    }

    /// From who started this lane, and to who reaped it.
    fn arrows(&self, index: usize) -> String {
        let lanes = &self.timeline.lanes;
        let marks = lanes[index].marks.iter().filter_map(|(time, by)| {
            let other = *self.places.get(by)?;
            let (x, from, to) = (self.x(*time), self.middles[other], self.middles[index]);
            Some(format!(
                r##"<line x1="{x:.1}" y1="{from:.1}" x2="{x:.1}" y2="{to:.1}" stroke="#777777" stroke-width="1.5"/>
"##
            ))
        });
        marks.collect()
    }

    fn lane(&self, index: usize) -> String {
        let (lane, middle) = (&self.timeline.lanes[index], self.middles[index]);
        let colour = lane_colour(lane.number);
        let baseline = middle + 6.0;
        let mut svg = format!(
            r#"<text x="{MARGIN}" y="{baseline:.1}" fill="{colour}" textLength="{:.0}" lengthAdjust="spacingAndGlyphs">{}</text>
"#,
            width_of(&lane.label).min(WIDTH / 4.0),
            escape(&lane.label)
        );
        svg += &self.bar(&lane.life, middle, self.row / 4.0, colour, 0.35);
        if let Some(reaped) = lane.reaped.filter(|_| lane.was_a_zombie()) {
            svg += &format!(
                r#"<line x1="{:.1}" y1="{middle}" x2="{:.1}" y2="{middle}" stroke="{colour}" stroke-width="3" stroke-dasharray="2 5"><title>ended, not yet reaped: a zombie</title></line>
"#,
                self.x(lane.life.end),
                self.x(reaped)
            );
        }
        for slice in &lane.slices {
            svg += &self.slice(slice, &slice.name, middle, colour);
        }
        for span in &lane.spans {
            let height = (self.row * 0.75 - 6.0 * span.depth as f64).max(8.0);
            svg += &self.bar(span, middle, height, colour, 1.0);
            let ink = if span.waits { colour } else { "#ffffff" };
            if width_of(&span.name) + 16.0 <= self.x(span.end) - self.x(span.begin) {
                svg += &format!(
                    r#"<text x="{:.1}" y="{baseline:.1}" fill="{ink}" pointer-events="none">{}</text>
"#,
                    self.x(span.begin) + 8.0,
                    escape(&span.name)
                );
            }
        }
        for (time, text) in &lane.reports {
            svg += &format!(
                r##"<circle cx="{:.1}" cy="{middle}" r="{:.1}" fill="#ffffff" stroke="#111111" stroke-width="1.5"><title>{:.3} ms: {}</title></circle>
"##,
                self.x(*time),
                self.row / 8.0,
                time / 1e3,
                escape(text)
            );
        }
        svg += &self.end(lane, middle, colour);
        svg
    }

    /// A CPU, and who was on it.
    fn cpu(&self, number: u64, slices: &[(&Lane, &Span)], middle: f64) -> String {
        let mut svg = format!(
            r##"<text x="{MARGIN}" y="{:.1}" fill="#111111" font-weight="bold">CPU {number}</text>
"##,
            middle + 6.0
        );
        for (lane, slice) in slices {
            let (name, colour) = (&lane.life.name, lane_colour(lane.number));
            let (left, width) = (self.x(slice.begin), self.x(slice.end) - self.x(slice.begin));
            svg += &self.slice(slice, name, middle, colour);
            let short = lane.letter().map(String::from).unwrap_or_default();
            let room = width - 4.0;
            let texts = [name, &short];
            if let Some(text) = texts.into_iter().find(|text| width_of(text) <= room) {
                svg += &format!(
                    r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#ffffff" pointer-events="none">{}</text>
"##,
                    left + width / 2.0,
                    middle + 6.0,
                    escape(text)
                );
            }
        }
        svg
    }

    /// A stretch of time on a CPU: not wider than it was, so that gaps are seen.
    fn slice(&self, slice: &Span, what: &str, middle: f64, colour: &str) -> String {
        let (left, height) = (self.x(slice.begin), self.row * 0.75);
        let named = Span {
            name: what.to_owned(),
            cpu: None,
            ..*slice
        };
        format!(
            r#"<rect x="{left:.1}" y="{:.1}" width="{:.2}" height="{height}" fill="{colour}"><title>{}</title></rect>
"#,
            middle - height / 2.0,
            (self.x(slice.end) - left).max(0.5),
            escape(&tooltip(&named))
        )
    }

    /// The end of a lane that did not say itself that it ended.
    fn end(&self, lane: &Lane, middle: f64, colour: &str) -> String {
        let x = self.x(lane.life.end);
        let title = escape(&lane.end.to_string());
        match &lane.end {
            LaneEnd::Said => String::new(),
            LaneEnd::Told(End::Killed(signal)) => format!(
                r##"<text x="{x:.1}" y="{:.1}" text-anchor="middle" font-size="26" font-weight="bold" fill="#cc0000">×<title>{title}</title></text>
<text x="{:.1}" y="{:.1}" text-anchor="end" font-size="16" font-weight="bold" fill="#cc0000" stroke="#ffffff" stroke-width="4" paint-order="stroke">{}</text>
"##,
                middle + 9.0,
                x - 12.0,
                middle + 6.0,
                escape(signal),
            ),
            LaneEnd::Told(End::Exited(_)) => format!(
                r#"<rect x="{:.1}" y="{:.1}" width="10" height="10" fill="{colour}"><title>{title}</title></rect>
"#,
                x - 5.0,
                middle - 5.0
            ),
            LaneEnd::StillThere => format!(
                r#"<path d="M{x:.1} {:.1} l14 8 l-14 8 z" fill="{colour}"><title>{title}</title></path>
"#,
                middle - 8.0
            ),
        }
    }

    fn bar(&self, span: &Span, middle: f64, height: f64, colour: &str, opacity: f64) -> String {
        let left = self.x(span.begin);
        let (fill, frame) = match span {
            Span {
                cut_off: true,
                waits,
                ..
            } => (if *waits { "#ffffff" } else { colour }, CUT_OFF.to_owned()),
            Span { waits: true, .. } => {
                ("#ffffff", format!(r#" stroke="{colour}" stroke-width="2""#))
            }
            _ => (colour, String::new()),
        };
        format!(
            r#"<rect x="{left:.1}" y="{:.1}" width="{:.1}" height="{height}" rx="3" fill="{fill}" fill-opacity="{opacity}"{frame}><title>{}</title></rect>
"#,
            middle - height / 2.0,
            (self.x(span.end) - left).max(2.0),
            escape(&tooltip(span))
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_span_says_so() {
        let svg = draw(
            &Timeline::new(&super::super::tests::killed_child()),
            "t",
            "s",
        );
        assert!(svg.contains("work: 0.200 to 0.800 ms (0.600 ms), cut off"));
    }
}
