//! The timeline in the terminal.

use super::{Lane, LaneEnd, Span, Timeline, bars, ticks};
use crate::report::End;
use crate::{lane_style, pad};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::iter;
use std::ops::Range;
use textwrap::core::display_width;

/// Draws `timeline` in `width` columns (at least 40 are used), with ANSI
/// colours if `colour`.
#[must_use]
pub fn draw(timeline: &Timeline, width: usize, colour: bool) -> String {
    let rows = fold(&timeline.lanes);
    let lanes = &rows[..rows.len().min(MOST_LANES)];
    let labels: Vec<String> = lanes.iter().map(|lanes| label(lanes)).collect();
    let cpus = timeline.cpus();
    let cpus: Vec<_> = cpus
        .iter()
        .map(|(number, slices)| (format!("CPU {number}"), slices))
        .collect();
    let all_labels = labels.iter().chain(cpus.iter().map(|(label, _)| label));
    let label_width = all_labels.map(|label| display_width(label)).max();
    let label_width = label_width.unwrap_or(0);
    let columns = width.max(40).saturating_sub(label_width + 5);
    let scale = Scale {
        length: timeline.length,
        columns,
    };

    let mut text = String::new();
    for (lanes, label) in lanes.iter().zip(&labels) {
        let style = if colour {
            lane_style(lanes[0].number)
        } else {
            anstyle::Style::new()
        };
        let row = match lanes.as_slice() {
            [lane] => row(lane, &scale),
            lanes => folded_row(lanes, &scale),
        };
        let label = pad(label, label_width);
        let _ = writeln!(text, "  {label} {style}┃{row}┃{style:#}");
    }
    let more = rows.iter().skip(lanes.len()).map(Vec::len).sum::<usize>();
    if more > 0 {
        let _ = writeln!(text, "  … and {more} more: --svg FILE draws them all");
    }
    for (label, slices) in &cpus {
        let row = cpu_row(slices, &scale, colour);
        let _ = writeln!(text, "  {} ┃{row}┃", pad(label, label_width));
    }
    let axis = axis(&scale);
    let _ = writeln!(text, "  {:label_width$}  {axis}", "");
    for line in legend(timeline, width.max(40) - 2) {
        let _ = writeln!(text, "  {line}");
    }
    text + &bars::text(&timeline.bars, width.max(40))
}

/// With more of them there is no picture left to see.
const MOST_LANES: usize = 40;
/// Behind a character that is two columns wide.
const TAKEN: char = '\0';

const ALIVE: char = '━';
const BUSY: char = '█';
const WAITING: char = '░';
const KILLED: &str = "╳";
const EXITED: &str = "┤";
const STILL_THERE: &str = "▶";
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

/// A lane, column by column.
struct Row {
    cells: Vec<char>,
    /// Where letters stand, or the sign of an end.
    taken: Vec<bool>,
}

/// The lanes by rows: one each, but where they are too many, those processes share one
/// that have lived shortest, were made by the same one, have the same name and made
/// nothing themselves.
fn fold(lanes: &[Lane]) -> Vec<Vec<&Lane>> {
    let made_by = |lane: &Lane| lane.marks.first().map(|(_, by)| *by);
    let makers: HashSet<u64> = lanes.iter().filter_map(made_by).collect();
    let processes: HashMap<u64, u32> = lanes.iter().map(|lane| (lane.tid, lane.process)).collect();
    let family = |lane: &Lane| {
        let maker = *processes.get(&made_by(lane)?)?;
        (!makers.contains(&lane.tid)).then(|| (maker, lane.life.name.clone()))
    };
    let mut by_life: Vec<(usize, &Lane)> = lanes.iter().enumerate().collect();
    by_life.sort_by(|(_, a), (_, b)| a.lived().total_cmp(&b.lived()));

    let mut rows = lanes.len();
    let mut folded: HashMap<(u32, String), Vec<usize>> = HashMap::new();
    for (place, lane) in by_life {
        if rows <= MOST_LANES {
            break;
        }
        if let Some(family) = family(lane) {
            let members = folded.entry(family).or_default();
            rows -= usize::from(!members.is_empty());
            members.push(place);
        }
    }
    let mut rows: Vec<Vec<&Lane>> = lanes.iter().map(|lane| vec![lane]).collect();
    for mut members in folded.into_values() {
        members.sort_unstable();
        let together = members.iter().map(|place| &lanes[*place]).collect();
        for place in &members {
            rows[*place].clear();
        }
        rows[members[0]] = together;
    }
    rows.retain(|row| !row.is_empty());
    rows
}

fn label(lanes: &[&Lane]) -> String {
    match lanes {
        [lane] => shorten(&lane.label),
        lanes => shorten(&format!("{} × {}", lanes.len(), lanes[0].life.name)),
    }
}

/// The lives of several, and nothing of what they did.
fn folded_row(lanes: &[&Lane], scale: &Scale) -> String {
    let mut row = Row::blank(scale);
    for lane in lanes {
        row.fill(columns(&lane.life, scale), ALIVE);
    }
    row.cells.into_iter().collect()
}

fn row(lane: &Lane, scale: &Scale) -> String {
    let mut row = Row::blank(scale);
    row.fill(columns(&lane.life, scale), ALIVE);
    for span in &lane.spans {
        let sign = if span.waits { WAITING } else { BUSY };
        row.fill(columns(span, scale), sign);
    }
    for (cell, share) in row.cells.iter_mut().zip(shares(&lane.slices, scale)) {
        if let Some(sign) = sign_of(share) {
            *cell = sign;
        }
    }
    row.end(lane, scale);
    for (time, label) in &lane.moments {
        let label = format!(" {label} ");
        let (at, width) = (scale.column(*time), display_width(&label));
        // The column itself stays, as a life may be no longer, and what was before
        // that life too.
        let begin = scale.column(lane.life.begin);
        let before = at.checked_sub(width).filter(|place| *place > begin);
        let free = |place: &usize| row.is_free(*place..*place + width);
        if let Some(place) = iter::once(at + 1).chain(before).find(free) {
            row.write(place, &label);
        }
    }
    for span in &lane.spans {
        let (name, range) = (format!(" {} ", span.name), columns(span, scale));
        let width = display_width(&name);
        // A column of the span's own sign stands before it and after it.
        let last = range.end.saturating_sub(width + 1);
        let fits = |place: &usize| row.is_free(*place..*place + width);
        if let Some(place) = (range.start + 1..=last).find(fits) {
            row.write(place, &name);
        }
    }
    row.cells
        .into_iter()
        .filter(|cell| *cell != TAKEN)
        .collect()
}

/// Which part of the time of each column `slices` take, from 0 to 1.
fn shares<'a>(slices: impl IntoIterator<Item = &'a Span>, scale: &Scale) -> Vec<f64> {
    let width = (scale.length / scale.columns as f64).max(f64::MIN_POSITIVE);
    let mut shares = vec![0.0; scale.columns];
    for slice in slices {
        for column in columns(slice, scale) {
            let begin = slice.begin.max(column as f64 * width);
            let end = slice.end.min((column + 1) as f64 * width);
            shares[column] += (end - begin).max(0.0) / width;
        }
    }
    shares
}

/// The higher, the larger the share.
fn sign_of(share: f64) -> Option<char> {
    let height = EIGHTHS.len() as f64 * share;
    let eighths = (1..=EIGHTHS.len()).rev();
    let reached = eighths.map(|n| (n, n as f64 - 0.5));
    let mut reached = reached.filter(|(_, least)| height >= *least);
    reached.next().map(|(n, _)| EIGHTHS[n - 1])
}

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', BUSY];

/// Who was on a CPU for most of each column: a letter of its name, in its colour.
fn cpu_row(slices: &[(&Lane, &Span)], scale: &Scale, colour: bool) -> String {
    let mut most: Vec<(f64, Option<&Lane>)> = vec![(0.0, None); scale.columns];
    let mut lanes: Vec<&Lane> = slices.iter().map(|(lane, _)| *lane).collect();
    lanes.sort_by_key(|lane| lane.number);
    lanes.dedup_by_key(|lane| lane.number);
    for lane in lanes {
        let of = slices.iter().filter(|(by, _)| by.number == lane.number);
        let shares = shares(of.map(|(_, slice)| *slice), scale);
        for (column, share) in most.iter_mut().zip(shares) {
            if share > column.0 && sign_of(share).is_some() {
                *column = (share, Some(lane));
            }
        }
    }
    let cells = most.into_iter().map(|(_, lane)| {
        let Some(lane) = lane else {
            return " ".to_owned();
        };
        let letter = lane.letter();
        let letter = letter.filter(char::is_ascii).unwrap_or(BUSY);
        let style = if colour {
            lane_style(lane.number)
        } else {
            anstyle::Style::new()
        };
        format!("{style}{letter}{style:#}")
    });
    cells.collect()
}

impl Row {
    fn blank(scale: &Scale) -> Self {
        Self {
            cells: vec![' '; scale.columns],
            taken: vec![false; scale.columns],
        }
    }

    fn fill(&mut self, columns: Range<usize>, with: char) {
        self.cells[columns].fill(with);
    }

    /// Whether the columns exist, and no letter stands there.
    fn is_free(&self, columns: Range<usize>) -> bool {
        let taken = self.taken.get(columns);
        taken.is_some_and(|taken| taken.iter().all(|taken| !taken))
    }

    fn write(&mut self, column: usize, text: &str) {
        for (index, cell) in text.chars().flat_map(cells_of).enumerate() {
            self.cells[column + index] = cell;
            self.taken[column + index] = true;
        }
    }

    fn end(&mut self, lane: &Lane, scale: &Scale) {
        let ended = scale.column(lane.life.end);
        if let Some(reaped) = lane.reaped.filter(|_| lane.was_a_zombie()) {
            let reaped = scale.column(reaped);
            self.fill(ended.min(reaped) + 1..reaped + 1, ZOMBIE);
        }
        match &lane.end {
            LaneEnd::Said => {}
            LaneEnd::Told(End::Exited(_)) => self.write(ended, EXITED),
            LaneEnd::Told(End::Killed(signal)) => {
                self.write(ended, KILLED);
                let name = format!(" {signal} ");
                let room_before = ended - scale.column(lane.life.begin);
                if name.len() + 2 <= room_before {
                    self.write(ended - name.len(), &name);
                } else if self.is_free(ended + 1..ended + 1 + name.len()) {
                    self.write(ended + 1, &name);
                }
            }
            LaneEnd::StillThere => self.write(ended, STILL_THERE),
        }
    }
}

fn columns(span: &Span, scale: &Scale) -> Range<usize> {
    scale.column(span.begin)..scale.column(span.end) + 1
}

fn cells_of(character: char) -> impl Iterator<Item = char> {
    let more = display_width(character.encode_utf8(&mut [0; 4])).saturating_sub(1);
    iter::once(character).chain(iter::repeat_n(TAKEN, more))
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
    if timeline.lanes.iter().any(|lane| !lane.slices.is_empty()) {
        parts.push(format!("▄{BUSY} on a CPU half, all of the time"));
    }
    if !timeline.cpus().is_empty() {
        parts.push("digit, letter: who was there".to_owned());
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
    parts.extend(timeline.exactness());
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
    use crate::report::Phase;

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
  child 3      ┃    ━━━━━━━━━━━━━━━━━━━━━━━━┤ exit 3    ┃
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
    fn labels_of_moments_give_way_to_no_other_text_and_names_to_them() {
        let mut events = super::super::tests::killed_child();
        for (label, time) in [("→ 0", 100.0), ("→ 1", 110.0), ("here", 990.0)] {
            let pid = if time > 900.0 { 1 } else { 2 };
            let moment = super::super::tests::event(Phase::Instant, "moment", label, time, pid);
            events.insert(events.len() - 1, moment);
        }
        let text = draw(&Timeline::new(&events), 53, false);
        let lanes: Vec<&str> = text.lines().take(2).collect();
        assert_eq!(
            lanes,
            [
                "  parent 1 ┃━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ here ━┃",
                "  child 2  ┃    ━ → 0  work ███████ SIGTERM ╳       ┃",
            ]
        );
    }

    #[test]
    fn draws_who_was_on_which_cpu() {
        let timeline = Timeline::new(&super::super::tests::two_on_a_cpu());
        assert_eq!(
            draw(&timeline, 53, false),
            "  main 1/1    ┃━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┃
  task 1 1/11 ┃ ━━▂███████▁━━━━━━▄██████▇━━━━━━━━━━ ┃
  task 2 1/12 ┃ ━━━━━━━━━━▇██████▁━━━▆██████████▂━━ ┃
  CPU 0       ┃   11111111222222211111111           ┃
  CPU 1       ┃                      222222222222   ┃
               ╵0.0 ms           ╵0.5 ms
  ━ alive   ▄█ on a CPU half, all of the time
  digit, letter: who was there
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
