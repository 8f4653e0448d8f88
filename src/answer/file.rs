//! Writes results to stdout, or to a file that appears only when it is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Leftovers;
use crate::report::sink::visible;

/// An answer that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {}: {error}", visible(&.place.to_string_lossy()))]
pub struct Unwritten {
    place: PathBuf,
    error: io::Error,
}

impl Unwritten {
    /// Names the file, or stdout if `path` is `None`.
    pub fn new(path: Option<&Path>, error: io::Error) -> Self {
        Self { place: path.unwrap_or(Path::new("stdout")).to_owned(), error }
    }
}

/// Writes to stdout. A closed pipe is not an error.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Unwritten> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Unwritten::new(None, error)),
    }
}

/// Writes to a file as a whole or not at all, or to stdout if `path` is `None`.
pub fn write_to(
    path: Option<&Path>,
    leftovers: &Leftovers,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Unwritten> {
    let Some(path) = path else { return print(write) };
    let written = NewFile::create(path, leftovers).and_then(|file| {
        let mut out = file.writer()?;
        write(&mut out)?;
        out.flush()?;
        file.keep()
    });
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Unwritten::new(Some(path), error)),
    }
}

/// Writes a file that only this user may read, as a whole or not at all. Creates its folder, which only this user may
/// enter.
pub fn write_private(
    path: &Path,
    leftovers: &Leftovers,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Unwritten> {
    let written = || {
        if let Some(folder) = path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        let file = NewFile::create_private(path, leftovers)?;
        let mut out = file.writer()?;
        write(&mut out)?;
        out.flush()?;
        file.keep()
    };
    written().map_err(|error| Unwritten::new(Some(path), error))
}

/// A new file that replaces its target when it is complete. Follows links and keeps the mode of the old file.
pub struct NewFile {
    target: PathBuf,
    file: Kind,
}

enum Kind {
    /// A temporary file next to the target, which replaces the target and takes its owner and mode.
    Beside(NamedTempFile),
    /// The same, but only this user may read it, whatever the target was.
    Private(NamedTempFile),
    /// A pipe or device, written to directly.
    Special(File),
}

/// Start and end of the names of temporary files.
const PREFIX: &str = ".flowgap-";
const SUFFIX: &str = ".part";

/// Maximum number of links followed in a row, equal to the system's limit.
const MOST_LINKS: usize = 40;

impl NewFile {
    /// Creates the file next to its target, or opens the target if it is a pipe or device.
    pub fn create(path: &Path, leftovers: &Leftovers) -> io::Result<Self> {
        // A link such as `/dev/stdout` may lead to a plain file that must not be replaced. `/dev/shm` is a plain
        // folder.
        let is_device = path.starts_with("/dev") && !path.starts_with("/dev/shm") || path.starts_with("/proc");
        if is_device || fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let file = OpenOptions::new().write(true).open(path)?;
            return Ok(Self { target: path.to_owned(), file: Kind::Special(file) });
        }
        let target = followed(path)?;
        let mut beside = tempfile::Builder::new();
        beside.prefix(PREFIX).suffix(SUFFIX);
        if fs::metadata(&target).is_ok() {
            // A file that is not writable must not be replaced either.
            OpenOptions::new().write(true).open(&target)?;
        } else {
            #[cfg(unix)]
            beside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        let file = beside.tempfile_in(folder_of(&target))?;
        leftovers.add(file.path());
        Ok(Self { target, file: Kind::Beside(file) })
    }

    /// Creates a file that only this user may read. A link in its place is replaced, not followed.
    fn create_private(path: &Path, leftovers: &Leftovers) -> io::Result<Self> {
        // Without a mode of its own, a temporary file is private.
        let file = tempfile::Builder::new().prefix(".flowgap-").suffix(".part").tempfile_in(folder_of(path))?;
        leftovers.add(file.path());
        Ok(Self { target: path.to_owned(), file: Kind::Private(file) })
    }

    /// Returns a buffered writer to the file.
    pub fn writer(&self) -> io::Result<BufWriter<File>> {
        let file = match &self.file {
            Kind::Beside(file) | Kind::Private(file) => file.as_file().try_clone()?,
            Kind::Special(file) => file.try_clone()?,
        };
        Ok(BufWriter::with_capacity(64 << 10, file))
    }

    /// Renames the file to its target. If this is not called, the file is deleted.
    pub fn keep(self) -> io::Result<()> {
        let file = match self.file {
            Kind::Special(_) => return Ok(()),
            Kind::Private(file) => file,
            Kind::Beside(file) => {
                if let Ok(old) = fs::metadata(&self.target) {
                    belong_to(file.as_file(), &old);
                    file.as_file().set_permissions(old.permissions())?;
                }
                file
            }
        };
        file.as_file().sync_all()?;
        file.persist(&self.target).map_err(|error| error.error)?;
        // Syncs the new name as well, where folders can be synced.
        if let Some(folder) = self.target.parent().and_then(|folder| File::open(folder).ok()) {
            folder.sync_all().unwrap_or_default();
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives `file` the owner and group of the old file, if this process may.
#[cfg(unix)]
fn belong_to(file: &File, old: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let is_same = file.metadata().is_ok_and(|new| (new.uid(), new.gid()) == (old.uid(), old.gid()));
    if !is_same {
        fchown(file, Some(old.uid()), Some(old.gid())).unwrap_or_default();
    }
}

#[cfg(not(unix))]
fn belong_to(_: &File, _: &fs::Metadata) {}

/// Returns the path after following links; the target need not exist yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links lead on from here"))
}
