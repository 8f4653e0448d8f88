//! One answer on its way out: rows are written as they come, and a person can end it.

use std::io;

use futures::StreamExt;
use tokio::select;

use crate::engine::{Planned, QueryError};
use crate::report::rows::{Layout, Out, Wants, writer};

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Rows that were written.
    pub rows: u64,
    /// Ended by Ctrl-C or a request to terminate.
    pub is_interrupted: bool,
    /// Whoever read has seen enough.
    pub is_closed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Runs a query and writes its rows. What it reads is let go when it ends, however it ends.
pub async fn show(query: Planned, layout: Layout, out: Out) -> Result<Shown, ShowError> {
    let is_explain = query.is_explain();
    let mut answer = query.run()?;
    let mut shown = Shown::default();
    match write(&mut answer.rows, &answer.schema, Layout { is_explain, ..layout }, out, &mut shown).await {
        Err(ShowError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => shown.is_closed = true,
        other => other?,
    }
    Ok(shown)
}

async fn write(
    rows: &mut crate::engine::Rows,
    schema: &arrow::datatypes::SchemaRef,
    layout: Layout,
    out: Out,
    shown: &mut Shown,
) -> Result<(), ShowError> {
    let max_rows = layout.max_rows as u64;
    let mut writer = writer(layout, schema, out)?;
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    loop {
        let batch = select! {
            biased;
            () = &mut interrupted => {
                shown.is_interrupted = true;
                return Ok(());
            }
            next = rows.next() => match next {
                Some(batch) => batch?,
                None => break,
            },
        };
        shown.rows += batch.num_rows() as u64;
        if writer.write(&batch)? == Wants::Nothing {
            shown.rows = max_rows;
            break;
        }
    }
    Ok(writer.finish()?)
}

/// Ready at Ctrl-C, or where the system asks the process to end.
async fn interrupted() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    select! {
        Ok(()) = tokio::signal::ctrl_c() => (),
        _ = terminated => (),
    }
}
