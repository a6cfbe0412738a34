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
use ikada_plugin::{FlushClock, InputMetrics, SystemClock};
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
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) tailer: Tailer,
    pub(crate) db: Positions,
    commits: Commits,
    pattern: String,
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
    }
}

impl World {
    /// A folder, and an input that follows `pattern` in it.
    pub(crate) fn new(pattern: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tailer, db, commits) = start(dir.path(), pattern, |_| {});
        Self {
            dir,
            tailer,
            db,
            commits,
            pattern: pattern.to_owned(),
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
    fn clear(&self, name: &str) {
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
        for n in (1..9).rev() {
            for end in ["", ".gz"] {
                let from = self.path(&format!("app.log.{n}{end}"));
                if !from.exists() {
                    continue;
                }
                fs::rename(&from, self.path(&format!("app.log.{}{end}", n + 1))).unwrap();
                if style == Style::Compress && n == 1 && end.is_empty() {
                    self.pack(&format!("app.log.{}", n + 1));
                }
            }
        }
        let (live, old) = (self.path("app.log"), self.path("app.log.1"));
        if !live.exists() {
            return;
        }
        match style {
            Style::CopyTruncate => {
                fs::copy(&live, &old).unwrap();
                self.stamp(&File::options().write(true).open(&old).unwrap());
                let cut = File::options().write(true).open(&live).unwrap();
                cut.set_len(0).unwrap();
                self.stamp(&cut);
            }
            Style::Rename | Style::Compress | Style::CompressNow => {
                fs::rename(&live, &old).unwrap();
                self.stamp(&File::create(&live).unwrap());
                if style == Style::CompressNow {
                    self.pack("app.log.1");
                }
            }
        }
    }

    /// Compresses as gzip does: the new file keeps the time of the old one.
    fn pack(&self, name: &str) {
        let (from, to) = (self.path(name), self.path(&format!("{name}.gz")));
        let file = File::create(&to).unwrap();
        let mut packer = GzEncoder::new(file, Compression::fast());
        packer.write_all(&fs::read(&from).unwrap()).unwrap();
        let file = packer.finish().unwrap();
        file.set_modified(fs::metadata(&from).unwrap().modified().unwrap()).unwrap();
        fs::remove_file(from).unwrap();
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
        let now = Instant::now();
        while self.tailer.read_next(now) {
            self.send();
        }
        self.tailer.parcels.close_all();
        self.send();
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
        let (tailer, db, commits) = start(self.dir.path(), &self.pattern, |_| {});
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
            self.tailer.retire(Instant::now() + 2 * WAIT);
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

fn start(dir: &Path, pattern: &str, change: impl FnOnce(&mut Settings)) -> (Tailer, Positions, Commits) {
    let db = Positions::open(&dir.join("tail.db"), &DbSettings { synchronous: 0, ..DbSettings::default() });
    let db = db.unwrap();
    let commits = Commits::for_test();
    let flush = FlushClock::new(Instant::now(), Duration::from_secs(1));
    let patterns: Vec<_> = pattern.split(',').map(|pattern| dir.join(pattern)).collect();
    let mut settings = settings(&patterns);
    change(&mut settings);
    let clock = Arc::new(SystemClock);
    let metrics = Arc::new(InputMetrics::default());
    let mut tailer = Tailer::new("tail.0".to_owned(), settings, flush, commits.clone(), metrics, clock);
    tailer.start(db.all().unwrap());
    (tailer, db, commits)
}

mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const STYLES: [Style; 4] = [Style::Rename, Style::CopyTruncate, Style::Compress, Style::CompressNow];
    const PATTERNS: [&str; 2] = ["app.log", "app.log*"];

    fn each(test: impl Fn(&mut World, Style)) {
        let mut failed = Vec::new();
        for style in STYLES {
            for pattern in PATTERNS {
                let mut world = World::new(pattern);
                test(&mut world, style);
                world.finish();
                if let Some(problem) = world.problem(false) {
                    failed.push(format!("{style:?} {pattern}: {problem}"));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn rotation_while_it_is_read_loses_and_doubles_nothing() {
        each(|world, style| {
            for _ in 0..5 {
                world.write("app.log", 50);
                world.look();
                world.read();
                world.write("app.log", 7);
                world.rotate(style);
                world.write("app.log", 3);
                world.look();
                world.read();
                world.settle_all();
            }
        });
    }

    #[test]
    fn several_rotations_between_two_looks_lose_and_double_nothing() {
        each(|world, style| {
            for _ in 0..3 {
                world.write("app.log", 50);
                world.look();
                world.read();
                for _ in 0..3 {
                    world.write("app.log", 7);
                    world.rotate(style);
                }
                world.write("app.log", 3);
            }
        });
    }

    #[test]
    fn rotations_while_it_is_stopped_lose_and_double_nothing() {
        each(|world, style| {
            for rotations in 1..4 {
                world.write("app.log", 50);
                world.look();
                world.read();
                world.write("app.log", 5);
                world.stop_meanwhile(|world| {
                    for _ in 0..rotations {
                        world.write("app.log", 11);
                        world.rotate(style);
                    }
                    world.write("app.log", 2);
                });
            }
        });
    }

    #[test]
    fn a_line_in_two_pieces_is_one_line_even_across_a_rotation_and_a_stop() {
        each(|world, style| {
            world.write("app.log", 3);
            world.write_in_pieces("app.log", |world| {
                world.look();
                world.read();
                world.stop_meanwhile(|_| {});
                world.read();
            });
            world.rotate(style);
            world.write("app.log", 3);
        });
    }

    #[test]
    fn unsettled_lines_come_again_after_a_kill() {
        for style in STYLES {
            for pattern in PATTERNS {
                let mut world = World::new(pattern);
                world.write("app.log", 1000);
                world.look();
                world.read();
                world.commit();
                world.kill_meanwhile(|world| world.rotate(style));
                world.finish();
                assert_eq!(world.problem(false), None, "{style:?} {pattern}");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_to_the_same_size_is_read_again() {
        let mut world = World::new("app.log");
        world.write("app.log", 5);
        world.look();
        world.read();
        world.clear("app.log");
        world.write("app.log", 5);
        world.finish();
        assert_eq!(world.problem(false), None);
    }

    #[test]
    fn a_file_that_is_cut_and_grows_past_its_old_size_is_read_again() {
        let mut world = World::new("app.log");
        world.write("app.log", 5);
        world.look();
        world.read();
        world.settle_all();
        world.commit();
        world.clear("app.log");
        world.write("app.log", 9);
        world.finish();
        assert_eq!(world.problem(false), None);
        world.stop_meanwhile(|world| {
            world.clear("app.log");
            world.write("app.log", 19);
        });
        world.finish();
        assert_eq!(world.problem(false), None);
    }

    #[test]
    fn a_file_with_the_same_first_line_in_its_place_is_another_one() {
        let mut world = World::new("app.log");
        for n in 0..4 {
            let header = "#".repeat(100) + " the same first line in every file\n";
            let path = world.path("new");
            world.append("new", header.as_bytes());
            fs::rename(path, world.path("app.log")).unwrap();
            world.write("app.log", 20 + n);
            world.look();
            world.read();
            world.settle_all();
        }
        world.finish();
        let headers = world.delivered.remove(&("#".repeat(100) + " the same first line in every file"));
        assert_eq!((headers, world.problem(false)), (Some(4), None));
    }

    #[test]
    fn a_deleted_file_is_read_to_its_end_with_its_last_line() {
        let mut world = World::new("app.log");
        world.write("app.log", 5);
        world.look();
        world.write("app.log", 500);
        world.append("app.log", b"the last words");
        fs::remove_file(world.path("app.log")).unwrap();
        world.finish();
        world.finish();
        assert_eq!(world.delivered.remove("the last words"), Some(1));
        assert_eq!(world.problem(false), None);
        assert_eq!(world.db.all().unwrap(), [], "nothing is kept of it");
    }

    #[test]
    fn an_inode_that_is_used_again_does_not_bring_its_position() {
        let mut world = World::new("app.log");
        for _ in 0..20 {
            world.write("app.log", 30);
            world.look();
            world.read();
            world.stop_meanwhile(|world| {
                fs::remove_file(world.path("app.log")).unwrap();
                world.write("app.log", 40);
            });
        }
        world.finish();
        assert_eq!(world.problem(false), None);
    }

    #[test]
    fn a_link_that_is_switched_leads_to_the_new_file_and_the_old_one_is_finished() {
        let mut world = World::new("app.log");
        world.write("one", 10);
        std::os::unix::fs::symlink(world.path("one"), world.path("app.log")).unwrap();
        world.look();
        world.read();
        world.write("one", 10);
        world.write("two", 10);
        std::os::unix::fs::symlink(world.path("two"), world.path("next")).unwrap();
        fs::rename(world.path("next"), world.path("app.log")).unwrap();
        world.finish();
        assert_eq!(world.problem(false), None);
    }

    #[test]
    fn compressed_files_are_read_once() {
        let mut world = World::new("*.gz");
        world.write("app.log", 5000);
        world.pack("app.log");
        world.look();
        world.read();
        world.finish();
        world.stop_meanwhile(|_| {});
        world.finish();
        assert_eq!(world.problem(false), None);
        let row = &world.db.all().unwrap()[0].checkpoint;
        assert_eq!(row.offset, fs::metadata(world.path("app.log.gz")).unwrap().len());
    }

    #[test]
    fn holes_long_lines_and_bytes_that_are_no_text_stop_nothing() {
        let mut world = World::new("app.log");
        world.append("app.log", &vec![0; 3_000_000]);
        world.write("app.log", 1);
        world.append("app.log", &vec![b'x'; 5_000_000]);
        world.look();
        world.read();
        world.append("app.log", b"end\n");
        world.append("app.log", b"\xff\xfe\n");
        world.write("app.log", 1);
        world.finish();
        let long = world.delivered.keys().find(|line| line.starts_with('x')).unwrap().clone();
        assert_eq!(long.len(), LONGEST);
        assert_eq!(world.delivered.remove(&long), Some(1));
        assert_eq!(world.delivered.remove("\u{fffd}\u{fffd}"), Some(1));
        assert_eq!(world.problem(false), None);
        assert_eq!(world.tailer.counts.long_lines, 1);
    }

    #[derive(Debug, Clone)]
    enum Do {
        Write(u64),
        Piece,
        Rotate(usize),
        Look,
        Read,
        Settle(usize),
        Commit,
        Kill,
        Stop,
    }

    fn any_step() -> impl Strategy<Value = Do> {
        prop_oneof![
            6 => (1_u64..400).prop_map(Do::Write),
            1 => Just(Do::Piece),
            2 => (0_usize..4).prop_map(Do::Rotate),
            4 => Just(Do::Look),
            4 => Just(Do::Read),
            4 => (0_usize..8).prop_map(Do::Settle),
            2 => Just(Do::Commit),
            1 => Just(Do::Kill),
            1 => Just(Do::Stop),
        ]
    }

    fn play(pattern: &str, style: Option<Style>, steps: &[Do]) -> Option<String> {
        let mut world = World::new(pattern);
        // Otherwise nobody could know that `app.log.1` was `app.log` once.
        world.write("app.log", 1);
        world.look();
        let (mut was_killed, mut rotations) = (false, 0);
        for step in steps {
            match step {
                Do::Write(lines) => world.write("app.log", *lines),
                Do::Piece => world.write_in_pieces("app.log", |world| {
                    world.look();
                    world.read();
                }),
                // No more than are kept.
                Do::Rotate(_) if rotations >= 7 => {}
                Do::Rotate(pick) => {
                    rotations += 1;
                    world.rotate(style.unwrap_or(STYLES[*pick]));
                }
                Do::Look => world.look(),
                Do::Read => world.read(),
                Do::Settle(pick) => world.settle(*pick),
                Do::Commit => world.commit(),
                Do::Kill => {
                    was_killed = true;
                    world.kill();
                }
                Do::Stop => world.stop_meanwhile(|_| {}),
            }
        }
        world.finish();
        world.problem(was_killed)
    }

    fn worlds() -> ProptestConfig {
        let mut config = ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::default() };
        if std::env::var_os("PROPTEST_RNG_SEED").is_none() && std::env::var_os("PROPTEST_CASES").is_none() {
            config.rng_seed = RngSeed::Fixed(20_261_122);
            config.cases = 100;
        }
        config
    }

    proptest! {
        // The same worlds every time; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others.
        #![proptest_config(worlds())]

        #[test]
        fn whatever_happens_nothing_is_lost_and_only_a_kill_doubles(
            pattern in 0_usize..2,
            style in 0_usize..4,
            steps in prop::collection::vec(any_step(), 1..60)
        ) {
            let problem = play(PATTERNS[pattern], Some(STYLES[style]), &steps);
            prop_assert!(problem.is_none(), "{} {:?}: {}", PATTERNS[pattern], STYLES[style], problem.unwrap());
        }
    }
}
