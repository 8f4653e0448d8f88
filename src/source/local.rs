//! The file system as a store that is only read. Files are looked up and opened on the spot: waking a thread for each
//! costs more than the look-up, and archives have many small ones.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::path::PathBuf;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::mpsc;

/// Blobs that are listed together.
const TOGETHER: usize = 1024;

#[derive(Debug, Default)]
pub struct LocalFiles {
    /// For what is unusual: names that locations spell in another way, and words for errors.
    any: LocalFileSystem,
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalFiles")
    }
}

/// Whether a location and the path of its file are the same text.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-=+,@".contains(&b))
}

impl LocalFiles {
    fn path(&self, location: &Path) -> Result<PathBuf> {
        match is_plain(location.as_ref()) {
            true => Ok(PathBuf::from(format!("/{location}"))),
            false => self.any.path_to_filesystem(location),
        }
    }
}

#[async_trait]
impl ObjectStore for LocalFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = self.path(location)?;
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok((metadata, file)) if metadata.is_file() => (metadata, file),
            _ => return self.any.get_opts(location, options).await,
        };
        let meta = meta(location.clone(), &metadata);
        options.check_preconditions(&meta)?;
        let range = match options.range {
            Some(range) => range.as_range(meta.size).map_err(generic)?,
            None => 0..meta.size,
        };
        let attributes = Attributes::default();
        Ok(GetResult { payload: GetResultPayload::File(file, path), attributes, range, meta })
    }

    /// Folder by folder, in no order. Ends with the first folder that cannot be read.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = match self.path(prefix.unwrap_or(&Path::default())) {
            Ok(root) => root,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            let walked = walk(root, &mut Vec::new(), &mut found, &sender);
            found.extend(walked.err().map(Err));
            // Who asked may have gone.
            let _ = sender.blocking_send(found);
        });
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|found| (found, receiver)) })
            .flat_map(stream::iter)
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.any.list_with_delimiter(prefix).await?;
        for object in &mut listed.objects {
            // With our own ETag.
            if let Ok(metadata) = fs::metadata(self.path(&object.location)?) {
                *object = meta(object.location.clone(), &metadata);
            }
        }
        Ok(listed)
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::iter([Err(read_only())]).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

type Found = Vec<Result<ObjectMeta>>;

/// The files below a folder. `linked` are the folders whose links were followed to come here, as they really are:
/// a link that leads back to one of them is not followed again.
fn walk(folder: PathBuf, linked: &mut Vec<PathBuf>, found: &mut Found, sender: &mpsc::Sender<Found>) -> Result<()> {
    let failed = |error| generic(FolderError { folder: folder.display().to_string(), error });
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(entry.path(), linked, found, sender)?;
            continue;
        }
        // What is gone by now, or leads nowhere, is no blob.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            let (target, here) = (entry.path().canonicalize().map_err(failed)?, folder.canonicalize().map_err(failed)?);
            linked.push(here);
            if !linked.iter().any(|folder| folder.starts_with(&target)) {
                walk(entry.path(), linked, found, sender)?;
            }
            linked.pop();
        } else if metadata.is_file() {
            found.push(Ok(meta(location(&entry.path())?, &metadata)));
            if found.len() >= TOGETHER && sender.blocking_send(std::mem::take(found)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn location(path: &std::path::Path) -> Result<Path> {
    match path.to_str().filter(|text| is_plain(text)) {
        Some(text) => Ok(Path::parse(text)?),
        None => Ok(Path::from_absolute_path(path)?),
    }
}

/// A file or folder that is named.
#[derive(Debug)]
pub enum Named {
    File(ObjectMeta),
    Folder(Path),
}

/// What is at a path.
pub fn named(path: &std::path::Path) -> Result<Named> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: path.display().to_string(), source: error.into() },
        _ => generic(error),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    let location = location(path)?;
    Ok(if metadata.is_dir() { Named::Folder(location) } else { Named::File(meta(location, &metadata)) })
}

/// The same for all names of a file, and another for any other one: its ETag, which has its number, where the system has
/// such a number, else its place.
pub fn identity<'a>(location: &'a str, e_tag: Option<&'a str>) -> &'a str {
    e_tag.filter(|_| cfg!(unix)).unwrap_or(location)
}

fn meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
    let micros = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros();
    // As the store of the crate writes it, which some reads go to.
    let e_tag = format!("{:x}-{micros:x}-{:x}", inode(metadata), metadata.len());
    ObjectMeta { location, last_modified: modified.into(), size: metadata.len(), e_tag: Some(e_tag), version: None }
}

/// Of a file that another one replaces it changes, where the system has such a number.
#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[derive(Debug, thiserror::Error)]
#[error("{folder}: {error}")]
struct FolderError {
    folder: String,
    error: std::io::Error,
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "LocalFileSystem", source: error.into() }
}

fn read_only() -> Error {
    Error::NotSupported { source: "sources are never written".into() }
}
