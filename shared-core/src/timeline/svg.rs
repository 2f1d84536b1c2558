//! The timeline as a picture.

use super::{Lane, Span, Timeline, ticks};
use std::fmt::Write;

const WIDTH: f64 = 1280.0;
const RIGHT: f64 = 40.0;
const MARGIN: f64 = 24.0;
/// About the width of a letter.
const LETTER: f64 = 10.5;
const TOP: f64 = 96.0;
const ROW: f64 = 40.0;
/// Dark enough for white letters on them, apart in hue and in lightness
/// (after Okabe and Ito's palette for readers who confuse colours).
const COLOURS: [&str; 6] = [
    "#0072b2", "#b34700", "#00785a", "#8f3a84", "#5b5b5b", "#7a5c00",
];

/// Draws `timeline` as a self-contained SVG under `title`, with `subtitle`
/// below it: lane names, time axis, spans with labels, and tooltips.
#[must_use]
pub fn draw(timeline: &Timeline, title: &str, subtitle: &str) -> String {
    let longest = timeline
        .lanes
        .iter()
        .map(|lane| lane.label.chars().count())
        .max();
    let left = (longest.unwrap_or(0) as f64 * LETTER + 2.0 * MARGIN).min(WIDTH / 3.0);
    let x =
        |time: f64| left + (WIDTH - left - RIGHT) * time / timeline.length.max(f64::MIN_POSITIVE);
    let bottom = TOP + ROW * timeline.lanes.len() as f64;
    let height = bottom + 50.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="18">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{MARGIN}" y="36" font-size="24" font-weight="bold">{}</text>
<text x="{MARGIN}" y="66" fill="#444444">{}</text>
"##,
        escape(title),
        escape(subtitle)
    );
    for (time, text) in ticks(timeline.length, 8) {
        let x = x(time);
        let _ = writeln!(
            svg,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#cccccc"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"##,
            bottom + 26.0
        );
    }
    for (index, lane) in timeline.lanes.iter().enumerate() {
        let top = TOP + ROW * index as f64;
        draw_lane(&mut svg, lane, top, COLOURS[index % COLOURS.len()], &x);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_lane(svg: &mut String, lane: &Lane, top: f64, colour: &str, x: &dyn Fn(f64) -> f64) {
    let middle = top + ROW / 2.0;
    let _ = writeln!(
        svg,
        r#"<text x="{MARGIN}" y="{:.1}" fill="{colour}" textLength="{:.0}" lengthAdjust="spacingAndGlyphs">{}</text>"#,
        middle + 6.0,
        (lane.label.chars().count() as f64 * LETTER).min(WIDTH / 3.0 - 2.0 * MARGIN),
        escape(&lane.label)
    );
    let bar = |svg: &mut String, span: &Span, height: f64, opacity: f64| {
        let (left, right) = (x(span.begin), x(span.end));
        let width = (right - left).max(2.0);
        let dashes = if span.cut_off {
            r##" stroke="#cc0000" stroke-width="2" stroke-dasharray="5 3""##
        } else {
            ""
        };
        let _ = write!(
            svg,
            r#"<g><title>{}</title><rect x="{left:.1}" y="{:.1}" width="{width:.1}" height="{height}" rx="3" fill="{colour}" fill-opacity="{opacity}"{dashes}/>"#,
            escape(&tooltip(span)),
            middle - height / 2.0,
        );
        width
    };
    bar(svg, &lane.life, 10.0, 0.35);
    svg.push_str("</g>\n");
    for span in &lane.spans {
        let height = (ROW - 10.0 - 6.0 * span.depth as f64).max(8.0);
        let width = bar(svg, span, height, 1.0);
        if span.name.chars().count() as f64 * 11.5 + 12.0 <= width {
            let _ = write!(
                svg,
                r##"<text x="{:.1}" y="{:.1}" fill="#ffffff">{}</text>"##,
                x(span.begin) + 8.0,
                middle + 6.0,
                escape(&span.name)
            );
        }
        svg.push_str("</g>\n");
    }
    for (time, text) in &lane.reports {
        let _ = writeln!(
            svg,
            r##"<circle cx="{:.1}" cy="{middle}" r="5" fill="#ffffff" stroke="#111111" stroke-width="1.5"><title>{:.3} ms: {}</title></circle>"##,
            x(*time),
            time / 1e3,
            escape(text)
        );
    }
    if lane.life.cut_off {
        let _ = writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="26" font-weight="bold" fill="#cc0000">×</text>"##,
            x(lane.life.end),
            middle + 9.0
        );
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

/// `text` as XML character data; control characters, which XML forbids, become
/// U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_picture() {
        assert_eq!(escape("a<b>&\"\u{1b}"), "a&lt;b&gt;&amp;&quot;\u{fffd}");
    }

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
