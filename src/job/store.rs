//! Where a job keeps its state: named documents in a folder or in a container. Two runs at a time lose nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::path::Path as BlobName;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};

use super::deliver::Entries;
use crate::source::{Access, Source, Stores};

/// Time for which a run waits for another one that uses the same folder.
const PATIENCE: Duration = Duration::from_secs(60);
/// Folder of the messages.
const OUTBOX: &str = "outbox";
/// Start of the names of temporary files.
const TEMPORARY: &str = ".tmp";

/// A place for documents.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns a document and its version; `None` if there is none.
    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Writes a document that survives a crash. Returns false, and writes nothing, if its version is no longer
    /// `expected`; `None` expects that there is none.
    async fn replace(&self, name: &str, bytes: &[u8], expected: Option<&Version>) -> Result<bool, StoreError>;

    /// Writes a document that survives a crash, whatever was there.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Returns the names of the documents in `folder`, in order.
    async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;

    /// Deletes a document if it is there.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}

/// Version of a document, as its store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Option<String>);

/// A document that cannot be read or written. The message names the place and no secret.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct StoreError {
    place: String,
    reason: String,
}

/// Opens the store of a job. For a folder, waits for other runs.
pub async fn open(place: &str, access: Access) -> Result<Arc<dyn Store>, StoreError> {
    match place.contains("://") {
        true => container(place, access),
        false => Ok(Arc::new(Folder::open(PathBuf::from(place)).await?)),
    }
}

/// Opens the store of a job for a run that writes nothing. Creates no folder, and does not wait.
pub fn open_to_read(place: &str, access: Access) -> Result<Arc<dyn Store>, StoreError> {
    match place.contains("://") {
        true => container(place, access),
        false => Ok(Arc::new(Folder { path: PathBuf::from(place), _lock: None })),
    }
}

fn container(place: &str, access: Access) -> Result<Arc<dyn Store>, StoreError> {
    // The address may carry a signature, so errors show what the source shows.
    let source = Source::matching(place, &access.environment)
        .map_err(|error| StoreError { place: "state".to_owned(), reason: error.to_string() })?;
    let [source] = source.as_slice() else {
        return Err(StoreError {
            place: "state".to_owned(),
            reason: "name one container, or one folder in it".to_owned(),
        });
    };
    let shown = source.shown.to_string();
    let opened = Stores::new(access).open(source);
    let objects = opened.map_err(|error| StoreError { place: shown.clone(), reason: error.to_string() })?.objects;
    Ok(Arc::new(Container { objects, folder: BlobName::from(source.prefix.as_str()), shown }))
}

/// The messages that wait to be sent, beside the states.
pub struct Outbox(pub Arc<dyn Store>);

impl Outbox {
    fn name(name: &str) -> String {
        format!("{OUTBOX}/{name}")
    }
}

#[async_trait]
impl Entries for Outbox {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.0.put(&Self::name(name), &bytes).await.map_err(io::Error::other)
    }

    async fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        let found = self.0.get(&Self::name(name)).await.map_err(io::Error::other)?;
        found.map(|(bytes, _)| bytes).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        let names = self.0.list(OUTBOX).await.map_err(io::Error::other)?;
        Ok(names.iter().filter_map(|name| Some(name.rsplit('/').next()?.to_owned())).collect())
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        self.0.delete(&Self::name(name)).await.map_err(io::Error::other)
    }
}

/// A folder on this machine, which one run at a time uses.
struct Folder {
    path: PathBuf,
    /// Held until the run ends; `None` for a run that only reads.
    _lock: Option<File>,
}

impl Folder {
    async fn open(path: PathBuf) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError { place: path.display().to_string(), reason };
        let made = create_private(&path).and_then(|()| File::create(path.join("lock")));
        let lock = made.map_err(|error| fault(error.to_string()))?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::Error(error)) => return Err(fault(error.to_string())),
                Err(fs::TryLockError::WouldBlock) if started.elapsed() > PATIENCE => {
                    return Err(fault(
                        "another run has used this state for over a minute: let it end first".to_owned(),
                    ));
                }
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        for folder in [path.clone(), path.join(OUTBOX)] {
            remove_leftovers(&folder).map_err(|error| fault(error.to_string()))?;
        }
        Ok(Self { path, _lock: Some(lock) })
    }

    fn fault(&self, name: &str, error: &io::Error) -> StoreError {
        StoreError { place: self.path.join(name).display().to_string(), reason: error.to_string() }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.path.join(name);
        let folder = target.parent().unwrap_or(&self.path);
        create_private(folder)?;
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        sync_folder(folder)
    }
}

#[async_trait]
impl Store for Folder {
    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        match fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some((bytes, Version(None)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    async fn replace(&self, name: &str, bytes: &[u8], _: Option<&Version>) -> Result<bool, StoreError> {
        // The lock of the folder keeps other runs away.
        self.put(name, bytes).await.map(|()| true)
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(name, bytes).map_err(|error| self.fault(name, &error))
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(self.path.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.fault(folder, &error)),
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(|error| self.fault(folder, &error))?;
        // Another run may be writing one.
        names.retain(|name| !name.starts_with(TEMPORARY));
        names.sort_unstable();
        Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.fault(name, &error)),
            _ => Ok(()),
        }
    }
}

/// A container, or a folder in one. Versions are ETags.
struct Container {
    objects: Arc<dyn ObjectStore>,
    folder: BlobName,
    shown: String,
}

impl Container {
    fn name(&self, name: &str) -> BlobName {
        name.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }

    fn fault(&self, name: &str, error: &object_store::Error) -> StoreError {
        let reason = match error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                "no permission: the identity needs the role Storage Blob Data Contributor".to_owned()
            }
            error => error.to_string(),
        };
        StoreError { place: format!("{}/{name}", self.shown.trim_end_matches('/')), reason }
    }

    async fn write(&self, name: &str, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.objects.put_opts(&self.name(name), bytes.to_vec().into(), options).await.map(|_| ())
    }
}

#[async_trait]
impl Store for Container {
    async fn get(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let read = async {
            let found = self.objects.get(&self.name(name)).await?;
            let version = Version(found.meta.e_tag.clone());
            Ok::<_, object_store::Error>((found.bytes().await?.to_vec(), version))
        };
        match read.await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: Option<&Version>) -> Result<bool, StoreError> {
        let mode = match expected {
            None => PutMode::Create,
            Some(Version(e_tag)) => PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: None }),
        };
        match self.write(name, bytes, mode).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(name, bytes, PutMode::Overwrite).await.map_err(|error| self.fault(name, &error))
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let found: Vec<_> = self
            .objects
            .list(Some(&self.name(folder)))
            .try_collect()
            .await
            .map_err(|error| self.fault(folder, &error))?;
        let mut names: Vec<String> =
            found.iter().filter_map(|found| Some(format!("{folder}/{}", found.location.filename()?))).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.name(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(name, &error)),
        }
    }
}

/// Removes the temporary files of runs that were killed.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Creates a folder that only its owner can read.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the names in a folder survive a crash, where folders can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(path)?.sync_all(),
        false => Ok(()),
    }
}
