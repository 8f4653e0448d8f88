//! Cuts text into queries and commands.

use super::command::Command;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A line with a command.
    Command(&'a str),
    /// One query or several.
    Queries(&'a str),
}

/// Returns whether a text has commands.
pub fn has_commands(text: &str) -> bool {
    parts(text).iter().any(|part| matches!(part, Part::Command(_)))
}

/// Cuts a text into its parts. A line is a command if it looks like one and no query is open before it.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        let open = &text[start..at];
        if (open.trim().is_empty() || ends_a_query(open)) && is_command(line) {
            parts.extend((!open.trim().is_empty()).then(|| Part::Queries(open.trim())));
            parts.push(Part::Command(line.trim()));
            start = at + line.len();
        }
        at += line.len();
    }
    let rest = text[start..].trim();
    parts.extend((!rest.is_empty()).then_some(Part::Queries(rest)));
    parts
}

fn is_command(line: &str) -> bool {
    Command::parse(line).is_some()
}

/// Returns the command in the last line of a text whose query is still open, and the text before it.
pub fn interjected(text: &str) -> Option<(&str, &str)> {
    let (open, line) = text.trim_end().rsplit_once('\n')?;
    (!open.trim().is_empty() && !ends_a_query(open) && is_command(line) && !is_command(open))
        .then(|| (open, line.trim()))
}

/// Returns whether a text ends with `;` outside quotes and comments.
pub fn ends_a_query(text: &str) -> bool {
    let mut last = None;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let behind = &rest[letter.len_utf8()..];
        let skip_past = |end: &str| behind.find(end).map(|at| &behind[at + end.len()..]);
        rest = match letter {
            '\'' | '"' => match skip_past(letter.encode_utf8(&mut [0; 4])) {
                Some(rest) => rest,
                None => return false,
            },
            '-' if behind.starts_with('-') => skip_past("\n").unwrap_or_default(),
            '/' if behind.starts_with('*') => match skip_past("*/") {
                Some(rest) => rest,
                None => return false,
            },
            _ => {
                if !letter.is_whitespace() {
                    last = Some(letter);
                }
                behind
            }
        };
    }
    last == Some(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_ends_outside_of_quotes_and_comments() {
        for whole in ["SELECT 1;", "SELECT ';' ;", "SELECT 1; -- why\n", "SELECT \"a;b\"; /* ; */"] {
            assert!(ends_a_query(whole), "{whole}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT /* ;", "SELECT 'it''s ;'"] {
            assert!(!ends_a_query(open), "{open}");
        }
    }

    #[test]
    fn commands_are_lines_between_queries() {
        use Part::{Command, Queries};
        assert_eq!(
            parts(".mode csv\nSELECT 1;\nSELECT\n.5; \n.tables\nSELECT 2"),
            [Command(".mode csv"), Queries("SELECT 1;\nSELECT\n.5;"), Command(".tables"), Queries("SELECT 2")]
        );
        assert!(!has_commands("SELECT\n.5") && has_commands("\\d"));
        assert_eq!(interjected("SELECT 1\n.tables"), Some(("SELECT 1", ".tables")));
        assert_eq!(interjected("SELECT 1;\n.tables"), None);
        assert_eq!(interjected("SELECT 1\nFROM t"), None);
    }
}
