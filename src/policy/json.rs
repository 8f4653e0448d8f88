//! Parses the JSON of exports, in bounded memory.

use serde_json::Value;

use super::error::Reason;

/// Maximum number of values of a file. Each takes at most about 200 bytes in memory.
const MOST_VALUES: usize = 3_000_000;

const EMPTY: Reason = Reason::Form("the file is empty: export it again");
const NO_JSON: Reason =
    Reason::Form("this is not JSON: az writes it with --output json, PowerShell with ConvertTo-Json -Depth 10");
const CROWDED: Reason = Reason::Form("the JSON holds more than 3 million values: export less at a time");

/// Parses a file with one document.
pub(crate) fn document(text: &str) -> Result<Value, Reason> {
    let begins_json = |text: &str| text.trim_start().starts_with(['{', '[']);
    if text.trim().is_empty() {
        return Err(EMPTY);
    }
    if !begins_json(text) {
        return Err(match text.lines().position(begins_json) {
            Some(before) => Reason::TextBefore(before + 1),
            None => NO_JSON,
        });
    }
    if most_values(text) > MOST_VALUES {
        return Err(CROWDED);
    }
    serde_json::from_str(text).map_err(|error| Reason::Damaged {
        what: if error.is_eof() { "the JSON ends too early" } else { "the JSON is damaged" },
        line: error.line(),
        column: error.column(),
    })
}

/// Parses a file with one document, or with one per line. Returns a list of the lines, and the number of lines that
/// cannot be read.
pub(crate) fn document_or_lines(text: &str) -> Result<(Value, usize), Reason> {
    let error = match document(text) {
        Ok(value) => return Ok((value, 0)),
        Err(error) => error,
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_object = |line: &str| serde_json::from_str(line).is_ok_and(|value: Value| value.is_object());
    // A document over several lines never begins with a whole object.
    if !matches!(error, Reason::Damaged { .. }) || !lines.next().is_some_and(is_object) || lines.next().is_none() {
        return Err(error);
    }
    let (mut values, mut damaged) = (Vec::new(), 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(_) => damaged += 1,
        }
    }
    Ok((Value::Array(values), damaged))
}

/// Returns an upper limit of the number of values: each follows a comma or the beginning of a list or an object.
fn most_values(text: &str) -> usize {
    let (mut values, mut is_text, mut is_escaped) = (1, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_only_after_a_whole_object() {
        let read = |text: &str| document_or_lines(text).map(|(value, damaged)| (value.to_string(), damaged)).ok();
        assert_eq!(read("{\"a\":1}\n\n{\"a\":2}\n{\"a\":"), Some(("[{\"a\":1},{\"a\":2}]".to_owned(), 1)));
        assert_eq!(read("[{\"a\":1}]"), Some(("[{\"a\":1}]".to_owned(), 0)));
        for cut in ["[\n{\"a\":1},\n{\"a\":2}\n", "{\n\"value\": [\n{}\n", "{\"a\":1", "{\"a\":1} {", ""] {
            assert_eq!(read(cut), None, "{cut}");
        }
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(most_values(r#"{"a,[": "\",{", "b": [1, 2]}"#), 5);
        let crowded = format!("[{}0]", "0,".repeat(MOST_VALUES));
        assert!(document(&crowded).is_err_and(|error| error.to_string().contains("3 million values")));
    }
}
