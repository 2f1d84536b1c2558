//! The timeline as a picture.

use super::drawing::{Drawing, Kind, LaneOf, Row, Shape};
use super::sheet::{MARGIN, RIGHT, WIDTH, escape, width_of};
use super::{Timeline, bars, ticks};

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
    let drawing = Drawing::of(timeline);
    let lanes = || drawing.rows.iter().filter(|row| row.lane.is_some());
    let labels = lanes().map(|row| width_of(&row.label));
    let sheet = Sheet {
        left: labels.fold(0.0, f64::max).min(WIDTH / 4.0) + 2.0 * MARGIN,
        row: if lanes().count() > 20 { 24.0 } else { 40.0 },
        length: drawing.length.max(f64::MIN_POSITIVE),
    };
    let mut bottom = TOP;
    let mut middles = Vec::new();
    let (mut rows, mut labels) = (String::new(), String::new());
    for row in &drawing.rows {
        let (tiers, places) = sheet.place_labels(row);
        bottom += TIER * tiers as f64 + sheet.row;
        let middle = bottom - sheet.row / 2.0;
        middles.push(middle);
        rows += &sheet.row(row, middle);
        labels += &sheet.labels(row, &places, middle);
    }
    let legend = lines_of(&drawing.legend());
    let of_bars = bottom + 70.0 + TIER * 1.3 * legend.len() as f64;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="DejaVu Sans, Verdana, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif" font-size="18">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{MARGIN}" y="36" font-size="24" font-weight="bold">{}</text>
<text x="{MARGIN}" y="66" fill="#444444">{}</text>
"##,
        escape(title),
        escape(subtitle),
        height = of_bars - 10.0 + bars::height(drawing.bars.as_ref()),
    );
    for (time, text) in ticks(drawing.length, 8) {
        let x = sheet.x(time);
        svg += &format!(
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#cccccc"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>
"##,
            bottom + 26.0
        );
    }
    for arrow in &drawing.arrows {
        let (x, from, to) = (sheet.x(arrow.time), middles[arrow.from], middles[arrow.to]);
        svg += &format!(
            r##"<line class="arrow" x1="{x:.1}" y1="{from:.1}" x2="{x:.1}" y2="{to:.1}" stroke="#777777" stroke-width="1.5"/>
"##
        );
    }
    svg += &rows;
    svg += &labels;
    for (line, y) in legend
        .iter()
        .zip((0..).map(|n| bottom + 66.0 + TIER * 1.3 * f64::from(n)))
    {
        svg += &format!(
            r##"<text x="{MARGIN}" y="{y:.1}" fill="#444444">{}</text>
"##,
            escape(line)
        );
    }
    svg + &bars::svg(drawing.bars.as_ref(), of_bars) + "</svg>\n"
}

/// What the signs mean, in lines that fit.
fn lines_of(signs: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for sign in signs {
        let fits = |line: &&mut String| width_of(line) + width_of(sign) < WIDTH;
        match lines.last_mut().filter(fits) {
            Some(line) => *line += &format!("   |   {sign}"),
            None => lines.push(sign.clone()),
        }
    }
    lines
}

/// The sheet that is drawn on.
struct Sheet {
    /// Where time 0 is.
    left: f64,
    /// The height of a lane.
    row: f64,
    /// Of the run, in microseconds.
    length: f64,
}

/// Where a label of a moment begins, and in which line above the lane, counted
/// from below.
struct Place {
    left: f64,
    tier: usize,
}

impl Sheet {
    fn x(&self, time: f64) -> f64 {
        self.left + (WIDTH - self.left - RIGHT) * time / self.length
    }

    /// Places the labels of a lane so that none covers another, nor the line of one
    /// that is earlier and so stands higher; returns the number of lines of labels,
    /// and the places. One for which there is no room is seen on hover only.
    fn place_labels(&self, row: &Row) -> (usize, Vec<Option<Place>>) {
        let mut begins: Vec<f64> = Vec::new();
        let places = moments(row).rev().map(|moment| {
            let width = width_of(&moment.text) * 1.2; // as it is bold
            let left = self.x(moment.begin).min(WIDTH - width);
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
    fn labels(&self, row: &Row, places: &[Option<Place>], middle: f64) -> String {
        let colour = colour_of(row);
        let labels = moments(row).zip(places).map(|(moment, place)| {
            let x = self.x(moment.begin);
            let top = middle - self.row / 2.0;
            let title = title(moment);
            let tier = place.as_ref().map_or(0, |place| place.tier);
            let y = top - TIER * tier as f64 - 4.0;
            let down = format!(
                r#"<line class="moment" x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{middle:.1}" stroke="{colour}" stroke-width="2">{title}</line>
"#,
                y + 2.0
            );
            let text = place.as_ref().map(|Place { left, .. }| {
                format!(
                    r##"<text x="{left:.1}" y="{y:.1}" font-weight="bold" fill="{colour}" stroke="#ffffff" stroke-width="4" paint-order="stroke">{}{title}</text>
"##,
                    escape(&moment.text)
                )
            });
            down + &text.unwrap_or_default()
        });
        labels.collect()
    }

    /// A row, but for its labels.
    fn row(&self, row: &Row, middle: f64) -> String {
        let baseline = middle + 6.0;
        let label = escape(&row.label);
        let mut svg = match &row.lane {
            Some(LaneOf { colour, .. }) => format!(
                r#"<text class="lane" x="{MARGIN}" y="{baseline:.1}" fill="{colour}" textLength="{:.0}" lengthAdjust="spacingAndGlyphs">{label}</text>
"#,
                width_of(&row.label).min(WIDTH / 4.0),
            ),
            None => format!(
                r##"<text class="cpu" x="{MARGIN}" y="{baseline:.1}" fill="#111111" font-weight="bold">{label}</text>
"##
            ),
        };
        for shape in &row.shapes {
            svg += &self.shape(shape, middle, colour_of(row));
        }
        svg
    }

    fn shape(&self, shape: &Shape, middle: f64, colour: &str) -> String {
        let (x, class, title) = (self.x(shape.begin), shape.kind.class(), title(shape));
        match shape.kind {
            Kind::Life => self.bar(shape, middle, self.row / 4.0, colour),
            Kind::Zombie => format!(
                r#"<line class="{class}" x1="{x:.1}" y1="{middle}" x2="{:.1}" y2="{middle}" stroke="{colour}" stroke-width="3" stroke-dasharray="2 5">{title}</line>
"#,
                self.x(shape.end)
            ),
            Kind::Slice => self.slice(shape, middle, colour),
            Kind::Span | Kind::Wait => {
                let height = (self.row * 0.75 - 10.0 * shape.depth as f64).max(8.0);
                let bar = self.bar(shape, middle, height, colour);
                if width_of(&shape.text) + 16.0 > self.x(shape.end) - x {
                    return bar;
                }
                let waits = shape.kind == Kind::Wait;
                bar + &format!(
                    r#"<text x="{:.1}" y="{:.1}" fill="{}" pointer-events="none">{}</text>
"#,
                    x + 8.0,
                    middle + 6.0,
                    if waits { colour } else { "#ffffff" },
                    escape(&shape.text)
                )
            }
            Kind::Report => format!(
                r##"<circle class="{class}" cx="{x:.1}" cy="{middle}" r="{:.1}" fill="#ffffff" stroke="#111111" stroke-width="1.5">{title}</circle>
"##,
                self.row / 8.0,
            ),
            Kind::Killed => format!(
                r##"<text class="{class}" x="{x:.1}" y="{:.1}" text-anchor="middle" font-size="26" font-weight="bold" fill="#cc0000">×{title}</text>
<text x="{:.1}" y="{:.1}" text-anchor="end" font-size="16" font-weight="bold" fill="#cc0000" stroke="#ffffff" stroke-width="4" paint-order="stroke">{}</text>
"##,
                middle + 9.0,
                x - 12.0,
                middle + 6.0,
                escape(&shape.text),
            ),
            Kind::Exited => format!(
                r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="10" height="10" fill="{colour}">{title}</rect>
"#,
                x - 5.0,
                middle - 5.0
            ),
            Kind::StillThere => format!(
                r#"<path class="{class}" d="M{x:.1} {:.1} l14 8 l-14 8 z" fill="{colour}">{title}</path>
"#,
                middle - 8.0
            ),
            Kind::Moment => String::new(), // above all lanes, with its label
        }
    }

    /// A stretch of time on a CPU: not wider than it was, so that gaps are seen. On the
    /// row of a CPU it says who was there.
    fn slice(&self, shape: &Shape, middle: f64, colour: &str) -> String {
        let (left, height) = (self.x(shape.begin), self.row * 0.75);
        let width = self.x(shape.end) - left;
        let (colour, letter) = shape.of.unwrap_or((colour, None));
        let block = format!(
            r#"<rect class="slice" x="{left:.1}" y="{:.1}" width="{:.2}" height="{height}" fill="{colour}">{}</rect>
"#,
            middle - height / 2.0,
            width.max(0.5),
            title(shape)
        );
        let letter = letter.map(String::from).unwrap_or_default();
        let mut texts = [&shape.text, &letter].into_iter();
        let text = texts.find(|text| width_of(text) <= width - 4.0);
        let text = text.filter(|text| !text.is_empty()).map(|text| {
            format!(
                r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#ffffff" pointer-events="none">{}</text>
"##,
                left + width / 2.0,
                middle + 6.0,
                escape(text)
            )
        });
        block + &text.unwrap_or_default()
    }

    fn bar(&self, shape: &Shape, middle: f64, height: f64, colour: &str) -> String {
        let (left, waits) = (self.x(shape.begin), shape.kind == Kind::Wait);
        let frame = match waits {
            _ if shape.cut_off => CUT_OFF.to_owned(),
            true => format!(r#" stroke="{colour}" stroke-width="2""#),
            false => String::new(),
        };
        format!(
            r#"<rect class="{}" x="{left:.1}" y="{:.1}" width="{:.1}" height="{height}" rx="3" fill="{}" fill-opacity="{}"{frame}>{}</rect>
"#,
            shape.kind.class(),
            middle - height / 2.0,
            (self.x(shape.end) - left).max(2.0),
            if waits { "#ffffff" } else { colour },
            if shape.kind == Kind::Life { 0.35 } else { 1.0 },
            title(shape)
        )
    }
}

fn moments(row: &Row) -> impl DoubleEndedIterator<Item = &Shape> {
    let is_moment = |shape: &&Shape| shape.kind == Kind::Moment;
    row.shapes.iter().filter(is_moment)
}

fn colour_of(row: &Row) -> &'static str {
    row.lane.as_ref().map_or("#111111", |lane| lane.colour)
}

fn title(shape: &Shape) -> String {
    format!("<title>{}</title>", escape(&shape.title))
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
