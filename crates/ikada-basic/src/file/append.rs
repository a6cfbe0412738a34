//! Appending to a file, and turning it over to its number when it is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ikada_plugin::{BoxFuture, Delivery, Outcome, SendError};
use ikada_record::DropReason;
use tracing::warn;
use uuid::Uuid;

/// When a file is full, and what becomes of it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    /// Size from which on a file is full.
    pub(super) size: u64,
    /// Full files that are kept; 0 keeps all.
    pub(super) keep: usize,
    pub(super) gzip: bool,
}

/// How text is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How {
    pub(super) mkdir: bool,
    /// Whether each entry ends with a line break.
    pub(super) is_lines: bool,
    pub(super) rotation: Option<Rotation>,
}

/// Text on its way into a file.
pub(super) struct Append {
    path: PathBuf,
    how: How,
    /// What an empty file begins with.
    header: Vec<u8>,
    text: Vec<u8>,
    /// Bytes of `text` that are written.
    at: usize,
}

impl Append {
    pub(super) fn new(path: PathBuf, how: How, header: Vec<u8>, text: Vec<u8>) -> Self {
        Self { path, how, header, text, at: 0 }
    }

    /// Appends what is left. What was written stays written.
    fn append(&mut self) -> io::Result<()> {
        if self.how.mkdir
            && let Some(parent) = self.path.parent()
        {
            fs::create_dir_all(parent)?;
        }
        // Only between two texts: one that was cut short goes on where it stopped.
        if self.at == 0
            && let Some(rotation) = self.how.rotation
        {
            rotate(&self.path, rotation)?;
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        if self.at == 0 && !self.header.is_empty() && file.metadata()?.len() == 0 {
            file.write_all(&self.header)?;
        }
        if self.at == 0 && self.how.is_lines && ends_amid_a_line(&self.path) {
            file.write_all(b"\n")?;
        }
        while self.at < self.text.len() {
            match file.write(&self.text[self.at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.at += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Delivery for Append {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        let nothing = Self::new(PathBuf::new(), self.how, Vec::new(), Vec::new());
        let mut work = std::mem::replace(self, nothing);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                let result = work.append().map_err(|error| format!("{}: {error}", work.path.display()));
                (work, result)
            })
            .await;
            match done {
                Ok((_, Ok(()))) => Outcome::Delivered,
                Ok((work, Err(error))) => {
                    *self = work;
                    Outcome::Retry { after: None, cause: SendError::new(error) }
                }
                Err(error) => Outcome::Rejected {
                    reason: DropReason::Rejected,
                    cause: SendError::new(error.to_string()),
                },
            }
        })
    }
}

/// Whether the last line of a file was cut off, by a kill or a full disk. What is appended would be a part of it.
fn ends_amid_a_line(path: &Path) -> bool {
    let last = || {
        let (meta, mut last) = (fs::metadata(path)?, [b'\n']);
        if meta.is_file() && meta.len() > 0 {
            File::open(path)?.read_exact_at(&mut last, meta.len() - 1)?;
        }
        Ok::<_, io::Error>(last)
    };
    // A file that cannot be read tells nothing.
    last().is_ok_and(|last| last != [b'\n'])
}

/// Renames a full file to `<file>.YYYYMMDD_HHMMSS_xxxxxxxx[.gz]`, in local time (reference, outputs §7.3), and removes the oldest.
fn rotate(path: &Path, rotation: Rotation) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.len() >= rotation.size => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut name = path.as_os_str().to_owned();
    let random = Uuid::new_v4().simple().to_string();
    name.push(format!(".{}_{}", chrono::Local::now().format("%Y%m%d_%H%M%S"), &random[..8]));
    let full = PathBuf::from(name);
    fs::rename(path, &full)?;
    // The text goes on into a new file whatever becomes of the old one.
    if rotation.gzip
        && let Err(error) = compress(&full)
    {
        warn!("{} could not be compressed and stays as it is: {error}", full.display());
    }
    if let Err(error) = prune(path, rotation.keep) {
        warn!("old files of {} could not be removed: {error}", path.display());
    }
    Ok(())
}

/// Puts `<file>.gz` in the place of a file. A crash in between leaves the file.
fn compress(path: &Path) -> io::Result<()> {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let partial = PathBuf::from(format!("{}.tmp", packed.display()));
    let mut encoder = GzEncoder::new(File::create(&partial)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&partial, &packed)?;
    fs::remove_file(path)
}

/// Removes full files beyond the newest `keep`.
fn prune(path: &Path, keep: usize) -> io::Result<()> {
    let (Some(name), Some(parent)) = (path.file_name().and_then(|name| name.to_str()), path.parent()) else {
        return Ok(());
    };
    if keep == 0 {
        return Ok(());
    }
    let here = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let is_full = |other: &str| {
        let stamp = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        stamp.is_some_and(|stamp| is_stamp(stamp.strip_suffix(".gz").unwrap_or(stamp)))
    };
    let names = fs::read_dir(here)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut full: Vec<String> = names.filter(|other| is_full(other)).collect();
    // Their names sort by time.
    full.sort();
    let surplus = full.len().saturating_sub(keep);
    full.iter().take(surplus).try_for_each(|old| fs::remove_file(here.join(old)))
}

/// `YYYYMMDD_HHMMSS_xxxxxxxx`.
fn is_stamp(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [day, time, random] if digits(day, 8) && digits(time, 6) && random.len() == 8
        && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn append(path: &Path, how: How, header: &str, text: &str) -> io::Result<()> {
        Append::new(path.to_owned(), how, header.into(), text.into()).append()
    }

    #[test]
    fn an_append_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.log");
        let plain = How { mkdir: false, is_lines: false, rotation: None };
        let mut work = Append::new(path.clone(), plain, b"h\n".to_vec(), b"text".to_vec());
        assert!(work.append().is_err());
        work.how.mkdir = true;
        work.append().unwrap();
        let mut work =
            Append { at: 2, ..Append::new(path.clone(), plain, b"h\n".to_vec(), b"text".to_vec()) };
        work.append().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"h\ntextxt");
    }

    #[test]
    fn a_line_that_was_cut_off_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        fs::write(&path, "{\"a\":1}\n{\"b").unwrap();
        let lines = How { mkdir: false, is_lines: true, rotation: None };
        append(&path, lines, "", "{\"c\":1}\n").unwrap();
        append(&path, lines, "", "{\"d\":1}\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{\"a\":1}\n{\"b\n{\"c\":1}\n{\"d\":1}\n");
    }

    #[test]
    fn a_full_file_is_renamed_packed_and_in_the_end_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        fs::write(dir.path().join("app.log.bak"), "mine").unwrap();
        let how =
            How { mkdir: false, is_lines: false, rotation: Some(Rotation { size: 4, keep: 2, gzip: true }) };
        for n in 0..5 {
            append(&path, how, "h ", &format!("t{n}")).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"h t4");
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.contains(&"app.log.bak".to_owned()));
        let packed = names.iter().find(|name| name.ends_with(".gz")).unwrap();
        let mut text = String::new();
        let file = File::open(dir.path().join(packed)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("h t"), "{text}");
        assert!(is_stamp(&packed["app.log.".len()..packed.len() - 3]));
    }

    #[test]
    fn other_files_are_no_full_ones() {
        assert!(is_stamp("20261122_101112_0a1b2c3d"));
        for other in ["bak", "20261122_101112", "2026112_101112_0a1b2c3d", "20261122_101112_0a1b2c3g"] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
