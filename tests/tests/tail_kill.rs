//! A file that is followed while the router is killed, or stopped, again and again, and the destination fails at random.
//!
//! 60,000 numbered lines and 12 kills. `IKADA_TAIL_KILLS=200` runs the long version: that many kills, and 5,000 lines for each.
//!
//! **What a kill may bring again** is what was not settled, and what was settled and not stored. Seen from outside, the lines that the
//! destination has answered for are settled but for two reasons: a chunk is settled as a whole, and a position moves past a line only when
//! all lines before it are settled. So of what had been answered for without a gap, all but less than a chunk is stored soon. Each round sees that
//! happen: it notes how far the answers reach, and looks into the database until the position has come there. From then on a kill may bring again
//!
//! * less than one chunk before that mark, and
//! * what the destination has taken behind it: meanwhile, or past a gap,
//!
//! and nothing else. In a third of the rounds the destination falls silent first, so that there is no meanwhile. How far the file was stored
//! at a kill is also asked of a second router, which reads the same file with a copy of the database: before the line that it begins
//! with, every line must be at the destination.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ikada_localaws::{Config, Down, Fault, FaultKind, Keep, LocalAws, SequenceReport, Service, When};
use ikada_tests::books::from_environment;
use ikada_tests::{Router, wait_for};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::process::Signal;
use tempfile::TempDir;

/// Lines for each kill.
const LINES: u64 = 5_000;

/// Lines that are written at once, and that the file is ahead of the destination at most while they are.
const PORTION: u64 = 250;
const AHEAD: u64 = 1_000;

/// Bytes of a line with its end.
const LINE: u64 = 256;

/// Lines of a chunk are fewer: it is full at 256 KiB of records, and one read adds 256 KiB of text at most.
const CHUNK: u64 = 512 * 1024 / LINE;

fn kills() -> u64 {
    from_environment("IKADA_TAIL_KILLS", 12)
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A folder with the file and the database, and a destination of which every tenth call fails.
struct Place {
    dir: Arc<TempDir>,
    aws: LocalAws,
    written: u64,
    /// How often lines will have come again when the present router has sent all that the destination had when it started.
    resent: u64,
    /// The line that the database points at, as it was seen last.
    stored: u64,
    /// How far the answers reached when it was looked for, and that was not seen stored yet.
    answered: VecDeque<u64>,
    /// How far they reached and that was then seen stored, but for less than a chunk.
    covered: u64,
}

impl Place {
    fn new() -> Self {
        let aws = LocalAws::start(Config { keep: Keep::None, ..Config::default() }).unwrap();
        for kind in [FaultKind::InternalError, FaultKind::Unavailable] {
            aws.faults().add(Fault::new(kind).service(Service::Firehose).when(When::Probability(0.05)));
        }
        let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
        File::create(dir.path().join("app.log")).unwrap();
        Self { dir, aws, written: 0, resent: 0, stored: 0, answered: VecDeque::new(), covered: 0 }
    }

    fn append(&mut self, lines: u64) {
        let file = OpenOptions::new().append(true).open(self.dir.path().join("app.log")).unwrap();
        let mut file = BufWriter::new(file);
        for number in self.written..self.written + lines {
            let text = format!("seq=a:{number:08} a line of the application");
            writeln!(file, "{text:.<width$}", width = LINE as usize - 1).unwrap();
        }
        file.flush().unwrap();
        self.written += lines;
    }

    fn spawn(&self) -> Router {
        let config = format!(
            "[SERVICE]\n    Flush 0.1\n    Grace 60\n    scheduler.base 1\n    scheduler.cap 2\n\
             [INPUT]\n    Name tail\n    Tag app\n    Path {{dir}}/app.log\n    DB {{dir}}/tail.db\n    Read_from_Head On\n\
             [OUTPUT]\n    Name kinesis_firehose\n    Match *\n    region eu-central-1\n    delivery_stream lines\n    endpoint {}\n",
            self.aws.http_url()
        );
        Router::spawn(self.dir.clone(), &config, &[])
    }

    /// What has arrived.
    fn arrived(&self) -> Option<SequenceReport> {
        self.aws.report().client(Service::Firehose, "a").cloned()
    }

    fn distinct(&self) -> u64 {
        self.arrived().map_or(0, |arrived| arrived.distinct)
    }

    fn duplicated(&self) -> u64 {
        self.arrived().map_or(0, |arrived| arrived.duplicated)
    }

    /// The lowest number that has not arrived.
    fn missing(&self) -> u64 {
        let Some(arrived) = self.arrived() else { return 0 };
        if arrived.first > 0 {
            return 0;
        }
        arrived.gaps.first().map_or(arrived.last + 1, |(first, _)| *first)
    }

    /// Waits until no call is under way at the destination.
    fn wait_for_answers(&self) {
        wait_for("the answers", || {
            let calls = self.aws.report().operation(Service::Firehose, "PutRecordBatch");
            calls.requests == calls.succeeded + calls.errors.values().sum::<u64>() + calls.cut
        });
    }

    /// How far the answers to the present router reach without a gap. Lines that an earlier one brought say nothing of it: until it has sent
    /// them again, only what is stored counts.
    fn reach(&self) -> u64 {
        if self.duplicated() >= self.resent { self.missing() } else { self.stored }
    }

    /// Looks how far the answers reach, and then how far the file is stored: never less far than before.
    fn look(&mut self) {
        self.answered.push_back(self.reach());
        let stored = offset(self.dir.path()) / LINE;
        assert!(stored >= self.stored, "line {} was stored, now {stored} is", self.stored);
        self.stored = stored;
        while let Some(answered) = self.answered.pop_front_if(|answered| *answered < stored + CHUNK) {
            self.covered = self.covered.max(answered);
        }
    }

    /// Writes up to `end` lines, never far ahead of the destination, until this many have arrived.
    fn flow(&mut self, arrived: u64, end: u64) {
        let mut patience = 60_000;
        while self.distinct() < arrived {
            if self.written < end && self.written < self.distinct() + AHEAD {
                self.append(PORTION.min(end - self.written));
            }
            self.look();
            patience -= 1;
            assert!(patience > 0, "{arrived} lines do not arrive: {:?}", self.arrived());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all that is answered for by now is seen stored.
    fn cover(&mut self) {
        let answered = self.reach();
        let mut patience = 60_000;
        while self.covered < answered {
            self.look();
            patience -= 1;
            assert!(patience > 0, "{answered} lines are answered for, and only {} stored", self.stored);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The number of the line that a router would begin with now.
    fn next(&self) -> u64 {
        let probe = Arc::new(TempDir::with_prefix("ikp").unwrap());
        for name in ["tail.db", "tail.db-wal", "tail.db-shm"] {
            let from = self.dir.path().join(name);
            if from.exists() {
                fs::copy(from, probe.path().join(name)).unwrap();
            }
        }
        let config = format!(
            "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name tail\n    Tag app\n    Path {}/app.log\n    DB {{dir}}/tail.db\n    \
             Read_from_Head On\n    Exit_On_Eof On\n\
             [OUTPUT]\n    Name file\n    Match *\n    Path {{dir}}\n    File lines\n    Format template\n    Template {{log}}\n",
            self.dir.path().display()
        );
        let mut router = Router::spawn(probe.clone(), &config, &[]);
        assert_eq!(router.wait().code(), Some(0), "{}", router.log());
        let lines = fs::read_to_string(probe.path().join("lines")).unwrap_or_default();
        let first = lines.lines().next().and_then(|line| line.get(6..14)?.parse().ok());
        first.unwrap_or(self.written)
    }

    fn assert_all_arrived(&self) {
        let arrived = self.arrived().unwrap();
        assert_eq!(arrived.lost(self.written), 0, "{arrived:?}");
    }
}

#[test]
fn killed_while_the_destination_fails_no_line_is_lost_and_only_ones_not_settled_come_again() {
    let mut place = Place::new();
    let mut dice = Dice(3);
    let (mut unsettled, mut most, mut silent) = (0, 0, 0);
    for kill in 0..kills() {
        place.append(LINES / 2);
        let before = place.distinct();
        let mut router = place.spawn();
        let end = (kill + 1) * LINES;
        // Some are killed before they have done anything; the others under way, or when all has arrived.
        if kill % 8 != 7 {
            let some = before + 1 + dice.below(end - before);
            place.flow(some, end);
        }
        match kill % 3 {
            0 => {}
            1 => place.cover(),
            _ => {
                place.aws.faults().down(Down::BlackHole);
                place.wait_for_answers();
                place.cover();
            }
        }
        router.signal(Signal::KILL);
        router.wait();
        place.aws.faults().up();
        // A call that was under way may have been taken meanwhile.
        place.wait_for_answers();
        let (next, taken) = (place.next(), place.distinct());
        assert!(next <= place.missing(), "kill {kill}: {next} is stored, {:?}", place.arrived());
        assert!(next >= place.stored, "kill {kill}: {} was stored, {next} is", place.stored);
        assert!(next + CHUNK > place.covered, "kill {kill}: {} was stored, {next} is", place.covered);
        let duplicated = place.duplicated();
        assert!(duplicated <= unsettled, "kill {kill}: {duplicated} came again of {unsettled}");
        // What the destination has and the position is not past.
        let again = taken - next;
        unsettled += again;
        place.resent = duplicated + again;
        most = most.max(again);
        if kill % 3 == 2 {
            silent = silent.max(again);
        }
        place.append(end - place.written);
    }
    let mut router = place.spawn();
    router.wait_for_log("[engine] Shutdown Grace Period");
    wait_for("all lines", || place.distinct() >= place.written);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    place.assert_all_arrived();
    let duplicated = place.duplicated();
    assert!(duplicated <= unsettled, "{duplicated} came again of {unsettled}");
    assert_eq!(place.next(), place.written);
    eprintln!(
        "{} lines, {} kills: none lost, {duplicated} came again of {unsettled} that were not settled and stored (at most {most} at a kill, \
         {silent} where the destination was silent); {} calls, {} failed",
        place.written,
        kills(),
        place.aws.report().requests(Service::Firehose),
        place.aws.faults().report().iter().map(|fault| fault.struck).sum::<u64>(),
    );
}

/// The only offset in a database that another process may be writing; 0 if there is none yet.
fn offset(dir: &Path) -> u64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(db) = Connection::open_with_flags(dir.join("tail.db"), flags) else { return 0 };
    let Ok(mut query) = db.prepare("SELECT offset FROM in_tail_files") else { return 0 };
    query.query_row([], |row| row.get::<_, i64>(0)).optional().unwrap().map_or(0, i64::cast_unsigned)
}

#[test]
fn stopped_while_the_destination_fails_no_line_is_lost_and_none_comes_twice() {
    let mut place = Place::new();
    let mut dice = Dice(5);
    let stops = kills().div_ceil(2);
    for _ in 0..stops {
        place.append(LINES / 2);
        let before = place.distinct();
        let mut router = place.spawn();
        router.wait_for_log("[engine] Shutdown Grace Period");
        place.append(LINES - LINES / 2);
        let some = before + dice.below(place.written - before);
        wait_for("some lines", || place.distinct() >= some);
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    }
    let mut router = place.spawn();
    router.wait_for_log("[engine] Shutdown Grace Period");
    wait_for("all lines", || place.distinct() >= place.written);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    place.assert_all_arrived();
    assert_eq!(place.duplicated(), 0, "{:?}", place.arrived());
    eprintln!("{} lines, {stops} stops: none lost, none twice", place.written);
}
