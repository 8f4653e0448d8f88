//! Removes names that cannot be requested from list pages: a store path has no empty or dot segments and no control
//! characters. The raw page is filtered before it is parsed, because one such name would make all of it unreadable.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use memchr::memmem;
use object_store::path::Path;

/// Names removed from pages, until `take` returns them.
#[derive(Debug, Default)]
pub(in crate::source) struct OddNames(Mutex<Vec<String>>);

/// Maximum name length in bytes; Azure allows 1,024 characters.
const LONGEST: usize = 4096;

impl OddNames {
    pub(in crate::source) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the page without the blobs and folders that have such a name.
    pub(in crate::source) fn sift(&self, page: Bytes) -> Bytes {
        let (mut kept, mut odd, mut done) = (Vec::new(), Vec::new(), 0);
        for entry in entries(&page) {
            if entry.is_odd() {
                kept.extend_from_slice(&page[done..entry.start]);
                done = entry.end;
                odd.push(entry.name);
            }
        }
        if odd.is_empty() {
            return page;
        }
        kept.extend_from_slice(&page[done..]);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(odd);
        kept.into()
    }
}

/// Byte range of a blob or folder in a page, from its opening tag to the end of its closing tag.
struct Entry {
    start: usize,
    end: usize,
    name: String,
    is_folder: bool,
}

impl Entry {
    fn is_odd(&self) -> bool {
        // A trailing slash is valid on a folder, and on an empty blob that marks a folder and is never read.
        let folder = self.name.strip_suffix('/').filter(|name| self.is_folder || !may_be_log(name));
        let name = folder.unwrap_or(&self.name);
        name.len() > LONGEST || Path::parse(name).map_or(true, |path| path.as_ref() != name)
    }
}

/// Returns whether a name that cannot be requested may be a flow log's: its last part names JSON, or nothing.
pub(in crate::source) fn may_be_log(name: &str) -> bool {
    let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "" | "." | "..") || name.ends_with('/') || last.to_ascii_lowercase().contains(".json")
}

/// Returns the reason why a name cannot be requested, as part of a message.
pub(in crate::source) fn fault_of(name: &str) -> &'static str {
    let parts = || name.split('/');
    match name {
        _ if name.len() > LONGEST => "the name is too long",
        _ if name.chars().any(char::is_control) => "the name contains a control character",
        _ if parts().any(|part| matches!(part, "." | "..")) => "a part of the name is . or ..",
        _ => "a part of the name is empty",
    }
}

fn entries(page: &[u8]) -> impl Iterator<Item = Entry> {
    // `at` is the offset of the next search, `last` the end of the last entry.
    let (mut at, mut last) = (0, 0);
    std::iter::from_fn(move || {
        loop {
            let rest = page.get(at..)?;
            let start = at + memmem::find(rest, b"<Name")?;
            let text = start + memchr::memchr(b'>', &page[start..])? + 1;
            let end = text + memmem::find(&page[text..], b"</Name>")?;
            at = end;
            let is_encoded = memmem::find(&page[start..text], b"Encoded=\"true\"").is_some();
            let name = text_of(&page[text..end], is_encoded);
            let (before, behind) = (&page[last..start], &page[end..]);
            let nearest = |tag: &[u8]| memmem::rfind(before, tag).map(|at| last + at);
            let (blob, folder) = (nearest(b"<Blob>"), nearest(b"<BlobPrefix>"));
            let (start, closing): (_, &[u8]) = match (blob, folder) {
                (Some(blob), folder) if folder.is_none_or(|folder| folder < blob) => (blob, b"</Blob>"),
                (_, Some(folder)) => (folder, b"</BlobPrefix>"),
                _ => {
                    last = end;
                    continue;
                }
            };
            let length = memmem::find(behind, closing)?;
            let end = end + length + closing.len();
            (at, last) = (end, end);
            return Some(Entry { start, end, name, is_folder: closing == b"</BlobPrefix>" });
        }
    })
}

/// Decodes the text of an element: entities first, then percent encoding if `is_encoded`.
fn text_of(bytes: &[u8], is_encoded: bool) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8 * LONGEST)]);
    let mut name = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((before, reference)) = rest.split_once('&') {
        name.push_str(before);
        // Entities are cut at eight characters, so that a stray `&` does not search the whole text.
        let end = reference.bytes().take(9).position(|byte| byte == b';');
        match end.and_then(|end| Some((letter(&reference[..end])?, &reference[end + 1..]))) {
            Some((letter, behind)) => {
                name.push(letter);
                rest = behind;
            }
            None => {
                name.push('&');
                rest = reference;
            }
        }
    }
    name.push_str(rest);
    match is_encoded {
        true => percent_decoded(&name),
        false => name,
    }
}

fn letter(entity: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match entity.strip_prefix("#x") {
            Some(digits) => number(digits, 16),
            None => number(entity.strip_prefix('#')?, 10),
        },
    }
}

fn percent_decoded(text: &str) -> String {
    // A plus sign is literal in a path.
    let pairs = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_taken_out_and_the_others_stay() {
        let names = [
            ("a/PT1H.json", false),
            ("a//PT1H.json", true),
            ("/PT1H.json", true),
            ("../PT1H.json", true),
            ("a/./PT1H.json", true),
            ("..", true),
            (".", true),
            ("a\u{1b}[2J.json", true),
            ("a&#x1b;[2J.json", true),
            ("a&#10;b.json", true),
            ("folder/", false),
            ("a.json/", true),
            ("a&amp;b é.json", false),
        ];
        let blob = |name: &str| format!("<Blob><Name>{name}</Name><Properties/></Blob>");
        let page = |keeps: &dyn Fn(bool) -> bool| {
            let blobs: String = names.iter().filter(|(_, odd)| keeps(*odd)).map(|(name, _)| blob(name)).collect();
            Bytes::from(format!("<Blobs><BlobPrefix><Name>x/</Name></BlobPrefix>{blobs}</Blobs>"))
        };
        let odd = OddNames::default();
        assert_eq!(odd.sift(page(&|_| true)), page(&|odd| !odd));
        assert_eq!(odd.take().len(), names.iter().filter(|(_, odd)| *odd).count());
        let folder = "<BlobPrefix><Name>a//</Name></BlobPrefix>";
        let encoded = "<Blob><Name Encoded=\"true\">a%1Fb+c.json</Name></Blob>";
        assert_eq!(odd.sift(format!("<Blobs>{folder}{encoded}</Blobs>").into()), "<Blobs></Blobs>");
        assert_eq!(odd.take(), ["a//", "a\u{1f}b+c.json"]);
        for garbage in ["", "<Name>", "<Name>..</Name>", "<Blob><Name>..</Name>", "<Name></Name></Blob>"] {
            assert_eq!(odd.sift(garbage.into()), garbage);
        }
    }

    #[test]
    fn a_full_page_takes_no_time() {
        let blob = "<Blob><Name>a/PT1H.json</Name><Properties><Etag>0x1</Etag></Properties></Blob>";
        let page = Bytes::from(format!("<Blobs>{}</Blobs>", blob.repeat(100_000)));
        let begun = std::time::Instant::now();
        assert_eq!(OddNames::default().sift(page.clone()), page);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_name_that_tells_nothing_may_be_a_log() {
        for (name, may) in [("a//PT1H.json", true), ("..", true), ("a//", true), ("a//readme.txt", false)] {
            assert_eq!(may_be_log(name), may, "{name}");
        }
    }
}
