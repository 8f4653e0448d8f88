//! The folder in which the program keeps state of this user.

use std::path::PathBuf;

/// Returns the state folder of the program, by the convention of the system.
pub fn state_folder() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder =
        of("XDG_STATE_HOME").or_else(|| of("LOCALAPPDATA")).or_else(|| Some(of("HOME")?.join(".local/state")))?;
    Some(folder.join("flowgap"))
}
