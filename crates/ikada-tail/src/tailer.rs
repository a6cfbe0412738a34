//! All files of one input: which there are, how far each is read, and what becomes of it.
//!
//! Nothing here waits: the owner's thread calls it when something is to be done, tests call it step by step.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ikada_plugin::{Clock, FileMetrics, FlushClock, InputMetrics, MemoryShare};
use ikada_store::positions::{Past, Stored};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::commit::Commits;
use crate::copies::Copy;
use crate::disk;
use crate::followed::{Followed, Life};
use crate::generation::{Generation, Label};
use crate::identity::{FileId, Head, Place, Stat};
use crate::known::{Candidate, Known, end_for_now};
use crate::parcels::Parcels;
use crate::pattern::{Found, matches};
use crate::restore;
use crate::settings::{READ, Settings};

/// All files of one input.
#[derive(Debug)]
pub(crate) struct Tailer {
    /// The instance, for log lines.
    pub(crate) input: String,
    pub(crate) settings: Settings,
    pub(crate) files: HashMap<FileId, Followed>,
    /// Followed files by the name they have now.
    pub(crate) names: HashMap<PathBuf, FileId>,
    /// Files that may be copies of a followed one.
    pub(crate) copies: HashMap<FileId, Copy>,
    /// Followed files by the name under which they were found at first, as of the last look.
    pub(crate) series: HashMap<PathBuf, Vec<FileId>>,
    pub(crate) is_series_old: bool,
    /// When each series was changed last, as of the last look.
    pub(crate) latest: HashMap<PathBuf, i64>,
    /// Contents that were read and whose files are gone, by series.
    pub(crate) past: HashMap<PathBuf, VecDeque<Known>>,
    /// Contents whose files are not there, by inode.
    pub(crate) absent: HashMap<u64, Absent>,
    /// Files that wait for their turn; older ones of a series before the present ones.
    pub(crate) ready_rotated: VecDeque<FileId>,
    pub(crate) ready: VecDeque<FileId>,
    pub(crate) parcels: Parcels,
    pub(crate) commits: Commits,
    pub(crate) metrics: Arc<InputMetrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counts: Counts,
    /// What of it the metrics show.
    shown: Counts,
    pub(crate) buf: Vec<u8>,
    /// The record that a parser makes.
    pub(crate) scratch: Vec<u8>,
    /// Files with lines that wait for others.
    pub(crate) waiting: HashSet<FileId>,
    /// Bytes of those lines.
    pub(crate) held: usize,
    pub(crate) memory: MemoryShare,
    pub(crate) born: Instant,
    /// What was told once and is not told again.
    pub(crate) told: HashSet<(PathBuf, &'static str)>,
    /// Files that may be open at once.
    pub(crate) most_open: usize,
    pub(crate) has_links: bool,
}

/// Content whose file is not there.
#[derive(Debug)]
pub(crate) struct Absent {
    /// The name under which it was found at first.
    pub(crate) origin: PathBuf,
    pub(crate) generation: Arc<Generation>,
    pub(crate) known: Known,
    pub(crate) skip: Option<Place>,
}

/// Contents without a file that are kept in memory.
pub(crate) const MOST_ABSENT: usize = 20_000;

/// What has happened to files and lines.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) rotated: u64,
    pub(crate) long_lines: u64,
    /// Records of several lines that were cut.
    pub(crate) cut_records: u64,
    /// Lines that the parser did not take.
    pub(crate) misfits: u64,
}

/// Where reading of a file starts.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    Head,
    End,
    At(Place, Option<i64>),
    /// Content that moved here from another file.
    Of(Arc<Generation>, Place, Option<Place>),
}

impl Tailer {
    pub(crate) fn new(
        input: String,
        settings: Settings,
        flush: FlushClock,
        commits: Commits,
        metrics: Arc<InputMetrics>,
        clock: Arc<dyn Clock>,
        memory: MemoryShare,
    ) -> Self {
        // There from the start, with zeros.
        metrics.files.get_or_init(FileMetrics::default);
        Self {
            input,
            settings,
            files: HashMap::new(),
            names: HashMap::new(),
            copies: HashMap::new(),
            series: HashMap::new(),
            is_series_old: true,
            latest: HashMap::new(),
            past: HashMap::new(),
            absent: HashMap::new(),
            ready_rotated: VecDeque::new(),
            ready: VecDeque::new(),
            parcels: Parcels::new(flush),
            commits,
            metrics,
            clock,
            counts: Counts::default(),
            shown: Counts::default(),
            buf: vec![0; READ],
            scratch: Vec::new(),
            waiting: HashSet::new(),
            held: 0,
            memory,
            born: Instant::now(),
            told: HashSet::new(),
            most_open: open_limit(),
            has_links: false,
        }
    }

    /// Finds files for the first time, and those that the database knows again. Returns the folders to watch.
    pub(crate) fn start(&mut self, rows: Vec<Stored>, past: Vec<Past>) -> Vec<PathBuf> {
        let mut found = self.find();
        let (fresh, _) = self.look_at(&mut found, Instant::now());
        restore::restore(self, rows, past, fresh);
        self.remember_latest();
        found.folders.into_iter().collect()
    }

    /// Finds what is new, and what has lost its name. Returns the folders to watch.
    pub(crate) fn scan(&mut self, now: Instant) -> Vec<PathBuf> {
        let mut found = self.find();
        let (mut fresh, seen) = self.look_at(&mut found, now);
        self.notice_cuts(now);
        fresh.sort_by_key(|(_, stat)| stat.mtime);
        self.is_series_old = true;
        if !fresh.is_empty() {
            self.sort_series();
        }
        let known: Vec<_> = fresh.iter().map(|(path, _)| path.clone()).collect();
        for (path, _) in fresh {
            let start = if self.settings.new_from_head { Start::Head } else { Start::End };
            self.admit(&path, None, start, now);
        }
        self.lose_names(&seen, now);
        // A new file under a name that was known: others of its series may have come and gone before it.
        let known: Vec<_> = known.into_iter().filter(|path| self.latest.contains_key(path)).collect();
        for origin in known {
            self.find_missed(&origin, &HashSet::new(), now);
        }
        self.settle_copies(now);
        self.remember_latest();
        found.folders.into_iter().collect()
    }

    fn find(&mut self) -> Found {
        let mut found = Found::default();
        for pattern in &self.settings.patterns {
            pattern.find(&mut found);
        }
        for (path, error) in std::mem::take(&mut found.closed) {
            self.tell_once(&path, "list", &format!("the folder cannot be listed: {error}"));
        }
        found
    }

    /// Looks at all paths that were found. Returns those of files that are not followed, and which file each path is.
    fn look_at(
        &mut self,
        found: &mut Found,
        now: Instant,
    ) -> (Vec<(PathBuf, Stat)>, HashMap<PathBuf, FileId>) {
        let mut fresh = Vec::new();
        let mut seen: HashMap<PathBuf, FileId> = HashMap::new();
        let mut ids: HashSet<FileId> = HashSet::new();
        found.paths.retain(|path| !self.is_excluded(path));
        for path in &found.paths {
            let Ok(stat) = disk::stat(path) else { continue };
            if !stat.is_file {
                continue;
            }
            seen.insert(path.clone(), stat.id);
            if !ids.insert(stat.id) {
                continue;
            }
            if !self.has_links {
                self.has_links = path.is_symlink();
            }
            if self.files.get(&stat.id).is_some_and(|file| file.is_reborn(&stat)) {
                self.gone(stat.id, now);
            }
            if self.files.contains_key(&stat.id) {
                self.found_again(path, &stat);
                if self.settings.ignore_active_older && self.is_too_old(&stat) {
                    self.rest(stat.id);
                }
            } else if let Some(copy) = self.copies.get_mut(&stat.id) {
                copy.name.clone_from(path);
            } else if !self.is_too_old(&stat) {
                fresh.push((path.clone(), stat));
            }
        }
        (fresh, seen)
    }

    pub(crate) fn is_excluded(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        self.settings.excludes.iter().any(|pattern| matches(pattern.as_bytes(), path))
    }

    fn is_too_old(&self, stat: &Stat) -> bool {
        let Some(limit) = self.settings.ignore_older else { return false };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = now.as_nanos().saturating_sub(u128::try_from(stat.mtime).unwrap_or_default());
        age > limit.as_nanos()
    }

    /// A followed file was found under a path of the patterns.
    fn found_again(&mut self, path: &Path, stat: &Stat) {
        let Some(file) = self.files.get_mut(&stat.id) else { return };
        if file.name != *path {
            let is_link_of_it = disk::stat(&file.name).is_ok_and(|other| other.id == stat.id);
            if !is_link_of_it {
                self.rename(stat.id, path);
            }
        }
        self.news(stat);
    }

    /// Closes a file that has not changed for long. It is opened again when it does.
    fn rest(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id)
            && !file.is_ready
            && file.handle.take().is_some()
        {
            self.counts.closed += 1;
        }
    }

    fn rename(&mut self, id: FileId, to: &Path) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if self.names.get(&file.name) == Some(&id) {
            self.names.remove(&file.name);
        }
        info!(instance = %self.input, from = %file.name.display(), to = %to.display(), "the file was renamed");
        file.name = to.to_owned();
        self.names.insert(to.to_owned(), id);
        file.generation.relabel(|label| {
            label.name = to.to_owned();
            label.rotated = label.name != label.origin;
        });
        self.commits.list(&file.generation);
    }

    /// Says how a file is now. What is new will be read.
    pub(crate) fn news(&mut self, stat: &Stat) {
        let Some(file) = self.files.get_mut(&stat.id) else { return };
        let is_news = stat.size != file.size || stat.mtime != file.mtime;
        if is_news || stat.size < file.reach().offset && !file.is_packed {
            file.size = stat.size;
            file.mtime = stat.mtime;
            if file.is_packed {
                file.unpacker = None;
            }
            self.make_ready(stat.id);
        }
    }

    pub(crate) fn make_ready(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if !std::mem::replace(&mut file.is_ready, true) {
            match file.life {
                Life::Named => self.ready.push_back(id),
                Life::Rotated(_) => self.ready_rotated.push_back(id),
            }
        }
    }

    /// Starts to follow a file. What was rotated has an `origin`, the name under which the patterns found it.
    pub(crate) fn admit(&mut self, path: &Path, origin: Option<&Path>, start: Start, now: Instant) {
        let (file, stat) = match disk::open(path) {
            Ok(opened) => opened,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.tell_once(path, "open", &format!("the file cannot be read: {error}"));
                }
                return;
            }
        };
        if !stat.is_file || self.files.contains_key(&stat.id) {
            return;
        }
        self.told.remove(&(path.to_owned(), "open"));
        self.admit_file(path, origin, (file, &stat), start, now);
    }

    /// Starts to follow an open file, unless it is a copy of one that is followed.
    pub(crate) fn admit_file(
        &mut self,
        path: &Path,
        origin: Option<&Path>,
        (file, stat): (File, &Stat),
        start: Start,
        now: Instant,
    ) {
        let is_packed = disk::is_packed(path);
        let head = disk::head(&file, is_packed).unwrap_or_default();
        if let Some(content) = self.absent.remove(&stat.id.inode) {
            let place = content.known.fits(&file, is_packed).filter(|_| content.known.is_telling());
            if let Some(place) = place {
                let start = Start::Of(content.generation, place, content.skip);
                self.follow(path, origin, (file, stat), head, start);
                return;
            }
            self.end_content(&content.generation, content.known);
        }
        let candidate = Candidate { file: &file, stat, head: &head, is_packed };
        if self.original_of(path, &candidate, None).is_some() {
            self.copies.insert(stat.id, Copy::new(path.to_owned(), stat.size, start, now));
            return;
        }
        self.admit_own(path, origin, (file, stat), start);
    }

    /// Follows an open file; returns whether it is followed now.
    ///
    /// Its tag and `Path_Key` are those of its path if the patterns find that, else those of the name that it had before it was rotated.
    pub(crate) fn follow(
        &mut self,
        path: &Path,
        origin: Option<&Path>,
        (file, stat): (File, &Stat),
        head: Head,
        start: Start,
    ) -> bool {
        let found = self.settings.patterns.iter().any(|pattern| pattern.finds(path));
        let origin = origin.map_or_else(|| self.origin_of(path), Path::to_owned);
        let shown = if found { path } else { &origin };
        let Some(tag) = self.settings.tags.tag(shown) else {
            self.tell_once(shown, "tag", "`Tag_Regex` does not match the path, so the file is not read");
            return false;
        };
        let is_packed = disk::is_packed(path);
        let label = Label {
            name: path.to_owned(),
            origin: origin.clone(),
            id: stat.id,
            rotated: false,
            head: head.print(),
            mtime: stat.mtime,
            is_packed,
            packed_end: None,
        };
        let (generation, place, skip) = match start {
            Start::Of(generation, place, skip) => {
                // Pieces of one content go out in order, under whatever tags.
                self.parcels.close_all();
                generation.relabel(|known| {
                    *known = Label { origin: known.origin.clone(), rotated: true, ..label };
                });
                generation.refine(place);
                (generation, place, skip)
            }
            Start::At(place, row) => (Generation::new(place, label, row), place, None),
            Start::End => {
                let place = end_for_now(&file, is_packed);
                (Generation::new(place, label, None), place, None)
            }
            Start::Head => (Generation::new(Place::default(), label, None), Place::default(), None),
        };
        self.commits.list(&generation);
        self.counts.opened += 1;
        self.names.insert(path.to_owned(), stat.id);
        self.series.entry(generation.origin()).or_default().push(stat.id);
        let followed = Followed {
            id: stat.id,
            name: path.to_owned(),
            shown: shown.as_os_str().as_bytes().into(),
            tag,
            life: Life::Named,
            handle: Some(file),
            generation,
            place,
            skip,
            head,
            size: stat.size,
            mtime: stat.mtime,
            born: stat.born,
            is_packed,
            unpacker: None,
            joining: self.settings.making.joining(),
            is_ready: false,
            is_at_end: true,
            was_empty: stat.size == 0,
            may_hide: (stat.size == 0 && self.latest.contains_key(path)).then_some(stat.mtime),
            has_told_long: false,
        };
        self.files.insert(stat.id, followed);
        self.make_ready(stat.id);
        true
    }

    /// The first name of the series that a file belongs to: of `app.log.1` that is `app.log`, if there is one.
    fn origin_of(&self, path: &Path) -> PathBuf {
        let originals = disk::possible_originals(path).into_iter();
        let mut numbered = originals.filter(|original| disk::is_numbered(original, path));
        let is_known = |original: &PathBuf| {
            self.names.contains_key(original) || self.latest.contains_key(original) || original.is_file()
        };
        let found = numbered.find(is_known);
        found.unwrap_or_else(|| path.to_owned())
    }

    /// Looks at the file of this name, of which the system told.
    pub(crate) fn touched(&mut self, path: &Path, now: Instant) {
        // By what lies there: it may be known by another name, that of a link, or one without the working directory.
        let Ok(stat) = disk::stat(path) else { return };
        match self.files.get(&stat.id) {
            Some(file) if !file.is_reborn(&stat) => self.news(&stat),
            None if self.copies.contains_key(&stat.id) => self.settle_copies(now),
            _ => {}
        }
    }

    /// Looks at the sizes of all files. Returns whether a name is not what it was.
    pub(crate) fn check_all(&mut self) -> bool {
        let all: Vec<_> = self.files.values().map(|file| (file.id, file.name.clone())).collect();
        let mut is_changed = false;
        for (id, name) in all {
            match disk::stat(&name) {
                Ok(stat) if stat.id == id && self.files[&id].is_reborn(&stat) => is_changed = true,
                Ok(stat) if stat.id == id => self.news(&stat),
                _ => {
                    let file = &self.files[&id];
                    is_changed |= file.life == Life::Named;
                    let open = file.handle.as_ref().and_then(|file| file.metadata().ok());
                    if let Some(meta) = open {
                        self.news(&Stat::of(&meta));
                    }
                }
            }
        }
        is_changed
    }

    pub(crate) fn tell_once(&mut self, path: &Path, what: &'static str, text: &str) {
        if self.told.insert((path.to_owned(), what)) {
            warn!(instance = %self.input, path = %path.display(), "{text}");
        }
    }

    /// Brings the metrics up to date.
    pub(crate) fn show_counts(&mut self) {
        if self.counts == self.shown {
            return;
        }
        let (now, shown) = (&self.counts, &self.shown);
        let files = self.metrics.files.get_or_init(FileMetrics::default);
        files.opened.add(now.opened - shown.opened);
        files.closed.add(now.closed - shown.closed);
        files.rotated.add(now.rotated - shown.rotated);
        files.cut_records.add(now.cut_records - shown.cut_records);
        let long = if self.settings.skips_long { &files.skipped_lines } else { &files.cut_lines };
        long.add(now.long_lines - shown.long_lines);
        self.shown = self.counts.clone();
    }

    /// Whether a file waits to be read.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.ready_rotated.is_empty()
    }
}

/// Half of the descriptors that the process may have; the other half is for sockets.
fn open_limit() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(65_536);
    usize::try_from(limit / 2).unwrap_or(usize::MAX).clamp(16, 32_768)
}
