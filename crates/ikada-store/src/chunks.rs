//! Chunks on disk: what waits there for an output, and outlives the process.
//!
//! **Layout.** One directory for each output, one file for each chunk. A file's name is its number, which grows, and its count of entries:
//! `000000000000002a-512.chunk`. A file is written under a name that starts with a dot and renamed when it is whole: whatever
//! instant the process dies at, a name without a dot is a whole file, and one with a dot is removed at the next start.
//!
//! ```text
//! offset  bytes  what
//!      0      8  `IKCHUNK` and the version, 1
//!      8      4  CRC-32 of what follows up to the entries
//!     12      4  count of entries
//!     16      4  length of the entries
//!     20      4  CRC-32 of the entries
//!     24      2  length of the tag
//!     26      n  the tag
//!   26+n         the entries, back to back, as a chunk holds them
//! ```
//!
//! All numbers are big-endian. A file that does not fit its sums is set aside under `damaged/`, never deleted.
//!
//! **What survives.** A file that was renamed survives `kill -9`. It survives a loss of power too if [`Sync::Full`] is chosen.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use ikada_record::{Chunk, Receipt, Tag};

/// First bytes of a chunk file: a name and the format's version.
const MAGIC: [u8; 8] = *b"IKCHUNK\x01";

/// Bytes before the tag.
const HEAD: usize = 26;

/// Where damaged files are set aside, inside the output's directory.
const DAMAGED: &str = "damaged";

/// When written bytes are on the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// When the system gets to it: they survive the process, not a loss of power.
    #[default]
    Normal,
    /// Before the chunk counts as stored.
    Full,
}

/// One chunk file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    number: u64,
    entries: u32,
    size: u64,
}

impl Stored {
    /// Entries in it.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The name of its file.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{:016x}-{}.chunk", self.number, self.entries)
    }

    fn named(name: &str, size: u64) -> Option<Self> {
        let (number, entries) = name.strip_suffix(".chunk")?.split_once('-')?;
        let number = (number.len() == 16).then(|| u64::from_str_radix(number, 16).ok())??;
        Some(Self { number, entries: entries.parse().ok()?, size })
    }
}

/// Why a chunk file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system said no.
    #[error("could not read")]
    Io(#[from] io::Error),
    /// The bytes are not those that were written.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
}

/// The directory of one output. All calls block.
#[derive(Debug)]
pub struct ChunkDir {
    path: PathBuf,
    sync: Sync,
    next: AtomicU64,
    is_ready: AtomicBool,
}

impl ChunkDir {
    /// Opens or makes a directory, removes what was never whole, and lists what waits in it, oldest first. Only names and
    /// sizes are read.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(path: &Path, sync: Sync) -> io::Result<(Self, Vec<Stored>)> {
        let dir = Self::later(path, sync);
        let list = dir.make_ready()?;
        Ok((dir, list))
    }

    /// A directory that cannot be used now, and perhaps later: see [`make_ready`](Self::make_ready).
    #[must_use]
    pub fn later(path: &Path, sync: Sync) -> Self {
        Self { path: path.to_owned(), sync, next: AtomicU64::new(1), is_ready: AtomicBool::new(false) }
    }

    /// Whether it was there when it was used last.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }

    /// Makes the directory, removes what was never whole, and lists what is in it, oldest first. New chunks come behind all of that.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn make_ready(&self) -> io::Result<Vec<Stored>> {
        fs::create_dir_all(&self.path)?;
        let mut list = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with('.') && name.ends_with(".chunk") {
                fs::remove_file(entry.path())?;
                continue;
            }
            list.extend(Stored::named(name, entry.metadata()?.len()));
        }
        list.sort();
        self.next.fetch_max(list.last().map_or(1, |last| last.number + 1), Relaxed);
        self.is_ready.store(true, Relaxed);
        Ok(list)
    }

    /// Lists the chunks in a directory, oldest first, and touches nothing: somebody else may be writing there.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(path: &Path) -> io::Result<Vec<Stored>> {
        let mut list = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let size = entry.metadata().map_or(0, |file| file.len());
            list.extend(entry.file_name().to_str().and_then(|name| Stored::named(name, size)));
        }
        list.sort();
        Ok(list)
    }

    /// Writes a text beside a chunk's file, under its name and `.json`.
    ///
    /// # Errors
    /// The system said no.
    pub fn note(&self, stored: &Stored, text: &str) -> io::Result<()> {
        fs::write(note_path(&self.path, stored), text)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number for a chunk that is to be written: those that get theirs earlier come first after a restart.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// A number that is `least` at least, where several processes write into one directory and take the time as their number.
    pub fn number_from(&self, least: u64) -> u64 {
        self.next.fetch_max(least, Relaxed);
        self.number()
    }

    /// Bytes that a chunk's file takes.
    #[must_use]
    pub fn size_of(chunk: &Chunk) -> u64 {
        (HEAD + chunk.tag().as_bytes().len() + chunk.size()) as u64
    }

    /// The file that a chunk has, or will have, under this number.
    #[must_use]
    pub fn stored(number: u64, chunk: &Chunk) -> Stored {
        Stored { number, entries: chunk.len() as u32, size: Self::size_of(chunk) }
    }

    /// Writes a chunk.
    ///
    /// # Errors
    /// The system said no; nothing of the chunk is left.
    pub fn write(&self, number: u64, chunk: &Chunk) -> io::Result<Stored> {
        let stored = Self::stored(number, chunk);
        let name = stored.name();
        let draft = self.path.join(format!(".{name}"));
        let written =
            self.write_draft(&draft, chunk).and_then(|()| fs::rename(&draft, self.path.join(&name)));
        if let Err(failed) = written {
            fs::remove_file(&draft).ok();
            if failed.kind() == io::ErrorKind::NotFound {
                self.is_ready.store(false, Relaxed);
            }
            return Err(failed);
        }
        if self.sync == Sync::Full {
            File::open(&self.path)?.sync_data()?;
        }
        Ok(stored)
    }

    fn write_draft(&self, draft: &Path, chunk: &Chunk) -> io::Result<()> {
        let mut file = File::create(draft)?;
        file.write_all(&head(chunk))?;
        file.write_all(chunk.data())?;
        if self.sync == Sync::Full {
            file.sync_data()?;
        }
        Ok(())
    }

    /// Reads a chunk back; its receipt is nobody's.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(&self, stored: &Stored) -> Result<Chunk, ReadError> {
        read(&self.path, stored)
    }

    /// Removes a chunk's file. One that is gone already is fine.
    ///
    /// # Errors
    /// The system said no.
    pub fn remove(&self, stored: &Stored) -> io::Result<()> {
        match fs::remove_file(self.path.join(stored.name())) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => Err(failed),
            _ => Ok(()),
        }
    }

    /// Moves a damaged file out of the way and says where it is now.
    ///
    /// # Errors
    /// The system said no.
    pub fn set_aside(&self, stored: &Stored) -> io::Result<PathBuf> {
        let to = self.path.join(DAMAGED);
        fs::create_dir_all(&to)?;
        let to = to.join(stored.name());
        fs::rename(self.path.join(stored.name()), &to)?;
        Ok(to)
    }
}

/// Moves a chunk's file, and the text beside it, into another directory.
///
/// # Errors
/// The system said no.
pub fn transfer(from: &Path, to: &Path, stored: &Stored) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::rename(from.join(stored.name()), to.join(stored.name()))?;
    match fs::rename(note_path(from, stored), note_path(to, stored)) {
        Err(failed) if failed.kind() != io::ErrorKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

/// Where the text beside a chunk's file is.
#[must_use]
pub fn note_path(dir: &Path, stored: &Stored) -> PathBuf {
    dir.join(format!("{}.json", stored.name()))
}

/// The bytes of a chunk's file.
#[must_use]
pub fn encode(chunk: &Chunk) -> Vec<u8> {
    let mut bytes = head(chunk);
    bytes.extend_from_slice(chunk.data());
    bytes
}

/// Reads a chunk from a directory without opening it; its receipt is nobody's.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn read(dir: &Path, stored: &Stored) -> Result<Chunk, ReadError> {
    decode(Bytes::from(fs::read(dir.join(stored.name()))?), stored.entries)
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

fn head(chunk: &Chunk) -> Vec<u8> {
    let tag = chunk.tag().as_bytes();
    let mut summed = Vec::with_capacity(HEAD + tag.len());
    summed.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
    summed.extend_from_slice(&(chunk.size() as u32).to_be_bytes());
    summed.extend_from_slice(&crc(chunk.data()).to_be_bytes());
    summed.extend_from_slice(&(tag.len() as u16).to_be_bytes());
    summed.extend_from_slice(tag);
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&crc(&summed).to_be_bytes());
    head.extend_from_slice(&summed);
    head
}

/// Reads a chunk file's bytes.
///
/// # Errors
/// They are not those of a chunk with `entries` entries.
pub fn decode(bytes: Bytes, entries: u32) -> Result<Chunk, ReadError> {
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    if bytes.get(..8).is_none_or(|magic| magic != MAGIC) {
        return Err(ReadError::Damaged("it does not start as a chunk of this version does"));
    }
    let cut = ReadError::Damaged("it ends too early");
    let (Some(head_sum), Some(count), Some(len), Some(sum)) = (word(8), word(12), word(16), word(20)) else {
        return Err(cut);
    };
    let Some(tag_len) = bytes.get(24..26).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]]))) else {
        return Err(cut);
    };
    let Some(summed) = bytes.get(12..HEAD + tag_len) else { return Err(cut) };
    if crc(summed) != head_sum {
        return Err(ReadError::Damaged("the sum over its head does not fit"));
    }
    let data = bytes.slice(HEAD + tag_len..);
    if data.len() != len as usize {
        return Err(ReadError::Damaged("its length does not fit"));
    }
    if crc(&data) != sum {
        return Err(ReadError::Damaged("the sum over its entries does not fit"));
    }
    let tag = Tag::new(&bytes[HEAD..HEAD + tag_len]);
    match Chunk::check(tag, data, Receipt::unwatched()) {
        Ok(chunk) if chunk.len() as u32 == count && count == entries => Ok(chunk),
        _ => Err(ReadError::Damaged("its entries do not fit its count")),
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Timestamp};

    use super::*;

    fn chunk(tag: &str, entries: u8) -> Chunk {
        let mut builder = ChunkBuilder::new(Tag::from(tag));
        for n in 0..entries {
            builder.push_record(Timestamp::new(i64::from(n), 5), &[0x81, 0xa1, b'n', n]);
        }
        builder.finish(Receipt::unwatched())
    }

    #[test]
    fn what_was_written_is_read_again_after_a_restart_in_order() {
        let place = tempfile::tempdir().unwrap();
        let (dir, found) = ChunkDir::open(place.path(), Sync::Full).unwrap();
        assert!(found.is_empty());
        let (later, earlier) = (chunk("b", 2), chunk("a.b", 3));
        let numbers = [dir.number(), dir.number()];
        dir.write(numbers[1], &later).unwrap();
        let stored = dir.write(numbers[0], &earlier).unwrap();
        assert_eq!(stored.size(), ChunkDir::size_of(&earlier));
        fs::write(place.path().join(".0000000000000009-1.chunk"), b"half").unwrap();
        fs::write(place.path().join("notes.txt"), b"somebody else's").unwrap();
        drop(dir);
        let (dir, found) = ChunkDir::open(place.path(), Sync::Normal).unwrap();
        assert_eq!(found.iter().map(Stored::entries).collect::<Vec<_>>(), [3, 2]);
        let again = dir.read(&found[0]).unwrap();
        assert_eq!((again.tag(), again.data(), again.len()), (earlier.tag(), earlier.data(), 3));
        assert!(dir.number() > numbers[1]);
        found.iter().for_each(|stored| dir.remove(stored).unwrap());
        dir.remove(&found[0]).unwrap();
        let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["notes.txt"]);
    }

    #[test]
    fn a_file_cut_anywhere_or_with_any_bit_of_its_head_flipped_is_damaged() {
        let whole = chunk("app.log", 4);
        let (bytes, head_len) = (encode(&whole), head(&whole).len());
        assert!(decode(Bytes::from(bytes.clone()), 4).is_ok());
        for len in 0..bytes.len() {
            assert!(decode(Bytes::copy_from_slice(&bytes[..len]), 4).is_err(), "cut at {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(flipped.into(), 4).is_err(), "bit {bit} of a head of {head_len} bytes");
        }
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again_and_its_numbers_go_on() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let dir = ChunkDir::later(&path, Sync::Normal);
        assert!(!dir.is_ready());
        assert!(dir.write(dir.number(), &chunk("t", 1)).is_err());
        assert_eq!(dir.make_ready().unwrap(), []);
        let first = dir.write(dir.number(), &chunk("t", 1)).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(dir.is_ready() && dir.write(dir.number(), &chunk("t", 1)).is_err() && !dir.is_ready());
        dir.make_ready().unwrap();
        assert!(dir.write(dir.number(), &chunk("t", 1)).unwrap() > first);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_the_rest_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let (dir, _) = ChunkDir::open(place.path(), Sync::Normal).unwrap();
        let stored = dir.write(dir.number(), &chunk("t", 1)).unwrap();
        fs::write(place.path().join(stored.name()), b"IKCHUNK\x01nonsense").unwrap();
        assert!(matches!(dir.read(&stored), Err(ReadError::Damaged(_))));
        let aside = dir.set_aside(&stored).unwrap();
        assert!(aside.exists());
        assert!(ChunkDir::open(place.path(), Sync::Normal).unwrap().1.is_empty());
    }
}
