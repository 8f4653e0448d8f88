//! Runs one query and writes its rows as they arrive, until it ends or is interrupted.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use futures::StreamExt;
use tokio::select;
use tracing::debug;

use super::{Interrupt, Paged, Pager};
use crate::engine::{InputSummary, Planned, QueryError, RowStream};
use crate::report::rows::{Layout, Out, Wants, writer};

/// Outcome of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Rows that were written.
    pub rows: u64,
    /// Whether Ctrl-C or a termination signal ended it.
    pub is_interrupted: bool,
    /// Whether the reader closed the pipe.
    pub is_closed: bool,
}

/// Failure to answer a query.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its rows could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Returns standard output that drops `bar` before the first byte, because both may be the same terminal. Output that is
/// longer than the screen goes through `pager`, if there is one.
pub fn stdout_after<B: Send + 'static>(bar: B, pager: Option<Pager>) -> Out {
    let out: Out = match pager {
        Some(pager) => Box::new(Paged::new(pager, io::stdout())),
        None => Box::new(io::stdout()),
    };
    Box::new(BufWriter::with_capacity(64 << 10, After { bar: Some(bar), out }))
}

struct After<B> {
    bar: Option<B>,
    out: Out,
}

impl<B> Write for After<B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar = None;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Runs a query and writes its rows. Its scans are dropped however it ends.
pub async fn show(query: Planned, layout: Layout, out: Out, interrupt: &Interrupt) -> Result<Shown, ShowError> {
    let layout = Layout { is_explain: query.is_explain(), ..layout };
    let answer = query.run()?;
    select! {
        biased;
        () = interrupt.next() => Ok(Shown { is_interrupted: true, ..Shown::default() }),
        written = write(answer, layout, out) => match written {
            Err(ShowError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Shown { is_closed: true, ..Shown::default() })
            }
            rows => Ok(Shown { rows: rows?, ..Shown::default() }),
        },
    }
}

/// Writes the rows and returns their number.
async fn write(mut answer: RowStream, layout: Layout, out: Out) -> Result<u64, ShowError> {
    let max_rows = layout.max_rows as u64;
    let mut writer = writer(layout, &answer.schema, out)?;
    let mut rows = 0;
    while let Some(batch) = answer.rows.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        if writer.write(&batch)? == Wants::Nothing {
            rows = max_rows;
            break;
        }
    }
    writer.finish()?;
    debug!(rows, "wrote the rows of a query");
    Ok(rows)
}

/// Returns the line with the row count and time of a result.
pub fn row_count_line(rows: u64, time: Duration) -> String {
    let s = if rows == 1 { "" } else { "s" };
    format!("{rows} row{s} in {:.3} s", time.as_secs_f64())
}

/// Returns a warning if results may be incomplete, or `None` if everything read so far was readable.
pub fn incomplete_warning(input: &InputSummary) -> Option<String> {
    let (blobs, records) = (input.unreadable_blobs, input.counts.bad_records);
    (blobs + records > 0).then(|| {
        format!(
            "results may be incomplete: {blobs} blobs could not be read to the end and {records} records are damaged; SELECT * FROM problems lists them"
        )
    })
}
