//! What becomes of files that are renamed, removed, copied or cut while the input runs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tracing::info;

use crate::disk::{self, Known};
use crate::followed::Life;
use crate::generation::{Generation, Label};
use crate::identity::{FileId, Head, Place, Stat};
use crate::tailer::{Absent, MOST_ABSENT, Start, Tailer};

/// Ended contents of one series that are remembered.
const MOST_PAST: usize = 16;

impl Tailer {
    /// Notices files whose name is gone or belongs to another file now. `seen` is what the patterns have found.
    pub(crate) fn lose_names(&mut self, seen: &HashMap<PathBuf, FileId>, now: Instant) {
        let lost: Vec<_> = self
            .files
            .values()
            .filter(|file| seen.get(&file.name) != Some(&file.id))
            .filter(|file| file.life == Life::Named || !has_name(&file.name, file.id))
            .map(|file| file.id)
            .collect();
        for id in lost {
            self.lose_name(id, now);
        }
    }

    /// A file has lost its name: finds the one that it has now, reads it to its end, and looks for others of its series that came and went in between.
    fn lose_name(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let was_named = file.life == Life::Named;
        let old = file.name.clone();
        if self.names.get(&old) == Some(&id) {
            self.names.remove(&old);
        }
        let open = file.handle.as_ref().and_then(|handle| disk::name_of(handle, id));
        let new = open.or_else(|| sibling(&old, id));
        if was_named {
            self.counts.rotated += 1;
            file.life = Life::Rotated(now);
        }
        let Some(name) = new else {
            if file.handle.is_none() {
                self.gone(id, now);
            } else if was_named {
                info!(instance = %self.input, path = %old.display(), "the file was removed; reading it to its end");
                let origin = file.generation.origin();
                self.make_ready(id);
                self.find_missed(&origin, &HashSet::new(), now);
            }
            return;
        };
        info!(instance = %self.input, from = %old.display(), to = %name.display(), "the file was rotated");
        file.name = name.clone();
        file.generation.relabel(|label| {
            label.name = name.clone();
            label.rotated = true;
        });
        let generation = file.generation.clone();
        self.commits.list(&generation);
        self.names.insert(name, id);
        self.make_ready(id);
        self.find_missed(&generation.origin(), &HashSet::new(), now);
    }

    /// Follows files of the series that came after all that was known of it, that nobody follows and no pattern finds. `others` are
    /// files that somebody else takes care of.
    pub(crate) fn find_missed(&mut self, origin: &Path, others: &HashSet<FileId>, now: Instant) {
        let Some(folder) = origin.parent() else { return };
        let Some(since) = self.latest.get(origin).copied() else { return };
        self.sort_series();
        let mut missed = Vec::new();
        for (path, _) in disk::list(folder) {
            if !disk::is_numbered(origin, &path) || self.is_excluded(&path) {
                continue;
            }
            let Ok(stat) = disk::stat(&path) else { continue };
            let is_known = self.files.contains_key(&stat.id)
                || self.copies.contains_key(&stat.id)
                || others.contains(&stat.id);
            if stat.is_file && stat.mtime >= since && !is_known && !self.is_past(origin, &path) {
                missed.push((stat.mtime, path));
            }
        }
        missed.sort();
        for (_, path) in missed {
            self.admit(&path, Start::Head, now);
            self.now_rotated(&path, origin, now);
        }
    }

    /// Remembers when each series was changed last, as far as is known now.
    pub(crate) fn remember_latest(&mut self) {
        let mut latest: HashMap<PathBuf, i64> = HashMap::with_capacity(self.latest.len());
        for file in self.files.values() {
            // What was written and not yet read may be gone again when its turn comes.
            let (origin, mtime) = file.generation.origin_and_mtime();
            let since = latest.entry(origin).or_insert(i64::MIN);
            *since = mtime.max(*since);
        }
        self.latest = latest;
    }

    /// Whether a file begins like content of the series that is known: one that is followed, or one that was.
    fn is_past(&self, origin: &Path, path: &Path) -> bool {
        let is_packed = disk::is_packed(path);
        let Ok(head) = disk::open(path).and_then(|(file, _)| disk::head(&file, is_packed)) else {
            return false;
        };
        let ids = self.series.get(origin).into_iter().flatten();
        let followed = ids.filter_map(|id| self.files.get(id)).map(|file| file.head.print());
        let past = self.past.get(origin).into_iter().flatten().copied();
        followed.chain(past).any(|print| print.size > 0 && head.has(print))
    }

    /// A file that is an older one of a series: it is read to its end and let go.
    pub(crate) fn now_rotated(&mut self, path: &Path, origin: &Path, now: Instant) {
        let Some(file) = self.names.get(path).and_then(|id| self.files.get_mut(id)) else { return };
        file.life = Life::Rotated(now);
        file.generation.relabel(|label| {
            label.origin = origin.to_owned();
            label.rotated = true;
        });
        if let Some(at) = self.ready.iter().position(|id| *id == file.id) {
            self.ready.remove(at);
            self.ready_rotated.push_back(file.id);
        }
    }

    /// A file holds other content than before: it was cut, or written anew. What it held goes on in a copy, if there is one.
    pub(crate) fn replaced(&mut self, id: FileId, now: Instant) {
        self.finish_lines(id);
        let Some(file) = self.files.get_mut(&id) else { return };
        info!(
            instance = %self.input, path = %file.name.display(), offset = file.place.offset,
            "the file was cut or written anew; reading from its start"
        );
        let (old, known, skip) = (file.generation.clone(), file.known(), file.skip);
        let label = Label {
            name: file.name.clone(),
            origin: file.name.clone(),
            id,
            rotated: false,
            head: Head::default().print(),
            mtime: file.mtime,
            is_packed: file.is_packed,
            packed_end: None,
        };
        file.generation = Generation::new(Place::default(), label, None);
        file.place = Place::default();
        file.skip = None;
        file.head = Head::default();
        file.unpacker = None;
        file.is_at_end = false;
        // An inode that is used again: the file under it now is a present one.
        file.life = Life::Named;
        let (new, name) = (file.generation.clone(), file.name.clone());
        self.make_ready(id);
        if !self.move_to_copy(id, &name, &old, known, skip, now) {
            old.forget();
        }
        self.commits.list(&old);
        self.commits.list(&new);
    }

    /// Goes on with content in a copy of its file. Returns whether there is one.
    fn move_to_copy(
        &mut self,
        id: FileId,
        name: &Path,
        content: &std::sync::Arc<Generation>,
        known: Known,
        skip: Option<Place>,
        now: Instant,
    ) -> bool {
        if !known.is_telling() {
            return false;
        }
        let origin = content.origin();
        let mut candidates: Vec<PathBuf> =
            self.copies.values().filter(|copy| copy.of == id).map(|copy| copy.name.clone()).collect();
        let folder = origin.parent().unwrap_or(Path::new("."));
        candidates.extend(
            disk::list(folder)
                .into_iter()
                .map(|(path, _)| path)
                .filter(|path| path != name && disk::is_relative(&origin, path)),
        );
        for path in candidates {
            let Ok((file, stat)) = disk::open(&path) else { continue };
            if !stat.is_file || self.files.contains_key(&stat.id) {
                continue;
            }
            let is_packed = disk::is_packed(&path);
            let Some(place) = known.fits(&file, is_packed) else { continue };
            self.copies.remove(&stat.id);
            let head = disk::head(&file, is_packed).unwrap_or_default();
            let is_followed = self.follow(&path, file, &stat, head, Start::Of(content.clone(), place, skip));
            if is_followed {
                info!(instance = %self.input, path = %path.display(), "its content goes on in a copy");
                self.now_rotated(&path, &origin, now);
                self.find_missed(&origin, &HashSet::from([id]), now);
            }
            return is_followed;
        }
        false
    }

    /// A file is gone for good.
    fn gone(&mut self, id: FileId, now: Instant) {
        self.finish_lines(id);
        let Some(file) = self.files.remove(&id) else { return };
        if self.names.get(&file.name) == Some(&id) {
            self.names.remove(&file.name);
        }
        self.counts.closed += 1;
        let known = file.known();
        let has_copy = self.copies.values().any(|copy| copy.of == id);
        let has_moved =
            has_copy && self.move_to_copy(id, &file.name, &file.generation, known, file.skip, now);
        if has_moved {
            return;
        }
        if file.handle.is_none() && self.absent.len() < MOST_ABSENT {
            // It may come back: a folder that was unmounted, a name that a later rotation brings.
            let content = Absent { generation: file.generation, known, skip: file.skip };
            self.absent.insert(id.inode, content);
            return;
        }
        let past = self.past.entry(file.generation.origin()).or_default();
        past.push_back(known.print);
        if past.len() > MOST_PAST {
            past.pop_front();
        }
        file.generation.forget();
        self.commits.list(&file.generation);
    }

    /// Closes what is read to its end and was quiet for long enough.
    pub(crate) fn retire(&mut self, now: Instant) {
        let wait = self.settings.rotate_wait;
        let quiet: Vec<_> = self
            .files
            .values()
            .filter(|file| !file.is_ready && file.handle.is_some())
            .filter(|file| matches!(file.life, Life::Rotated(since) if now >= since + wait))
            .map(|file| file.id)
            .collect();
        for id in quiet {
            let Some(file) = self.files.get_mut(&id) else { continue };
            if let Some(meta) = file.handle.as_ref().and_then(|file| file.metadata().ok()) {
                self.news(&Stat::of(&meta));
            }
            let Some(file) = self.files.get_mut(&id).filter(|file| !file.is_ready) else { continue };
            if file.is_deleted() {
                self.last_line(id, now);
                self.gone(id, now);
            } else {
                file.handle = None;
                file.unpacker = None;
                self.counts.closed += 1;
            }
        }
    }

    /// When something may be closed next.
    pub(crate) fn next_retirement(&self) -> Option<Instant> {
        let open = self.files.values().filter(|file| !file.is_ready && file.handle.is_some());
        let since = open.filter_map(|file| match file.life {
            Life::Rotated(since) => Some(since),
            Life::Named => None,
        });
        since.min().map(|since| since + self.settings.rotate_wait)
    }

    /// Sorts the followed files by the names under which they were found at first, once for each look.
    pub(crate) fn sort_series(&mut self) {
        if !std::mem::take(&mut self.is_series_old) {
            return;
        }
        self.series.clear();
        for file in self.files.values_mut() {
            if file.learn_head() {
                let head = file.head.print();
                file.generation.relabel(|label| label.head = head);
                self.commits.list(&file.generation);
            }
            self.series.entry(file.generation.origin()).or_default().push(file.id);
        }
    }

    /// The followed file of which a new one may be a copy.
    pub(crate) fn original_of(&self, path: &Path, head: &Head, stat: &Stat) -> Option<FileId> {
        let names = disk::possible_originals(path);
        let ids = names.iter().filter_map(|name| self.series.get(name)).flatten();
        let originals = ids.filter_map(|id| self.files.get(id));
        let of = originals.filter(|file| {
            // Compressing keeps the time, and a file that was there before is no copy of one that came later.
            let is_later = stat.mtime >= file.first_mtime;
            is_later && file.head.len() > 0 && file.id != stat.id && head.begins_like(&file.head)
        });
        of.max_by_key(|file| file.name.as_os_str().len()).map(|file| file.id)
    }

    /// Looks at the files that may be copies: some turn out to be files of their own.
    pub(crate) fn settle_copies(&mut self, now: Instant) {
        let mut own = Vec::new();
        let wait = self.settings.rotate_wait;
        self.copies.retain(|id, copy| {
            has_name(&copy.name, *id) || {
                let renamed = sibling(&copy.name, *id);
                renamed.map(|name| copy.name = name).is_some()
            }
        });
        for (id, copy) in &mut self.copies {
            let Ok(stat) = disk::stat(&copy.name) else { continue };
            if stat.size != copy.size {
                copy.size = stat.size;
                copy.since = now;
            }
            let Some(original) = self.files.get(&copy.of) else {
                own.push(*id);
                continue;
            };
            let is_packed = disk::is_packed(&copy.name);
            let head = disk::open(&copy.name).and_then(|(file, _)| disk::head(&file, is_packed));
            let differs = head.is_ok_and(|head| !head.begins_like(&original.head));
            let is_whole = !original.is_ready && original.size >= original.place.offset;
            let outgrows = !is_packed && is_whole && now >= copy.since + wait && stat.size > original.size;
            if differs || outgrows {
                own.push(*id);
            }
        }
        for id in own {
            let Some(copy) = self.copies.remove(&id) else { continue };
            if let Ok((file, stat)) = disk::open(&copy.name)
                && stat.id == id
                && !self.files.contains_key(&stat.id)
            {
                let head = disk::head(&file, disk::is_packed(&copy.name)).unwrap_or_default();
                self.follow(&copy.name, file, &stat, head, Start::Head);
            }
        }
    }
}

fn has_name(name: &Path, id: FileId) -> bool {
    disk::stat(name).is_ok_and(|stat| stat.id == id)
}

/// The name that a file has now in the folder where it was.
pub(crate) fn sibling(old: &Path, id: FileId) -> Option<PathBuf> {
    let folder = old.parent()?;
    let names = disk::list(folder).into_iter().filter(|(_, inode)| *inode == id.inode);
    names.map(|(path, _)| path).find(|path| has_name(path, id))
}
