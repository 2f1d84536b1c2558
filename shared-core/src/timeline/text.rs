//! The timeline in the terminal.

use super::{Lane, Span, Timeline, ticks};
use crate::report::lane_style;
use std::fmt::Write;

/// Draws `timeline` in `width` columns (at least 40 are used), with ANSI
/// colours if `colour`.
#[must_use]
pub fn draw(timeline: &Timeline, width: usize, colour: bool) -> String {
    let labels = timeline.lanes.iter().map(|lane| shorten(&lane.label));
    let labels: Vec<String> = labels.collect();
    let label_width = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let columns = width.max(40).saturating_sub(label_width + 5);
    let scale = Scale {
        length: timeline.length,
        columns,
    };

    let mut text = String::new();
    for (lane, label) in timeline.lanes.iter().zip(&labels) {
        let style = lane_style(colour, lane.tid);
        let row = row(lane, &scale);
        let _ = writeln!(text, "  {label:<label_width$} {style}┃{row}┃{style:#}");
    }
    let axis = axis(&scale);
    let _ = writeln!(text, "  {:label_width$}  {axis}", "");
    let _ = writeln!(text, "  {:label_width$}  {}", "", legend(timeline));
    text
}

const ALIVE: char = '━';
const BUSY: char = '█';
const CUT_OFF: char = '╳';
const ZOMBIE: char = '·';

struct Scale {
    length: f64,
    columns: usize,
}

impl Scale {
    /// The column of a time, always one that exists.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounds down on purpose; times are not negative"
    )]
    fn column(&self, time: f64) -> usize {
        let share = time / self.length.max(f64::MIN_POSITIVE);
        ((share * self.columns as f64) as usize).min(self.columns.saturating_sub(1))
    }
}

fn row(lane: &Lane, scale: &Scale) -> String {
    let mut cells = vec![' '; scale.columns];
    fill(&mut cells, &lane.life, scale, ALIVE);
    for span in &lane.spans {
        let range = fill(&mut cells, span, scale, BUSY);
        let name: Vec<char> = format!(" {} ", span.name).chars().collect();
        if name.len() + 2 <= range.len() {
            cells[range.start + 1..][..name.len()].copy_from_slice(&name);
        }
    }
    if lane.life.cut_off {
        cells[scale.column(lane.life.end)] = CUT_OFF;
    } else if let Some(reaped) = lane.reaped {
        let (ended, reaped) = (scale.column(lane.life.end), scale.column(reaped));
        cells[ended.min(reaped)..=reaped][1..].fill(ZOMBIE);
    }
    cells.into_iter().collect()
}

fn fill(cells: &mut [char], span: &Span, scale: &Scale, with: char) -> std::ops::Range<usize> {
    let range = scale.column(span.begin)..scale.column(span.end) + 1;
    cells[range.clone()].fill(with);
    range
}

fn axis(scale: &Scale) -> String {
    let mut line = String::new();
    let mut used = 0;
    for (time, text) in ticks(scale.length, (scale.columns / 14).try_into().unwrap_or(8)) {
        let column = scale.column(time);
        let text = format!("╵{text}");
        let length = text.chars().count();
        if column >= used && column + length <= scale.columns + 1 {
            let _ = write!(line, "{:1$}{text}", "", column - used);
            used = column + length;
        }
    }
    line
}

fn legend(timeline: &Timeline) -> String {
    let mut parts = vec![format!("{ALIVE} alive")];
    if timeline.lanes.iter().any(|lane| !lane.spans.is_empty()) {
        parts.push(format!("{BUSY} named activity"));
    }
    if timeline.lanes.iter().any(|lane| lane.life.cut_off) {
        parts.push(format!("{CUT_OFF} killed"));
    }
    let reaped = |lane: &Lane| lane.reaped.is_some() && !lane.life.cut_off;
    if timeline.lanes.iter().any(reaped) {
        parts.push(format!("{ZOMBIE} zombie"));
    }
    parts.join("   ")
}

/// A label that leaves room for the picture.
fn shorten(label: &str) -> String {
    const MOST: usize = 26;
    if label.chars().count() <= MOST {
        return label.to_owned();
    }
    let tail: String = label
        .chars()
        .skip(label.chars().count() - MOST + 1)
        .collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_lives_spans_and_what_was_cut_off() {
        let timeline = Timeline::new(&super::super::tests::killed_child());
        assert_eq!(
            draw(&timeline, 53, false),
            "  parent 1 ┃━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┃
  child 2  ┃    ━━━━█ work █████████████████╳       ┃
            ╵0.0 ms             ╵0.5 ms
            ━ alive   █ named activity   ╳ killed
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let timeline = Timeline::new(&super::super::tests::killed_child());
        for width in [60, 80, 200] {
            let text = draw(&timeline, width, false);
            let wide = text.lines().find(|line| line.chars().count() > width);
            assert_eq!(wide, None);
        }
    }
}
