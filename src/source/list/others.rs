//! Files that are listed but not read, because their names are not those of flow logs.

/// Names kept: the first ones in byte order.
const KEPT: usize = 10;
/// Extensions of files that may hold flow logs once opened or unpacked.
const CLOSED: [&str; 17] = [
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.zst",
    ".tzst",
    ".tar.bz2",
    ".tbz2",
    ".tar.xz",
    ".txz",
    ".7z",
    ".rar",
    ".json.bz2",
    ".json.xz",
    ".json.lz4",
    ".json.z",
    ".json.zip",
];

/// Number of such files and the first of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// Number of files.
    pub files: u64,
    /// Number of those that may hold flow logs once opened.
    pub closed: u64,
    names: Vec<String>,
    closed_names: Vec<String>,
}

impl Others {
    /// Counts a file and keeps its name if it is among the first.
    pub fn add(&mut self, name: &str) {
        self.files += 1;
        keep(&mut self.names, name);
        if is_closed(name) {
            self.closed += 1;
            keep(&mut self.closed_names, name);
        }
    }

    /// Adds the files of another source.
    pub fn merge(&mut self, other: &Self) {
        self.files += other.files;
        self.closed += other.closed;
        other.names.iter().for_each(|name| keep(&mut self.names, name));
        other.closed_names.iter().for_each(|name| keep(&mut self.closed_names, name));
    }

    /// The first names, in byte order, at most 10.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first names of archives and of files in an unsupported compression format, at most 10.
    pub fn closed_names(&self) -> &[String] {
        &self.closed_names
    }

    /// Returns a sentence about unopened files that may hold flow logs, if there are any.
    pub fn unopened(&self) -> Option<String> {
        let first = self.closed_names.first()?;
        let (files, are) = match self.closed {
            1 => (first.clone(), "is"),
            2 => (format!("{first} and 1 other file"), "are"),
            n => (format!("{first} and {} other files", n - 1), "are"),
        };
        Some(format!(
            "{files} may hold flow logs but {are} not opened: name an archive as a source of its own; unpack nested archives and unsupported compression formats"
        ))
    }
}

fn keep(names: &mut Vec<String>, name: &str) {
    if names.len() == KEPT && names.last().is_some_and(|last| name >= last.as_str()) {
        return;
    }
    let at = names.partition_point(|known| known.as_str() < name);
    names.insert(at, name.to_owned());
    names.truncate(KEPT);
}

/// Returns whether a name is that of a flow log.
pub fn is_log(name: &str) -> bool {
    [".json", ".json.gz", ".json.zst"].into_iter().any(|ending| ends_with(name, ending)) && !is_sidecar(name)
}

/// Returns whether a name is that of a metadata file: one that macOS adds to archives and foreign disks, or one of a
/// lake's log.
pub fn is_sidecar(name: &str) -> bool {
    let is_own = |part: &str| part == "__MACOSX" || part == "_delta_log" || part.starts_with("._");
    name.split(['/', '!']).any(is_own)
}

fn is_closed(name: &str) -> bool {
    CLOSED.into_iter().any(|ending| ends_with(name, ending)) && !is_sidecar(name)
}

fn ends_with(name: &str, ending: &str) -> bool {
    let at = name.len().checked_sub(ending.len());
    at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_flow_logs_from_others() {
        for name in ["PT1H.json", "a/b.JSON", "logs.zip!a/b.json.gz", "x.json.zst"] {
            assert!(is_log(name) && !is_closed(name), "{name}");
        }
        for name in ["._PT1H.json", "a/._b.json", "logs.zip!__MACOSX/a/b.json", "b.txt", "json", "._day.zip"] {
            assert!(!is_log(name) && !is_closed(name), "{name}");
        }
        for name in ["day.zip", "a/day.TAR.gz", "PT1H.json.bz2"] {
            assert!(!is_log(name) && is_closed(name), "{name}");
        }
    }

    #[test]
    fn the_first_names_are_kept_whatever_their_order() {
        let mut others = Others::default();
        (0..100).for_each(|nr| others.add(&format!("{:02}.zip", nr * 37 % 100)));
        assert_eq!((others.files, others.closed), (100, 100));
        let first: Vec<String> = (0..10).map(|nr| format!("{nr:02}.zip")).collect();
        assert_eq!((others.names(), others.closed_names()), (&first[..], &first[..]));
    }
}
