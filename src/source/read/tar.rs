//! Lists the members of a tar archive by their headers.

use tar::{Header, PaxExtensions};

use super::entry::{Cut, Entry, Method, Stored};
use super::magic::has_checksum;
use super::window::Window;

const BLOCK: u64 = 512;
/// Limit in bytes for a header of attributes. A real name or attribute is shorter.
const MOST_ATTRIBUTES: u64 = 1 << 20;
/// Limit of zero bytes to skip, because another archive may follow the end marker and its padding.
const MOST_ZEROS: u64 = 1 << 20;

/// Attributes from extended headers, valid for the next file.
#[derive(Debug, Default)]
struct Attributes {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

/// Passes each file to `found` in stored order. Returns the position where the archive ends early, if it does.
pub async fn walk(window: &mut Window, mut found: impl FnMut(Entry)) -> Option<Cut> {
    let (mut at, mut data_end, mut is_closed, mut zeros) = (0_u64, 0, false, 0);
    let mut attributes = Attributes::default();
    loop {
        let block = match window.get(at, BLOCK as usize).await {
            Ok(block) => block,
            Err(error) => return cut(window, data_end, at, error.to_string()),
        };
        if block.len() < BLOCK as usize {
            let ends = "it ends before its closing mark: copy it again for the rest";
            return if is_closed { None } else { cut(window, data_end, at + block.len() as u64, ends.to_owned()) };
        }
        if block.iter().all(|&b| b == 0) {
            (is_closed, at, zeros) = (true, at + BLOCK, zeros + BLOCK);
            if zeros > MOST_ZEROS {
                return None;
            }
            continue;
        }
        let header = Header::from_byte_slice(&block);
        let damaged = "its header there is damaged: what follows is not read";
        let Some(mut size) = header.entry_size().ok().filter(|_| has_checksum(&block)) else {
            // Some tools pad the last record with arbitrary memory.
            return if is_closed { None } else { cut(window, data_end, at, damaged.to_owned()) };
        };
        (is_closed, zeros) = (false, 0);
        let kind = header.as_bytes()[156];
        let is_attribute = matches!(kind, b'L' | b'K' | b'x' | b'g');
        if !is_attribute {
            size = attributes.size.unwrap_or(size);
        }
        if kind == b'1' {
            // A hard link has no data of its own.
            size = 0;
        }
        let mut data = at + BLOCK;
        if is_attribute {
            if size > MOST_ATTRIBUTES {
                return cut(window, data_end, at, damaged.to_owned());
            }
            let bytes = match window.get(data, size as usize).await {
                Ok(bytes) if bytes.len() as u64 == size => bytes,
                Ok(_) => {
                    return cut(window, data_end, at, "it ends inside a header: copy it again for the rest".to_owned());
                }
                Err(error) => return cut(window, data_end, at, error.to_string()),
            };
            match kind {
                b'L' => attributes.name = Some(bytes.split(|&b| b == 0).next().unwrap_or_default().to_vec()),
                b'x' => attributes.read(&bytes),
                _ => {}
            }
        } else {
            let taken = std::mem::take(&mut attributes);
            let is_sparse = taken.is_sparse || kind == b'S';
            if kind == b'S' {
                match sparse_maps(window, &block, data).await {
                    Some(start) => data = start,
                    None => return cut(window, data_end, at, damaged.to_owned()),
                }
            }
            if is_sparse || matches!(kind, 0 | b'0' | b'7') {
                let name = taken.name.unwrap_or_else(|| header.path_bytes().into_owned());
                let stored = Stored { offset: data, length: size, method: Method::Stored, crc: None };
                let mut entry = Entry::new(&name, size, stored);
                if is_sparse {
                    let words = "it is a sparse file, which is not supported: pack it again without --sparse";
                    entry.trouble = Some(words.to_owned());
                }
                // The oldest tar format stores a folder as a file with a trailing slash.
                if !name.ends_with(b"/") && !entry.name.is_empty() {
                    data_end = data.saturating_add(size);
                    found(entry);
                }
            }
        }
        let Some(next) = size.checked_next_multiple_of(BLOCK).and_then(|size| data.checked_add(size)) else {
            return cut(window, data_end, at, damaged.to_owned());
        };
        at = next;
    }
}

fn cut(window: &Window, data_end: u64, at: u64, why: String) -> Option<Cut> {
    let at = at.min(window.end());
    Some(Cut { at, why, is_inside: at < data_end })
}

impl Attributes {
    fn read(&mut self, bytes: &[u8]) {
        for attribute in PaxExtensions::new(bytes).map_while(Result::ok) {
            match attribute.key_bytes() {
                b"path" if !self.is_sparse => self.name = Some(attribute.value_bytes().to_vec()),
                b"size" => self.size = attribute.value().ok().and_then(|size| size.parse().ok()),
                b"GNU.sparse.name" => (self.name, self.is_sparse) = (Some(attribute.value_bytes().to_vec()), true),
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
    }
}

/// Returns the data offset of a sparse file in the old GNU format, after the extra hole maps.
async fn sparse_maps(window: &mut Window, header: &[u8], mut data: u64) -> Option<u64> {
    let mut has_more = header[482] != 0;
    while has_more {
        let block = window.get(data, BLOCK as usize).await.ok()?;
        has_more = *block.get(504)? != 0;
        data += BLOCK;
    }
    Some(data)
}
