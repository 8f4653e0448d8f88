//! Places at which tests end or hold the process. `FLOWGAP_FAILPOINT=NAME:N` aborts at the Nth time that place is passed.
//! `NAME:N:power` is a power cut there: what was not synced may be lost. `NAME:N:FILE` makes FILE and waits until it is
//! removed. Without the variable, a place costs one comparison.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

const VARIABLE: &str = "FLOWGAP_FAILPOINT";

static CHOSEN: LazyLock<Option<Chosen>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let mut parts = text.splitn(3, ':');
    let (name, nth) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    let act = match parts.next() {
        None => Act::Abort,
        Some("power") => Act::CutPower,
        Some(file) => Act::Wait(PathBuf::from(file)),
    };
    Some(Chosen { name, nth, act })
});

static PASSED: AtomicU64 = AtomicU64::new(0);

static UNSYNCED: Mutex<Unsynced> = Mutex::new(Unsynced { contents: BTreeSet::new(), names: BTreeSet::new() });

struct Chosen {
    name: String,
    nth: u64,
    act: Act,
}

/// What happens at the chosen place.
enum Act {
    Abort,
    CutPower,
    Wait(PathBuf),
}

/// Files that a power cut may damage. Kept only if one is planned.
pub struct Unsynced {
    /// Files whose content may be lost.
    contents: BTreeSet<PathBuf>,
    /// Files and folders whose names may be lost.
    names: BTreeSet<PathBuf>,
}

/// Returns whether the answer of a store is to be lost here, although the store did what it was asked.
pub fn loses_answer() -> bool {
    reached("lost-answer").is_some()
}

/// Does what the environment chose for this place, if it is passed the chosen number of times.
pub fn pass(name: &str) {
    match reached(name) {
        None => {}
        Some(Act::Abort) => std::process::abort(),
        Some(Act::CutPower) => {
            let unsynced = UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner);
            unsynced.lose();
            std::process::abort();
        }
        Some(Act::Wait(file)) => {
            let is_made = File::create(file).is_ok();
            while is_made && file.exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn reached(name: &str) -> Option<&'static Act> {
    let chosen = CHOSEN.as_ref().filter(|chosen| chosen.name == name)?;
    (PASSED.fetch_add(1, Ordering::SeqCst) + 1 == chosen.nth).then_some(&chosen.act)
}

impl Unsynced {
    /// Records what happened to files, if a power cut is planned.
    pub fn update(record: impl FnOnce(&mut Self)) {
        if matches!(&*CHOSEN, Some(Chosen { act: Act::CutPower, .. })) {
            record(&mut UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// A file was created, and is written from now on.
    pub fn write(&mut self, file: &Path) {
        self.contents.insert(file.to_owned());
        self.names.insert(file.to_owned());
    }

    /// A file or folder has a new name.
    pub fn name(&mut self, before: &Path, path: &Path) {
        if self.contents.contains(before) {
            self.contents.insert(path.to_owned());
        }
        self.names.insert(path.to_owned());
    }

    /// The content of a file is on disk.
    pub fn keep_content(&mut self, file: &Path) {
        self.contents.remove(file);
    }

    /// The names in a folder are on disk.
    pub fn keep_names(&mut self, folder: &Path) {
        self.names.retain(|path| path.parent() != Some(folder));
    }

    /// Loses some of what is not on disk, in any order, as a file system may.
    fn lose(&self) {
        for path in self.contents.iter().filter(|_| fastrand::bool()) {
            let file = File::options().write(true).open(path);
            let half = |file: File| file.set_len(file.metadata()?.len() / 2);
            // It may have lost its name, or another one.
            let _is_cut = file.and_then(half).is_ok();
        }
        for path in self.names.iter().filter(|_| fastrand::bool()) {
            let _is_lost = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.is_ok();
        }
    }
}
