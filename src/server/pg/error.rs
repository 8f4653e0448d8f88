//! Errors of queries, with the codes of PostgreSQL.

use crate::engine::{FaultKind, QueryError};
use crate::server::error::{Fault, code};

/// Converts an error. `text` is what the client sent, if the place of the error counts in it.
pub fn fault(error: &QueryError, text: Option<&str>) -> Fault {
    match error {
        QueryError::Wrong(wrong) => {
            let code = match wrong.kind {
                FaultKind::Syntax => code::SYNTAX,
                FaultKind::Column => code::UNKNOWN_COLUMN,
                FaultKind::Table => code::UNKNOWN_TABLE,
                FaultKind::Function => code::UNKNOWN_FUNCTION,
                FaultKind::Grouping => code::GROUPING,
                FaultKind::Parameter => code::UNKNOWN_PARAMETER,
                FaultKind::Unsupported => code::FEATURE_NOT_SUPPORTED,
                FaultKind::Division => code::DIVISION_BY_ZERO,
                FaultKind::Plan => code::SYNTAX_OR_ACCESS,
                FaultKind::Value => code::DATA_EXCEPTION,
            };
            let mut fault = Fault::new(code, &wrong.message);
            if let Some(hint) = &wrong.hint {
                fault = fault.hint(hint);
            }
            if let (Fault::Said(info), Some(text), Some(place)) = (&mut fault, text, wrong.place) {
                info.position = position(text, place).map(|position| position.to_string());
            }
            fault
        }
        QueryError::Refused(message) => with_hint(code::READ_ONLY, message),
        QueryError::TooLarge(message) => with_hint(code::OUT_OF_MEMORY, message),
        QueryError::Engine(_) | QueryError::Unfinished(_) => Fault::new(code::INTERNAL, error.to_string()),
    }
}

/// Returns an error whose message ends with what to do about it, after a colon.
fn with_hint(code: &str, message: &str) -> Fault {
    match message.rsplit_once(": ") {
        Some((message, hint)) => Fault::new(code, message).hint(hint),
        None => Fault::new(code, message),
    }
}

/// Returns the number of the character at a line and column, all from 1.
fn position(text: &str, (line, column): (usize, usize)) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(|line| line.chars().count()).sum();
    let position = before + column;
    (position <= text.chars().count() + 1).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "SELECT 'ä',\n  x";
        assert_eq!(position(text, (1, 1)), Some(1));
        assert_eq!(position(text, (2, 3)), Some(15));
        assert_eq!(position(text, (9, 9)), None);
    }
}
