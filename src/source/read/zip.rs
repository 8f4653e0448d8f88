//! Lists the members of a zip archive by its central directory. If that is missing, it uses the local headers.

use flate2::{Decompress, FlushDecompress, Status};

use super::decompress::{FREE, MOST};
use super::entry::{Cut, Entry, Method, Stored};
use super::error::ReadError;
use super::window::{Window, number};

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_PLACE: &[u8] = b"PK\x06\x07";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
pub const LOCAL_LENGTH: usize = 30;
const CENTRAL_LENGTH: usize = 46;
const END_LENGTH: usize = 22;
/// Bytes that may contain the end record: a locator, the record, and a comment of at most 65,535 bytes.
const TAIL: u64 = 20 + END_LENGTH as u64 + 65_535;
/// Marks a number too large for its field, whose value is in the extra fields.
const ELSEWHERE: u64 = 0xffff_ffff;
/// Bytes unpacked per step while searching for the end of a member.
const STEP: usize = 16 << 10;

/// Returns the length of the name and extra fields between a local header and its data. `None` if `header` is no local
/// header.
pub fn names_length(header: &[u8]) -> Option<u64> {
    header.starts_with(LOCAL).then(|| number(header, 26, 2) + number(header, 28, 2))
}

/// Passes each file to `found`. Returns the position where the archive ends early, if it does.
pub async fn walk(window: &mut Window, mut found: impl FnMut(Entry)) -> Result<Option<Cut>, ReadError> {
    match directory(window).await? {
        Some(entries) => {
            entries.into_iter().for_each(found);
            Ok(None)
        }
        None => by_headers(window, &mut found).await.map(Some),
    }
}

/// Lists all files by the central directory. Returns `None` if it is missing or damaged.
async fn directory(window: &mut Window) -> Result<Option<Vec<Entry>>, ReadError> {
    let Some((mut at, end)) = directory_place(window).await? else { return Ok(None) };
    let mut entries = Vec::new();
    while at < end {
        let header = window.get(at, CENTRAL_LENGTH).await?;
        if header.len() < CENTRAL_LENGTH || !header.starts_with(CENTRAL) {
            return Ok(None);
        }
        let field = |at, length| number(&header, at, length);
        let (name, extra, comment) = (field(28, 2) as usize, field(30, 2) as usize, field(32, 2));
        let names = window.get(at + CENTRAL_LENGTH as u64, name + extra).await?;
        if names.len() < name + extra {
            return Ok(None);
        }
        at += CENTRAL_LENGTH as u64 + names.len() as u64 + comment;
        let (name, extra) = names.split_at(name);
        let mut sizes = [field(24, 4), field(20, 4), field(42, 4)];
        large_sizes(extra, &mut sizes);
        let mut stored =
            Stored { offset: sizes[2], length: sizes[1], method: Method::Stored, crc: Some(field(16, 4) as u32) };
        let trouble = trouble(field(8, 2), field(10, 2), &mut stored.method);
        // The top four bits of the attributes hold the Unix file type.
        let is_link = field(38, 4) >> 28 == 0o12;
        if !is_link && !name.ends_with(b"/") && !name.ends_with(b"\\") {
            entries.extend(entry(name, sizes[0], stored, trouble));
        }
    }
    Ok(Some(entries))
}

/// Returns start and end of the central directory.
async fn directory_place(window: &mut Window) -> Result<Option<(u64, u64)>, ReadError> {
    let size = window.end();
    let tail_at = size.saturating_sub(TAIL);
    let tail = window.get(tail_at, TAIL as usize).await?;
    let is_end = |at: &usize| tail[*at..].starts_with(END) && *at + END_LENGTH <= tail.len();
    let Some(at) = (0..tail.len()).rev().find(is_end) else { return Ok(None) };
    let (mut length, mut start) = (number(&tail, at + 12, 4), number(&tail, at + 16, 4));
    let mut end = tail_at + at as u64;
    let has_64 = at.checked_sub(20).is_some_and(|at| tail[at..].starts_with(END_64_PLACE));
    if has_64 {
        end = number(&tail, at - 12, 8);
        let end_64 = window.get(end, 56).await?;
        if end_64.len() < 56 || !end_64.starts_with(END_64) {
            return Ok(None);
        }
        (length, start) = (number(&end_64, 40, 8), number(&end_64, 48, 8));
    }
    Ok((start.checked_add(length) == Some(end)).then_some((start, end)))
}

/// Lists files by the local headers, from the start of the archive.
async fn by_headers(window: &mut Window, found: &mut impl FnMut(Entry)) -> Result<Cut, ReadError> {
    let lost = "its directory, at the end, is missing or damaged: copy it again for the rest";
    let cut = |at, is_inside| Cut { at, why: lost.to_owned(), is_inside };
    // This marker says that the archive was not split.
    let mut at = if window.get(0, 4).await?.starts_with(DESCRIPTOR) { 4 } else { 0 };
    loop {
        let header = window.get(at, LOCAL_LENGTH).await?;
        if header.len() < LOCAL_LENGTH || !header.starts_with(LOCAL) {
            return Ok(cut(at, false));
        }
        let field = |at, length| number(&header, at, length);
        let (name, extra) = (field(26, 2) as usize, field(28, 2) as usize);
        let names = window.get(at + LOCAL_LENGTH as u64, name + extra).await?;
        if names.len() < name + extra {
            return Ok(cut(at, false));
        }
        let data = at + LOCAL_LENGTH as u64 + names.len() as u64;
        let (name, extra) = names.split_at(name);
        let mut sizes = [field(22, 4), field(18, 4), 0];
        large_sizes(extra, &mut sizes);
        let mut stored =
            Stored { offset: at, length: sizes[1], method: Method::Stored, crc: Some(field(14, 4) as u32) };
        let trouble = trouble(field(6, 2), field(8, 2), &mut stored.method);
        let is_sized_after = field(6, 2) & 8 != 0 && sizes[1] == 0;
        let mut next = data.checked_add(stored.length);
        if is_sized_after {
            let can_tell = trouble.is_none() && stored.method == Method::Deflate;
            let end = if can_tell { end_of(window, data).await? } else { Deflated::default() };
            (sizes[0], stored.length, stored.crc) = (end.unpacked, end.packed, None);
            if !end.is_whole {
                stored.length = window.end() - data;
                entry(name, sizes[0], stored, trouble).into_iter().for_each(&mut *found);
                return Ok(cut(window.end(), can_tell));
            }
            next = Some(after_descriptor(window, data + end.packed).await?);
        }
        if !name.ends_with(b"/") && !name.ends_with(b"\\") {
            entry(name, sizes[0], stored, trouble).into_iter().for_each(&mut *found);
        }
        match next.filter(|next| *next <= window.end()) {
            Some(next) => at = next,
            None => return Ok(cut(window.end(), true)),
        }
    }
}

/// Sizes of deflated data, up to its end or to the first error.
#[derive(Debug, Default)]
struct Deflated {
    packed: u64,
    unpacked: u64,
    is_whole: bool,
}

async fn end_of(window: &mut Window, data: u64) -> Result<Deflated, ReadError> {
    let (mut unpacker, mut out) = (Decompress::new(false), vec![0; STEP]);
    let mut so_far = Deflated::default();
    loop {
        let bytes = window.get(data + so_far.packed, STEP).await?;
        let status = unpacker.decompress(&bytes, &mut out, FlushDecompress::None);
        let (packed, unpacked) = (unpacker.total_in(), unpacker.total_out());
        let is_stuck = (packed, unpacked) == (so_far.packed, so_far.unpacked);
        so_far = Deflated { packed, unpacked, is_whole: matches!(status, Ok(Status::StreamEnd)) };
        if so_far.is_whole || status.is_err() || is_stuck || unpacked > FREE + MOST * packed {
            return Ok(so_far);
        }
    }
}

/// Returns the offset of the next header, after a data descriptor.
async fn after_descriptor(window: &mut Window, at: u64) -> Result<u64, ReadError> {
    let bytes = window.get(at, 28).await?;
    let start = if bytes.starts_with(DESCRIPTOR) { 4 } else { 0 };
    let lengths = [12, 20].map(|length| start + length);
    let is_next = |length: &usize| {
        let next = bytes.get(*length..).unwrap_or_default();
        next.starts_with(LOCAL) || next.starts_with(CENTRAL)
    };
    Ok(at + lengths.into_iter().find(is_next).unwrap_or(lengths[0]) as u64)
}

/// Replaces the sizes marked as too large by their values from the extra fields.
fn large_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) {
    while extra.len() >= 4 {
        let (kind, length) = (number(extra, 0, 2), number(extra, 2, 2) as usize);
        let field = extra.get(4..4 + length).unwrap_or_default();
        if kind == 1 {
            let large = sizes.iter_mut().filter(|size| **size == ELSEWHERE);
            large.zip(field.chunks_exact(8)).for_each(|(size, bytes)| *size = number(bytes, 0, 8));
        }
        extra = extra.get(4 + length..).unwrap_or_default();
    }
}

/// Stores the compression method. Returns the reason if a member with these flags cannot be read.
fn trouble(flags: u64, code: u64, method: &mut Method) -> Option<String> {
    let packed = match code {
        0 => Method::Stored,
        8 => Method::Deflate,
        93 => Method::Zstd,
        _ => Method::Stored,
    };
    *method = packed;
    let name = match code {
        // Bit 0: encrypted; bit 13: encrypted directory; method 99: AES encryption of WinZip and 7-Zip.
        _ if flags & 1 << 0 != 0 || flags & 1 << 13 != 0 || code == 99 => {
            return Some("it is encrypted: unpack the archive with its password, and name the folder".to_owned());
        }
        0 | 8 | 93 => return None,
        9 => "Deflate64",
        12 => "bzip2",
        14 => "LZMA",
        95 => "xz",
        98 => "PPMd",
        _ => "unknown",
    };
    Some(format!("its compression method, {name} ({code}), is not supported: unpack the archive, and name the folder"))
}

fn entry(name: &[u8], size: u64, stored: Stored, trouble: Option<String>) -> Option<Entry> {
    let entry = Entry::new(name, size, stored);
    let trouble = trouble.or(entry.trouble);
    (!entry.name.is_empty()).then_some(Entry { trouble, ..entry })
}
