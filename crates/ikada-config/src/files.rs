//! Where files come from: the disk, or a map in tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Largest file that is read, in bytes.
pub const LARGEST_FILE: usize = 64 << 20;

/// The files that a configuration may be made of.
pub trait Files {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// As the file system says; [`io::ErrorKind::FileTooLarge`] beyond [`LARGEST_FILE`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Says whether anything has this path.
    fn exists(&self, path: &Path) -> bool;

    /// Says whether the path is a directory.
    fn is_dir(&self, path: &Path) -> bool;

    /// Returns what tells two files apart whatever their paths are: device and inode.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn identity(&self, path: &Path) -> io::Result<(u64, u64)>;

    /// Returns the names in a directory, in any order.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Returns the paths that match a pattern with `*`, `?` and `[…]`, sorted; a relative pattern starts at `base`. A
    /// name that starts with a dot is matched only by a pattern that starts with one.
    ///
    /// # Errors
    ///
    /// When the pattern makes no sense.
    fn glob(&self, base: &Path, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![base.to_path_buf()];
        for component in pattern.components() {
            found = match component {
                Component::Normal(name) if name.to_str().is_some_and(is_pattern) => {
                    let matcher = matcher_of(name.to_str().unwrap_or_default())?;
                    found.iter().flat_map(|directory| matching(self, directory, &matcher)).collect()
                }
                other => found.into_iter().map(|path| path.join(other)).collect(),
            };
        }
        found.retain(|path| self.exists(path));
        found.sort();
        Ok(found)
    }
}

/// Says whether a text holds characters that make it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matcher_of(pattern: &str) -> io::Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn matching<F: Files + ?Sized>(files: &F, directory: &Path, matcher: &GlobMatcher) -> Vec<PathBuf> {
    let wants_hidden = matcher.glob().glob().starts_with('.');
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let names = files.list(here).unwrap_or_default();
    names
        .into_iter()
        .filter(|name| wants_hidden || !name.as_encoded_bytes().starts_with(b"."))
        .filter(|name| matcher.is_match(Path::new(name)))
        .map(|name| directory.join(name))
        .collect()
}

/// The files on disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > LARGEST_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }
}

/// Files in a map from absolute paths to contents, for tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryFiles {
    /// Returns no files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.insert(path, content);
        self
    }

    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) {
        self.files.insert(plain(&path.into()), content.into());
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(&plain(path)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(&plain(path)) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        let path = plain(path);
        let next = self.files.range(path.clone()..).find(|(file, _)| **file != path);
        next.is_some_and(|(file, _)| file.starts_with(&path)) && !self.files.contains_key(&path)
    }

    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        let path = plain(path);
        let place = self.files.keys().position(|file| *file == path);
        place.map(|place| (0, place as u64)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let directory = plain(directory);
        let below = self.files.keys().filter_map(|file| file.strip_prefix(&directory).ok());
        let mut names: Vec<OsString> = below
            .filter_map(|rest| rest.components().next())
            .map(|name| name.as_os_str().to_owned())
            .collect();
        names.dedup();
        Ok(names)
    }
}

/// Returns a path without `.` and `..`, as far as that can be said without links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(found: Vec<PathBuf>) -> Vec<String> {
        found.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn memory_files_glob_like_a_disk() {
        let files = MemoryFiles::new()
            .with("/etc/b.conf", "")
            .with("/etc/a.conf", "")
            .with("/etc/.hidden.conf", "")
            .with("/etc/a.txt", "")
            .with("/etc/sub/c.conf", "");
        let glob = |pattern: &str| paths(files.glob(Path::new("/etc"), Path::new(pattern)).unwrap());
        assert_eq!(glob("/etc/*.conf"), ["/etc/a.conf", "/etc/b.conf"]);
        assert_eq!(glob("?.conf"), ["/etc/a.conf", "/etc/b.conf"]);
        assert_eq!(glob("/etc/[bc].conf"), ["/etc/b.conf"]);
        assert_eq!(glob("/etc/*/*.conf"), ["/etc/sub/c.conf"]);
        assert_eq!(glob("/e*/.*.conf"), ["/etc/.hidden.conf"]);
        assert!(glob("/none/*").is_empty());
        assert!(files.glob(Path::new("/"), Path::new("/etc/[a.conf")).is_err());
    }

    #[test]
    fn disk_files_are_read_listed_and_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("b.conf"), "b").unwrap();
        std::fs::write(path("a.conf"), "a").unwrap();
        std::fs::hard_link(path("a.conf"), path("link")).unwrap();
        assert_eq!(DiskFiles.read(&path("a.conf")).unwrap(), b"a");
        assert_eq!(
            DiskFiles.glob(directory.path(), Path::new("*.conf")).unwrap(),
            [path("a.conf"), path("b.conf")]
        );
        assert_eq!(DiskFiles.identity(&path("a.conf")).unwrap(), DiskFiles.identity(&path("link")).unwrap());
        assert!(DiskFiles.is_dir(directory.path()) && DiskFiles.exists(&path("link")));
        assert!(DiskFiles.read(&path("none")).is_err());
    }

    #[test]
    fn a_directory_in_memory_is_what_lies_above_a_file() {
        let files = MemoryFiles::new().with("/etc/conf.d/a.conf", "").with("/etc/conf.d-old", "");
        assert!(files.is_dir(Path::new("/etc/conf.d")) && files.is_dir(Path::new("/etc/../etc/")));
        assert!(!files.is_dir(Path::new("/etc/conf.d-old")) && !files.is_dir(Path::new("/etc/con")));
    }
}
