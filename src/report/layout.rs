//! Lines of text reports: wrapping, labels, numbers, and located problems.

use std::collections::HashMap;
use std::io::{self, Write};

use super::sink::visible;
pub use crate::findings::number;
use crate::findings::{Problem, counted};
use crate::remedy::Remedy;

/// Width of text that no terminal asked for.
pub const WIDTH: usize = 80;

/// Wraps text at word boundaries and writes it, at most [`WIDTH`] wide.
pub fn wrapped(out: &mut dyn Write, first: &str, rest: &str, text: &str) -> io::Result<()> {
    broken(first, rest, text, WIDTH).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Breaks text between words into lines that begin with `first` and `rest`. A word longer than a line gets a line of
/// its own. Returns at least one line.
pub fn broken(first: &str, rest: &str, text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), first.to_owned());
    let mut is_empty = true;
    for word in text.split_whitespace().map(visible) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// Joins the first `most` texts by `separator`, and counts the rest.
pub fn joined(texts: &[String], separator: &str, most: usize) -> String {
    match texts.split_at_checked(most) {
        Some((first, rest @ [_, ..])) => format!("{}{separator}and {} more", first.join(separator), rest.len()),
        _ => texts.join(separator),
    }
}

/// Prints the first problems with their places. Problems of one blob with the same reason share a line.
pub fn problems(count: u64, problems: &[Problem], out: &mut dyn Write) -> io::Result<()> {
    const SHOWN: usize = 5;
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "\nProblems in the input: {count}")?;
    let mut shown = 0;
    for (first, alike) in alike(problems).into_iter().take(SHOWN) {
        let more = match alike {
            1 => String::new(),
            _ => format!(" and {} more", counted(alike as i64 - 1, "place")),
        };
        let place = format!("{} byte {}, record {}{more}: {}", first.blob, first.offset, first.record, first.reason);
        wrapped(out, "  ", "    ", &place)?;
        shown += alike;
    }
    if count > shown {
        writeln!(out, "  and {} more; {} json lists up to 1000.", count - shown, Remedy::Format)?;
    }
    Ok(())
}

/// Returns the first problem per blob and reason, with their number, in the order of the first ones.
fn alike(problems: &[Problem]) -> Vec<(&Problem, u64)> {
    let mut places = HashMap::new();
    let mut all: Vec<(&Problem, u64)> = Vec::new();
    for problem in problems {
        let place = *places.entry((&problem.blob, &problem.reason)).or_insert(all.len());
        match all.get_mut(place) {
            Some((_, alike)) => *alike += 1,
            None => all.push((problem, 1)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_only() {
        assert_eq!(broken("- ", "  ", "a bc def", 6), ["- a bc", "  def"]);
        assert_eq!(broken("", "", "abcdefgh i", 4), ["abcdefgh", "i"]);
        assert_eq!(broken("x", "", "", 4), ["x"]);
    }
}
