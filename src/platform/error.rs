use std::io;

use crate::catalog::text_file::NoText;

/// A file that cannot be used, as one sentence that names the file and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct PlatformError {
    file: String,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Form(&'static str),
    #[error("the JSON is damaged at line {line}, column {column}: export it again")]
    Damaged { line: usize, column: usize },
}

impl PlatformError {
    pub(super) fn new(file: &str, reason: Reason) -> Self {
        Self { file: file.to_owned(), reason }
    }
}

impl From<NoText> for Reason {
    fn from(reason: NoText) -> Self {
        match reason {
            NoText::Io(error) => Self::Io(error),
            NoText::Folder => Self::Form("this is a folder: name the files in it"),
            NoText::TooLong => Self::Form("the file is larger than 64 MiB: export a shorter time"),
            NoText::Compressed => Self::Form("the file is compressed: unpack it first"),
            NoText::Binary => Self::Form("this is not text: export it as JSON"),
        }
    }
}
