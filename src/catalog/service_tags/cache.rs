//! Files of a cache folder: one per cloud and day, named as Microsoft names its downloads.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};

use crate::time::Timestamp;

/// A file of the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CachedFile {
    /// Cloud in the name of the file.
    pub cloud: String,
    /// Day in the name of the file: the day on which it was fetched.
    pub day: NaiveDate,
    /// Path of the file.
    pub path: PathBuf,
}

const START: &str = "ServiceTags_";
const END: &str = ".json";
const DAY: &str = "%Y%m%d";

/// Returns the name of the file of a cloud that was fetched at a time, such as `ServiceTags_Public_20260504.json`.
pub fn file_name(cloud: &str, fetched: Timestamp) -> String {
    let day = DateTime::from_timestamp_millis(fetched.0).unwrap_or_default();
    format!("{START}{cloud}_{}{END}", day.format(DAY))
}

/// Lists the files of a cache folder, by cloud, the newest of each last. A folder that does not exist has none.
pub fn cached_files(folder: &Path) -> io::Result<Vec<CachedFile>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let parts = path.file_name().and_then(|name| parts(name.to_str()?));
        files.extend(parts.map(|(cloud, day)| CachedFile { cloud, day, path }));
    }
    files.sort_unstable();
    Ok(files)
}

/// Returns cloud and day of a file name.
fn parts(name: &str) -> Option<(String, NaiveDate)> {
    let (cloud, day) = name.strip_prefix(START)?.strip_suffix(END)?.rsplit_once('_')?;
    Some((cloud.to_owned(), NaiveDate::parse_from_str(day, DAY).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_cloud_and_day() {
        let name = file_name("AzureGovernment", Timestamp(1_777_878_000_000));
        assert_eq!(name, "ServiceTags_AzureGovernment_20260504.json");
        let day = NaiveDate::from_ymd_opt(2026, 5, 4).expect("a day");
        assert_eq!(parts(&name), Some(("AzureGovernment".to_owned(), day)));
        for other in ["ServiceTags_Public.json", "ServiceTags_Public_20261304.json", ".flowgap-1.part", "x.json"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_file_of_a_cloud_comes_last() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(cached_files(&folder.path().join("none")).expect("none").is_empty());
        for name in
            ["ServiceTags_Public_20260504.json", "ServiceTags_Public_20251231.json", "ServiceTags_China_20260601.json"]
        {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let files = cached_files(folder.path()).expect("readable");
        let shown: Vec<String> = files.iter().map(|file| format!("{} {}", file.cloud, file.day)).collect();
        assert_eq!(shown, ["China 2026-06-01", "Public 2025-12-31", "Public 2026-05-04"]);
    }
}
