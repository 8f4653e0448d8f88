//! Description of one archive member, as its headers give it.

use serde::{Deserialize, Serialize};

/// Maximum name length in bytes. Longer names are cut and their members are not read.
const LONGEST_NAME: usize = 4096;

/// A file in an archive. Folders, links and devices have no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Cleaned name: parts separated by `/`, no leading `/`, no control characters.
    pub name: String,
    /// Size of the file in bytes, as the archive gives it.
    pub size: u64,
    pub stored: Stored,
    /// Reason why the member cannot be read, if there is one.
    pub trouble: Option<String>,
}

/// Location of a member's bytes in its archive, and their compression method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Offset of the local header in a zip archive, or of the first byte of data in an unpacked tar archive.
    pub offset: u64,
    /// Bytes in the archive, without headers.
    pub length: u64,
    pub method: Method,
    /// CRC-32 of the file, if the archive has it.
    pub crc: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Stored,
    Deflate,
    Zstd,
}

/// Position where an archive ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the archive, unpacked if it is a compressed tar archive.
    pub at: u64,
    pub why: String,
    /// True if the position is inside the last entry, so that reading this entry reports the same.
    pub is_inside: bool,
}

impl Entry {
    /// Creates an entry from the stored name; cleans and limits the name.
    pub fn new(name: &[u8], size: u64, stored: Stored) -> Self {
        let (name, trouble) = match clean(name) {
            name if name.len() > LONGEST_NAME => {
                let end = (0..=LONGEST_NAME).rev().find(|&at| name.is_char_boundary(at)).unwrap_or_default();
                (name[..end].to_owned(), Some("its name is too long for a file: unpack the archive".to_owned()))
            }
            name => (name, None),
        };
        Self { name, size, stored, trouble }
    }
}

/// Cleans a stored name for display. Windows tools write `\` between its parts.
fn clean(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name).replace('\\', "/").replace(char::is_control, "\u{fffd}");
    text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_alike_whoever_wrote_them() {
        for (stored, shown) in [
            (&b"y=2026/PT1H.json"[..], "y=2026/PT1H.json"),
            (b"./a/b.json", "a/b.json"),
            (b"/etc//b.json", "etc/b.json"),
            (b"..\\..\\a\\b.json", "../../a/b.json"),
            (b"a\x1b[31m\xff.json", "a\u{fffd}[31m\u{fffd}.json"),
        ] {
            let stored_at = Stored { offset: 0, length: 0, method: Method::Stored, crc: None };
            assert_eq!(Entry::new(stored, 0, stored_at).name, shown);
        }
    }
}
