//! Reports in files and blobs, in the format that the ending names.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::{Attribute, Attributes, ObjectStore, PutOptions};

use super::digest::filled;
use super::error::{DeliveryError, Receipt};
use super::message::Message;
use super::outcome::Outcome;
use crate::answer::{Leftovers, NewFile};
use crate::job::config::secret::Place;
use crate::report::sink::visible;
use crate::report::{Document, Format, Style, report};
use crate::source::{Environment, Source, Stores};

/// Returns the report, or `None` without an analysis. Fails if the format cannot express it.
pub fn compose(path: &Place, outcome: &Outcome) -> Option<io::Result<Vec<u8>>> {
    let format = Format::of_file(Path::new(path.without_query())).unwrap_or(Format::Json);
    let analysis = outcome.analysis?;
    let mut bytes = Vec::new();
    Some(
        report(format, Style { clock: outcome.clock, ..Style::PLAIN })
            .write(&Document { analysis, changes: outcome.changes }, &mut bytes)
            .map(|()| bytes),
    )
}

/// Writes the report to the place that `path` names for this run.
pub async fn send(
    path: &Place,
    message: &Message,
    body: Vec<u8>,
    stores: &Stores,
    environment: &Environment,
    leftovers: &Leftovers,
) -> Result<Receipt, DeliveryError> {
    let shown = filled(path.without_query(), &message.instance, message.at);
    if path.is_address() {
        let query = path.expose().strip_prefix(path.without_query()).unwrap_or_default();
        upload(&format!("{shown}{query}"), &shown, body, stores, environment).await?;
    } else {
        let (target, leftovers) = (PathBuf::from(&shown), leftovers.clone());
        let written = tokio::task::spawn_blocking(move || write(&target, &body, &leftovers)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| unwritten(&shown, &error))?;
    }
    Ok(Receipt { tries: 1, words: format!("{} was written", visible(&shown)) })
}

/// Writes the whole file or nothing, and the folders above it.
fn write(path: &Path, bytes: &[u8], leftovers: &Leftovers) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let file = NewFile::create(path, leftovers)?;
    let mut out = file.writer()?;
    io::Write::write_all(&mut out, bytes)?;
    io::Write::flush(&mut out)?;
    file.keep()
}

/// Uploads a blob. The store retries by itself.
async fn upload(
    address: &str,
    shown: &str,
    body: Vec<u8>,
    stores: &Stores,
    environment: &Environment,
) -> Result<(), DeliveryError> {
    let refused = |why: String| DeliveryError::Refused(format!("cannot write {}: {why}", visible(shown)));
    let sources = Source::matching(address, environment).map_err(|error| refused(error.to_string()))?;
    let [source] = sources.as_slice() else {
        return Err(refused("the address names no container: write https://ACCOUNT.blob.../CONTAINER/NAME".to_owned()));
    };
    let path = object_store::path::Path::parse(&source.prefix)
        .map_err(|_| refused("no blob can have this name".to_owned()))?;
    if path.as_ref().is_empty() {
        return Err(refused("the address names no blob: write https://ACCOUNT.blob.../CONTAINER/NAME".to_owned()));
    }
    let opened = stores.open(source).map_err(|error| refused(error.to_string()))?;
    let kind = Format::of_file(Path::new(path.as_ref())).map_or("application/octet-stream", media_type);
    let options =
        PutOptions { attributes: Attributes::from_iter([(Attribute::ContentType, kind)]), ..PutOptions::default() };
    match opened.objects.put_opts(&path, Bytes::from(body).into(), options).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = format!("cannot write {}: {}", visible(shown), opened.error(&error, shown));
            match error {
                object_store::Error::NotFound { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. } => Err(DeliveryError::Refused(why)),
                _ => Err(DeliveryError::Transient(why)),
            }
        }
    }
}

/// Returns the media type of a format, so that browsers show a blob instead of saving it.
fn media_type(format: Format) -> &'static str {
    match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json | Format::Sarif => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Html => "text/html; charset=utf-8",
        Format::Markdown => "text/markdown; charset=utf-8",
        Format::Junit => "application/xml",
        Format::Parquet => "application/vnd.apache.parquet",
    }
}

/// Returns the error of a file. A wrong path or a missing permission stays wrong; a full disk does not.
pub fn unwritten(path: &str, error: &io::Error) -> DeliveryError {
    use io::ErrorKind::{
        AlreadyExists, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let why = format!("cannot write {}: {error}", visible(path));
    match error.kind() {
        AlreadyExists | InvalidInput | IsADirectory | NotADirectory | NotFound | PermissionDenied
        | ReadOnlyFilesystem => DeliveryError::Refused(why),
        _ => DeliveryError::Transient(why),
    }
}
