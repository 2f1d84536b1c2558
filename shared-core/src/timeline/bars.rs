//! What was measured, as bars on a logarithmic axis.

use super::sheet::{MARGIN, RIGHT, WIDTH, escape, width_of};
use crate::pad;
use crate::report::Event;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;
use textwrap::core::display_width;

/// A median with its quartiles, in microseconds.
#[derive(Debug)]
pub struct Bar {
    /// What was measured.
    pub name: String,
    /// How many times.
    pub runs: u64,
    /// The middle one of the times.
    pub median: f64,
    /// A quarter of the times are below this one.
    pub lower_quartile: f64,
    /// A quarter of the times are above this one.
    pub upper_quartile: f64,
}

impl Bar {
    pub(super) fn of(event: &Event) -> Option<Self> {
        let time = |name| event.args.get(name).and_then(Value::as_f64);
        Some(Self {
            name: event.name.clone(),
            runs: event.args.get("runs")?.as_u64()?,
            median: time("median_us")?,
            lower_quartile: time("lower_quartile_us")?,
            upper_quartile: time("upper_quartile_us")?,
        })
    }

    /// `  44.7 µs (42.9 to 48.7)`
    fn figures(&self) -> String {
        let (unit, factor) = unit(self.median);
        let [median, lower, upper] =
            [self.median, self.lower_quartile, self.upper_quartile].map(|time| time / factor);
        format!("{median:>6.1} {unit} ({lower:.1} to {upper:.1})")
    }
}

/// The unit in which a time is told, and how many microseconds it has.
fn unit(time: f64) -> (&'static str, f64) {
    let units = [("s", 1e6), ("ms", 1e3), ("µs", 1.0)];
    let fits = |(_, size): &(&str, f64)| time >= *size;
    units.into_iter().find(fits).unwrap_or(("ns", 1e-3))
}

/// From one power of ten to another, in microseconds.
struct Axis {
    first: i32,
    last: i32,
}

impl Axis {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a time is small"
    )]
    fn of(bars: &[Bar]) -> Self {
        // What is shorter than a clock can tell was not measured.
        let power = |time: f64| time.max(1e-3).log10();
        let powers = bars
            .iter()
            .flat_map(|bar| [bar.lower_quartile, bar.median, bar.upper_quartile].map(power));
        let (least, most) = powers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), p| {
            (least.min(p), most.max(p))
        });
        // Not at the shortest itself: it would have no bar.
        let first = (least - 0.1).floor() as i32;
        Self {
            first,
            last: (most.ceil() as i32).max(first + 1),
        }
    }

    /// From 0 to 1.
    fn place(&self, time: f64) -> f64 {
        let powers = f64::from(self.last - self.first);
        let power = time.max(1e-3).log10() - f64::from(self.first);
        (power / powers).clamp(0.0, 1.0)
    }

    /// At most `count` powers of ten, from the first one on, each with its text.
    fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let powers = self.first..=self.last;
        let step = powers.clone().count().div_ceil(count.max(1));
        let tick = |power| {
            let time = 10_f64.powi(power);
            let (unit, factor) = unit(time * 1.000_001); // it may be a bit too small
            (time, format!("{:.0} {unit}", time / factor))
        };
        powers.step_by(step).map(tick).collect()
    }
}

fn caption(bars: &[Bar], quartiles: &str) -> String {
    let runs = bars.iter().map(|bar| bar.runs).min().unwrap_or(0);
    format!("Medians of {runs} ({quartiles}), on a logarithmic axis")
}

/// The bars in `width` columns; nothing if there are none.
pub(super) fn text(bars: &[Bar], width: usize) -> String {
    if bars.is_empty() {
        return String::new();
    }
    let axis = Axis::of(bars);
    let names = bars.iter().map(|bar| display_width(&bar.name)).max();
    let figures = bars.iter().map(|bar| bar.figures().chars().count()).max();
    let (names, figures) = (names.unwrap_or(0), figures.unwrap_or(0));
    let columns = width.saturating_sub(names + figures + 6).max(8);
    let mut text = format!("\n  {}\n", caption(bars, "and quartiles"));
    for bar in bars {
        let line = in_eighths(axis.place(bar.median), columns);
        let (name, figures) = (pad(&bar.name, names), pad(&bar.figures(), figures));
        let _ = writeln!(text, "  {name} {figures} ┃{line}");
    }
    let mut marks = String::new();
    for (time, mark) in axis.ticks(columns / 8) {
        let column = whole(axis.place(time) * columns as f64);
        if column + mark.chars().count() <= columns {
            marks = pad(&marks, column) + "╵" + &mark;
        }
    }
    let _ = writeln!(text, "  {:1$}{marks}", "", names + figures + 3);
    text
}

/// A bar as long as this share of `columns`.
fn in_eighths(share: f64, columns: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = whole(share * columns as f64 * 8.0).max(1);
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of columns: small and not negative"
)]
fn whole(columns: f64) -> usize {
    columns.round() as usize
}

/// The bars as they are drawn, whoever draws them. Places go from 0 to 1, from the left
/// end of the axis to its right end.
#[derive(Debug, Serialize)]
pub(super) struct Bars {
    caption: String,
    ticks: Vec<(f64, String)>,
    drawn: Vec<Drawn>,
}

/// A bar with its name and its figures.
#[derive(Debug, Serialize)]
struct Drawn {
    name: String,
    figures: String,
    median: f64,
    lower_quartile: f64,
    upper_quartile: f64,
}

/// What is drawn of what was measured; nothing if nothing was.
pub(super) fn drawing(bars: &[Bar]) -> Option<Bars> {
    if bars.is_empty() {
        return None;
    }
    let axis = Axis::of(bars);
    let drawn = |bar: &Bar| Drawn {
        name: bar.name.clone(),
        figures: bar.figures().trim_start().to_owned(),
        median: axis.place(bar.median),
        lower_quartile: axis.place(bar.lower_quartile),
        upper_quartile: axis.place(bar.upper_quartile),
    };
    Some(Bars {
        caption: caption(bars, "line: the quartiles"),
        ticks: axis
            .ticks(12)
            .into_iter()
            .map(|(time, text)| (axis.place(time), text))
            .collect(),
        drawn: bars.iter().map(drawn).collect(),
    })
}

/// The height of a bar with what is around it.
const ROW: f64 = 34.0;

/// The height of the drawing.
pub(super) fn height(bars: Option<&Bars>) -> f64 {
    bars.map_or(0.0, |bars| ROW * bars.drawn.len() as f64 + 90.0)
}

/// The bars as a part of an SVG, from `top` down.
pub(super) fn svg(bars: Option<&Bars>, top: f64) -> String {
    let Some(Bars {
        caption,
        ticks,
        drawn: bars,
    }) = bars
    else {
        return String::new();
    };
    let widest = |of: fn(&Drawn) -> &String| {
        let widths = bars.iter().map(|bar| width_of(of(bar)));
        widths.fold(0.0, f64::max)
    };
    let left = MARGIN * 2.0 + widest(|bar| &bar.name).min(WIDTH / 3.0);
    let right = WIDTH - RIGHT - widest(|bar| &bar.figures);
    let x = |place| left + (right - left) * place;
    let (first, bottom) = (top + 30.0, top + 30.0 + ROW * bars.len() as f64);
    let mut svg = format!(
        r##"<text x="{MARGIN}" y="{:.1}" fill="#444444">{caption}</text>
"##,
        top + 14.0,
    );
    for (place, text) in ticks {
        let x = x(*place);
        let _ = write!(
            svg,
            r##"<line x1="{x:.1}" y1="{first}" x2="{x:.1}" y2="{bottom}" stroke="#cccccc"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>
"##,
            bottom + 26.0
        );
    }
    for (bar, middle) in bars
        .iter()
        .zip((0..).map(|n| first + ROW * (f64::from(n) + 0.5)))
    {
        let baseline = middle + 6.0;
        let places = [bar.median, bar.lower_quartile, bar.upper_quartile];
        let [end, lower, upper] = places.map(x);
        let _ = write!(
            svg,
            r##"<text x="{MARGIN}" y="{baseline:.1}">{}</text>
<rect class="measured" x="{left:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="3" fill="#0072b2"/>
<path d="M{lower:.1} {middle:.1} H{upper:.1} M{lower:.1} {above:.1} V{below:.1} M{upper:.1} {above:.1} V{below:.1}" stroke="#111111" stroke-width="2"/>
<text x="{:.1}" y="{baseline:.1}">{}</text>
"##,
            escape(&bar.name),
            middle - ROW / 3.0,
            (end - left).max(2.0),
            ROW / 1.5,
            upper.max(end) + 8.0,
            bar.figures,
            above = middle - 5.0,
            below = middle + 5.0,
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Vec<Bar> {
        let bar = |name: &str, median| Bar {
            name: name.to_owned(),
            runs: 20,
            median,
            lower_quartile: median * 0.9,
            upper_quartile: median * 1.2,
        };
        vec![
            bar("call", 0.014),
            bar("thread", 30.0),
            bar("spawn", 1600.0),
        ]
    }

    #[test]
    fn equal_ratios_are_equal_steps() {
        assert_eq!(
            text(&bars(), 72),
            "
  Medians of 20 (and quartiles), on a logarithmic axis
  call     14.0 ns (12.6 to 16.8) ┃▉
  thread   30.0 µs (27.0 to 36.0) ┃████████████████████▉
  spawn     1.6 ms (1.4 to 1.9)   ┃███████████████████████████████▎
                                   ╵10 ns      ╵1 µs       ╵100 µs
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 60..100 {
            let text = text(&bars(), width);
            let widest = text.lines().map(display_width).max();
            assert!(widest <= Some(width), "{width}: {text}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_measured_has_a_bar_all_the_same() {
        let mut bars = bars();
        bars.truncate(1);
        (bars[0].median, bars[0].lower_quartile) = (0.0, 0.0);
        assert!(text(&bars, 80).contains("┃█"));
        let svg = svg(drawing(&bars).as_ref(), 0.0);
        assert!(
            svg.contains(">call</text>") && !svg.contains("NaN"),
            "{svg}"
        );
    }
}
