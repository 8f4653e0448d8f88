//! Patterns of file names: lists the local files and folders that match one. Each folder is read once, and each
//! matching file is looked up once.

use std::fs::{self, DirEntry, FileType};
use std::path::{Path as FsPath, PathBuf, is_separator};

use object_store::ObjectMeta;
use object_store::path::Path;

use crate::source::local;
use crate::source::local::Unlisted;

/// A pattern, split into one step per file or folder name.
#[derive(Debug)]
pub(in crate::source) struct Pattern {
    /// Folders before the first wildcard, as typed.
    pub base: String,
    /// Steps below the base, one per name. Never empty.
    steps: Vec<Step>,
    /// True if the pattern ends in `/`, so that only folders match.
    wants_folder: bool,
}

#[derive(Debug)]
enum Step {
    /// A literal name, including `..`.
    Named(String),
    /// A name with `*`, `?` or `[...]`.
    Fits(glob::Pattern),
    /// `**`: this folder and all folders below it.
    Deep,
}

/// Matches of a pattern, unordered. A file may occur more than once, under one name or several.
#[derive(Debug, Default)]
pub(in crate::source) struct Found {
    pub files: Vec<ObjectMeta>,
    pub folders: Vec<Path>,
    pub unlisted: Vec<Unlisted>,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && self.unlisted.is_empty()
    }
}

impl Pattern {
    /// Returns whether a text contains a wildcard.
    pub fn is_one(text: &str) -> bool {
        text.contains(WILD)
    }

    /// Parses a pattern. The error is the reason why it is invalid.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        // The whole text is checked too, because it is refused in more cases than its single steps are.
        glob::Pattern::new(text).map_err(|error| error.msg)?;
        let start = text.find(WILD).map_or(text, |at| &text[..at]).rfind(is_separator).map_or(0, |at| at + 1);
        let (base, rest) = text.split_at(start);
        let mut steps = Vec::new();
        for name in rest.split(is_separator).filter(|name| !matches!(*name, "" | ".")) {
            match name {
                // Two in a row mean the same as one.
                "**" if matches!(steps.last(), Some(Step::Deep)) => {}
                "**" => steps.push(Step::Deep),
                name if Self::is_one(name) => {
                    steps.push(Step::Fits(glob::Pattern::new(name).map_err(|error| error.msg)?));
                }
                name => steps.push(Step::Named(name.to_owned())),
            }
        }
        Ok(Self { base: base.to_owned(), steps, wants_folder: rest.ends_with(is_separator) })
    }

    /// Lists the matches below `place`, the folder of the base.
    pub fn find(&self, place: &FsPath) -> Found {
        let mut walk = Walk { pattern: self, linked: Vec::new(), found: Found::default() };
        if place.is_dir() {
            walk.enter(place, 0);
        }
        walk.found
    }
}

const WILD: [char; 3] = ['*', '?', '['];

struct Walk<'a> {
    pattern: &'a Pattern,
    /// Canonical folders whose links `**` followed to get here. A link back to one of them is not followed.
    linked: Vec<PathBuf>,
    found: Found,
}

impl Walk<'_> {
    /// Searches a folder for matches of step `at` and the steps after it.
    fn enter(&mut self, folder: &FsPath, at: usize) {
        match self.pattern.steps.get(at) {
            Some(Step::Named(name)) => self.reach_named(folder, name, at),
            Some(Step::Fits(pattern)) => {
                for entry in self.entries(folder) {
                    if fits(pattern, &entry) {
                        self.reach(entry.path(), entry.file_type().ok(), at);
                    }
                }
            }
            Some(Step::Deep) => self.enter_all(folder, at),
            None => self.add_folder(folder),
        }
    }

    /// Searches a folder and everything below it for matches of the steps after `at`, which is `**`.
    fn enter_all(&mut self, folder: &FsPath, at: usize) {
        let next = match self.pattern.steps.get(at + 1) {
            // The folder itself covers everything below it.
            None => return self.add_folder(folder),
            Some(Step::Fits(pattern)) => Some(pattern),
            Some(_) => {
                self.enter(folder, at + 1);
                None
            }
        };
        for entry in self.entries(folder) {
            let (path, kind) = (entry.path(), entry.file_type().ok());
            if next.is_some_and(|pattern| fits(pattern, &entry)) {
                self.reach(path.clone(), kind, at + 1);
            }
            match kind {
                Some(kind) if kind.is_dir() => self.enter_all(&path, at),
                Some(kind) if kind.is_symlink() && path.is_dir() => self.follow(folder, &path, at),
                _ => {}
            }
        }
    }

    fn follow(&mut self, folder: &FsPath, link: &FsPath, at: usize) {
        let (Ok(target), Ok(here)) = (link.canonicalize(), folder.canonicalize()) else { return };
        self.linked.push(here);
        if !self.linked.iter().any(|folder| folder.starts_with(&target)) {
            self.enter_all(link, at);
        }
        self.linked.pop();
    }

    fn reach_named(&mut self, folder: &FsPath, name: &str, at: usize) {
        // A store location cannot contain `..`.
        let path = match name {
            ".." => folder.join(name).canonicalize(),
            name => Ok(folder.join(name)),
        };
        if let Ok(path) = path {
            self.reach(path, None, at);
        }
    }

    /// Continues with a path that matches step `at`. Its kind is looked up if the folder entry does not give it.
    fn reach(&mut self, path: PathBuf, kind: Option<FileType>, at: usize) {
        let kind = kind.filter(|kind| !kind.is_symlink());
        let is_last = at + 1 == self.pattern.steps.len();
        match kind {
            Some(kind) if kind.is_dir() => return self.enter(&path, at + 1),
            Some(_) if !is_last || self.pattern.wants_folder => return,
            _ => {}
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.enter(&path, at + 1),
            Ok(metadata) if metadata.is_file() && is_last && !self.pattern.wants_folder => {
                match local::listed(&path, &metadata) {
                    Ok(meta) => self.found.files.push(meta),
                    Err(unlisted) => self.found.unlisted.push(unlisted),
                }
            }
            Ok(_) => {}
            Err(error) if local::leads_nowhere(&path, &error) => {}
            Err(error) => self.found.unlisted.push(Unlisted { path, is_folder: false, error }),
        }
    }

    fn add_folder(&mut self, folder: &FsPath) {
        match local::location(folder) {
            Ok(location) => self.found.folders.push(location),
            Err(error) => self.pass_over(folder, error),
        }
    }

    /// Lists the entries of a folder. A folder that cannot be read to its end is recorded as passed over.
    fn entries(&mut self, folder: &FsPath) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        let read = fs::read_dir(folder).and_then(|read| {
            for entry in read {
                entries.push(entry?);
            }
            Ok(())
        });
        match read {
            Err(error) if !local::leads_nowhere(folder, &error) => self.pass_over(folder, error),
            _ => {}
        }
        entries
    }

    fn pass_over(&mut self, folder: &FsPath, error: std::io::Error) {
        self.found.unlisted.push(Unlisted { path: folder.to_owned(), is_folder: true, error });
    }
}

/// Returns whether an entry's name matches. Invalid UTF-8 is compared in its lossy form.
fn fits(pattern: &glob::Pattern, entry: &DirEntry) -> bool {
    pattern.matches(&entry.file_name().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().canonicalize().expect("a place");
        for name in ["a/1.json", "a/b/2.json", "a/b/c/3.txt", ".h/4.json", "5.json", "[x]/6.json"] {
            let path = place.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "").expect("written");
        }
        let root = local::location(&place).expect("a location").to_string();
        let below = |location: &Path| location.as_ref().trim_start_matches(&*root).trim_start_matches('/').to_owned();
        let check = |pattern: &str, files: &[&str], folders: &[&str]| {
            let found = Pattern::new(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}")).find(&place);
            let mut names: Vec<String> = found.files.iter().map(|meta| below(&meta.location)).collect();
            names.sort();
            assert_eq!(names, files, "{pattern}");
            let mut names: Vec<String> = found.folders.iter().map(below).collect();
            names.sort();
            assert_eq!(
                (names.len(), names),
                (folders.len(), folders.iter().map(|&f| f.to_owned()).collect()),
                "{pattern}"
            );
            assert!(found.unlisted.is_empty(), "{pattern}: {:?}", found.unlisted);
        };
        check("*", &["5.json"], &[".h", "[x]", "a"]);
        check("*.json", &["5.json"], &[]);
        check("?.js[!a]n", &["5.json"], &[]);
        check("**/*.json", &[".h/4.json", "5.json", "[x]/6.json", "a/1.json", "a/b/2.json"], &[]);
        check("**/**/[2-3]*", &["a/b/2.json", "a/b/c/3.txt"], &[]);
        check("**/b/*", &["a/b/2.json"], &["a/b/c"]);
        check("*/b/2.json", &["a/b/2.json"], &[]);
        check("*/b/../1.json", &["a/1.json"], &[]);
        check("[[]x]/*", &["[x]/6.json"], &[]);
        check("*/", &[], &[".h", "[x]", "a"]);
        check(".*", &[], &[".h"]);
        check("**", &[], &[""]);
        check("[a]/**", &[], &["a"]);
        check("*/*/nothing", &[], &[]);
        check("5.jso[n]/*", &[], &[]);
    }

    #[test]
    fn says_what_is_wrong_with_a_pattern() {
        for text in ["a/[x", "a**", "***", "**a/b", "[a/b]"] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }
}
