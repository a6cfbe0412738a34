//! Files that were fetched or made up, over those on disk.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use ikada_config::{DiskFiles, Files};

use super::shipped;

/// Device number of files that are on no device.
const NO_DEVICE: u64 = u64::MAX;

/// Folders of the image, whose files are taken for empty where the image is not at hand.
const OF_THE_IMAGE: [&str; 2] = ["/fluent-bit", "/ecs"];

/// Files in memory by their full path, over those on disk.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Whether there is nothing below: another machine's files are meant.
    alone: bool,
    assumed: RefCell<BTreeSet<PathBuf>>,
}

impl Overlay {
    /// Files in memory alone, for a machine that is not this one. What would come with the image is taken for empty.
    #[must_use]
    pub fn alone() -> Self {
        Self { alone: true, ..Self::default() }
    }

    /// The files of the image that were read, without being at hand.
    #[must_use]
    pub fn assumed(&self) -> Vec<PathBuf> {
        self.assumed.borrow().iter().cloned().collect()
    }

    fn is_assumed(&self, path: &Path) -> bool {
        self.alone && OF_THE_IMAGE.iter().any(|folder| path.starts_with(folder))
    }

    /// The text of a file that is built in, unless one on disk hides it.
    fn shipped(&self, path: &Path) -> Option<&'static str> {
        shipped::text(path).filter(|_| self.alone || !DiskFiles.exists(path))
    }

    /// Adds a file; says whether there was none of this path.
    pub fn insert(&mut self, path: PathBuf, bytes: Vec<u8>) -> bool {
        let is_new = self.find(&path).is_none();
        if is_new {
            self.files.push((path, bytes));
        }
        is_new
    }

    fn find(&self, path: &Path) -> Option<usize> {
        self.files.iter().position(|(known, _)| known == path)
    }
}

impl Files for Overlay {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let (None, Some(text)) = (self.find(path), self.shipped(path)) {
            return Ok(text.into());
        }
        match self.find(path) {
            Some(at) => Ok(self.files[at].1.clone()),
            None if self.is_assumed(path) => {
                self.assumed.borrow_mut().insert(path.to_owned());
                Ok(Vec::new())
            }
            None if self.alone => Err(io::ErrorKind::NotFound.into()),
            None => DiskFiles.read(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.find(path).is_some()
            || self.shipped(path).is_some()
            || self.is_assumed(path)
            || !self.alone && DiskFiles.exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        !self.alone && self.find(path).is_none() && DiskFiles.is_dir(path)
    }

    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        match self.find(path) {
            Some(at) => Ok((NO_DEVICE, at as u64)),
            None if self.shipped(path).is_some() || self.is_assumed(path) => {
                Ok((NO_DEVICE - 1, number_of(path)))
            }
            None if self.alone => Err(io::ErrorKind::NotFound.into()),
            None => DiskFiles.identity(path),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        if self.alone { Ok(Vec::new()) } else { DiskFiles.list(directory) }
    }
}

/// A number that tells paths apart.
fn number_of(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_hides_what_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a"), "disk").unwrap();
        std::fs::write(path("b"), "disk").unwrap();
        let mut files = Overlay::default();
        assert!(files.insert(path("a"), b"memory".to_vec()));
        assert!(!files.insert(path("a"), b"again".to_vec()));
        assert_eq!(files.read(&path("a")).unwrap(), b"memory");
        assert_eq!(files.read(&path("b")).unwrap(), b"disk");
        assert!(files.exists(&path("a")) && !files.is_dir(&path("a")) && files.is_dir(dir.path()));
        assert!(files.read(&path("c")).is_err() && !files.exists(&path("c")));
        assert_ne!(files.identity(&path("a")).unwrap(), files.identity(&path("b")).unwrap());
        assert_eq!(files.list(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn files_of_the_image_are_built_in_unless_something_hides_them() {
        let path = Path::new("/fluent-bit/configs/parse-json.conf");
        let mut files = Overlay::alone();
        assert!(files.exists(path) && files.read(path).unwrap().starts_with(b"#"));
        assert_ne!(files.identity(path).unwrap(), files.identity(Path::new("/ecs/s3.conf")).unwrap());
        assert!(files.assumed().is_empty());
        files.insert(path.to_owned(), b"own".to_vec());
        assert_eq!(files.read(path).unwrap(), b"own");
    }
}
