//! Recognises the type of a blob by its first bytes.

use serde::{Deserialize, Serialize};

use tar::Header;

/// Archive format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A zip archive.
    Zip,
    /// An uncompressed tar archive.
    Tar,
    /// A tar archive that is compressed as a whole. Its members can only be read one after the other.
    PackedTar,
}

/// Bytes needed to recognise a blob.
pub const HEAD: usize = 512;

/// Returns whether a blob that begins with `head` is gzip or zstd, so that it must be read from its start.
pub fn is_packed(head: &[u8]) -> bool {
    Format::of(head).is_some()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Gzip,
    Zstd,
    /// Raw deflate, as in zip archives. It has no magic bytes.
    Deflate,
}

impl Format {
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflated",
        }
    }
}

/// Returns whether a blob that begins with `head` is a zip archive.
pub fn is_zip(head: &[u8]) -> bool {
    [&b"PK\x03\x04"[..], b"PK\x05\x06", b"PK\x07\x08PK\x03\x04"].iter().any(|mark| head.starts_with(mark))
}

/// Returns whether a blob that begins with `head` is a tar archive.
pub fn is_tar(head: &[u8]) -> bool {
    head.get(..HEAD).is_some_and(|block| block[0] != 0 && has_checksum(block))
}

/// Returns whether a block of [`HEAD`] bytes is an undamaged tar header.
pub fn has_checksum(block: &[u8]) -> bool {
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    let own: u32 = block[148..156].iter().map(|&b| u32::from(b)).sum();
    Header::from_byte_slice(block).cksum().is_ok_and(|cksum| cksum == sum - own + 8 * u32::from(b' '))
}

/// Returns the message for a blob in an unsupported format, with a remedy.
pub fn remedy_for(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
            "it is compressed with bzip2 (.bz2), which is not supported: unpack it, or compress it with gzip or zstd"
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            "it is compressed with xz (.xz), which is not supported: unpack it, or compress it with gzip or zstd"
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            "it is compressed with lz4, which is not supported: unpack it, or compress it with gzip or zstd"
        }
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => "it is a 7z archive, which is not supported: unpack it",
        [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => "it is a RAR archive, which is not supported: unpack it",
        _ if is_zip(head) => {
            "it is a zip archive, which is not opened here: unpack it, or name it as a source of its own"
        }
        _ if is_tar(head) => {
            "it is a tar archive, which is not opened here: unpack it, or name it as a source of its own"
        }
        _ => return None,
    })
}
