//! The sheet that a picture is drawn on: its measures, and text on it.

/// Its width, in pixels; the height follows.
pub(super) const WIDTH: f64 = 1280.0;
/// What is left free at the right.
pub(super) const RIGHT: f64 = 40.0;
/// And at the left, and between two columns.
pub(super) const MARGIN: f64 = 24.0;

/// About the width of a text.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 11.0
}

/// `text` as XML character data; control characters, which XML forbids, become
/// U+FFFD.
pub(super) fn escape(text: &str) -> String {
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
}
