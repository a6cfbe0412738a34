//! Dead letters: entries that an output will never deliver, kept on disk with the reason.
//!
//! They lie as chunk files in a directory of their own, laid out as the disk of a pipeline is: an engine that is started with it as its
//! [`Storage`](crate::Storage) delivers them anew. Beside each file stands a note in JSON: output, reason, cause, time. A
//! [`Courier`], where there is one, takes them further; then they need no directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ikada_plugin::{Batch, InstanceId, Part, SendError, Service};
use ikada_record::{Chunk, ChunkBuilder, DropReason, Receipt};
use ikada_store::chunks::{ChunkDir, Stored, Sync, encode, note_path};
use tracing::warn;

use crate::courier::{Courier, Files};

/// The directory of an output's chunks below a pipeline's storage, or below that of the dead letters.
#[must_use]
pub fn directory_of(storage: &Path, id: &InstanceId) -> PathBuf {
    let safe = |c: char| if matches!(c, '/' | '\\' | '\0') { '_' } else { c };
    storage.join("outputs").join(id.shown().chars().map(safe).collect::<String>())
}

/// The dead letters of one output.
pub(crate) struct Letters {
    id: Arc<InstanceId>,
    service: Arc<Service>,
    shelf: Arc<LetterShelf>,
}

/// Where they lie.
struct LetterShelf {
    id: Arc<InstanceId>,
    /// Name of the output's directory.
    name: String,
    dir: Option<Arc<ChunkDir>>,
    limit: u64,
    files: Files,
    courier: Option<Arc<Courier>>,
    /// Numbers where there is no directory.
    numbers: ChunkDir,
}

impl Letters {
    /// At most so many bytes of letters below `place`, from where the courier takes them. `None` if there is neither, with a line if
    /// the directory cannot be used.
    pub(crate) fn open(
        place: Option<&(PathBuf, u64)>,
        courier: Option<Arc<Courier>>,
        id: &Arc<InstanceId>,
        service: &Arc<Service>,
    ) -> Option<Self> {
        let path = directory_of(place.map_or(Path::new(""), |(path, _)| path), id);
        let opened = place.and_then(|_| match ChunkDir::open(&path, Sync::Normal) {
            Ok(opened) => Some(opened),
            Err(failed) => {
                warn!(instance = %id, "could not use {}: {failed}; what is refused is not kept there", path.display());
                None
            }
        });
        if opened.is_none() && courier.is_none() {
            return None;
        }
        let (dir, found) = opened.map_or((None, Vec::new()), |(dir, found)| (Some(Arc::new(dir)), found));
        let shelf = LetterShelf {
            id: id.clone(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            dir,
            limit: place.map_or(u64::MAX, |(_, limit)| *limit),
            files: Arc::new(Mutex::new(found.iter().cloned().collect())),
            courier,
            numbers: ChunkDir::later(&path, Sync::Normal),
        };
        // Those that an earlier run could not have brought.
        found.into_iter().for_each(|stored| shelf.give_away(stored));
        Some(Self { id: id.clone(), service: service.clone(), shelf: Arc::new(shelf) })
    }

    /// Keeps the entries of a batch with these numbers. It is written in the background.
    pub(crate) fn keep(&self, batch: &Batch, numbers: &[u32], reason: DropReason, cause: &SendError) {
        let chunks = chunks_of(batch, numbers);
        self.told_of_lack(numbers.len(), &chunks);
        self.keep_all(chunks, reason, cause);
    }

    /// Keeps a whole chunk. It is written in the background.
    pub(crate) fn keep_chunk(&self, chunk: Chunk, reason: DropReason, cause: &SendError) {
        self.keep_all(vec![chunk], reason, cause);
    }

    fn told_of_lack(&self, wanted: usize, chunks: &[Chunk]) {
        let kept: usize = chunks.iter().map(Chunk::len).sum();
        if kept < wanted {
            let lost = wanted - kept;
            warn!(instance = %self.id, "{lost} refused records could not be kept: the output does not say which they are");
        }
    }

    fn keep_all(&self, chunks: Vec<Chunk>, reason: DropReason, cause: &SendError) {
        let now = self.service.clock.now();
        let note = format!(
            "{{\"output\":{},\"reason\":\"{reason}\",\"cause\":{},\"time\":{}.{:09}}}\n",
            quoted(self.id.shown()),
            quoted(&cause.to_string()),
            now.secs(),
            now.nanos()
        );
        let least = u64::try_from(now.secs()).unwrap_or_default() * 1_000_000_000 + u64::from(now.nanos());
        let shelf = self.shelf.clone();
        if let Some(courier) = &shelf.courier {
            courier.announce();
        }
        let work = move || {
            chunks.iter().for_each(|chunk| shelf.keep(least, chunk, &note));
            if let Some(courier) = &shelf.courier {
                courier.written();
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

impl LetterShelf {
    /// Writes a chunk and its note; without a directory that takes it, the courier keeps it in memory.
    fn keep(&self, least: u64, chunk: &Chunk, note: &str) {
        let written = match &self.dir {
            Some(dir) => self.write(dir, (dir.number_from(least), chunk), note),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        match (written, &self.courier) {
            (Ok(stored), _) => self.give_away(stored),
            (Err(_), Some(courier)) => {
                let stored = ChunkDir::stored(self.numbers.number_from(least), chunk);
                courier.add_memory(&self.name, &stored, encode(chunk).into(), note.to_owned());
            }
            (Err(failed), None) => {
                warn!(instance = %self.id, "could not keep {} refused records: {failed}", chunk.len());
            }
        }
    }

    fn give_away(&self, stored: Stored) {
        if let (Some(courier), Some(dir)) = (&self.courier, &self.dir) {
            courier.add_file(&self.name, dir, stored, &self.files);
        }
    }

    fn write(&self, dir: &ChunkDir, (number, chunk): (u64, &Chunk), note: &str) -> std::io::Result<Stored> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size: u64 = files.iter().map(Stored::size).sum::<u64>() + ChunkDir::size_of(chunk);
        while size > self.limit {
            let Some(oldest) = files.pop_front() else { break };
            size -= oldest.size();
            dir.remove(&oldest)?;
            std::fs::remove_file(note_path(dir.path(), &oldest)).ok();
            warn!(
                "the dead letters in {} have reached their limit: {} older records are gone",
                dir.path().display(),
                oldest.entries()
            );
        }
        let stored = dir.write(number, chunk)?;
        dir.note(&stored, note)?;
        files.push_back(stored.clone());
        Ok(stored)
    }
}

/// The entries with these numbers, by chunk they came in.
fn chunks_of(batch: &Batch, numbers: &[u32]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut numbers = numbers.iter().copied().peekable();
    let mut start = 0;
    for part in &batch.parts {
        let end = start + part.entries;
        let places = std::iter::from_fn(|| numbers.next_if(|number| *number < end)).collect::<Vec<_>>();
        if let Some(source) = part.share.source().filter(|_| !places.is_empty()) {
            let mut builder = ChunkBuilder::new(source.tag().clone());
            copy_entries(batch, start, part, &places, &mut builder);
            if !builder.is_empty() {
                chunks.push(builder.finish(Receipt::unwatched()));
            }
        }
        start = end;
    }
    chunks
}

/// Copies the entries with these numbers, which belong to the part that begins at `start`, out of the chunk they came in.
pub(crate) fn copy_entries(batch: &Batch, start: u32, part: &Part, numbers: &[u32], to: &mut ChunkBuilder) {
    let Some(source) = part.share.source() else { return };
    let place = |number: u32| match batch.origins.get(number as usize) {
        Some(origin) => Some(*origin as usize),
        None if source.len() == part.entries as usize => Some((number - start) as usize),
        None => None,
    };
    let mut wanted = numbers.iter().copied().filter_map(place).collect::<Vec<_>>();
    wanted.sort_unstable();
    let mut wanted = wanted.into_iter().peekable();
    for (at, entry) in source.entries().enumerate() {
        while wanted.next_if_eq(&at).is_some() {
            to.push_entry(&entry);
        }
    }
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
