//! A world of files for tests: they are written, rotated and read step by step, receipts come back in any order, and the process may end
//! at any moment.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use ikada_plugin::{FlushClock, InputMemory, InputMetrics, SystemClock};
use ikada_record::{Chunk, Receipt, Settlement};
use ikada_store::positions::{Positions, Settings as DbSettings};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::commit::{self, Commits};
use crate::parcels::{Pieces, settle};
use crate::pattern::PathPattern;
use crate::record::RecordRule;
use crate::settings::{LONGEST, Settings};
use crate::tag::TagRule;
use crate::tailer::Tailer;

/// `Rotate_Wait`: longer than a test takes, so that the end of it is when the test says so.
const WAIT: Duration = Duration::from_secs(3600);

/// How a file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `app.log` becomes `app.log.1`, and so on; a new `app.log` is made.
    Rename,
    /// `app.log` is copied to `app.log.1` and cut to nothing.
    CopyTruncate,
    /// As `Rename`, and what becomes `app.log.2` is compressed.
    Compress,
    /// `app.log` is compressed at once.
    CompressNow,
    /// `app.log` is copied to `app.log.1`, over what is there, and cut to nothing.
    CopyOver,
}

pub(crate) const STYLES: [Style; 5] =
    [Style::Rename, Style::CopyTruncate, Style::Compress, Style::CompressNow, Style::CopyOver];
pub(crate) const PATTERNS: [&str; 2] = ["app.log", "app.log*"];

/// What happens between the steps of a rotation.
type Between<'b> = &'b mut dyn FnMut(&mut World);

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) tailer: Tailer,
    pub(crate) db: Positions,
    commits: Commits,
    pattern: String,
    tag: &'static str,
    next: u64,
    born: SystemTime,
    ticks: Cell<u64>,
    /// Parcels that are out.
    out: Vec<(Chunk, Pieces)>,
    /// How often each line was delivered.
    pub(crate) delivered: BTreeMap<String, u32>,
    pub(crate) order: Vec<String>,
}

pub(crate) fn settings(patterns: &[PathBuf]) -> Settings {
    Settings {
        patterns: patterns.iter().map(|path| PathPattern::new(path.to_str().unwrap())).collect(),
        excludes: Vec::new(),
        tags: TagRule::new("t".to_owned(), None),
        records: RecordRule::new("log", None, None, false),
        making: crate::join::Making::Plain,
        from_head: true,
        new_from_head: true,
        ignore_older: None,
        ignore_active_older: false,
        skips_long: false,
        longest: LONGEST,
        cut: LONGEST,
        turn: 50_000_000,
        refresh: Duration::from_secs(60),
        rotate_wait: WAIT,
        watch_links: Duration::from_secs(2),
        check: Duration::from_secs(2),
        exit_on_eof: false,
        is_told: true,
        compare_name: false,
        encoding: None,
        charset: None,
    }
}

impl World {
    /// A folder, and an input that follows `pattern` in it.
    pub(crate) fn new(pattern: &str) -> Self {
        Self::with_tag(pattern, "t")
    }

    /// The same with a tag, which may have a star.
    pub(crate) fn with_tag(pattern: &str, tag: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tailer, db, commits) = start(dir.path(), pattern, tag);
        Self {
            dir,
            tailer,
            db,
            commits,
            pattern: pattern.to_owned(),
            tag,
            next: 0,
            born: SystemTime::now(),
            ticks: Cell::new(0),
            out: Vec::new(),
            delivered: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Appends numbered lines.
    pub(crate) fn write(&mut self, name: &str, lines: u64) {
        let mut text = String::new();
        for _ in 0..lines {
            text.push_str(&format!("{:08} some text that makes a line\n", self.next));
            self.next += 1;
        }
        self.append(name, text.as_bytes());
    }

    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(bytes).unwrap();
        self.stamp(&file);
    }

    /// Gives a file a time of its own: the system's clock for files ticks slower than this test runs.
    fn stamp(&self, file: &File) {
        self.ticks.set(self.ticks.get() + 1);
        let time = self.born + Duration::from_millis(10 * self.ticks.get());
        file.set_modified(time).unwrap();
    }

    /// Cuts a file to nothing.
    pub(crate) fn clear(&self, name: &str) {
        let file = File::create(self.path(name)).unwrap();
        self.stamp(&file);
    }

    /// Appends a numbered line in two pieces.
    pub(crate) fn write_in_pieces(&mut self, name: &str, between: impl FnOnce(&mut Self)) {
        let text = format!("{:08} some text that makes a line\n", self.next);
        self.next += 1;
        self.append(name, &text.as_bytes()[..20]);
        between(self);
        self.append(name, &text.as_bytes()[20..]);
    }

    pub(crate) fn rotate(&mut self, style: Style) {
        self.rotate_with(style, &mut |_| {});
    }

    /// Rotates step by step.
    pub(crate) fn rotate_with(&mut self, style: Style, between: Between<'_>) {
        if !self.path("app.log").exists() {
            return;
        }
        if style == Style::CopyOver {
            // What is written over must have been read.
            self.deliver();
            self.deliver();
            self.copy("app.log", "app.log.1", between);
            return self.clear("app.log");
        }
        for n in (1..9).rev() {
            for end in ["", ".gz"] {
                let from = self.path(&format!("app.log.{n}{end}"));
                if !from.exists() {
                    continue;
                }
                fs::rename(&from, self.path(&format!("app.log.{}{end}", n + 1))).unwrap();
                if style == Style::Compress && n == 1 && end.is_empty() {
                    self.pack_with(&format!("app.log.{}", n + 1), between);
                }
            }
        }
        if style == Style::CopyTruncate {
            self.copy("app.log", "app.log.1", between);
            return self.clear("app.log");
        }
        fs::rename(self.path("app.log"), self.path("app.log.1")).unwrap();
        between(self);
        self.clear("app.log");
        if style == Style::CompressNow {
            self.pack_with("app.log.1", between);
        }
    }

    /// Reads, delivers and stores everything.
    pub(crate) fn deliver(&mut self) {
        self.look();
        self.read();
        self.settle_all();
        self.commit();
    }

    /// Deletes old files, which have been read.
    pub(crate) fn prune(&mut self, keep: u64) {
        self.deliver();
        self.deliver();
        for n in keep + 1..=9 {
            for end in ["", ".gz"] {
                drop(fs::remove_file(self.path(&format!("app.log.{n}{end}"))));
            }
        }
    }

    /// Whether the next rotations would overwrite what is kept.
    pub(crate) fn has_many(&self) -> bool {
        self.path("app.log.7").exists() || self.path("app.log.7.gz").exists()
    }

    /// `Rotate_Wait` passes, and nothing is written.
    pub(crate) fn wait(&mut self) {
        let later = Instant::now() + 2 * WAIT;
        self.look();
        self.read();
        self.tailer.retire(later);
        self.tailer.settle_copies(later);
    }

    fn copy(&mut self, from: &str, to: &str, between: Between<'_>) {
        let bytes = fs::read(self.path(from)).unwrap();
        self.write_slowly(to, &bytes, between);
    }

    /// Compresses as gzip does: the new file keeps the time of the old one.
    pub(crate) fn pack(&mut self, name: &str) {
        self.pack_with(name, &mut |_| {});
    }

    fn pack_with(&mut self, name: &str, between: Between<'_>) {
        let (from, to) = (self.path(name), format!("{name}.gz"));
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&fs::read(&from).unwrap()).unwrap();
        self.write_slowly(&to, &packer.finish().unwrap(), between);
        let file = File::options().write(true).open(self.path(&to)).unwrap();
        file.set_modified(fs::metadata(&from).unwrap().modified().unwrap()).unwrap();
        between(self);
        fs::remove_file(from).unwrap();
    }

    /// Writes a file in several steps.
    fn write_slowly(&mut self, name: &str, bytes: &[u8], between: Between<'_>) {
        self.clear(name);
        between(self);
        self.append(name, &bytes[..bytes.len() / 2]);
        between(self);
        self.append(name, &bytes[bytes.len() / 2..]);
        between(self);
    }

    /// Looks at names and sizes, as the owner does when the system tells of changes.
    pub(crate) fn look(&mut self) {
        let now = Instant::now();
        self.tailer.check_all();
        self.tailer.scan(now);
        // A file that is found is stored before anything else can happen to it.
        self.commit();
    }

    /// Reads all there is, and sends it out.
    pub(crate) fn read(&mut self) {
        self.read_only();
        self.tailer.parcels.close_all();
        self.send();
    }

    /// Reads all there is, and sends only what is full: the flush is not due.
    pub(crate) fn read_only(&mut self) {
        let now = Instant::now();
        while self.tailer.read_next(now) {
            self.send();
        }
        self.tailer.retire(now);
    }

    fn send(&mut self) {
        while let Some(parcel) = self.tailer.parcels.pop() {
            self.out.push((parcel.builder.finish(Receipt::unwatched()), parcel.pieces));
        }
    }

    /// A parcel that is out is delivered.
    pub(crate) fn settle(&mut self, pick: usize) {
        if self.out.is_empty() {
            return;
        }
        let (chunk, pieces) = self.out.remove(pick % self.out.len());
        for entry in chunk.entries() {
            let text = entry.record().get(b"log").unwrap();
            let line = String::from_utf8_lossy(text.as_str().unwrap()).into_owned();
            *self.delivered.entry(line.clone()).or_default() += 1;
            self.order.push(line);
        }
        settle(&pieces, Settlement::Settled, &self.commits);
    }

    /// The parcel that went out last is delivered, before all others. Returns whether there is another one.
    pub(crate) fn settle_last(&mut self) -> bool {
        self.settle(self.out.len().saturating_sub(1));
        self.out.len() > 1
    }

    pub(crate) fn settle_all(&mut self) {
        while !self.out.is_empty() {
            self.settle(0);
        }
    }

    pub(crate) fn commit(&mut self) {
        commit::store(&mut self.db, "tail.0", &self.commits.take()).unwrap();
    }

    /// The process is killed: what is out and what is not stored is lost; another one starts.
    pub(crate) fn kill(&mut self) {
        self.kill_meanwhile(|_| {});
    }

    pub(crate) fn kill_meanwhile(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.out.clear();
        meanwhile(self);
        let (tailer, db, commits) = start(self.dir.path(), &self.pattern, self.tag);
        (self.tailer, self.db, self.commits) = (tailer, db, commits);
    }

    /// The process stops as it should: what was read is delivered and stored.
    pub(crate) fn stop_meanwhile(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.tailer.parcels.close_all();
        self.send();
        self.settle_all();
        self.commit();
        self.kill_meanwhile(meanwhile);
    }

    /// Reads and delivers everything.
    pub(crate) fn finish(&mut self) {
        for _ in 0..3 {
            self.look();
            self.read();
            self.settle_all();
            self.wait();
            self.commit();
        }
    }

    /// Every line was delivered; once, unless the process was killed.
    pub(crate) fn problem(&self, may_repeat: bool) -> Option<String> {
        for n in 0..self.next {
            let line = format!("{n:08} some text that makes a line");
            match self.delivered.get(&line) {
                None => return Some(format!("line {n} of {} is lost", self.next)),
                Some(1) => {}
                Some(_) if may_repeat => {}
                Some(times) => return Some(format!("line {n} came {times} times")),
            }
        }
        let strange = self.delivered.keys().find(|line| line.len() != 36);
        strange.map(|line| format!("a strange line: {line:?}"))
    }
}

fn start(dir: &Path, pattern: &str, tag: &str) -> (Tailer, Positions, Commits) {
    let db = Positions::open(&dir.join("tail.db"), &DbSettings { synchronous: 0, ..DbSettings::default() });
    let db = db.unwrap();
    let commits = Commits::for_test();
    let flush = FlushClock::new(Instant::now(), Duration::from_secs(1));
    let patterns: Vec<_> = pattern.split(',').map(|pattern| dir.join(pattern)).collect();
    let mut settings = settings(&patterns);
    settings.tags = TagRule::new(tag.to_owned(), None);
    let clock = Arc::new(SystemClock);
    let metrics = Arc::new(InputMetrics::default());
    let memory = Arc::new(InputMemory::default()).share();
    let input = "tail.0".to_owned();
    let mut tailer = Tailer::new(input, settings, flush, commits.clone(), metrics, clock, memory);
    tailer.start(db.all().unwrap(), db.past("tail.0").unwrap());
    (tailer, db, commits)
}
