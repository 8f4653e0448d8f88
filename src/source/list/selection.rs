//! The selection of blobs, and the result of listing one source.

use object_store::ObjectMeta;

use super::odd_names::{fault_of, may_be_log};
use super::others::{Others, is_log};
use crate::source::blobs::{Blob, quoted};
use crate::source::local::Unlisted;
use crate::source::path::BlobPath;
use crate::source::read::Members;

/// Criteria for blobs. A criterion that the path does not answer does not exclude the blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Start of the window `[from, to)`, ms since 1970; `None` is open.
    pub from: Option<i64>,
    /// End of the window, exclusive, ms since 1970; `None` is open.
    pub to: Option<i64>,
    /// Required start of a blob's name, below the source.
    pub prefix: String,
    /// Interfaces, in the form that [`mac`] returns; empty for all.
    pub macs: Vec<String>,
}

impl Selection {
    pub(in crate::source) fn has_window(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    fn wants(&self, location: &str) -> bool {
        self.is_of_interface(location) && BlobPath::parse(location).is_none_or(|path| path.may_hold(self.from, self.to))
    }

    fn is_of_interface(&self, location: &str) -> bool {
        let is_chosen = |found: &str| self.macs.iter().any(|mac| found.eq_ignore_ascii_case(mac));
        self.macs.is_empty() || BlobPath::parse(location).and_then(|path| path.mac).is_none_or(is_chosen)
    }
}

/// Normalises a MAC address to the form in flow logs, `000D3A12BA87`. Accepts `:`, `-` and `.` between the digits.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let is_mac = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_mac.then(|| digits.to_ascii_uppercase())
}

/// Maximum size in bytes that is plausible. Azure allows larger block blobs, but a log of one hour is thousands of
/// times smaller.
const LARGEST: u64 = 1 << 40;

/// Result of listing one source, besides the blobs.
#[derive(Debug, Default)]
pub struct Listing {
    /// How to show a location of this source.
    pub shown: DisplayPath,
    /// Folders that could not be listed, each with the reason.
    pub unlisted: Vec<(String, String)>,
    /// Archives that the source names, with their selected members.
    pub archives: Vec<Members>,
    /// Blobs that cannot be read, each with the reason: archive members, local files, and names that cannot be
    /// requested.
    pub unread: Vec<(String, String)>,
    /// Archives that end early: location, byte offset and reason.
    pub cuts: Vec<(String, u64, String)>,
    /// Files that are not read because of their names.
    pub others: Others,
    /// Number of files listed.
    pub listed: u64,
    /// Number of listed files that are to be read.
    pub taken: u64,
    /// First and last hour in the paths of the listed flow logs with the chosen prefix, in ms since 1970.
    pub hours: Option<(i64, i64)>,
    /// True if a flow log with the chosen prefix exists, at any time and of any interface.
    pub(in crate::source) is_log: bool,
    /// True if a flow log of a chosen interface exists, at any time.
    pub(super) is_chosen: bool,
    /// True if everything with the prefix was listed, regardless of the window.
    pub(in crate::source) is_whole: bool,
}

impl Listing {
    /// Counts a blob, and passes it to `take` if it is a flow log that the selection wants.
    pub(in crate::source) fn consider(
        &mut self,
        meta: ObjectMeta,
        is_local: bool,
        selection: &Selection,
        take: &mut impl FnMut(Blob),
    ) {
        if self.wants(meta.location.as_ref(), is_log(meta.location.as_ref()), selection) {
            self.take(blob(meta, is_local), take);
        }
    }

    /// Records a blob whose name cannot be requested, if the selection wants it.
    pub(super) fn pass_over_name(&mut self, name: String, selection: &Selection) {
        if self.wants(&name, may_be_log(&name), selection) {
            let why = format!("not read: a blob of this name cannot be requested, because {}", fault_of(&name));
            self.unread.push((name, why));
        }
    }

    /// Counts a file and returns whether it is to be read.
    pub(super) fn wants(&mut self, location: &str, is_log: bool, selection: &Selection) -> bool {
        self.listed += 1;
        if !is_log {
            self.others.add(&self.shown.name(location));
            return false;
        }
        if !self.is_below(location, &selection.prefix) {
            return false;
        }
        self.is_log = true;
        self.is_chosen |= selection.is_of_interface(location);
        if let Some(BlobPath { hour, .. }) = BlobPath::parse(location) {
            self.hours = self.hours.map_or(Some((hour, hour)), |(first, last)| Some((first.min(hour), last.max(hour))));
        }
        selection.wants(location)
    }

    pub(super) fn take(&mut self, blob: Blob, take: &mut impl FnMut(Blob)) {
        if blob.size > LARGEST {
            let why = format!("not read: its listed size is {} bytes, which no flow log has", blob.size);
            self.unread.push((blob.location, why));
            return;
        }
        self.taken += 1;
        take(blob);
    }

    /// Records a file or folder that the system cannot list. A file without a flow log's name matters only if
    /// `is_named`.
    pub(super) fn pass_over(&mut self, unlisted: &Unlisted, is_named: bool) {
        let (location, why) = (unlisted.location(), unlisted.remedy_for());
        if unlisted.is_folder {
            self.unlisted.push((location, why));
        } else if is_named || is_log(&location) {
            self.unread.push((location, why));
        } else {
            self.listed += 1;
            self.others.add(&self.shown.name(&location));
        }
    }

    fn is_below(&self, location: &str, prefix: &str) -> bool {
        prefix.is_empty()
            || location
                .strip_prefix(&*self.shown.cut)
                .is_some_and(|below| below.trim_start_matches(['/', '!']).starts_with(prefix))
    }
}

/// Rule for showing a blob's location.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DisplayPath {
    /// Prefix that is removed from a location.
    pub cut: String,
    /// Text that replaces it.
    pub put: String,
}

impl DisplayPath {
    /// Returns the location as shown to the user.
    pub fn name(&self, location: &str) -> String {
        let below = location.strip_prefix(&*self.cut).unwrap_or(location).trim_start_matches('/');
        let between = if self.put.is_empty() || self.put.ends_with('/') || below.starts_with('!') { "" } else { "/" };
        match below {
            "" => self.put.clone(),
            below => format!("{}{between}{below}", self.put),
        }
    }
}

pub(super) fn blob(meta: ObjectMeta, is_local: bool) -> Blob {
    let e_tag = meta.e_tag.map(|tag| if is_local { tag } else { quoted(tag) });
    Blob { location: meta.location.to_string(), size: meta.size, e_tag }
}
