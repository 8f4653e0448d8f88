use std::io;

use crate::net::PrefixError;

/// Reason why a service-tag file cannot be used, as one sentence without the path.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTagsError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is something else, or a list without addresses.
    #[error("{0}")]
    Form(&'static str),
    /// Other text precedes the JSON.
    #[error(
        "the JSON begins at line {line}, after other text: delete that text, or write the file again \
         without warnings (az: --only-show-errors)"
    )]
    TextBefore {
        /// Line at which the JSON begins, from 1.
        line: usize,
    },
    /// The JSON is invalid at this place.
    #[error("{what} at line {line}, column {column}: download the file again")]
    Damaged {
        /// Description of the fault.
        what: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An entry has no prefixes.
    #[error("'{name}' has no addressPrefixes, so this is not a ServiceTags_*.json")]
    NoPrefixes {
        /// Name of the entry.
        name: String,
    },
    /// PowerShell truncated the JSON because of its depth limit.
    #[error(
        "PowerShell cut the list short when it wrote '{name}' as text: write it again with ConvertTo-Json -Depth 10"
    )]
    Depth {
        /// Name of the truncated value.
        name: String,
    },
    /// A prefix is invalid.
    #[error("service tag '{tag}': {source}")]
    Prefix {
        /// Name of the tag.
        tag: String,
        /// Reason why the prefix is invalid.
        source: PrefixError,
    },
}
