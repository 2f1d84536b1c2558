//! The timeline in the terminal.

use super::{Lane, LaneEnd, Span, Timeline, ticks};
use crate::pad;
use crate::report::{End, lane_style};
use std::fmt::Write;
use std::iter;
use textwrap::core::display_width;

/// Draws `timeline` in `width` columns (at least 40 are used), with ANSI
/// colours if `colour`.
#[must_use]
pub fn draw(timeline: &Timeline, width: usize, colour: bool) -> String {
    let lanes = &timeline.lanes[..timeline.lanes.len().min(MOST_LANES)];
    let labels: Vec<String> = lanes.iter().map(|lane| shorten(&lane.label)).collect();
    let label_width = labels.iter().map(|label| display_width(label)).max();
    let label_width = label_width.unwrap_or(0);
    let columns = width.max(40).saturating_sub(label_width + 5);
    let scale = Scale {
        length: timeline.length,
        columns,
    };

    let mut text = String::new();
    for (lane, label) in lanes.iter().zip(&labels) {
        let style = lane_style(colour, lane.tid);
        let (label, row) = (pad(label, label_width), row(lane, &scale));
        let _ = writeln!(text, "  {label} {style}┃{row}┃{style:#}");
    }
    let more = timeline.lanes.len() - lanes.len();
    if more > 0 {
        let _ = writeln!(text, "  … and {more} more: --svg FILE draws them all");
    }
    let axis = axis(&scale);
    let _ = writeln!(text, "  {:label_width$}  {axis}", "");
    for line in legend(timeline, width.max(40) - 2) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// More of them are no picture any more.
const MOST_LANES: usize = 40;
/// Behind a character that is two columns wide.
const TAKEN: char = '\0';

const ALIVE: char = '━';
const BUSY: char = '█';
const WAITING: char = '░';
const KILLED: char = '╳';
const EXITED: char = '┤';
const STILL_THERE: char = '▶';
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
        let sign = if span.waits { WAITING } else { BUSY };
        let range = fill(&mut cells, span, scale, sign);
        let name: Vec<char> = format!(" {} ", span.name)
            .chars()
            .flat_map(cells_of)
            .collect();
        if name.len() + 2 <= range.len() {
            cells[range.start + 1..][..name.len()].copy_from_slice(&name);
        }
    }
    let ended = scale.column(lane.life.end);
    match (&lane.end, lane.reaped) {
        (LaneEnd::Said, Some(reaped)) => {
            let reaped = scale.column(reaped);
            cells[ended.min(reaped)..=reaped][1..].fill(ZOMBIE);
        }
        (LaneEnd::Said, None) => {}
        (LaneEnd::Told(End::Exited(_)), _) => cells[ended] = EXITED,
        (LaneEnd::Told(End::Killed(signal)), _) => {
            cells[ended] = KILLED;
            let name: Vec<char> = format!(" {signal} ").chars().collect();
            let room_before = ended - scale.column(lane.life.begin);
            if name.len() + 2 <= room_before {
                cells[ended - name.len()..ended].copy_from_slice(&name);
            } else if let Some(behind) = cells.get_mut(ended + 1..ended + 1 + name.len()) {
                behind.copy_from_slice(&name);
            }
        }
        (LaneEnd::StillThere, _) => cells[ended] = STILL_THERE,
    }
    cells.into_iter().filter(|cell| *cell != TAKEN).collect()
}

fn cells_of(character: char) -> impl Iterator<Item = char> {
    let more = display_width(character.encode_utf8(&mut [0; 4])).saturating_sub(1);
    iter::once(character).chain(iter::repeat_n(TAKEN, more))
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

/// What the signs mean, those that occur; in lines of `columns`, if that is enough
/// for the longest of them.
fn legend(timeline: &Timeline, columns: usize) -> Vec<String> {
    let mut parts = vec![format!("{ALIVE} alive")];
    let spans = || timeline.lanes.iter().flat_map(|lane| &lane.spans);
    if spans().any(|span| !span.waits) {
        parts.push(format!("{BUSY} busy"));
    }
    if spans().any(|span| span.waits) {
        parts.push(format!("{WAITING} waiting"));
    }
    let any = |has: fn(&LaneEnd) -> bool| timeline.lanes.iter().any(|lane| has(&lane.end));
    if any(|end| end.signal().is_some()) {
        parts.push(format!(
            "{KILLED} killed by {}",
            timeline.signals().join(", ")
        ));
    }
    if any(|end| matches!(end, LaneEnd::Told(End::Exited(_)))) {
        parts.push(format!("{EXITED} exited"));
    }
    if any(|end| *end == LaneEnd::StillThere) {
        parts.push(format!("{STILL_THERE} still there"));
    }
    if timeline.lanes.iter().any(Lane::was_a_zombie) {
        parts.push(format!("{ZOMBIE} zombie"));
    }
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let wide = |line: &String| (line.clone() + "   " + &part).chars().count() > columns;
        match lines.last_mut().filter(|line| !wide(line)) {
            Some(line) => *line += &format!("   {part}"),
            None => lines.push(part),
        }
    }
    lines
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
  child 2  ┃    ━━━━█ work ████████ SIGTERM ╳       ┃
            ╵0.0 ms             ╵0.5 ms
  ━ alive   █ busy   ╳ killed by SIGTERM
"
        );
    }

    #[test]
    fn tells_the_ends_apart() {
        let timeline = Timeline::new(&super::super::tests::four_ends());
        assert_eq!(
            draw(&timeline, 57, false),
            "  parent 1/1   ┃━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┃
  child 2      ┃    ━━━━━━━━━━━━━━━━━····               ┃
  child 3      ┃    ━━━━━━━━━━━━━━━━━━━━━━━━┤           ┃
  child 4      ┃    ━━━━━━━━━━━━━━━━━━━ SIGTERM ╳       ┃
  child 5      ┃    ━━━━━━━━━━━━━━━━━━━━━━━ SIGKILL ╳   ┃
  detached 1/6 ┃        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▶┃
                ╵0.0 ms             ╵0.5 ms
  ━ alive   ╳ killed by SIGKILL, SIGTERM   ┤ exited
  ▶ still there   · zombie
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
