//! The address of a lake, and the store behind it.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::durable::DurableFiles;
use super::error::{LakeError, Result};
use super::remote::RemoteFiles;
use crate::source::{Access, Source, SourceError, StoreKey, Stores, redacted};

/// Folder of the log of a Delta table.
pub(super) const LOG: &str = "_delta_log";

/// A place for a lake: a folder on this machine, or one in a container. Thread-safe; clones share the store.
#[derive(Clone)]
pub struct Lake {
    shown: String,
    objects: Arc<dyn ObjectStore>,
    log: LogStoreRef,
    /// Container of a lake in Blob Storage; `None` on this machine.
    container: Option<StoreKey>,
    /// Path on this machine, or in the container.
    folder: PathBuf,
}

impl Lake {
    /// Opens an address: a folder, or an address of Blob Storage with a container. Writes nothing yet.
    pub fn open(address: &str, access: Access) -> Result<Self> {
        let shown = redacted(address).trim_end_matches('/').to_owned();
        if address.contains("://") {
            let sources = Source::matching(address, &access.environment)?;
            let [source] = sources.as_slice() else {
                return Err(LakeError::failed(&shown, "a lake is in one container: name it, and a folder in it"));
            };
            let store = Stores::new(access).open(source)?.objects;
            return Ok(Self { shown, ..Self::of_source(source, &store)? });
        }
        let folder = local_folder(FilePath::new(address), &shown)?;
        let objects = local_store(&shown, &folder)?;
        Self::over(shown, objects, None, folder)
    }

    /// Opens a source that is a lake. A remote one is read through the store of the source.
    pub fn of_source(source: &Source, store: &Arc<dyn ObjectStore>) -> Result<Self> {
        let objects: Arc<dyn ObjectStore> = match source.is_local() {
            true => local_store(&source.shown, FilePath::new(&source.prefix))?,
            false => Arc::new(RemoteFiles::new(Arc::clone(store), &source.prefix)),
        };
        let container = (!source.is_local()).then(|| source.store.clone());
        Self::over(source.shown.clone(), objects, container, PathBuf::from(&source.prefix))
    }

    fn over(
        shown: String,
        objects: Arc<dyn ObjectStore>,
        container: Option<StoreKey>,
        folder: PathBuf,
    ) -> Result<Self> {
        let root = Url::parse("flowgap:///").map_err(|error| LakeError::failed(&shown, error))?;
        let log = default_logstore(Arc::clone(&objects), Arc::clone(&objects), &root, &StorageConfig::default());
        Ok(Self { shown, objects, log, container, folder })
    }

    /// Returns the address as shown, without a secret.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns whether the lake is on this machine.
    pub fn is_local(&self) -> bool {
        self.container.is_none()
    }

    /// Fails if the lake is one of the sources, or in the folder of one.
    pub fn refuse_in(&self, sources: &[Source]) -> Result<()> {
        let holds = |source: &&Source| {
            let is_same_store = match &self.container {
                None => source.is_local(),
                Some(container) => *container == source.store,
            };
            is_same_store && !source.is_pattern() && self.folder.starts_with(&source.prefix)
        };
        match sources.iter().find(holds) {
            None => Ok(()),
            Some(source) => Err(LakeError::InSource { shown: self.shown.clone(), logs: source.shown.clone() }),
        }
    }

    /// Returns the store, whose root is the folder of the lake.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Returns whether there is a Delta table, of whatever program. Reads no more than a list.
    pub async fn is_table(&self) -> Result<bool> {
        let log = Path::from(LOG);
        match self.objects.list_with_delimiter(Some(&log)).await {
            Ok(listed) => Ok(listed.objects.iter().any(|object| {
                object.location.filename().is_some_and(|name| name.ends_with(".json") || name.ends_with(".parquet"))
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(LakeError::of_store(&self.shown, &error)),
        }
    }

    pub(super) fn log(&self) -> &LogStoreRef {
        &self.log
    }

    /// Reads a whole object. Its size is asked for first, because the HTTP client limits answers of unknown size.
    pub(super) async fn get(&self, path: &Path) -> object_store::Result<bytes::Bytes> {
        let size = self.objects.head(path).await?.size;
        if size == 0 { Ok(bytes::Bytes::new()) } else { self.objects.get_range(path, 0..size).await }
    }
}

/// Returns the path of a source in its store.
pub fn source_root(source: &Source) -> object_store::Result<Path> {
    let path = match source.is_local() {
        true => Path::from_absolute_path(&source.prefix),
        false => Path::from_url_path(&source.prefix),
    };
    Ok(path?)
}

/// Returns whether a source is a Delta table.
pub async fn is_table(source: &Source, store: &dyn ObjectStore) -> bool {
    if source.is_local() {
        return !source.is_pattern() && FilePath::new(&source.prefix).join(LOG).is_dir();
    }
    let Ok(root) = source_root(source) else { return false };
    // A store that refuses the list refuses that of the source too, which reports it.
    let log = root.join(LOG);
    let first = store.list(Some(&log)).next().await;
    matches!(first, Some(Ok(found)) if found.location.prefix_matches(&log))
}

/// Returns the full path of a folder that need not exist, without links.
fn local_folder(address: &FilePath, shown: &str) -> Result<PathBuf> {
    let failed = |reason| SourceError::Local { source_text: shown.to_owned(), reason };
    let folder = std::path::absolute(address).map_err(failed)?;
    let Some(existing) = folder.ancestors().find(|path| path.exists()) else { return Ok(folder) };
    if !existing.is_dir() {
        let file = existing.display().to_string();
        return Err(LakeError::NotFolder { shown: shown.to_owned(), file });
    }
    let missing = folder.strip_prefix(existing).unwrap_or(FilePath::new(""));
    Ok(missing.iter().fold(existing.canonicalize().map_err(failed)?, |path, part| path.join(part)))
}

fn local_store(shown: &str, folder: &FilePath) -> Result<Arc<dyn ObjectStore>> {
    let store = DurableFiles::new(folder.to_owned()).map_err(|error| LakeError::of_store(shown, &error))?;
    Ok(Arc::new(store))
}
