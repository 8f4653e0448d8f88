//! What a lake knows of its blobs: the cursors of those that a window selects, as listings and receipts of a scan.

use std::collections::{BTreeSet, HashMap};

use url::Url;

use super::filter::{is_of_interface, may_hold};
use crate::decode::Counts;
use crate::engine::scan::receipt::{InputProblem, Receipt, Receipts};
use crate::lake::{Cursors, Entry, LakeError};
use crate::source::{Blob, BlobPath, Cloud, cloud_of_path, hour_of};
use crate::time::{DAY, HOUR, TimeRange};

/// Blobs of a lake.
#[derive(Debug)]
pub struct Entries {
    /// Blobs that the window and the interfaces select, by name.
    pub selected: Vec<Entry>,
    /// Number of all blobs.
    pub total: u64,
    /// First and last hour in the paths of all blobs, in ms since 1970.
    pub hours: Option<(i64, i64)>,
    /// Clouds that the names of the selected blobs name.
    pub clouds: BTreeSet<&'static str>,
    /// Whether there is a blob of the interfaces, at whatever time.
    pub is_chosen: bool,
    /// Whether each blob holds only flows of its hour and the one before, so that time conditions select the same rows
    /// with and without a look at paths.
    pub is_regular: bool,
    /// Times of the rows that the window selects and that were not deleted.
    pub times: TimeRange,
}

impl Entries {
    /// Reads the cursors. `shown` is the lake, for errors.
    pub fn read(shown: &str, cursors: &Cursors, window: TimeRange, macs: &[String]) -> Result<Self, LakeError> {
        let kept = TimeRange { from: cursors.kept_from.map(|day| i64::from(day) * DAY), to: None };
        let mut entries = Self {
            selected: Vec::new(),
            total: 0,
            hours: None,
            clouds: BTreeSet::new(),
            is_chosen: false,
            is_regular: true,
            times: window.intersection(&kept),
        };
        cursors.for_each(|entry| {
            let path = BlobPath::parse(&entry.blob);
            entries.total += 1;
            if let (Some(path), Some(times)) = (path, entry.counts.times) {
                entries.is_regular &= hour_of(times.0) >= path.hour - HOUR && hour_of(times.1) <= path.hour;
            }
            if let Some(BlobPath { hour, .. }) = path {
                let hours = entries.hours.get_or_insert((hour, hour));
                *hours = (hours.0.min(hour), hours.1.max(hour));
            }
            if !macs.is_empty() && path.and_then(|path| path.mac).is_none() {
                return Err(LakeError::Interface { shown: shown.to_owned(), blob: entry.blob });
            }
            let is_chosen = is_of_interface(&entry.blob, macs);
            entries.is_chosen |= is_chosen;
            if is_chosen && may_hold(&entry.blob, window) {
                entries.clouds.extend(cloud(&entry.blob).into_iter().chain(cloud_of_path(&entry.blob)));
                entries.selected.push(entry);
            }
            Ok(())
        })?;
        entries.selected.sort_unstable_by(|a, b| a.blob.cmp(&b.blob));
        Ok(entries)
    }

    /// Returns the selected blobs.
    pub fn blobs(&self) -> impl Iterator<Item = Blob> {
        let blob = |entry: &Entry| Blob { location: entry.blob.clone(), size: entry.size, e_tag: entry.e_tag.clone() };
        self.selected.iter().map(blob)
    }

    /// Returns the stored bytes of the selected blobs.
    pub fn size(&self) -> u64 {
        self.selected.iter().map(|entry| entry.size).sum()
    }

    /// Returns the selected blobs that hold flows both inside and outside the times, in two groups: those with flows
    /// before them, and the others. Their counts must be taken from the rows.
    pub fn cut(&self) -> [Vec<&Entry>; 2] {
        let is_cut = |entry: &&Entry| self.part_of(entry) == Part::Some;
        let is_before =
            |entry: &&Entry| self.times.from.zip(entry.counts.times).is_some_and(|(from, (first, _))| first < from);
        self.selected.iter().filter(is_cut).partition::<Vec<_>, _>(is_before).into()
    }

    /// Adds the receipts of the blobs that a scan for flows of `times` reads. `cut` has the counts of blobs that the
    /// window cuts.
    pub fn receipts(&self, times: TimeRange, cut: &HashMap<String, Counts>) -> Receipts {
        let mut receipts = Receipts::default();
        for entry in self.selected.iter().filter(|entry| may_hold(&entry.blob, times)) {
            let none = Counts::default();
            let of_tuples = match self.part_of(entry) {
                Part::All => &entry.counts,
                Part::Some => cut.get(&entry.blob).unwrap_or(&none),
                Part::None => &none,
            };
            let receipt = Receipt {
                blob: entry.blob.clone(),
                e_tag: entry.e_tag.clone(),
                start: 0,
                end: entry.end,
                hashes: entry.hashes,
                bytes: entry.size,
                unpacked: entry.unpacked,
                is_piece: false,
                is_whole: true,
                counts: Counts {
                    tuples: of_tuples.tuples,
                    denied_tuples: of_tuples.denied_tuples,
                    versions: of_tuples.versions,
                    times: of_tuples.times,
                    ..entry.counts.clone()
                },
                problems: Vec::new(),
                failure: None,
            };
            let problems = entry.problems.iter().map(|problem| InputProblem {
                blob: entry.blob.clone(),
                offset: problem.offset,
                record: problem.record,
                reason: problem.reason.clone(),
            });
            receipts.add_known(receipt, problems);
        }
        receipts
    }

    fn part_of(&self, entry: &Entry) -> Part {
        let TimeRange { from, to } = self.times;
        match entry.counts.times {
            None => Part::None,
            Some((first, last)) if self.times.contains(first) && self.times.contains(last) => {
                // The ends of a range contain all that is between them.
                debug_assert!(first <= last);
                Part::All
            }
            Some((first, last)) if from.is_some_and(|from| last < from) || to.is_some_and(|to| first >= to) => {
                Part::None
            }
            Some(_) => Part::Some,
        }
    }
}

/// The flows of a blob that are inside the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Some,
    None,
}

/// Returns the cloud of the address of a blob, if it is one.
fn cloud(blob: &str) -> Option<&'static str> {
    let host = blob.contains("://").then(|| Url::parse(blob).ok()?.host_str().and_then(Cloud::of_host))?;
    host.map(Cloud::name)
}
