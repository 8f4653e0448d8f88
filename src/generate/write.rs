//! Writes blobs and the truth file to disk: takes a folder and a plan, and returns statistics. Knows neither tuples
//! nor JSON.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::background::HOUR_MS;
use super::layout::Layout;
use super::planted::{Planted, minute, planted};
use super::record::{HEAD, RecordWriter, TAIL, Texts};
use super::truth::{TRUTH_FILE, Truth, lines};
use super::{Plan, Written};

/// Buffer size in bytes above which the buffer is written, at the end of a minute.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the archive into the new folder `dir`, and the truth into `TRUTH_FILE` there. Threads take blobs in order,
/// hour by hour.
pub fn write(dir: &Path, plan: &Plan) -> io::Result<Written> {
    let layout = Layout::new(plan);
    fs::create_dir_all(dir)?;
    let archive = Archive {
        dir,
        texts: Texts::new(&layout),
        truth: Mutex::new(Truth::new(File::create(dir.join(TRUTH_FILE))?)),
        layout: &layout,
    };
    let interfaces = layout.interfaces.len();
    // The last minute is flushed in the hour after the last.
    let blobs = (plan.hours as usize + 1) * interfaces;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Written> {
        let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
        let mut written = Written::default();
        loop {
            let blob = next.fetch_add(1, Ordering::Relaxed);
            if blob >= blobs {
                return Ok(written);
            }
            match archive.blob(blob, &mut buffer) {
                Ok(one) => written.add(one),
                Err(error) => {
                    // No further blob is started.
                    next.store(blobs, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let mut written = Written::default();
    thread::scope(|scope| -> io::Result<()> {
        let workers: Vec<_> = (0..plan.threads.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            written.add(worker.join().expect("a writer panicked")?);
        }
        Ok(())
    })?;
    archive.truth.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
    Ok(written)
}

impl Written {
    fn add(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.tuples += other.tuples;
        self.planted += other.planted;
    }
}

struct Archive<'a> {
    dir: &'a Path,
    layout: &'a Layout<'a>,
    texts: Texts,
    truth: Mutex<Truth>,
}

impl Archive<'_> {
    /// Writes the blob with this number, by flush hour, then interface. A blob without tuples gets no file.
    fn blob(&self, blob: usize, buffer: &mut Vec<u8>) -> io::Result<Written> {
        let (layout, plan) = (self.layout, self.layout.plan);
        let interfaces = layout.interfaces.len();
        let (hour, interface) = ((blob / interfaces) as u32, blob % interfaces);
        let now = if hour < plan.hours { planted(layout, interface, hour) } else { Vec::new() };
        let truth = lines(layout, &self.texts, interface, hour, &now)?;
        self.truth.lock().unwrap_or_else(PoisonError::into_inner).add(blob, truth)?;
        let mut tuples = if hour > 0 { planted(layout, interface, hour - 1) } else { Vec::new() };
        let planted_before = tuples.partition_point(|tuple| minute(layout, tuple) % 60 < 59);
        tuples.drain(..planted_before);
        tuples.extend(now.iter().take_while(|tuple| minute(layout, tuple) % 60 < 59));
        let path = self.dir.join(self.texts.path(plan.kind, &layout.interfaces[interface], self.hour(hour)));
        buffer.clear();
        let mut file = BlobFile { path, file: None, bytes: 0 };
        let written = self.records(hour, interface, &tuples, buffer, &mut file)?;
        Ok(Written { planted: now.len() as u64, bytes: file.bytes, ..written })
    }

    /// Returns the hour since 1970 for an hour of the archive.
    fn hour(&self, hour: u32) -> u64 {
        self.layout.plan.start_ms / HOUR_MS + u64::from(hour)
    }

    /// Writes the records flushed in an hour: the last minute before it, and its own minutes except the last.
    fn records(
        &self,
        hour: u32,
        interface: usize,
        mut planted: &[Planted],
        buffer: &mut Vec<u8>,
        file: &mut BlobFile,
    ) -> io::Result<Written> {
        let first = (u64::from(hour) * 60).saturating_sub(1);
        let end = if hour < self.layout.plan.hours { u64::from(hour) * 60 + 59 } else { u64::from(hour) * 60 };
        buffer.extend_from_slice(HEAD);
        let mut writer = RecordWriter::new(self.layout, &self.texts, interface, buffer);
        for now in first..end {
            let mine;
            (mine, planted) = planted.split_at(planted.partition_point(|tuple| minute(self.layout, tuple) <= now));
            writer.minute(now, mine);
            if writer.out.len() > BUFFER_BYTES {
                file.append(writer.out)?;
            }
        }
        let (has_records, tuples) = (writer.has_records, writer.tuples);
        if !has_records {
            return Ok(Written::default());
        }
        buffer.extend_from_slice(TAIL);
        file.append(buffer)?;
        Ok(Written { blobs: 1, tuples, ..Written::default() })
    }
}

/// File of a blob, created at the first write.
struct BlobFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl BlobFile {
    /// Writes the buffer to the file and empties it.
    fn append(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                self.file.insert(File::create(&self.path)?)
            }
        };
        file.write_all(buffer)?;
        self.bytes += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }
}
