//! One file that is followed, and how a slice of it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_record::Tag;
use tokio::time::Instant;

use crate::disk::{self, Unpacker};
use crate::generation::Generation;
use crate::identity::{FileId, HEAD, Head, MARKER, Place, Stat};
use crate::join::Joining;
use crate::known::Known;

/// Whether a file still has the name under which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has.
    Named,
    /// It was renamed or removed, or is an older one of its series. It is read to its end, and closed when it was quiet since then for long enough.
    Rotated(Instant),
}

/// One file that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) id: FileId,
    /// Its name now.
    pub(crate) name: PathBuf,
    /// What `Path_Key` says.
    pub(crate) shown: Arc<[u8]>,
    pub(crate) tag: Tag,
    pub(crate) life: Life,
    /// `None` while it is closed because nothing is to be read.
    pub(crate) handle: Option<File>,
    pub(crate) generation: Arc<Generation>,
    /// Start of the first line that was not read.
    pub(crate) place: Place,
    /// Within a line that is too long: up to where it was looked at.
    pub(crate) skip: Option<Place>,
    pub(crate) head: Head,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    /// Time of birth, where the file system keeps it.
    pub(crate) born: Option<i64>,
    pub(crate) is_packed: bool,
    /// The text of a compressed file under way.
    pub(crate) unpacker: Option<Box<Unpacked>>,
    /// Lines that wait for others.
    pub(crate) joining: Option<Box<Joining>>,
    /// Whether it waits for its turn to be read.
    pub(crate) is_ready: bool,
    /// Whether its end was seen, so that what comes may be other content.
    pub(crate) is_at_end: bool,
    /// Whether it was empty when it was found, and nothing that came since was looked at.
    pub(crate) was_empty: bool,
    /// Whether it was empty, in a series that was known, when it was looked at: what was written since may have been copied and cut.
    /// Its time of modification then.
    pub(crate) may_hide: Option<i64>,
    /// Whether a long line was told of.
    pub(crate) has_told_long: bool,
}

/// Text of a compressed file that is being read.
pub(crate) struct Unpacked {
    text: Unpacker,
    /// Where `bytes` starts.
    at: u64,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unpacked(at {})", self.at)
    }
}

/// What a look into a file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// These bytes of the buffer are new.
    Bytes(usize, usize),
    /// Nothing behind the position.
    End,
    /// A compressed file has ended for good.
    Finished,
    /// What lies before the position is not what was read: the file holds other content.
    Replaced,
}

impl Followed {
    /// Bytes of lines that wait for others.
    pub(crate) fn held(&self) -> usize {
        self.joining.as_ref().map_or(0, |joining| joining.held())
    }

    /// The position up to which it was looked at.
    pub(crate) fn reach(&self) -> Place {
        self.skip.unwrap_or(self.place)
    }

    /// Reads what follows into the buffer.
    pub(crate) fn fill(&mut self, buf: &mut Vec<u8>) -> io::Result<Filled> {
        if self.is_packed {
            return self.fill_packed(buf);
        }
        let Some(file) = &self.handle else { return Ok(Filled::End) };
        if self.is_at_end && !self.has_same_head(file)? {
            return Ok(Filled::Replaced);
        }
        let reach = self.reach();
        let before = reach.before();
        let len = read_at(file, buf, reach.offset - before.len() as u64)?;
        if len < before.len() || &buf[..before.len()] != before {
            return Ok(Filled::Replaced);
        }
        if len == before.len() {
            return Ok(Filled::End);
        }
        self.is_at_end = false;
        Ok(Filled::Bytes(before.len(), len))
    }

    /// Whether it holds other content than what was read.
    pub(crate) fn is_replaced(&self) -> bool {
        let Some(file) = self.handle.as_ref().filter(|_| !self.is_packed) else { return false };
        let reach = self.reach();
        let mut bytes = [0; MARKER];
        let before = reach.before();
        let bytes = &mut bytes[..before.len()];
        let is_same =
            file.read_exact_at(bytes, reach.offset - before.len() as u64).is_ok() && bytes == before;
        !is_same || self.is_at_end && !self.has_same_head(file).unwrap_or(true)
    }

    fn has_same_head(&self, file: &File) -> io::Result<bool> {
        Ok(self.head.len() == 0 || {
            let now = disk::head(file, false)?;
            now.len() >= self.head.len() && now.begins_like(&self.head)
        })
    }

    fn fill_packed(&mut self, buf: &mut Vec<u8>) -> io::Result<Filled> {
        let Some(file) = &self.handle else { return Ok(Filled::End) };
        let reach = self.reach().offset;
        let unpacked = match &mut self.unpacker {
            Some(unpacked) => unpacked,
            empty => {
                let text = disk::unpack(file)?;
                empty.insert(Box::new(Unpacked { text, at: 0, bytes: Vec::new() }))
            }
        };
        // What was read before, or is kept from the last look.
        while unpacked.at + (unpacked.bytes.len() as u64) < reach {
            unpacked.at += unpacked.bytes.len() as u64;
            unpacked.bytes.clear();
            let want = (reach - unpacked.at).min(buf.len() as u64) as usize;
            let len = unpacked.text.read(&mut buf[..want])?;
            if len == 0 {
                return Ok(Filled::Finished);
            }
            unpacked.at += len as u64;
        }
        let done = (reach.saturating_sub(unpacked.at)) as usize;
        unpacked.bytes.drain(..done.min(unpacked.bytes.len()));
        unpacked.at = reach;
        let known = unpacked.bytes.len();
        let want = buf.len().max(known + 1);
        buf.resize(want, 0);
        buf[..known].copy_from_slice(&unpacked.bytes);
        let mut len = known;
        while len < buf.len() {
            match unpacked.text.read(&mut buf[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before it is good; the error comes again when that is read.
                Err(_) if len > known => break,
                Err(error) => return Err(error),
            }
        }
        if len == known {
            return Ok(Filled::Finished);
        }
        unpacked.bytes.extend_from_slice(&buf[known..len]);
        Ok(Filled::Bytes(0, len))
    }

    /// The last line of a compressed file, if it has no end.
    pub(crate) fn last_packed_line(&self) -> Option<Vec<u8>> {
        let unpacked = self.unpacker.as_ref()?;
        (!unpacked.bytes.is_empty() && self.skip.is_none()).then(|| unpacked.bytes.clone())
    }

    /// Learns how the file begins from what was written and not yet read. Returns whether that is more than was known.
    pub(crate) fn learn_head(&mut self) -> bool {
        if self.head.len() >= HEAD || self.is_packed {
            return false;
        }
        let head = self.handle.as_ref().and_then(|file| disk::head(file, false).ok());
        if let Some(head) = head.filter(|head| head.len() > self.head.len() && head.begins_like(&self.head)) {
            self.head = head;
            return true;
        }
        false
    }

    /// What is known of the content, to find it in another file.
    pub(crate) fn known(&self) -> Known {
        let (marker, marker_size) = self.place.marker();
        Known { print: self.head.print(), offset: self.place.offset, marker, marker_size, mtime: self.mtime }
    }

    /// Whether a closed file has this name now. An inode that is used again is another file: by its birth, or by what it holds.
    pub(crate) fn is_at(&self, name: &Path) -> bool {
        let Ok((file, stat)) = disk::open(name) else { return false };
        stat.id == self.id
            && !self.is_reborn(&stat)
            && self.head.len() > 0
            && self.known().fits(&file, self.is_packed).is_some()
    }

    /// Whether it is there under the name that it had last.
    pub(crate) fn has_its_name(&self) -> bool {
        disk::stat(&self.name).is_ok_and(|stat| stat.id == self.id && !self.is_reborn(&stat))
    }

    /// Whether what is there under this name is what was read of it, so far as something was.
    pub(crate) fn holds_its_own(&self, name: &Path) -> bool {
        let is_there = if self.handle.is_some() { !self.is_replaced() } else { self.is_at(name) };
        is_there && !self.is_blank()
    }

    /// Whether a closed file's inode was used again for another one, or may have been.
    pub(crate) fn is_reborn(&self, stat: &Stat) -> bool {
        let is_born_anew = matches!((self.born, stat.born), (Some(then), Some(now)) if then != now);
        let is_blank = self.is_blank() && matches!(self.life, Life::Rotated(_)) && stat.size > 0;
        self.handle.is_none() && (is_born_anew || is_blank)
    }

    /// Whether nothing is known of its content: it had none.
    pub(crate) fn is_blank(&self) -> bool {
        self.was_empty && self.place.offset == 0
    }

    /// The file, opened anew if it is closed and still where it was.
    pub(crate) fn opened(&self) -> Option<File> {
        match &self.handle {
            Some(file) => file.try_clone().ok(),
            None => disk::open(&self.name).ok().filter(|(_, stat)| stat.id == self.id).map(|(file, _)| file),
        }
    }

    /// Whether nothing is left of it but a deleted file's content.
    pub(crate) fn is_deleted(&self) -> bool {
        self.handle.as_ref().is_some_and(|file| file.metadata().is_ok_and(|meta| disk_links(&meta) == 0))
    }
}

fn disk_links(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(meta)
}

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
