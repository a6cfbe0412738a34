//! What is asked of the file system.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::identity::{FileId, HEAD, Head, Stat};

/// Text of a compressed file, from its beginning on.
pub(crate) type Unpacker = MultiGzDecoder<BufReader<File>>;

/// What the system says of a path, symbolic links followed.
pub(crate) fn stat(path: &Path) -> io::Result<Stat> {
    fs::metadata(path).map(|meta| Stat::of(&meta))
}

/// Opens a file; a FIFO that took its name does not block.
pub(crate) fn open(path: &Path) -> io::Result<(File, Stat)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let stat = Stat::of(&file.metadata()?);
    Ok((file, stat))
}

/// Whether a name says that the file is compressed.
pub(crate) fn is_packed(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("gz"))
}

/// The text of a compressed file, from its beginning on.
pub(crate) fn unpack(file: &File) -> io::Result<Unpacker> {
    let mut again = file.try_clone()?;
    io::Seek::rewind(&mut again)?;
    Ok(MultiGzDecoder::new(BufReader::with_capacity(128 * 1024, again)))
}

/// The first bytes of a file's text. A file that is being compressed shows what there is.
pub(crate) fn head(file: &File, is_packed: bool) -> io::Result<Head> {
    let mut bytes = [0; HEAD];
    let mut len = 0;
    let mut text = if is_packed { Some(unpack(file)?) } else { None };
    while len < HEAD {
        let read = match &mut text {
            None => file.read_at(&mut bytes[len..], len as u64),
            Some(text) => text.read(&mut bytes[len..]).or(Ok(0)),
        };
        match read {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Head::new(&bytes[..len]))
}

/// The name that an open file has now; `None` if it has none.
pub(crate) fn name_of(file: &File, id: FileId) -> Option<PathBuf> {
    let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    (stat(&name).ok()?.id == id).then_some(name)
}

/// The names in a folder with their inodes.
pub(crate) fn list(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| (folder.join(entry.file_name()), entry.ino())).collect()
}

/// Whether a name is the origin's with something added, as rotation makes it: `app.log.1`, `app.log.1.gz`, `app-20260101.log`.
pub(crate) fn is_relative(origin: &Path, name: &Path) -> bool {
    let (Some(origin), Some(name)) = (file_name(origin), file_name(name)) else { return false };
    let origin = origin.strip_suffix(b".gz").unwrap_or(origin);
    name != origin && (added(origin, name).is_some())
}

/// The names of which this one may have been made: of `a.log.1.gz` those are `a.log.1`, `a.log` and `a`.
pub(crate) fn possible_originals(path: &Path) -> Vec<PathBuf> {
    let Some(whole) = file_name(path) else { return Vec::new() };
    let name = whole.strip_suffix(b".gz").unwrap_or(whole);
    let mut names = Vec::new();
    if name.len() < whole.len() {
        names.push(name.to_vec());
    }
    let dot = name.iter().rposition(|byte| *byte == b'.');
    for at in (1..name.len()).filter(|at| b".-_".contains(&name[*at])) {
        names.push(name[..at].to_vec());
        if let Some(dot) = dot.filter(|dot| at < *dot) {
            names.push([&name[..at], &name[dot..]].concat());
        }
    }
    names.iter().map(|name| path.with_file_name(OsStr::from_bytes(name))).collect()
}

/// Whether what is added looks like a number or a date, so that the file is an older or younger one of the same series.
pub(crate) fn is_numbered(origin: &Path, name: &Path) -> bool {
    let (Some(origin), Some(name)) = (file_name(origin), file_name(name)) else { return false };
    let name = name.strip_suffix(b".gz").unwrap_or(name);
    let Some(added) = added(origin, name) else { return false };
    added.iter().any(u8::is_ascii_digit)
        && added.iter().all(|byte| byte.is_ascii_digit() || b"-_.:TZ".contains(byte))
}

fn file_name(path: &Path) -> Option<&[u8]> {
    path.file_name().map(OsStr::as_bytes)
}

/// What stands behind the origin's name, or between its stem and its extension.
fn added<'n>(origin: &[u8], name: &'n [u8]) -> Option<&'n [u8]> {
    if let Some(added) = name.strip_prefix(origin) {
        return added.first().is_some_and(|byte| b".-_".contains(byte)).then_some(added);
    }
    let dot = origin.iter().rposition(|byte| *byte == b'.')?;
    let (stem, extension) = origin.split_at(dot);
    let name = name.strip_suffix(b".gz").unwrap_or(name);
    let added = name.strip_prefix(stem)?.strip_suffix(extension)?;
    added.first().is_some_and(|byte| b".-_".contains(byte)).then_some(added)
}

/// Whether a folder lies on a file system whose changes the system may not tell of (statfs(2)).
pub(crate) fn is_remote(folder: &Path) -> bool {
    /// NFS, SMB, CIFS, SMB2, Ceph, 9P, AFS, Lustre, FUSE.
    const REMOTE: [u64; 9] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x00c3_6400,
        0x0102_1997,
        0x5346_414f,
        0x0bd0_0bd0,
        0x6573_5546,
    ];
    rustix::fs::statfs(folder).is_ok_and(|fs| REMOTE.contains(&(fs.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_series_are_told_from_others() {
        let numbered = |name: &str| is_numbered(Path::new("/l/app.log"), Path::new(name));
        for name in [
            "/l/app.log.1",
            "/l/app.log.12.gz",
            "/l/app.log-20260101",
            "/l/app-2026-01-01.log",
            "/l/app.1.log.gz",
        ] {
            assert!(numbered(name), "{name}");
        }
        for name in [
            "/l/app.log",
            "/l/app.log.gz",
            "/l/app.log.err",
            "/l/app2.log",
            "/l/app-web.log",
            "/l/other.log.1",
        ] {
            assert!(!numbered(name), "{name}");
        }
        let relative = |name: &str| is_relative(Path::new("/l/app.log"), Path::new(name));
        let originals = possible_originals(Path::new("/l/app-1.log.gz"));
        let names: Vec<_> = originals.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["/l/app-1.log", "/l/app", "/l/app.log", "/l/app-1"]);
        assert!(relative("/l/app.log.old") && relative("/l/app.log.gz") && !relative("/l/app2.log"));
    }
}
