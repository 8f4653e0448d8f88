//! Which blobs are wanted, and what a list of one source found.

use object_store::ObjectMeta;

use super::odd_names::{fault_of, may_be_log};
use super::others::{Others, is_log};
use crate::source::blobs::{Blob, quoted};
use crate::source::local::Unlisted;
use crate::source::path::BlobPath;
use crate::source::read::Members;

/// Which blobs are wanted. What a path does not tell does not rule it out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Flows of `[from, to)`, ms since 1970.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// What names start with, below the source.
    pub prefix: String,
    /// Interfaces, as [`mac`] writes them; none for all.
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

/// A MAC address as flow logs write it, whatever stands between its digits: `000D3A12BA87`.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let is_mac = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_mac.then(|| digits.to_ascii_uppercase())
}

/// Bytes of a blob that are believed. A blob of blocks may have more, and the log of an hour has thousandths of it.
const LARGEST: u64 = 1 << 40;

/// What a list of one source found, besides the blobs.
#[derive(Debug, Default)]
pub struct Listing {
    /// What stands before the names, with the prefix that it replaces in a location.
    pub shown: Shown,
    /// Folders that could not be listed, and why.
    pub unlisted: Vec<(String, String)>,
    /// Archives that the source names, with the members that are wanted.
    pub archives: Vec<Members>,
    /// Blobs that cannot be read, and why: members of archives, files that the system does not give, and names that cannot be
    /// asked for.
    pub unread: Vec<(String, String)>,
    /// Archives that end too early, where, and why.
    pub cuts: Vec<(String, u64, String)>,
    /// What was listed, and is not read for its name.
    pub others: Others,
    /// Whatever was listed.
    pub listed: u64,
    /// Of it, what is to be read.
    pub taken: u64,
    /// Whether there is a flow log with the chosen prefix, of whatever time or interface.
    pub(in crate::source) is_log: bool,
    /// Whether there is one of a chosen interface, of whatever time.
    pub(super) is_chosen: bool,
    /// Whether all that has the prefix was listed, whatever the window.
    pub(in crate::source) is_whole: bool,
}

impl Listing {
    /// Passes on a blob whose name says it is a flow log, and one that is wanted.
    pub(in crate::source) fn consider(
        &mut self,
        meta: ObjectMeta,
        is_local: bool,
        selection: &Selection,
        take: &mut impl FnMut(Blob),
    ) {
        if self.wants(meta.location.as_ref(), is_log(meta.location.as_ref()), selection) {
            self.take(meta, is_local, take);
        }
    }

    /// Notes a blob whose name cannot be asked for, if it is wanted.
    pub(super) fn pass_over_name(&mut self, name: String, selection: &Selection) {
        if self.wants(&name, may_be_log(&name), selection) {
            let why = format!("not read: a blob of this name cannot be requested, because {}", fault_of(&name));
            self.unread.push((name, why));
        }
    }

    /// Counts a file, and says whether it is to be read.
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
        selection.wants(location)
    }

    pub(super) fn take(&mut self, meta: ObjectMeta, is_local: bool, take: &mut impl FnMut(Blob)) {
        if meta.size > LARGEST {
            let why = format!("not read: its listed size is {} bytes, which no flow log has", meta.size);
            self.unread.push((meta.location.to_string(), why));
            return;
        }
        self.taken += 1;
        take(blob(meta, is_local));
    }

    /// Notes a file or folder that the system does not give. A file of another name matters only if it `is_named`.
    pub(super) fn pass_over(&mut self, unlisted: &Unlisted, is_named: bool) {
        let (location, why) = (unlisted.location(), unlisted.way_out());
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

/// How to show the location of a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shown {
    /// Cut off from the front of a location.
    pub cut: String,
    /// Put there instead.
    pub put: String,
}

impl Shown {
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
