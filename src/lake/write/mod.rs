//! Writes rows to data files. Rows are sorted in memory a group at a time, so that memory does not grow with them. Files
//! that no commit names are not part of the lake.

mod chunk;
mod distinct;
mod file;
mod hybrid;
mod sort;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::Add;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::error::{LakeError, Result};
use super::place::Lake;
use file::OpenFile;

/// Rows per row group, which are held and sorted in memory: of new rows, and of rows that move.
const GROUP: usize = 96 << 10;
const MOVING_GROUP: usize = 96 << 10;
/// Bytes of rows from which a group is written, even if it has fewer rows.
const GROUP_BYTES: usize = 48 << 20;
/// Rows below which a batch is joined with others, because a batch takes tens of KB however few rows it has.
const SMALL: usize = 1024;
/// Maximum number of small batches that are joined. They are also joined at four times [`SMALL`] rows.
const JOINED: usize = 128;
/// Approximate bytes per row of a batch, whose texts are shared.
const ROW: usize = 300;
/// Number of groups that are sorted and encoded concurrently.
const LANES: usize = 2;
/// Size in bytes from which a file is not continued.
pub const LARGEST: u64 = 256 << 20;

/// Writes rows in any order to files of one day each.
pub struct Writer {
    shown: String,
    held: Vec<RecordBatch>,
    /// Batches of few rows.
    small: Vec<RecordBatch>,
    /// Rows and approximate bytes that are held.
    rows: usize,
    bytes: usize,
    /// Number of rows from which a group is written.
    group: usize,
    lanes: Vec<Lane>,
    next: usize,
    /// One permit per group that may be sorted and encoded, so that no others wait in memory.
    permits: Arc<Semaphore>,
    /// Whether the rows are new to the table, or only move.
    is_change: bool,
}

/// Rows that are sorted together. The permit is returned when they are written.
type Group = (Vec<RecordBatch>, OwnedSemaphorePermit);

/// Writes groups to files of its own.
struct Lane {
    /// Groups to write, and `None` to complete the files. Without it, they are abandoned.
    groups: mpsc::Sender<Option<Group>>,
    files: JoinHandle<Result<Vec<Add>>>,
}

impl Writer {
    /// Creates a writer of rows that are new to the table.
    pub fn new(lake: &Lake) -> Self {
        Self::with_lanes(lake, LANES, GROUP, true)
    }

    /// Creates a writer of rows that only move to other files, as few as possible.
    pub fn moving(lake: &Lake) -> Self {
        Self::with_lanes(lake, 1, MOVING_GROUP, false)
    }

    fn with_lanes(lake: &Lake, lanes: usize, group: usize, is_change: bool) -> Self {
        let lanes: Vec<Lane> = (0..lanes).map(|_| Lane::start(lake.clone())).collect();
        Self {
            shown: lake.shown().to_owned(),
            held: Vec::new(),
            small: Vec::new(),
            rows: 0,
            bytes: 0,
            group,
            permits: Arc::new(Semaphore::new(lanes.len())),
            lanes,
            next: 0,
            is_change,
        }
    }

    /// Takes rows with the schema [`super::columns::held`].
    pub async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        if batch.num_rows() >= SMALL {
            self.bytes += batch.num_rows() * ROW;
            self.held.push(batch);
        } else {
            self.small.push(batch);
            let rows: usize = self.small.iter().map(RecordBatch::num_rows).sum();
            if self.small.len() >= JOINED || rows >= 4 * SMALL {
                self.join_small()?;
            }
        }
        if self.rows >= self.group || self.bytes >= GROUP_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Joins the small batches.
    fn join_small(&mut self) -> Result<()> {
        if let Some(first) = self.small.first() {
            let joined = sort::joined(&first.schema(), &self.small);
            let joined = joined.map_err(|error| LakeError::failed(&self.shown, error))?;
            self.bytes += joined.get_array_memory_size();
            self.held.push(joined);
            self.small.clear();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.join_small()?;
        let group = std::mem::take(&mut self.held);
        (self.rows, self.bytes) = (0, 0);
        let lane = self.next;
        self.next = (self.next + 1) % self.lanes.len().max(1);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let is_sent = match (self.lanes.get(lane), permit) {
            (Some(lane), Ok(permit)) => lane.groups.send(Some((group, permit))).await.is_ok(),
            _ => false,
        };
        // A lane that ended has failed, and says why.
        if is_sent { Ok(()) } else { self.end().await.map(|_| ()) }
    }

    /// Writes the rest and returns the files.
    pub async fn finish(mut self) -> Result<Vec<Add>> {
        if self.rows > 0 {
            self.flush().await?;
        }
        let mut files = self.end().await?;
        files.iter_mut().for_each(|file| file.data_change = self.is_change);
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    async fn end(&mut self) -> Result<Vec<Add>> {
        let lanes = std::mem::take(&mut self.lanes);
        for lane in &lanes {
            // A lane that failed takes nothing, and says why below.
            let _is_taken = lane.groups.send(None).await.is_ok();
        }
        let mut files = Vec::new();
        for Lane { files: written, .. } in lanes {
            files.extend(written.await.map_err(|error| LakeError::failed(&self.shown, error))??);
        }
        Ok(files)
    }
}

impl Lane {
    fn start(lake: Lake) -> Self {
        let (groups, mut received) = mpsc::channel::<Option<Group>>(1);
        let files = tokio::task::spawn_blocking(move || {
            let mut open: HashMap<i32, OpenFile> = HashMap::new();
            let mut done = Vec::new();
            let abandoned = || LakeError::failed(lake.shown(), "the files were abandoned");
            while let Some((group, _permit)) = received.blocking_recv().ok_or_else(abandoned)? {
                let failed = |error| LakeError::failed(lake.shown(), error);
                let sorted = sort::Sorted::new(group).map_err(failed)?;
                for (day, rows) in sorted.days() {
                    let mut file = match open.remove(&day) {
                        Some(file) => file,
                        None => OpenFile::create(&lake, day)?,
                    };
                    file.write(&sorted, rows)?;
                    if file.size() >= LARGEST {
                        done.push(file.close()?);
                    } else {
                        open.insert(day, file);
                    }
                }
            }
            for file in open.into_values() {
                done.push(file.close()?);
            }
            Ok(done)
        });
        Self { groups, files }
    }
}
