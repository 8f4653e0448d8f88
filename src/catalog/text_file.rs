//! Reads a file that a user names, and decodes it: UTF-8, or UTF-16 with a byte-order mark. Knows no format.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Maximum size of a file, in bytes.
pub const MOST_BYTES: u64 = 64 << 20;

/// Reason why a file gives no text. Readers of a format turn it into their own words.
#[derive(Debug)]
pub enum NoText {
    /// The file cannot be read.
    Io(io::Error),
    /// The path names a folder.
    Folder,
    /// The file is larger than 64 MiB.
    TooLong,
    /// The file is compressed.
    Compressed,
    /// The file is not text.
    Binary,
}

impl From<io::Error> for NoText {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a whole file, or a pipe, of at most 64 MiB.
pub fn read(path: &Path) -> Result<Vec<u8>, NoText> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(NoText::Folder);
    }
    if metadata.len() > MOST_BYTES {
        return Err(NoText::TooLong);
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // A device such as /dev/zero has no length, and no end.
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES { Err(NoText::TooLong) } else { Ok(bytes) }
}

/// Decodes UTF-8, or UTF-16 with a byte-order mark. The mark is left out.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NoText> {
    let text = match bytes {
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => return Err(NoText::Compressed),
        [0xff, 0xfe, units @ ..] => Cow::Owned(utf16(units, u16::from_le_bytes)?),
        [0xfe, 0xff, units @ ..] => Cow::Owned(utf16(units, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, text @ ..] | text => Cow::Borrowed(std::str::from_utf8(text).map_err(|_| NoText::Binary)?),
    };
    if text.contains('\0') { Err(NoText::Binary) } else { Ok(text) }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, NoText> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NoText::Binary);
    }
    char::decode_utf16(pairs.iter().map(|&pair| unit(pair))).collect::<Result<_, _>>().map_err(|_| NoText::Binary)
}

/// Returns text of the file for a message: its first characters, without control characters.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(MOST).map(printable).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
