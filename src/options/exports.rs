//! Options of configuration and platform truth: places of exports, and reading them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::catalog::text_file;
use crate::findings::configured::Configuration;
use crate::names::names;
use crate::platform::{Recordings, read_status};
use crate::policy::{ExportError, Policy};
use crate::source::{Access, Document, Selection, Source, SourceError, Stores, documents};
use crate::time::{DAY, HOUR, TimeRange, Timestamp};

/// Container that Azure writes the activity log to.
const ACTIVITY_LOGS: [&str; 1] = ["insights-activity-logs"];
/// Time before the window in which a change may have begun the first refusals, and an hour for late records.
const BEFORE: i64 = DAY + HOUR;
/// Time after the window in which records of changes arrive.
const AFTER: i64 = 2 * HOUR;

/// Places of exports: files, folders, or addresses of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExportOptions {
    /// Rules and routes.
    pub nsg: Vec<String>,
    /// Network status of the instance.
    pub network_status: Vec<String>,
    /// Recorded changes.
    pub activity_log: Vec<String>,
}

/// Kind of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// Rules and routes.
    Nsg,
    /// Network status of the instance.
    NetworkStatus,
    /// Recorded changes.
    ActivityLog,
}

names!(ExportKind { Nsg = "nsg", NetworkStatus = "network-status", ActivityLog = "activity-log" });

/// An export that cannot be used. The message names its place, without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ExportsError {
    /// Kind of the export.
    pub kind: ExportKind,
    /// What is wrong.
    pub reason: ExportFault,
}

/// What is wrong with an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// Its content.
    #[error(transparent)]
    Content(#[from] ExportError),
    /// The store, or access to it.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl ExportOptions {
    /// Reads the exports. Of blobs in Azure's layout of hours, those are read that may hold changes of `window`.
    pub async fn open(&self, access: Access, window: TimeRange) -> Result<Configuration, ExportsError> {
        let of = |kind| move |reason| ExportsError { kind, reason };
        let reader = ExportReader { environment: access.environment.clone(), stores: Stores::new(access) };
        let mut configuration = Configuration::default();
        let all = Selection::default();
        let mut policy = Policy::default();
        for place in &self.nsg {
            let add = |name: &str, text: &str| {
                policy = std::mem::take(&mut policy).add_text(name, text)?;
                Ok(())
            };
            reader.read(place, &[], &all, add).await.and_then(Read::whole).map_err(of(ExportKind::Nsg))?;
        }
        configuration.policy = (!self.nsg.is_empty()).then_some(policy);
        for place in &self.network_status {
            let add = |name: &str, text: &str| {
                configuration.status.extend(read_status(name, text)?);
                Ok(())
            };
            reader.read(place, &[], &all, add).await.and_then(Read::whole).map_err(of(ExportKind::NetworkStatus))?;
        }
        let hours = Selection {
            from: window.from.map(|from| from.saturating_sub(BEFORE)),
            to: window.to.map(|to| to.saturating_add(AFTER)),
            ..Selection::default()
        };
        let mut changes = Recordings::default();
        for place in &self.activity_log {
            let add = |name: &str, text: &str| changes.add_text(name, text);
            let read = reader.read(place, &ACTIVITY_LOGS, &hours, add).await;
            let read = read.and_then(Read::any).map_err(of(ExportKind::ActivityLog))?;
            // Hours without any blob had no change.
            if let Some(hour) = read.hour {
                changes.cover(Timestamp(hour.max(hours.from.unwrap_or(hour))));
            }
            changes.unread.extend(read.lost.iter().map(ToString::to_string));
        }
        configuration.changes = (!self.activity_log.is_empty()).then(|| changes.sorted());
        Ok(configuration)
    }
}

/// Reads the documents of places.
struct ExportReader {
    environment: crate::source::Environment,
    stores: Stores,
}

/// What was read of a place.
#[derive(Default)]
struct Read {
    documents: usize,
    lost: Vec<ExportFault>,
    /// First hour in the paths, in ms since 1970.
    hour: Option<i64>,
}

impl Read {
    /// Fails if a document is lost.
    fn whole(mut self) -> Result<Self, ExportFault> {
        if self.lost.is_empty() { Ok(self) } else { Err(self.lost.swap_remove(0)) }
    }

    /// Fails if every document is lost.
    fn any(self) -> Result<Self, ExportFault> {
        if self.documents > 0 { Ok(self) } else { self.whole() }
    }
}

impl ExportReader {
    /// Passes the name and text of each document of a place to `add`. An account stands for `containers`.
    async fn read(
        &self,
        place: &str,
        containers: &[&str],
        selection: &Selection,
        mut add: impl FnMut(&str, &str) -> Result<(), ExportError>,
    ) -> Result<Read, ExportFault> {
        let mut read = Read::default();
        let mut take = |name: &str, bytes: &[u8]| {
            let text = text_file::decode(bytes).map_err(|reason| ExportError::new(name, reason));
            match text.and_then(|text| add(name, &text)) {
                Ok(()) => read.documents += 1,
                Err(error) => read.lost.push(error.into()),
            }
        };
        let path = Path::new(place);
        // A single file may be a pipe, which has no place in a store.
        if !place.contains("://") && !path.is_dir() {
            let bytes = text_file::read(path).map_err(|reason| ExportError::new(place, reason))?;
            take(place, &bytes);
            return Ok(read);
        }
        let mut lost = Vec::new();
        let mut first = None;
        for source in Source::matching_in(place, &self.environment, containers)? {
            let opened = self.stores.open(&source)?;
            let each = |Document { name, bytes }| match bytes {
                Ok(bytes) => take(&name, &bytes),
                Err(error) => lost.push(ExportFault::Source(error)),
            };
            let hour = documents(&opened, &source, selection, text_file::MOST_BYTES as usize, each).await?;
            first = first.into_iter().chain(hour).min();
        }
        read.lost.extend(lost);
        read.hour = first;
        Ok(read)
    }
}
