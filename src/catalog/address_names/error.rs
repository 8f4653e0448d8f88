use std::io;

use crate::catalog::text_file::{NoText, quoted};
use crate::net::{Prefix, PrefixError};

/// Reason why a file of names cannot be used, as one sentence without the path.
#[derive(Debug, thiserror::Error)]
pub enum AddressNamesError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is something else, or has no names.
    #[error("{0}")]
    Form(&'static str),
    /// A row of the CSV, or the JSON, is malformed.
    #[error("{place}: {what}")]
    Damaged {
        /// Place in the file.
        place: String,
        /// Description of the fault.
        what: String,
    },
    /// A prefix is invalid.
    #[error("{place}: {source}")]
    Prefix {
        /// Place in the file.
        place: String,
        /// Reason why the prefix is invalid.
        source: PrefixError,
    },
    /// A prefix has no name.
    #[error("{place}: {prefix} has no name: write the name after it, or delete the row")]
    NoName {
        /// Place in the file.
        place: String,
        /// The prefix.
        prefix: Prefix,
    },
    /// A name is too long.
    #[error("{place}: the name has over 253 characters: shorten it")]
    LongName {
        /// Place in the file.
        place: String,
    },
    /// There are too many names.
    #[error("there are over 200,000 names: keep only those of the networks in the logs")]
    TooMany,
    /// Too many prefixes contain one address.
    #[error("over 128 prefixes contain the same address: keep one name per prefix")]
    Overlap,
}

impl AddressNamesError {
    /// Returns the error for an invalid prefix. A long text is shortened.
    pub(super) fn prefix(place: String, error: PrefixError) -> Self {
        let source = match error {
            PrefixError::Syntax(text) => PrefixError::Syntax(quoted(&text)),
            host_bits => host_bits,
        };
        Self::Prefix { place, source }
    }
}

impl From<NoText> for AddressNamesError {
    fn from(reason: NoText) -> Self {
        match reason {
            NoText::Io(error) => error.into(),
            NoText::Folder => Self::Form("this is a folder: name the file in it"),
            NoText::TooLong => Self::Form("the file is larger than 64 MiB: keep only names and prefixes"),
            NoText::Compressed => Self::Form("the file is compressed: unpack it first"),
            NoText::Binary => Self::Form("this is not text: save it as CSV or JSON, in UTF-8"),
        }
    }
}
