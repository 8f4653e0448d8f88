//! The cache folder, and the service-tag file in it that is used if none is given.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::{ServiceTags, cached_files};
use crate::remedy::Remedy;

/// Choice of a file of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedChoice {
    /// The newest file of the cloud.
    File(PathBuf),
    /// The cache has no file of the cloud.
    Nothing,
    /// The clouds in question, several, because the cloud is not known.
    Several(Vec<String>),
}

/// Returns the folder for cached files, given a function that reads environment variables. `None` if they name none.
pub fn cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative folder would differ from run to run, so the XDG specification ignores it.
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match cfg!(windows) {
        true => folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")),
        false => folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache"))),
    };
    Some(base?.join("flowgap"))
}

/// Chooses the file of one of the clouds, or of any cloud if `clouds` is empty.
pub fn cached_choice(folder: &Path, clouds: &BTreeSet<&str>) -> io::Result<CachedChoice> {
    let mut newest = cached_files(folder)?;
    newest.retain(|file| clouds.is_empty() || clouds.iter().any(|cloud| cloud.eq_ignore_ascii_case(&file.cloud)));
    // Of the files of a cloud, the last one is the newest.
    newest.reverse();
    newest.dedup_by(|one, other| one.cloud == other.cloud);
    Ok(match newest.as_slice() {
        [] => CachedChoice::Nothing,
        [file] => CachedChoice::File(file.path.clone()),
        several => CachedChoice::Several(several.iter().rev().map(|file| file.cloud.clone()).collect()),
    })
}

/// Opens the file of the cache that is right for logs of these clouds. Returns the reason if it cannot be used.
pub fn cached_tags(folder: &Path, clouds: &BTreeSet<&'static str>) -> Result<Option<(PathBuf, ServiceTags)>, String> {
    match cached_choice(folder, clouds).map_err(|error| format!("{}: {error}", folder.display()))? {
        CachedChoice::Nothing => Ok(None),
        CachedChoice::File(path) => match ServiceTags::open_cached(&path) {
            Ok(tags) => Ok(Some((path, tags))),
            Err(error) => Err(format!("{}: {error}: or delete it", path.display())),
        },
        CachedChoice::Several(clouds) => Err(format!(
            "there are files of {}, and the logs do not name one cloud: give the right file of {} with {}",
            clouds.join(" and "),
            folder.display(),
            Remedy::ServiceTags
        )),
    }
}

/// Lists the files of a cloud that may be removed: all but the newest two, because another run may be about to read
/// the one before the newest.
pub fn outdated(folder: &Path, cloud: &str) -> io::Result<Vec<PathBuf>> {
    let files = cached_files(folder)?;
    let files = files.into_iter().filter(|file| file.cloud == cloud).map(|file| file.path);
    Ok(files.rev().skip(2).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_absolute() {
        let folder = |variables: &[(&str, &str)]| {
            cache_folder(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value)))
        };
        if cfg!(unix) {
            let home = ("HOME", "/home/u");
            assert_eq!(folder(&[home]), Some(PathBuf::from("/home/u/.cache/flowgap")));
            assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "/c")]), Some(PathBuf::from("/c/flowgap")));
            assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "c")]), Some(PathBuf::from("/home/u/.cache/flowgap")));
        }
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn the_newest_file_of_the_cloud_is_chosen() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let choice = |clouds: &[&str]| cached_choice(folder, &clouds.iter().copied().collect()).expect("readable");
        let add = |name: &str| std::fs::write(folder.join(name), "").expect("written");
        assert_eq!(choice(&[]), CachedChoice::Nothing);
        ["ServiceTags_Public_20260504.json", "ServiceTags_Public_20260601.json"].into_iter().for_each(add);
        let newest = CachedChoice::File(folder.join("ServiceTags_Public_20260601.json"));
        assert_eq!(
            (choice(&[]), choice(&["Public"]), choice(&["China"])),
            (newest.clone(), newest.clone(), CachedChoice::Nothing)
        );
        add("ServiceTags_China_20260504.json");
        assert_eq!(choice(&["Public"]), newest);
        let several = CachedChoice::Several(vec!["China".to_owned(), "Public".to_owned()]);
        assert_eq!((choice(&[]), choice(&["China", "Public"])), (several.clone(), several));
        assert_eq!(outdated(folder, "Public").expect("readable"), Vec::<PathBuf>::new());
        add("ServiceTags_Public_20260101.json");
        assert_eq!(outdated(folder, "Public").expect("readable"), [folder.join("ServiceTags_Public_20260101.json")]);
    }
}
