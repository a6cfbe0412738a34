//! A file that is followed while the router is killed, or stopped, again and again, and the destination fails at random.
//!
//! 60,000 numbered lines and 12 kills. `IKADA_TAIL_KILLS=200` runs the long version: that many kills, and 5,000 lines for each.
//!
//! How far the file was stored as delivered at a kill is measured from outside: a second router that reads the same file with a copy of the
//! position database tells which line it would begin with. Before it, every line must be at the destination; behind it, lines may come
//! again. That is a wider bound than what was unsettled: lines that were settled and not stored yet are behind it too.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::sync::Arc;

use ikada_localaws::{Config, Fault, FaultKind, Keep, LocalAws, SequenceReport, Service, When};
use ikada_tests::{Router, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

/// Lines for each kill.
const LINES: u64 = 5_000;

fn kills() -> u64 {
    std::env::var("IKADA_TAIL_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12)
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
}

impl Place {
    fn new() -> Self {
        let aws = LocalAws::start(Config { keep: Keep::None, ..Config::default() }).unwrap();
        for kind in [FaultKind::InternalError, FaultKind::Unavailable] {
            aws.faults().add(Fault::new(kind).service(Service::Firehose).when(When::Probability(0.05)));
        }
        let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
        File::create(dir.path().join("app.log")).unwrap();
        Self { dir, aws, written: 0 }
    }

    fn append(&mut self, lines: u64) {
        let file = OpenOptions::new().append(true).open(self.dir.path().join("app.log")).unwrap();
        let mut file = BufWriter::new(file);
        for number in self.written..self.written + lines {
            writeln!(file, "seq=a:{number:08} a line of the application, long enough to be one").unwrap();
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
fn killed_while_the_destination_fails_no_line_is_lost_and_only_ones_not_stored_come_again() {
    let mut place = Place::new();
    let mut dice = Dice(3);
    let (mut unstored, mut most) = (0, 0);
    for kill in 0..kills() {
        place.append(LINES / 2);
        let before = place.distinct();
        let mut router = place.spawn();
        place.append(LINES - LINES / 2);
        // Some are killed before they have done anything; the others under way, or when all has arrived.
        if kill % 8 != 7 {
            let some = before + 1 + dice.below(place.written - before);
            wait_for("some lines", || place.distinct() >= some);
        }
        router.signal(Signal::KILL);
        router.wait();
        // First the database, then the destination: a call that was under way may be taken meanwhile.
        let next = place.next();
        assert!(next <= place.missing(), "kill {kill}: {next} is stored, {:?}", place.arrived());
        assert!(place.duplicated() <= unstored, "kill {kill}: {:?} for {unstored}", place.arrived());
        unstored += place.written - next;
        most = most.max(place.written - next);
    }
    let mut router = place.spawn();
    router.wait_for_log("[engine] Shutdown Grace Period");
    wait_for("all lines", || place.distinct() >= place.written);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    place.assert_all_arrived();
    assert!(place.duplicated() <= unstored, "{:?} for {unstored}", place.arrived());
    assert_eq!(place.next(), place.written);
    eprintln!(
        "{} lines, {} kills: none lost, {} came again of {unstored} that were not stored (at most {most} at a kill); {} calls, {} failed",
        place.written,
        kills(),
        place.duplicated(),
        place.aws.report().requests(Service::Firehose),
        place.aws.faults().report().iter().map(|fault| fault.struck).sum::<u64>(),
    );
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
