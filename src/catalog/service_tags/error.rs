use std::io;

use crate::net::PrefixError;

/// Reason why a service-tag file cannot be used, as one sentence without the path.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTagsError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is something else, or a list without addresses.
    #[error("{0}")]
    Form(&'static str),
    #[error(
        "the JSON begins at line {line}, after other text: delete that text, or write the file again \
         without warnings (az: --only-show-errors)"
    )]
    TextBefore { line: usize },
    /// The JSON is invalid at this place.
    #[error("{what} at line {line}, column {column}: download the file again")]
    Damaged { what: &'static str, line: usize, column: usize },
    #[error("'{name}' has no addressPrefixes, so this is not a ServiceTags_*.json")]
    NoPrefixes { name: String },
    #[error(
        "PowerShell cut the list short when it wrote '{name}' as text: write it again with ConvertTo-Json -Depth 10"
    )]
    Depth { name: String },
    #[error("service tag '{tag}': {source}")]
    Prefix { tag: String, source: PrefixError },
}

/// Returns text of the file for a message: its first characters, without control characters.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(MOST).map(printable).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
