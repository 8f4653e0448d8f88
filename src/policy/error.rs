//! Errors of exports: files with rules, network status or changes.

use std::io;

use crate::catalog::text_file::NoText;

/// An export that cannot be used, as one sentence that names the file, the place and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct ExportError {
    file: String,
    reason: Reason,
}

/// Reason why an export cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Form(&'static str),
    #[error("{what} at line {line}, column {column}: export it again")]
    Damaged { what: &'static str, line: usize, column: usize },
    #[error(
        "the JSON begins at line {0}, after other text: delete that text, or export it again without warnings (az: --only-show-errors)"
    )]
    TextBefore(usize),
    #[error(
        "this is an error response from Azure ({0}), not an export: run the export again with an account that may read the resource"
    )]
    ErrorResponse(String),
    #[error(
        "{0}: PowerShell cut the rules short when it wrote them as text: export again with ConvertTo-Json -Depth 10"
    )]
    Depth(String),
    #[error("{0}")]
    Conflict(String),
}

impl ExportError {
    pub(crate) fn new(file: &str, reason: impl Into<Reason>) -> Self {
        Self { file: file.to_owned(), reason: reason.into() }
    }
}

impl From<NoText> for Reason {
    fn from(reason: NoText) -> Self {
        match reason {
            NoText::Io(error) => Self::Io(error),
            NoText::Folder => Self::Form("this is a folder: name the files in it"),
            NoText::TooLong => Self::Form(
                "the file is larger than 64 MiB: export less at a time, such as one network security group, or a shorter time",
            ),
            NoText::Compressed => Self::Form("the file is compressed: unpack it first"),
            NoText::Binary => {
                Self::Form("this is not text: export it as JSON, in UTF-8 or in UTF-16 with a byte-order mark")
            }
        }
    }
}
