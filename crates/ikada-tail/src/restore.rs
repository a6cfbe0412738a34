//! The start: files that the database knows, wherever they are now.
//!
//! A row says where its content was found, in which inode, how it begins and what stands before its position. The inode is looked for first, then the content
//! (in a copy, or compressed). What came and went in the same series while nobody looked is read from its start.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ikada_store::positions::{Checkpoint, Past, Stored};
use tokio::time::Instant;
use tracing::info;

use crate::disk;
use crate::generation::{Generation, Label};
use crate::identity::{FileId, Place, Print, Stat};
use crate::known::{Known, end_of_text};
use crate::tailer::{Absent, MOST_ABSENT, Start, Tailer};

/// Seconds that the position of a missing file is kept.
const KEEP: i64 = 7 * 86_400;

/// What a row says.
struct Row {
    /// The row to go on with; `None` if it is another input's.
    id: Option<i64>,
    name: PathBuf,
    origin: PathBuf,
    inode: u64,
    known: Known,
    mtime: i64,
    is_own: bool,
    /// Whether the inode is still its own: no newer row has it.
    is_newest: bool,
    is_packed: bool,
    /// For compressed files in Fluent Bit's rows: its position, in packed bytes.
    packed_offset: Option<u64>,
}

impl Row {
    /// Whether it says nothing of the content, because there was none.
    fn is_blank(&self) -> bool {
        self.known.print.size == 0 && self.known.offset == 0 && self.packed_offset.is_none()
    }
}

/// Files that the patterns found and that nobody follows yet.
struct Fresh {
    files: Vec<Option<(PathBuf, Stat)>>,
    by_inode: HashMap<u64, usize>,
    /// Names that belong to a series that was known, so that they are read from their start.
    series: HashSet<PathBuf>,
}

/// Follows what the database knows, then what is new.
pub(crate) fn restore(
    tailer: &mut Tailer,
    rows: Vec<Stored>,
    past: Vec<Past>,
    mut files: Vec<(PathBuf, Stat)>,
) {
    let now = Instant::now();
    for past in past {
        let (origin, known) = ended(&past);
        let since = tailer.latest.entry(origin.clone()).or_insert(i64::MIN);
        *since = known.mtime.max(*since);
        tailer.remember(origin, known);
    }
    files.sort_by(|a, b| (a.1.mtime, &a.0).cmp(&(b.1.mtime, &b.0)));
    let by_inode = files.iter().enumerate().map(|(at, (_, stat))| (stat.id.inode, at)).collect();
    let files = files.into_iter().map(Some).collect();
    let mut fresh = Fresh { files, by_inode, series: HashSet::new() };
    let rows = rows_of(tailer, rows);
    for row in rows.iter().filter(|row| row.mtime < i64::MAX) {
        let since = tailer.latest.entry(row.origin.clone()).or_insert(i64::MIN);
        *since = row.mtime.max(*since);
    }
    let (mut lost, mut rotated, mut same) = (Vec::new(), HashSet::new(), HashSet::new());
    for row in rows {
        match resume(tailer, row, &mut fresh) {
            Resumed::Same(origin) => drop(same.insert(origin)),
            Resumed::Moved(origin) => drop(rotated.insert(origin)),
            Resumed::Lost(row) => lost.push(row),
            Resumed::NotOurs => {}
        }
    }
    // What was empty may be a copy by now: of content that is found first.
    lost.sort_by_key(Row::is_blank);
    for row in lost {
        rotated.insert(row.origin.clone());
        if search(tailer, &row, &mut fresh, now).is_none() {
            keep(tailer, row);
        }
    }
    // Only when all that is known has its file can the rest be unknown.
    for origin in rotated.difference(&same) {
        missed(tailer, origin, &mut fresh, now);
    }
    tailer.is_series_old = true;
    tailer.sort_series();
    for (path, stat) in fresh.files.into_iter().flatten() {
        let is_series = fresh.series.contains(&path);
        let start = if tailer.settings.from_head || is_series { Start::Head } else { Start::End };
        if !tailer.files.contains_key(&stat.id) {
            tailer.admit(&path, None, start, now);
        }
    }
}

/// The rows that count: of several with one inode this input's newest, else the newest. Older ones of this input count by their content.
fn rows_of(tailer: &Tailer, stored: Vec<Stored>) -> Vec<Row> {
    let (own, others): (Vec<_>, Vec<_>) = stored.into_iter().partition(|row| {
        row.checkpoint.more.as_ref().is_none_or(|more| more.input.is_empty() || more.input == tailer.input)
    });
    let mut seen = HashSet::new();
    let own = own.into_iter().map(|row| (row, true));
    let others = others.into_iter().map(|row| (row, false));
    own.chain(others)
        .filter_map(|(row, is_own)| {
            let is_newest = seen.insert(row.checkpoint.inode);
            let is_told_by_content = is_own && row.checkpoint.more.is_some();
            let row = row_of(row.id, row.checkpoint, is_own, is_newest);
            (is_newest || is_told_by_content).then_some(row)
        })
        .collect()
}

fn row_of(id: i64, checkpoint: Checkpoint, is_own: bool, is_newest: bool) -> Row {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let name = path(&checkpoint.name);
    let is_packed = disk::is_packed(&name);
    let nothing = Print { hash: 0, size: 0 };
    let Some(more) = checkpoint.more else {
        let known = Known {
            print: nothing,
            offset: checkpoint.offset,
            marker: checkpoint.marker,
            marker_size: checkpoint.marker_size,
            mtime: i64::MIN,
        };
        return Row {
            id: Some(id),
            origin: name.clone(),
            name,
            inode: checkpoint.inode,
            known,
            mtime: i64::MAX,
            is_own,
            is_newest,
            is_packed,
            packed_offset: is_packed.then_some(checkpoint.offset),
        };
    };
    let known = Known {
        print: Print { hash: more.head, size: more.head_size },
        offset: more.unpacked.unwrap_or(checkpoint.offset),
        marker: if is_packed { more.text_marker } else { checkpoint.marker },
        marker_size: if is_packed { more.text_marker_size } else { checkpoint.marker_size },
        mtime: more.mtime,
    };
    Row {
        id: is_own.then_some(id),
        name,
        origin: path(&more.origin),
        inode: checkpoint.inode,
        known,
        mtime: more.mtime,
        is_own,
        is_newest,
        is_packed,
        packed_offset: None,
    }
}

fn ended(past: &Past) -> (PathBuf, Known) {
    let known = Known {
        print: Print { hash: past.head, size: past.head_size },
        offset: past.offset,
        marker: past.marker,
        marker_size: past.marker_size,
        mtime: past.mtime,
    };
    (PathBuf::from(OsStr::from_bytes(&past.origin)), known)
}

/// What became of a row whose inode was looked for among the files found.
enum Resumed {
    /// Its file is followed, and holds what it held: nothing was rotated since.
    Same(PathBuf),
    /// Its file is followed; it has another name, or nothing was known of its content, so that it may be another's.
    Moved(PathBuf),
    /// Its content is not there.
    Lost(Row),
    /// It is another input's, or of no use.
    NotOurs,
}

/// Goes on with a row whose inode the patterns have found.
fn resume(tailer: &mut Tailer, row: Row, fresh: &mut Fresh) -> Resumed {
    let lost = |row: Row| if row.is_own { Resumed::Lost(row) } else { Resumed::NotOurs };
    let at = fresh.by_inode.get(&row.inode).copied().filter(|_| row.is_newest);
    let Some(at) = at else { return lost(row) };
    let Some((path, _)) = fresh.files[at].clone() else { return Resumed::NotOurs };
    if tailer.settings.compare_name && path.file_name() != row.name.file_name() {
        return Resumed::NotOurs;
    }
    if row.is_blank() {
        fresh.series.insert(path);
        let origin = row.origin.clone();
        keep(tailer, row);
        return Resumed::Moved(origin);
    }
    // Fluent Bit's position in a compressed file is one in its packed bytes: at their end, or of no use.
    let is_foreign_packed = disk::is_packed(&path) && !row.is_packed;
    if !is_foreign_packed && try_follow(tailer, &row, &path) {
        fresh.files[at] = None;
        let is_known = row.known.print.size > 0 || row.known.marker_size > 0;
        if path == row.origin && is_known {
            return Resumed::Same(row.origin);
        }
        fresh.series.insert(row.origin.clone());
        return Resumed::Moved(row.origin);
    }
    // Other content in this inode: what is there now is new since we looked last.
    fresh.series.insert(path);
    lost(row)
}

/// Follows the file at this path, if it holds the row's content.
fn try_follow(tailer: &mut Tailer, row: &Row, path: &Path) -> bool {
    let Ok((file, stat)) = disk::open(path) else { return false };
    if !stat.is_file || tailer.files.contains_key(&stat.id) {
        return false;
    }
    let is_packed = disk::is_packed(path);
    let place = match row.packed_offset {
        // Fluent Bit counts packed bytes: either it was done, or its position is of no use.
        Some(offset) if offset >= stat.size => end_of_text(&file, true).ok(),
        Some(_) => Some(Place::default()),
        None => row.known.fits(&file, is_packed),
    };
    let Some(place) = place else { return false };
    let head = disk::head(&file, is_packed).unwrap_or_default();
    if !tailer.follow(path, Some(&row.origin), (file, &stat), head, Start::At(place, row.id)) {
        return false;
    }
    if let Some(file) = tailer.files.get(&stat.id) {
        let is_rotated = path != row.origin;
        file.generation.relabel(|label| {
            label.origin = row.origin.clone();
            label.rotated = is_rotated;
        });
    }
    true
}

/// Looks for a row's content beside where it was. Returns the file that is followed for it.
fn search(tailer: &mut Tailer, row: &Row, fresh: &mut Fresh, now: Instant) -> Option<PathBuf> {
    fresh.series.insert(row.origin.clone());
    let folder = row.name.parent().unwrap_or(Path::new(".")).to_owned();
    let by_inode = if row.is_newest { find_inode(tailer, row, &folder) } else { None };
    let found = by_inode.or_else(|| find_content(tailer, row, &folder));
    if let Some(path) = &found {
        info!(instance = %tailer.input, from = %row.name.display(), to = %path.display(), "the file was rotated meanwhile");
        fresh.forget(path);
        let is_matched = fresh.was_matched(path);
        if !is_matched {
            tailer.now_rotated(path, &row.origin, now);
        }
    }
    found
}

/// The file with the row's inode, under a name that no pattern finds.
fn find_inode(tailer: &mut Tailer, row: &Row, folder: &Path) -> Option<PathBuf> {
    let named = disk::list(folder).into_iter().filter(|(_, inode)| *inode == row.inode);
    let named: Vec<_> = named.map(|(path, _)| path).collect();
    if row.is_blank() {
        tailer.is_series_old = true;
        tailer.sort_series();
    }
    named
        .into_iter()
        .filter(|path| !row.is_blank() || !tailer.is_known_content(&row.origin, path))
        .collect::<Vec<_>>()
        .into_iter()
        .find(|path| try_follow(tailer, row, path))
}

/// A copy of the row's content, packed or not.
fn find_content(tailer: &mut Tailer, row: &Row, folder: &Path) -> Option<PathBuf> {
    if !row.known.is_telling() {
        return None;
    }
    let named = disk::list(folder).into_iter().map(|(path, _)| path);
    let mut named: Vec<_> = named
        .filter(|path| disk::is_relative(&row.origin, path) || disk::is_relative(&row.name, path))
        .collect();
    named.sort();
    named.into_iter().find(|path| try_follow(tailer, row, path))
}

/// Files of the series that came after all that is known of it.
fn missed(tailer: &mut Tailer, origin: &Path, fresh: &mut Fresh, now: Instant) {
    let Some(since) = tailer.latest.get(origin).copied() else { return };
    for (path, stat) in fresh.files.iter().flatten() {
        if disk::is_numbered(origin, path) && stat.mtime >= since {
            fresh.series.insert(path.clone());
        }
    }
    let matched: HashSet<FileId> = fresh.files.iter().flatten().map(|(_, stat)| stat.id).collect();
    tailer.find_missed(origin, &matched, now);
}

impl Fresh {
    fn forget(&mut self, path: &Path) {
        for file in &mut self.files {
            if file.as_ref().is_some_and(|(other, _)| other == path) {
                self.series.insert(path.to_owned());
                *file = None;
            }
        }
    }

    /// Whether a pattern has found it: it was among the files, and is taken out.
    fn was_matched(&self, path: &Path) -> bool {
        self.series.contains(path)
    }
}

/// Keeps the position of a file that is not there, for some days.
fn keep(tailer: &mut Tailer, row: Row) {
    let Some(id) = row.id else { return };
    let place = Place::new(row.known.offset, b"");
    let origin = row.origin.clone();
    let label = Label {
        name: row.name,
        origin: row.origin,
        id: FileId { device: 0, inode: row.inode },
        rotated: true,
        head: row.known.print,
        mtime: row.mtime,
        is_packed: row.is_packed,
        packed_end: None,
    };
    let generation = Generation::new(place, label, Some(id));
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let is_old = row.mtime != i64::MAX && row.mtime / 1_000_000_000 < today - KEEP;
    if is_old || tailer.absent.len() >= MOST_ABSENT {
        generation.forget();
        tailer.commits.list(&generation);
        return;
    }
    // Not listed: its row stays as it is.
    if !row.is_newest {
        tailer.end_content(&generation, row.known);
        return;
    }
    tailer.absent.insert(row.inode, Absent { origin, generation, known: row.known, skip: None });
}
