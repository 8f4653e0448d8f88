//! Listed local files: each once and in name order, held compactly, because a listing may have a million.

use std::collections::{HashMap, HashSet};

use object_store::ObjectMeta;

use super::selection::blob;
use crate::source::blobs::hash;
use crate::source::{Blob, BlobList, BlobPath};

/// Listed files.
#[derive(Default)]
pub struct Files {
    blobs: BlobList,
    /// For each file, true if its name is a flow log's, or if the source names this very file.
    is_log: Vec<bool>,
    last: String,
    is_unordered: bool,
}

impl Files {
    /// Adds a file. It is held in less memory if it comes in name order.
    pub fn push(&mut self, is_log: bool, meta: ObjectMeta) {
        self.add(is_log, &blob(meta, true));
    }

    fn add(&mut self, is_log: bool, blob: &Blob) {
        self.is_unordered |= blob.location < self.last;
        self.last.clone_from(&blob.location);
        self.blobs.push(blob);
        self.is_log.push(is_log);
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.blobs.len()
    }

    /// Iterates over the files, each with whether it may be a log.
    pub fn iter(&self) -> impl Iterator<Item = (Blob, bool)> {
        self.blobs.iter().zip(self.is_log.iter().copied())
    }

    /// Keeps one name per file, in name order; links can give a file several names. A name in Azure's layout is
    /// preferred, otherwise the first one.
    pub fn once(self) -> Self {
        let ordered = if self.is_unordered { self.ordered() } else { self };
        let others = ordered.other_names();
        if others.is_empty() {
            return ordered;
        }
        let kept = ordered.iter().enumerate().filter(|(nr, _)| !others.contains(nr));
        kept.map(|(_, file)| file).collect()
    }

    fn ordered(&self) -> Self {
        let mut files: Vec<(Blob, bool)> = self.iter().collect();
        files.sort_unstable_by(|(a, _), (b, _)| a.location.cmp(&b.location));
        files.into_iter().collect()
    }

    /// Returns the indices of the names that are not kept.
    fn other_names(&self) -> HashSet<usize> {
        // Nearly all files have one name, so only those that may have several are looked at.
        let logs = || self.iter().enumerate().filter(|(_, (_, is_log))| *is_log).map(|(nr, (blob, _))| (nr, blob));
        let mut keys: Vec<(u64, usize)> = logs().map(|(nr, blob)| (hash(blob.identity(true).as_bytes()), nr)).collect();
        keys.sort_unstable();
        let shared = keys.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1).flatten();
        let shared: HashSet<usize> = shared.map(|(_, nr)| *nr).collect();
        if shared.is_empty() {
            return shared;
        }
        let mut kept: HashMap<String, (usize, bool)> = HashMap::new();
        let mut others = HashSet::new();
        for (nr, blob) in logs().filter(|(nr, _)| shared.contains(nr)) {
            let says_when = BlobPath::parse(&blob.location).is_some();
            match kept.get_mut(blob.identity(true)) {
                None => _ = kept.insert(blob.identity(true).to_owned(), (nr, says_when)),
                Some((best, best_says_when)) if says_when && !*best_says_when => {
                    others.insert(*best);
                    (*best, *best_says_when) = (nr, true);
                }
                Some(_) => _ = others.insert(nr),
            }
        }
        others
    }
}

impl FromIterator<(Blob, bool)> for Files {
    fn from_iter<I: IntoIterator<Item = (Blob, bool)>>(blobs: I) -> Self {
        let mut files = Self::default();
        blobs.into_iter().for_each(|(blob, is_log)| files.add(is_log, &blob));
        files
    }
}
