//! The users file: a line `NAME:VERIFIER` per user, where the verifier is a salted hash. Lines that begin with # are
//! comments.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::warn;

use super::random::random_bytes;
use super::scram::Verifier;

/// Maximum bytes of a name, as in PostgreSQL.
const MOST_OF_A_NAME: usize = 63;
/// Maximum bytes of a users file.
const MOST: u64 = 16 << 20;

/// Why a users file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// A line is wrong.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it. Never the text of the line.
        what: String,
    },
}

/// Users and their verifiers.
pub type Verifiers = BTreeMap<String, Verifier>;

/// Users of a server. The file is read again after it changed.
pub struct Users {
    path: PathBuf,
    /// Key for the salts of users that do not exist.
    secret: [u8; 32],
    known: Mutex<(Option<Version>, Verifiers)>,
}

/// Time and size of the file when it was read.
type Version = (SystemTime, u64);

impl Users {
    /// Reads the file.
    pub fn open(path: &Path) -> Result<Self, UsersError> {
        let (version, verifiers) = (version(path), read(path)?);
        Ok(Self { path: path.to_owned(), secret: random_bytes(), known: Mutex::new((version, verifiers)) })
    }

    /// Returns the verifier of a user; for an unknown name, one that no password fits.
    pub fn verifier(&self, name: &str) -> Verifier {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = version(&self.path);
        if now != known.0 {
            match read(&self.path) {
                Ok(verifiers) => *known = (now, verifiers),
                // A file that is being edited does not lock its users out.
                Err(error) => warn!("the users file is not read again: {error}"),
            }
        }
        known.1.get(name).cloned().unwrap_or_else(|| Verifier::of_nobody(&self.secret, name))
    }
}

fn version(path: &Path) -> Option<Version> {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Reads a users file.
pub fn read(path: &Path) -> Result<Verifiers, UsersError> {
    let failed = |error| UsersError::Read { path: path.to_owned(), error };
    if fs::metadata(path).map_err(failed)?.len() > MOST {
        return Err(failed(io::Error::other("it is too large for a users file")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let mut users = Verifiers::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let wrong = |what: String| UsersError::Line { path: path.to_owned(), line: at + 1, what };
        let (name, verifier) =
            line.trim_end().split_once(':').ok_or_else(|| wrong("write NAME:VERIFIER".to_owned()))?;
        check_name(name).map_err(|what| wrong(what.to_owned()))?;
        let verifier = verifier.parse().map_err(|error: super::scram::ScramError| wrong(error.to_string()))?;
        if users.insert(name.to_owned(), verifier).is_some() {
            return Err(wrong(format!("the user {name} occurs twice")));
        }
    }
    Ok(users)
}

/// Returns the text of a users file.
pub fn written(users: &Verifiers) -> String {
    users.iter().map(|(name, verifier)| format!("{name}:{verifier}\n")).collect()
}

/// Returns what is wrong with a name, if anything.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = name.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != ':');
    if name.is_empty() || name.len() > MOST_OF_A_NAME || !is_plain || name.starts_with('#') {
        return Err("a name has 1 to 63 bytes, and no spaces or colons");
    }
    Ok(())
}
