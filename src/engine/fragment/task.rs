//! Tasks: parts of the input of a fragment, and the receipts that each must give.

use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::frame::{external, packed, unpacked};
use crate::engine::scan::receipt::Receipt;
use crate::engine::scan::unit::{ScanUnit, UnitContents};
use crate::time::TimeRange;

/// Range of the bytes of input per task. Small archives are cut too, so that several executors share them.
const SIZE: std::ops::Range<u64> = 16 << 20..512 << 20;
/// Number of tasks of a large archive. Each costs the process that merges them up to 0.1 s.
const MOST: u64 = 2048;

/// Input of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Scan units.
    Units(Vec<ScanUnit>),
    /// Parts of the files of a lake.
    Files(Vec<FilePart>),
}

/// Part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Path of the file in its store.
    pub path: String,
    /// Size of the file.
    pub size: u64,
    /// Bytes in which the row groups to read start; `None` for the whole file.
    pub range: Option<(i64, i64)>,
}

/// Part of the input that gives one receipt: name, ETag and start.
pub type Part = (String, Option<String>, u64);

impl Load {
    /// Cuts the files of a scan into tasks.
    pub fn cut(config: &FileScanConfig) -> Vec<Self> {
        let files = || config.file_groups.iter().flat_map(FileGroup::iter);
        let total: u64 = files().map(weight).sum();
        let most = (total / 8).clamp(SIZE.start, SIZE.end).max(total / MOST);
        let (mut loads, mut size) = (Vec::<Self>::new(), 0);
        for file in files() {
            let is_full = size > 0 && size + weight(file) > most;
            if is_full {
                size = 0;
            }
            size += weight(file);
            match file.extensions.get::<Arc<ScanUnit>>() {
                Some(unit) => match loads.last_mut() {
                    Some(Self::Units(units)) if !is_full => units.push((**unit).clone()),
                    _ => loads.push(Self::Units(vec![(**unit).clone()])),
                },
                None => match loads.last_mut() {
                    Some(Self::Files(parts)) if !is_full => parts.push(FilePart::of(file)),
                    _ => loads.push(Self::Files(vec![FilePart::of(file)])),
                },
            }
        }
        loads
    }

    /// Returns the files of a scan of this input.
    pub fn files(&self) -> Result<FileGroup> {
        let files: Result<Vec<PartitionedFile>> = match self {
            Self::Units(units) => units.iter().map(|unit| Ok(file_of(Arc::new(unit.clone())))).collect(),
            Self::Files(parts) => parts.iter().map(FilePart::file).collect(),
        };
        files.map(FileGroup::new)
    }

    /// Returns paths of blobs at its start, middle and end.
    pub fn samples(&self) -> Vec<String> {
        let mut paths = match self {
            Self::Units(units) => [0, units.len() / 2, units.len().saturating_sub(1)]
                .map(|at| units.get(at).map(ScanUnit::location))
                .into_iter()
                .flatten()
                .collect(),
            Self::Files(parts) => parts.first().map(|part| part.path.clone()).into_iter().collect::<Vec<_>>(),
        };
        paths.retain(|path| !path.is_empty());
        paths.dedup();
        paths
    }

    /// Returns the stored bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Units(units) => units.iter().map(ScanUnit::size).sum(),
            Self::Files(parts) => parts.iter().map(FilePart::size).sum(),
        }
    }

    /// Returns the parts whose receipts a scan for flows of `times` gives, in order of their names. A lake has its receipts
    /// already, and a look gives none.
    pub fn expected(&self, times: TimeRange) -> Vec<Part> {
        let Self::Units(units) = self else { return Vec::new() };
        let mut parts = Vec::new();
        for unit in units {
            let unit = Arc::new(unit.clone()).within(times);
            let name = |location: &str| unit.shown.name(location);
            match &unit.reading {
                UnitContents::Whole(blobs) => {
                    parts.extend(blobs.iter().map(|blob| (name(&blob.location), blob.e_tag, 0)));
                }
                UnitContents::Start { .. } => {}
                UnitContents::Piece { blob, start, .. } => {
                    parts.push((name(&blob.location), blob.e_tag.clone(), *start));
                }
                UnitContents::Members(members) => {
                    parts.extend(members.iter().map(|member| (name(&member.blob.location), member.blob.e_tag, 0)));
                }
            }
        }
        parts.sort_unstable();
        parts
    }

    /// Returns its bytes.
    pub fn encode(&self) -> Result<Bytes> {
        packed(&serde_json::to_vec(self).map_err(external)?)
    }

    /// Reads its bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(&unpacked(bytes)?).map_err(external)
    }
}

/// Returns the parts that receipts are for, in order of their names.
pub fn parts_of(receipts: &[Receipt]) -> Vec<Part> {
    let mut parts: Vec<Part> =
        receipts.iter().map(|receipt| (receipt.blob.clone(), receipt.e_tag.clone(), receipt.start)).collect();
    parts.sort_unstable();
    parts
}

impl FilePart {
    fn of(file: &PartitionedFile) -> Self {
        let range = file.range.as_ref().map(|range| (range.start, range.end));
        Self { path: file.object_meta.location.to_string(), size: file.object_meta.size, range }
    }

    fn file(&self) -> Result<PartitionedFile> {
        let file = PartitionedFile::from(ObjectMeta {
            location: Path::parse(&self.path).map_err(|error| exec_datafusion_err!("{error}"))?,
            last_modified: DateTime::UNIX_EPOCH,
            size: self.size,
            e_tag: None,
            version: None,
        });
        Ok(match self.range {
            Some((start, end)) => file.with_range(start, end),
            None => file,
        })
    }

    fn size(&self) -> u64 {
        self.range.map_or(self.size, |(start, end)| u64::try_from(end - start).unwrap_or(0))
    }
}

/// Returns a unit as a file of a scan.
pub fn file_of(unit: Arc<ScanUnit>) -> PartitionedFile {
    let mut file = PartitionedFile::new(unit.location(), unit.size());
    file.extensions.insert(unit);
    file
}

fn weight(file: &PartitionedFile) -> u64 {
    match file.extensions.get::<Arc<ScanUnit>>() {
        Some(unit) => unit.size(),
        None => FilePart::of(file).size(),
    }
}
