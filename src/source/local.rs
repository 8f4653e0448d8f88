//! Read-only store over the local file system. Files are opened on the calling thread, because waking another thread
//! costs more than opening one of many small files.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, FileType, Metadata};
use std::io;
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

use super::error::remedy_for;

/// Maximum number of files per batch of a listing.
const TOGETHER: usize = 1024;

/// The read-only store.
#[derive(Debug, Default)]
pub struct LocalFiles {
    /// Fallback for unusual names, whose location differs from the path, and for error texts.
    any: LocalFileSystem,
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalFiles")
    }
}

/// Returns whether a location and the path of its file have the same text.
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

    /// Lists files recursively, in name order except below links. Files and folders that cannot be listed are errors that hold an
    /// [`Unlisted`], and the listing continues.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = match self.path(prefix.unwrap_or(&Path::default())) {
            Ok(root) => root,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut walk = Walk { linked: Vec::new(), found: Vec::new(), sender };
            walk.enter(root);
            walk.send();
        });
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|found| (found, receiver)) })
            .flat_map(stream::iter)
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.any.list_with_delimiter(prefix).await?;
        for object in &mut listed.objects {
            // The ETag must be in our own format.
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

/// A recursive listing in progress.
struct Walk {
    /// Canonical folders whose links were followed to get here. A link back to one of them is not followed.
    linked: Vec<PathBuf>,
    found: Vec<Result<ObjectMeta>>,
    sender: mpsc::Sender<Vec<Result<ObjectMeta>>>,
}

impl Walk {
    fn enter(&mut self, folder: PathBuf) {
        match self.enter_entries(&folder) {
            Err(error) if !leads_nowhere(&folder, &error) => self.pass_over(folder, true, error),
            _ => {}
        }
    }

    fn enter_entries(&mut self, folder: &std::path::Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            entries.push((entry.file_name(), entry.file_type()?));
        }
        entries.sort_unstable_by(|(a, of_a), (b, of_b)| in_path(a, *of_a).cmp(in_path(b, *of_b)));
        for (name, kind) in entries {
            let path = folder.join(name);
            if kind.is_dir() {
                self.enter(path);
                continue;
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.follow(folder, path)?,
                Ok(metadata) if metadata.is_file() => self.add(&path, &metadata),
                Ok(_) => {}
                Err(error) if leads_nowhere(&path, &error) => {}
                // The folder itself denies access then, and so do all its entries.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !kind.is_symlink() => {
                    return Err(error);
                }
                Err(error) => self.pass_over(path, false, error),
            }
        }
        Ok(())
    }

    fn follow(&mut self, folder: &std::path::Path, link: PathBuf) -> io::Result<()> {
        let (target, here) = (link.canonicalize()?, folder.canonicalize()?);
        self.linked.push(here);
        if !self.linked.iter().any(|folder| folder.starts_with(&target)) {
            self.enter(link);
        }
        self.linked.pop();
        Ok(())
    }

    fn add(&mut self, path: &std::path::Path, metadata: &Metadata) {
        self.found.push(listed(path, metadata).map_err(generic));
        if self.found.len() >= TOGETHER {
            self.send();
        }
    }

    fn pass_over(&mut self, path: PathBuf, is_folder: bool, error: io::Error) {
        self.found.push(Err(generic(Unlisted { path, is_folder, error })));
    }

    fn send(&mut self) {
        // The receiver may have been dropped.
        let _ = self.sender.blocking_send(std::mem::take(&mut self.found));
    }
}

/// Returns the bytes of a name as they stand in the paths of files: that of a folder ends with a slash.
fn in_path(name: &OsStr, kind: FileType) -> impl Iterator<Item = u8> + '_ {
    name.as_encoded_bytes().iter().copied().chain(kind.is_dir().then_some(b'/'))
}

/// A file or folder that the system cannot list, or whose name cannot be a location.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct Unlisted {
    pub path: PathBuf,
    pub is_folder: bool,
    pub error: io::Error,
}

impl Unlisted {
    /// Returns the entry that a listing error refers to.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Generic { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Returns its location, or the path as text if it has none.
    pub fn location(&self) -> String {
        match location(&self.path) {
            Ok(location) => location.to_string(),
            Err(_) => self.path.to_string_lossy().trim_start_matches('/').to_owned(),
        }
    }

    /// Returns the reason and a remedy, without the path.
    pub fn remedy_for(&self) -> String {
        remedy_for(&generic(io::Error::new(self.error.kind(), self.error.to_string())), "")
    }
}

/// Returns the metadata of a file in the form of a listing.
pub(super) fn listed(path: &std::path::Path, metadata: &Metadata) -> std::result::Result<ObjectMeta, Unlisted> {
    match location(path) {
        Ok(location) => Ok(meta(location, metadata)),
        Err(error) => Err(Unlisted { path: path.to_owned(), is_folder: false, error }),
    }
}

pub(super) fn location(path: &std::path::Path) -> io::Result<Path> {
    let Some(text) = path.to_str() else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8: rename it"));
    };
    let location = if is_plain(text) { Path::parse(text) } else { Path::from_absolute_path(path) };
    location.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Returns whether an error means that the file is gone, or that a link has no target.
pub(super) fn leads_nowhere(path: &std::path::Path, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::PermissionDenied => false,
        // A link may point to itself.
        _ => path.is_symlink(),
    }
}

/// Returns a key that is equal for all names of one file. On Unix it is the ETag, which contains the inode number;
/// elsewhere it is the location.
pub fn identity<'a>(location: &'a str, e_tag: Option<&'a str>) -> &'a str {
    e_tag.filter(|_| cfg!(unix)).unwrap_or(location)
}

fn meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
    let micros = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros();
    // This is the format of `object_store`, which serves some of the reads.
    let e_tag = format!("{:x}-{micros:x}-{:x}", inode(metadata), metadata.len());
    ObjectMeta { location, last_modified: modified.into(), size: metadata.len(), e_tag: Some(e_tag), version: None }
}

/// Returns the inode number, which changes when another file replaces this one. It is 0 where the system has none.
#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "LocalFileSystem", source: error.into() }
}

fn read_only() -> Error {
    Error::NotSupported { source: "sources are never written".into() }
}
