//! What the headers of an archive say of one member.

use serde::{Deserialize, Serialize};

/// Longer names are cut and their members are not read.
const LONGEST_NAME: usize = 4096;

/// A file in an archive. Folders, links and devices are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// With `/` between its parts, without a leading one, and without control characters.
    pub name: String,
    /// Bytes of the file, as the archive says.
    pub size: u64,
    pub stored: Stored,
    /// Why it cannot be read.
    pub trouble: Option<String>,
}

/// Where the bytes of a member are in its archive, and how they are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Start of its header in a zip archive, of its first byte in a tar archive once that is unpacked.
    pub offset: u64,
    /// Bytes in the archive, without headers.
    pub length: u64,
    pub method: Method,
    /// CRC-32 of the file, where the archive has it.
    pub crc: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Stored,
    Deflate,
    Zstd,
}

/// Where the readable part of an archive ends too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Byte of the archive, once unpacked if it is a compressed tar archive.
    pub at: u64,
    pub why: String,
    /// Whether that is inside of the last entry, so that reading it says the same.
    pub is_inside: bool,
}

impl Entry {
    /// An entry with the name as stored.
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

/// A stored name as it shows: tools of Windows write `\` between its parts.
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
