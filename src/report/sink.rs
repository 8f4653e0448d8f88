//! Rules shared by all output: which characters are printed, which cells are escaped for spreadsheets, how columns are
//! padded, and how messages reach stderr.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

pub use crate::remedy::shell_word;

/// Replaces control, invisible and text-direction characters by U+FFFD. Used for terminals, messages, text, tables,
/// Markdown, CSV and TSV; JSON and binary formats keep what was logged.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|letter| if is_hidden(letter) { '\u{fffd}' } else { letter }).collect())
}

/// Applies [`visible`] to each line of a text that has line breaks of our own.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Returns whether a character is a control character (C0 or C1), a Unicode line separator, a direction mark or has no
/// width.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether cells that a spreadsheet would run as formulas are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formulas {
    /// An apostrophe is put before the cell.
    #[default]
    Guarded,
    /// The cell stays as logged.
    AsLogged,
}

impl Formulas {
    /// Returns the prefix of a cell: an apostrophe or nothing.
    pub fn guard(self, cell: &str) -> &'static str {
        let begins = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
        match self {
            Self::Guarded if cell.starts_with(begins) => "'",
            _ => "",
        }
    }

    /// Returns a text cell for CSV: [`visible`] and guarded.
    pub fn cell(self, text: &str) -> Cow<'_, str> {
        match self.guard(text) {
            "" => visible(text),
            guard => Cow::Owned(format!("{guard}{}", visible(text))),
        }
    }
}

/// Maximum width to which a text column is padded. Longer cells stick out.
pub const WIDEST: usize = 1000;

/// Pads a cell with blanks on the right. `format!` would panic at widths over 65,535.
pub fn padded(cell: &str, width: usize) -> String {
    format!("{cell}{}", blanks(cell, width))
}

/// Pads a cell with blanks on the left.
pub fn padded_left(cell: &str, width: usize) -> String {
    format!("{}{cell}", blanks(cell, width))
}

fn blanks(cell: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(cell.chars().count()))
}

/// Shortens a cell in the middle if it is longer than `width`, because resource names differ at their ends.
pub fn shortened(cell: &str, width: usize) -> Cow<'_, str> {
    let length = cell.chars().count();
    if length <= width {
        return Cow::Borrowed(cell);
    }
    let head = width / 4;
    let tail = width.saturating_sub(1 + head);
    Cow::Owned(cell.chars().take(head).chain(['…']).chain(cell.chars().skip(length - tail)).collect())
}

/// Writes a message to stderr. Its line breaks must be our own: use [`one_line`] for messages with foreign text.
pub fn say(message: impl Display) {
    let text = visible_lines(&message.to_string()) + "\n";
    // A failing stderr must not change the result or the exit status.
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

/// Puts a message on one line. Keeps the two lines at its end that show a line of a query and a caret below it.
pub fn one_line(message: &str) -> String {
    let text = message.trim_end();
    let mark = text.rfind('\n').filter(|at| text[at + 1..].trim() == "^");
    let place = mark.and_then(|at| text[..at].rfind('\n')).unwrap_or(text.len());
    let (words, place) = text.split_at(place);
    let words: Vec<&str> = words.split(['\n', '\r', '\t']).map(str::trim).filter(|part| !part.is_empty()).collect();
    format!("{}{}", visible(&words.join(" ")), visible_lines(place))
}

/// Formats a byte count such as `12.3 MB`.
pub fn byte_count(bytes: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let count = bytes as f64;
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count / size),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_stays() {
        for hidden in "\u{0}\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert_eq!(visible(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        assert_eq!(visible("Straße – 東京 …"), "Straße – 東京 …");
        assert_eq!(visible_lines("a\u{1b}\nb"), "a\u{fffd}\nb");
    }

    #[test]
    fn text_that_begins_a_formula_is_guarded() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "\u{ff1d}1"] {
            assert!(Formulas::Guarded.cell(text).starts_with('\''), "{text:?}");
            assert!(!Formulas::AsLogged.cell(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(Formulas::Guarded.cell("a=1"), "a=1");
    }

    #[test]
    fn cells_of_any_width_are_padded_and_shortened() {
        assert_eq!((padded("é", 3), padded_left("é", 3)), ("é  ".to_owned(), "  é".to_owned()));
        assert_eq!(padded("a", 70_000).len(), 70_000);
        assert_eq!(padded_left(&"a".repeat(70_000), 3).len(), 70_000);
        assert_eq!(shortened(&"é".repeat(70_000), 5).chars().count(), 5);
    }

    #[test]
    fn a_message_has_one_line_and_the_place_in_a_query() {
        assert_eq!(one_line("no 'a\nb\u{1b}'\n"), "no 'a b\u{fffd}'");
        assert_eq!(one_line("no\ncolumn x\n  SELECT x\n         ^"), "no column x\n  SELECT x\n         ^");
    }
}
