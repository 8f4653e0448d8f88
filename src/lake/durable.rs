//! The local store of a lake. A file and its name are on disk before a write returns. An entry of the log appears whole
//! or not at all, and never replaces another one.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tempfile::NamedTempFile;

use super::failpoint::{self, Unsynced};
use super::unwritten::unwritten;

/// Start of the names of files that are being written.
pub const TEMPORARY: &str = ".writing-";

/// The folder of a lake as a store.
#[derive(Debug)]
pub struct DurableFiles {
    folder: PathBuf,
    files: PrefixStore<LocalFileSystem>,
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableFiles")
    }
}

impl DurableFiles {
    /// Creates the store of a folder, which need not exist.
    pub fn new(folder: PathBuf) -> Result<Self> {
        let files = PrefixStore::new(LocalFileSystem::new(), Path::from_absolute_path(&folder)?);
        Ok(Self { folder, files })
    }

    fn path(&self, location: &Path) -> PathBuf {
        location.parts().fold(self.folder.clone(), |path, part| path.join(part.as_ref()))
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (lake, path, name) = (self.folder.clone(), self.path(location), location.to_string());
        blocking(move || {
            let mut file = create(&lake, &path).map_err(generic)?;
            payload.iter().try_for_each(|part| file.write_all(part)).map_err(generic)?;
            match options.mode {
                PutMode::Overwrite => replace(file, &path).map_err(generic),
                PutMode::Create => link(file, &path, name),
                PutMode::Update(_) => Err(unsupported("put if unchanged")),
            }
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = self.path(location);
        let (lake, path) = (self.folder.clone(), target.clone());
        let file = blocking(move || create(&lake, &path).map_err(generic)).await?;
        Ok(Box::new(Upload { file: Arc::new(Mutex::new(Some(file))), target }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations).map_err(unwritten).boxed()
    }

    /// Lists files in the order of their names, on which readers of the log rely.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let found = self.files.list(prefix);
        let sorted = async move {
            let mut found: Vec<ObjectMeta> = found.try_collect().await?;
            found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, Error>(stream::iter(found.into_iter().map(Ok)))
        };
        stream::once(sorted).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("copy"))
    }
}

/// A file that is written in parts, in order.
#[derive(Debug)]
struct Upload {
    /// `None` once it is complete.
    file: Arc<Mutex<Option<NamedTempFile>>>,
    target: PathBuf,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        // Parts are written when they are given, because later ones may be polled first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *file {
            Some(file) => part.iter().try_for_each(|bytes| file.write_all(bytes)).map_err(generic),
            None => Err(generic(io::Error::other("the file is complete"))),
        };
        Box::pin(std::future::ready(written))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let target = self.target.clone();
        let file = file.ok_or_else(|| generic(io::Error::other("the file is complete")))?;
        blocking(move || replace(file, &target).map_err(generic)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

/// Creates a temporary file beside `path`, and the folders above it. It is removed when dropped.
fn create(lake: &FilePath, path: &FilePath) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    create_folders(lake, folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    // Other programs read the table, as its folder permits. The process's mask applies.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder)?;
    Unsynced::update(|unsynced| unsynced.write(file.path()));
    Ok(file)
}

/// Gives a file its name, whatever had that name before.
fn replace(file: NamedTempFile, path: &FilePath) -> io::Result<()> {
    sync_file(&file)?;
    failpoint::pass("before-rename");
    let before = file.path().to_owned();
    file.persist(path).map_err(|error| error.error)?;
    Unsynced::update(|unsynced| unsynced.name(&before, path));
    failpoint::pass("after-rename");
    sync_folder(folder_of(path))
}

/// Gives a file its name if there is no file of that name.
fn link(file: NamedTempFile, path: &FilePath, name: String) -> Result<()> {
    sync_file(&file).map_err(generic)?;
    failpoint::pass("before-link");
    fs::hard_link(file.path(), path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: name, source: error.into() },
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices => {
            let why = "its file system has no hard links, which a lake needs: use another disk, or Blob Storage";
            generic(io::Error::new(io::ErrorKind::Unsupported, format!("{why} ({error})")))
        }
        _ => generic(error),
    })?;
    Unsynced::update(|unsynced| unsynced.name(file.path(), path));
    failpoint::pass("after-link");
    sync_folder(folder_of(path)).map_err(generic)?;
    if failpoint::loses_answer() { Err(generic(io::Error::other("the answer was lost"))) } else { Ok(()) }
}

fn folder_of(path: &FilePath) -> &FilePath {
    path.parent().unwrap_or(path)
}

/// Creates a folder and those above it, so that they survive a crash. In the lake, another process may have just created
/// them, and not have synced their names.
fn create_folders(lake: &FilePath, folder: &FilePath) -> io::Result<()> {
    let is_there = folder.is_dir();
    if is_there && (folder == lake || !folder.starts_with(lake)) {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(lake, above)?;
    }
    if !is_there {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => Unsynced::update(|unsynced| unsynced.name(folder, folder)),
        }
    }
    sync_folder(folder_of(folder))
}

/// Makes the content of a file survive a crash.
fn sync_file(file: &NamedTempFile) -> io::Result<()> {
    file.as_file().sync_all()?;
    Unsynced::update(|unsynced| unsynced.keep_content(file.path()));
    Ok(())
}

/// Makes the names in a folder survive a crash, where folders can be synced.
fn sync_folder(folder: &FilePath) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Unsynced::update(|unsynced| unsynced.keep_names(folder));
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn generic(error: io::Error) -> Error {
    unwritten(Error::Generic { store: "LocalFileSystem", source: error.into() })
}

fn unsupported(operation: &str) -> Error {
    Error::NotSupported { source: format!("{operation} in a lake").into() }
}
