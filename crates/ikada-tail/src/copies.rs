//! Content that lies in more than one file: copies before the original is cut (`copytruncate`), packed files, and what comes back.
//!
//! A new file whose name may have been made of a known one is compared with the content of its series. A copy is not read: when its original is gone or holds
//! something else, the content goes on in it, from where it was left. What is gone without a copy is remembered, so that a copy that comes later is known too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use crate::disk;
use crate::followed::Followed;
use crate::generation::Generation;
use crate::identity::{FileId, HEAD, Head, Place, Stat};
use crate::known::{Candidate, Kin, Known, end_of_text};
use crate::tailer::{MOST_ABSENT, Start, Tailer};

/// Ended contents of one series that are remembered: as many as the database keeps.
const MOST_PAST: usize = 64;

/// A file that may be a copy of a followed one.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) name: PathBuf,
    size: u64,
    /// Since when it has this size.
    since: Instant,
    /// Where it is read from if it is none.
    start: Start,
    seen: Option<Seen>,
    /// Whether it was looked at after it had been quiet for long enough.
    is_quiet: bool,
}

/// What the last look at a copy said. Nothing else will be said while neither file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    of: FileId,
    offset: u64,
    kin: Kin,
}

impl Copy {
    pub(crate) fn new(name: PathBuf, size: u64, start: Start, now: Instant) -> Self {
        Self { name, size, since: now, start, seen: None, is_quiet: false }
    }
}

impl Tailer {
    /// The followed file of which a new one may be a copy; one of the series of `path`'s possible originals, or of `origin`.
    pub(crate) fn original_of(
        &self,
        path: &Path,
        candidate: &Candidate<'_>,
        origin: Option<&Path>,
    ) -> Option<(FileId, Kin)> {
        let mut perhaps = None;
        for name in disk::possible_originals(path).into_iter().chain(origin.map(Path::to_owned)) {
            for id in self.series.get(&name).into_iter().flatten().filter(|id| **id != candidate.stat.id) {
                let Some(original) = self.files.get(id) else { continue };
                match kin(original, candidate) {
                    Kin::Copy => return Some((*id, Kin::Copy)),
                    Kin::Perhaps => perhaps = perhaps.or(Some((*id, Kin::Perhaps))),
                    Kin::Other => {}
                }
            }
        }
        perhaps
    }

    /// Where to go on in a file with content of its series whose own file is gone.
    pub(crate) fn past_start(&mut self, path: &Path, candidate: &Candidate<'_>) -> Option<Start> {
        let origins = disk::possible_originals(path);
        let place = |known: &Known| known.copied_to(candidate.file, candidate.stat, candidate.is_packed);
        let absent = self
            .absent
            .iter()
            .filter(|(_, content)| origins.contains(&content.origin))
            .find_map(|(inode, content)| Some((*inode, place(&content.known)?)));
        if let Some((inode, place)) = absent
            && let Some(content) = self.absent.remove(&inode)
        {
            let skip = content.skip.filter(|_| place.offset == content.known.offset);
            return Some(Start::Of(content.generation, place, skip));
        }
        let past = origins.iter().filter_map(|origin| self.past.get(origin)).flatten();
        let place = past.filter_map(place).max_by_key(|place| place.offset);
        place.map(|place| Start::At(place, None))
    }

    /// Whether all that a file of the series holds is known: it was read, or is being read, in another one.
    pub(crate) fn is_known_content(&self, origin: &Path, path: &Path) -> bool {
        let is_packed = disk::is_packed(path);
        let Ok((file, stat)) = disk::open(path) else { return false };
        let head = disk::head(&file, is_packed).unwrap_or_default();
        let candidate = Candidate { file: &file, stat: &stat, head: &head, is_packed };
        if self.original_of(path, &candidate, None).is_some() {
            return true;
        }
        let places = self.past.get(origin).into_iter().flatten();
        let furthest = places.filter_map(|known| known.copied_to(&file, &stat, is_packed));
        let furthest = furthest.map(|place| place.offset).max();
        furthest.is_some() && furthest == end_of_text(&file, is_packed).ok().map(|end| end.offset)
    }

    /// Content whose file is gone, or holds something else now, and that lies in no other one.
    pub(crate) fn end_content(&mut self, generation: &Arc<Generation>, known: Known) {
        if known.offset > 0 && known.print.size > 0 {
            generation.end(&known);
            self.remember(generation.origin(), known);
        } else {
            generation.forget();
        }
        self.commits.list(generation);
    }

    /// Remembers ended content.
    pub(crate) fn remember(&mut self, origin: PathBuf, known: Known) {
        if self.past.len() >= MOST_ABSENT && !self.past.contains_key(&origin) {
            let some = self.past.keys().next().cloned();
            some.map(|some| self.past.remove(&some));
        }
        let past = self.past.entry(origin).or_default();
        past.push_back(known);
        if past.len() > MOST_PAST {
            past.pop_front();
        }
    }

    /// Goes on with content in a copy of its file. Returns whether there is one.
    pub(crate) fn move_to_copy(
        &mut self,
        id: FileId,
        name: &Path,
        content: &Arc<Generation>,
        known: Known,
        skip: Option<Place>,
        now: Instant,
    ) -> bool {
        if !known.is_telling() {
            return false;
        }
        let origin = content.origin();
        for path in self.candidates(&origin, name) {
            let Ok((file, stat)) = disk::open(&path) else { continue };
            let is_taken = self.files.get(&stat.id).is_some_and(|file| file.holds_its_own(&path));
            if !stat.is_file || stat.id == id || is_taken {
                continue;
            }
            let is_packed = disk::is_packed(&path);
            let Some(place) = known.fits(&file, is_packed) else { continue };
            self.copies.remove(&stat.id);
            self.let_go(stat.id);
            let head = disk::head(&file, is_packed).unwrap_or_default();
            let is_followed = self.follow(
                &path,
                Some(&origin),
                (file, &stat),
                head,
                Start::Of(content.clone(), place, skip),
            );
            if is_followed {
                info!(instance = %self.input, path = %path.display(), "its content goes on in a copy");
                self.now_rotated(&path, &origin, now);
            }
            return is_followed;
        }
        false
    }

    /// Does not follow a file any more: it holds other content, which somebody else takes care of.
    pub(crate) fn let_go(&mut self, id: FileId) {
        let Some(file) = self.files.remove(&id) else { return };
        self.forget_name(&file.name, id);
        self.waiting.remove(&id);
        self.counts.closed += u64::from(file.handle.is_some());
        self.end_content(&file.generation, file.known());
    }

    /// Files that may hold a copy: those that are held as such, then all of the series.
    fn candidates(&self, origin: &Path, name: &Path) -> Vec<PathBuf> {
        let is_relative = |path: &PathBuf| path != name && disk::is_relative(origin, path);
        let mut candidates: Vec<_> =
            self.copies.values().map(|copy| copy.name.clone()).filter(is_relative).collect();
        let folder = origin.parent().unwrap_or(Path::new("."));
        let listed: Vec<_> = disk::list(folder).into_iter().map(|(path, _)| path).collect();
        candidates.extend(listed.into_iter().filter(is_relative));
        candidates
    }

    /// Whether a file that may be a copy belongs to this series.
    pub(crate) fn has_copies_of(&self, origin: &Path) -> bool {
        self.copies.values().any(|copy| disk::is_relative(origin, &copy.name))
    }

    /// Looks at the files that may be copies: some turn out to be files of their own.
    pub(crate) fn settle_copies(&mut self, now: Instant) {
        if self.copies.is_empty() {
            return;
        }
        self.copies.retain(|id, copy| {
            has_name(&copy.name, *id) || {
                let renamed = sibling(&copy.name, *id);
                renamed.map(|name| copy.name = name).is_some()
            }
        });
        let ids: Vec<_> = self.copies.keys().copied().collect();
        for id in ids {
            let Some(mut copy) = self.copies.remove(&id) else { continue };
            if self.is_still_copy(id, &mut copy, now) {
                self.copies.insert(id, copy);
                continue;
            }
            if let Ok((file, stat)) = disk::open(&copy.name)
                && stat.id == id
                && !self.files.contains_key(&id)
            {
                self.admit_own(&copy.name, None, (file, &stat), copy.start);
            }
        }
    }

    /// Looks at one. Returns whether it is to be held on.
    fn is_still_copy(&self, id: FileId, copy: &mut Copy, now: Instant) -> bool {
        let Ok((file, stat)) = disk::open(&copy.name) else { return true };
        if stat.id != id {
            return true;
        }
        if stat.size != copy.size {
            (copy.size, copy.since, copy.seen, copy.is_quiet) = (stat.size, now, None, false);
        }
        let is_quiet = now >= copy.since + self.settings.rotate_wait;
        copy.is_quiet = is_quiet;
        let is_as_seen = |seen: &Seen| {
            let original = self.files.get(&seen.of);
            seen.size == stat.size && original.is_some_and(|file| file.place.offset == seen.offset)
        };
        let seen = copy.seen.filter(|seen| seen.kin == Kin::Copy && is_as_seen(seen)).or_else(|| {
            let is_packed = disk::is_packed(&copy.name);
            let head = disk::head(&file, is_packed).unwrap_or_default();
            let candidate = Candidate { file: &file, stat: &stat, head: &head, is_packed };
            let (of, kin) = self.original_of(&copy.name, &candidate, None)?;
            let offset = self.files.get(&of)?.place.offset;
            Some(Seen { size: stat.size, of, offset, kin })
        });
        copy.seen = seen;
        let Some(seen) = seen else { return false };
        let Some(original) = self.files.get(&seen.of) else { return false };
        if !is_quiet || original.is_ready {
            return true;
        }
        match seen.kin {
            // An empty one tells nothing, and holds nothing.
            Kin::Perhaps => stat.size == 0,
            Kin::Copy => {
                let is_plain = !disk::is_packed(&copy.name) && !original.is_packed;
                // By chance two files may begin with the same few bytes.
                let differs = stat.size.min(original.size) < HEAD as u64 && stat.size != original.size;
                let outgrows = original.size >= original.place.offset && stat.size > original.size;
                !(is_plain && (differs || outgrows))
            }
            Kin::Other => false,
        }
    }

    /// When a file that may be a copy has been quiet for long enough.
    pub(crate) fn next_copy(&self) -> Option<Instant> {
        let waiting = self.copies.values().filter(|copy| !copy.is_quiet);
        waiting.map(|copy| copy.since + self.settings.rotate_wait).min()
    }

    /// Follows a file that is no copy of a followed one: from the start, or from where its content was left.
    pub(crate) fn admit_own(
        &mut self,
        path: &Path,
        origin: Option<&Path>,
        (file, stat): (File, &Stat),
        start: Start,
    ) {
        let is_packed = disk::is_packed(path);
        let head: Head = disk::head(&file, is_packed).unwrap_or_default();
        let candidate = Candidate { file: &file, stat, head: &head, is_packed };
        let start = self.past_start(path, &candidate).unwrap_or(start);
        self.follow(path, origin, (file, stat), head, start);
    }
}

fn kin(original: &Followed, candidate: &Candidate<'_>) -> Kin {
    let on_disk = || original.opened().filter(|_| !original.is_packed);
    candidate.kin_to(&original.known(), &original.head, &on_disk)
}

/// Whether a file is there under this name.
pub(crate) fn has_name(name: &Path, id: FileId) -> bool {
    disk::stat(name).is_ok_and(|stat| stat.id == id)
}

/// The name that a file has now in the folder where it was.
pub(crate) fn sibling(old: &Path, id: FileId) -> Option<PathBuf> {
    let folder = old.parent()?;
    let names = disk::list(folder).into_iter().filter(|(_, inode)| *inode == id.inode);
    names.map(|(path, _)| path).find(|path| has_name(path, id))
}
