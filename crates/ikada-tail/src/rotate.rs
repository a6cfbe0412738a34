//! What becomes of files that are renamed, removed, copied or cut while the input runs.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use tracing::info;

use crate::copies::{has_name, sibling};
use crate::disk;
use crate::followed::Life;
use crate::identity::{FileId, Stat};
use crate::known::Candidate;
use crate::tailer::{Absent, MOST_ABSENT, Start, Tailer};

impl Tailer {
    /// Notices files whose name is gone or belongs to another file now. `seen` is what the patterns have found.
    pub(crate) fn lose_names(&mut self, seen: &HashMap<PathBuf, FileId>, now: Instant) {
        let lost: Vec<_> = self
            .files
            .values()
            .filter(|file| seen.get(&file.name) != Some(&file.id))
            .filter(|file| file.life == Life::Named || !file.has_its_name())
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
        let new = match &file.handle {
            Some(handle) => disk::name_of(handle, id).or_else(|| sibling(&old, id)),
            // Its inode may be another file's by now.
            None => sibling(&old, id).filter(|name| file.is_at(name)),
        };
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
            if stat.is_file && stat.mtime >= since && !is_known && !self.is_known_content(origin, &path) {
                missed.push((stat.mtime, path));
            }
        }
        missed.sort();
        for (_, path) in missed {
            self.admit(&path, Some(origin), Start::Head, now);
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
        for (origin, since) in self.latest.drain().filter(|(origin, _)| self.past.contains_key(origin)) {
            latest.entry(origin).and_modify(|known| *known = since.max(*known)).or_insert(since);
        }
        self.latest = latest;
    }

    /// A file that is an older one of a series: it is read to its end and let go.
    pub(crate) fn now_rotated(&mut self, path: &Path, origin: &Path, now: Instant) {
        let Some(file) = self.names.get(path).and_then(|id| self.files.get_mut(id)) else { return };
        file.life = Life::Rotated(now);
        file.generation.relabel(|label| {
            label.origin = origin.to_owned();
            label.rotated = true;
        });
        self.series.entry(origin.to_owned()).or_default().push(file.id);
        if let Some(at) = self.ready.iter().position(|id| *id == file.id) {
            self.ready.remove(at);
            self.ready_rotated.push_back(file.id);
        }
    }

    /// Notices files that were cut or written anew, before others are taken for what they held.
    pub(crate) fn notice_cuts(&mut self, now: Instant) {
        let changed = self.files.values().filter(|file| file.is_ready && file.is_replaced());
        for id in changed.map(|file| file.id).collect::<Vec<_>>() {
            self.replaced(id, now);
        }
    }

    /// A file holds other content than before: it was cut, or written anew. What it held goes on in a copy, if there is one.
    pub(crate) fn replaced(&mut self, id: FileId, now: Instant) {
        self.finish_lines(id);
        let Some(file) = self.files.remove(&id) else { return };
        info!(
            instance = %self.input, path = %file.name.display(), offset = file.place.offset,
            "the file was cut or written anew"
        );
        self.forget_name(&file.name, id);
        let (origin, known) = (file.generation.origin(), file.known());
        let has_moved = self.move_to_copy(id, &file.name, &file.generation, known, file.skip, now);
        if !has_moved {
            self.end_content(&file.generation, known);
        }
        let Some((handle, stat)) = file.handle.and_then(|handle| {
            let stat = Stat::of(&handle.metadata().ok()?);
            Some((handle, stat))
        }) else {
            return;
        };
        if !has_name(&file.name, id) && self.is_followed_elsewhere(&origin, &handle, &stat) {
            self.counts.closed += 1;
            return;
        }
        // What is there now may be a copy itself: of `app.log`, in an `app.log.1` that is used again.
        self.admit_file(&file.name, Some(&origin), (handle, &stat), Start::Head, now);
        match self.files.get_mut(&id) {
            Some(new) => {
                new.has_told_long = file.has_told_long;
                self.counts.opened -= 1;
            }
            None => self.counts.closed += 1,
        }
        if has_moved {
            self.find_missed(&origin, &HashSet::from([id]), now);
        }
    }

    /// Whether what a file without a name holds is in another one of its series, which is followed.
    fn is_followed_elsewhere(&self, origin: &Path, file: &File, stat: &Stat) -> bool {
        let head = disk::head(file, false).unwrap_or_default();
        let candidate = Candidate { file, stat, head: &head, is_packed: false };
        head.len() > 0 && self.original_of(origin, &candidate, Some(origin)).is_some()
    }

    pub(crate) fn forget_name(&mut self, name: &Path, id: FileId) {
        if self.names.get(name) == Some(&id) {
            self.names.remove(name);
        }
    }

    /// A file is gone for good.
    pub(crate) fn gone(&mut self, id: FileId, now: Instant) {
        self.finish_lines(id);
        let Some(file) = self.files.remove(&id) else { return };
        self.forget_name(&file.name, id);
        if file.handle.is_some() {
            self.counts.closed += 1;
        }
        let (origin, known) = (file.generation.origin(), file.known());
        if self.has_copies_of(&origin)
            && self.move_to_copy(id, &file.name, &file.generation, known, file.skip, now)
        {
            return self.find_missed(&origin, &HashSet::from([id]), now);
        }
        if file.handle.is_none() && self.absent.len() < MOST_ABSENT {
            // It may come back: a folder that was unmounted, a name that a later rotation brings.
            let content = Absent { origin, generation: file.generation, known, skip: file.skip };
            self.absent.insert(id.inode, content);
            return;
        }
        self.end_content(&file.generation, known);
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
}
