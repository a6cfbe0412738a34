//! Files that are followed: every line arrives, whatever happens to the file, to the router and to the destination.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_tests::{Router, free_port, get, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

/// A folder, the files in it, and what the router has written of their lines.
struct Place {
    dir: Arc<TempDir>,
    next: u64,
}

impl Place {
    fn new() -> Self {
        let dir = Arc::new(TempDir::with_prefix("ikt").unwrap());
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        Self { dir, next: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn append(&mut self, name: &str, lines: u64) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        let mut file = BufWriter::new(file);
        for n in self.next..self.next + lines {
            writeln!(file, "{n:08} a line of the application, long enough to be one").unwrap();
        }
        file.flush().unwrap();
        self.next += lines;
    }

    fn config(&self, input: &str) -> String {
        format!(
            "[SERVICE]\n    Flush 0.2\n[INPUT]\n    Name tail\n    Tag app\n    DB {{dir}}/tail.db\n    Read_from_Head On\n{input}\
             [OUTPUT]\n    Name file\n    Match *\n    Path {{dir}}/out\n    File lines\n    Format template\n    Template {{log}}\n"
        )
    }

    fn start(&self, input: &str) -> Router {
        Router::start_in(self.dir.clone(), &self.config(input), &[])
    }

    fn arrived(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("out/lines")).unwrap_or_default()
    }

    /// How often each number has arrived.
    fn numbers(&self) -> Vec<u32> {
        let mut times = vec![0; self.next as usize];
        for line in self.arrived().split(|byte| *byte == b'\n') {
            let number = line.get(..8).and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
            if let Some(count) = number.and_then(|number| times.get_mut(number)) {
                *count += 1;
            }
        }
        times
    }

    fn wait_for_all(&self) {
        wait_for(&format!("{} lines", self.next), || self.numbers().iter().all(|times| *times > 0));
    }

    fn assert_each_once(&self, what: &str) {
        let numbers = self.numbers();
        let lost = numbers.iter().filter(|times| **times == 0).count();
        let doubled = numbers.iter().filter(|times| **times > 1).count();
        assert_eq!((lost, doubled), (0, 0), "{what}: lost and doubled of {}", self.next);
    }

    /// How many of the whole lines that arrived behind so many bytes had arrived behind them before.
    fn doubled_behind(&self, bytes: usize) -> usize {
        let arrived = self.arrived();
        // What a killed router wrote last may be half a line.
        let is_torn = bytes > 0 && arrived[bytes - 1] != b'\n';
        let lines = arrived[bytes..].split(|byte| *byte == b'\n').skip(usize::from(is_torn));
        let whole = lines.filter(|line| line.ends_with(b"to be one"));
        let mut seen = HashSet::new();
        whole.filter(|line| !seen.insert(line.to_vec())).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Rename,
    CopyTruncate,
    Compress,
    Link,
}

/// Rotates `app.log` by one, as logrotate would.
fn rotate(place: &Place, style: Style, round: usize) {
    let live = place.path("app.log");
    if style == Style::Link {
        let next = place.path(&format!("file-{}", round + 1));
        File::create(&next).unwrap();
        std::os::unix::fs::symlink(&next, place.path("link")).unwrap();
        fs::rename(place.path("link"), live).unwrap();
        return;
    }
    for n in (1..30).rev() {
        for end in ["", ".gz"] {
            let from = place.path(&format!("app.log.{n}{end}"));
            if from.exists() {
                fs::rename(&from, place.path(&format!("app.log.{}{end}", n + 1))).unwrap();
            }
        }
    }
    let old = place.path("app.log.1");
    if style == Style::CopyTruncate {
        fs::copy(&live, &old).unwrap();
        File::options().write(true).open(&live).unwrap().set_len(0).unwrap();
        return;
    }
    fs::rename(&live, &old).unwrap();
    File::create(&live).unwrap();
    if style == Style::Compress {
        compress(&old);
    }
}

fn compress(path: &Path) {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let file = File::create(&packed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    let file = encoder.finish().unwrap();
    file.set_modified(fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    fs::remove_file(path).unwrap();
}

/// 100,000 lines, rotated again and again, with stops in between: while the router runs, and while it does not.
fn rotations_and_restarts(style: Style, pattern: &str) {
    let mut place = Place::new();
    let input = format!("    Path {{dir}}/logs/{pattern}\n    Rotate_Wait 1\n");
    if style == Style::Link {
        File::create(place.path("file-0")).unwrap();
        std::os::unix::fs::symlink(place.path("file-0"), place.path("app.log")).unwrap();
    }
    place.append("app.log", 1);
    let mut router = place.start(&input);
    for round in 0..10 {
        place.append("app.log", 5_000);
        if round % 3 == 2 {
            // Known before it is rotated while nobody looks.
            place.wait_for_all();
            assert_eq!(router.stop().code(), Some(0), "{}", router.log());
            place.append("app.log", 2_000);
            rotate(&place, style, round);
            place.append("app.log", 2_999);
            router = place.start(&input);
        } else {
            if style == Style::CopyTruncate {
                // What is written between the copy and the cut is nobody's; here nothing is.
                place.wait_for_all();
            }
            rotate(&place, style, round);
            place.append("app.log", 5_000);
            place.wait_for_all();
        }
    }
    place.append("app.log", 10);
    place.wait_for_all();
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    place.assert_each_once(&format!("{style:?} {pattern}"));
}

#[test]
fn renamed_files_lose_and_double_nothing_across_restarts() {
    rotations_and_restarts(Style::Rename, "app.log");
    rotations_and_restarts(Style::Rename, "app.log*");
}

#[test]
fn copied_and_cut_files_lose_and_double_nothing_across_restarts() {
    rotations_and_restarts(Style::CopyTruncate, "app.log");
    rotations_and_restarts(Style::CopyTruncate, "app.log*");
}

#[test]
fn compressed_files_lose_and_double_nothing_across_restarts() {
    rotations_and_restarts(Style::Compress, "app.log");
    rotations_and_restarts(Style::Compress, "app.log*");
}

#[test]
fn switched_links_lose_and_double_nothing_across_restarts() {
    rotations_and_restarts(Style::Link, "app.log");
}

/// The router is killed again and again while lines are written. `IKADA_TAIL_KILLS` says how often, for the long run: 200.
#[test]
fn killed_again_and_again_it_loses_no_line() {
    let kills = std::env::var("IKADA_TAIL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    let mut place = Place::new();
    let input = "    Path {dir}/logs/app.log*\n    Rotate_Wait 1\n";
    place.append("app.log", 1);
    // Killed early enough, it has stored nothing: then all that was written comes again.
    let mut most = 0;
    for kill in 0..kills {
        let before = place.arrived().len();
        let mut router = place.start(input);
        for part in 0..5 {
            place.append("app.log", 1_000);
            if part == 3 && kill % 4 == 3 {
                rotate(&place, Style::Rename, 0);
            }
        }
        // At some point under way, another one each time.
        let some = before + 1 + (kill as usize * 7919) % 200_000;
        wait_for("some lines", || place.arrived().len() >= some);
        router.signal(Signal::KILL);
        router.wait();
        most += place.next;
        // After a kill lines come again, but no run brings one twice.
        assert_eq!(place.doubled_behind(before), 0, "run {kill}");
    }
    let before = place.arrived().len();
    let mut router = place.start(input);
    place.wait_for_all();
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    assert_eq!(place.doubled_behind(before), 0, "the last run");
    let again: u64 = place.numbers().iter().map(|times| u64::from(times.saturating_sub(1))).sum();
    assert!(again <= most, "{again} lines came again");
}

#[test]
fn stopped_again_and_again_while_lines_come_it_loses_and_doubles_none() {
    let mut place = Place::new();
    let input = "    Path {dir}/logs/app.log\n";
    place.append("app.log", 1);
    for _ in 0..6 {
        let mut router = place.start(input);
        for _ in 0..10 {
            place.append("app.log", 1_000);
        }
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    }
    let mut router = place.start(input);
    place.wait_for_all();
    router.stop();
    place.assert_each_once("stops");
}

/// Names, labels and numbers as Fluent Bit 5.1.1 tells them of the same files, but for the counts of other things.
#[test]
fn opened_closed_and_rotated_files_and_long_lines_are_counted_in_fluent_bit_s_metrics() {
    let mut place = Place::new();
    let port = free_port();
    place.append("app.log", 10);
    let config = place.config(
        "    Alias files\n    Path {dir}/logs/app.log\n    Rotate_Wait 0.1\n    Buffer_Max_Size 1k\n    Skip_Long_Lines On\n",
    );
    let config = config.replace(
        "[INPUT]",
        &format!("    HTTP_Server On\n    HTTP_Listen 127.0.0.1\n    HTTP_Port {port}\n[INPUT]"),
    );
    let router = Router::start_in(place.dir.clone(), &config, &[]);
    place.wait_for_all();
    rotate(&place, Style::Rename, 0);
    place.append("app.log", 10);
    let long = File::options().append(true).open(place.path("app.log"));
    writeln!(long.unwrap(), "{:2000}", "long").unwrap();
    place.append("app.log", 10);
    place.wait_for_all();
    let tells = |line: &str| get(port, "/api/v2/metrics/prometheus").contains(&format!("\n{line}\n"));
    wait_for("the rotated file to be closed", || {
        tells("fluentbit_input_files_closed_total{name=\"files\"} 1")
    });
    for (metric, count) in
        [("files_opened", 2), ("files_rotated", 1), ("long_line_skipped", 1), ("long_line_truncated", 0)]
    {
        let line = format!("fluentbit_input_{metric}_total{{name=\"files\"}} {count}");
        assert!(tells(&line), "{line}: {}", get(port, "/api/v2/metrics/prometheus"));
    }
    let answer = get(port, "/api/v1/metrics");
    let metrics: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let input = &metrics["input"]["files"];
    assert_eq!((&input["files_opened"], &input["files_closed"]), (&2.into(), &1.into()), "{input}");
    assert_eq!((&input["files_rotated"], &input["multiline_truncated"]), (&1.into(), &0.into()), "{input}");
    drop(router);
}

#[test]
fn what_cannot_be_read_stops_nothing_and_is_told_once() {
    let mut place = Place::new();
    let long = vec![b'x'; 50_000_000];
    fs::write(place.path("a.log"), [&long[..], b"\n"].concat()).unwrap();
    place.append("a.log", 1_000);
    fs::write(place.path("b.log"), vec![0; 5_000_000]).unwrap();
    place.append("b.log", 1_000);
    fs::write(place.path("c.log"), b"\xff\xfe\x80 not UTF-8 \xc3\n\r\n\n").unwrap();
    place.append("c.log", 1_000);
    let mut router = place.start("    Path {dir}/logs/*.log\n    Buffer_Max_Size 64k\n");
    place.wait_for_all();
    router.stop();
    place.assert_each_once("strange files");
    let log = router.log();
    assert_eq!(log.matches("longer than Buffer_Max_Size").count(), 1, "{log}");
}

#[test]
fn ten_thousand_files_in_one_folder_are_all_read() {
    let mut place = Place::new();
    for n in 0..5_000 {
        place.append(&format!("{n}.log"), 1);
    }
    let mut router = place.start("    Path {dir}/logs/*.log\n");
    for n in 5_000..10_000 {
        place.append(&format!("{n}.log"), 1);
    }
    place.wait_for_all();
    for n in (0..10_000).step_by(97) {
        place.append(&format!("{n}.log"), 1);
    }
    place.wait_for_all();
    router.stop();
    place.assert_each_once("many files");
}

#[test]
fn a_folder_that_appears_later_is_read_at_once() {
    let mut place = Place::new();
    let mut router = place.start("    Path {dir}/logs/not/yet/*/app.log\n    Progress_Check_Interval 3600\n");
    fs::create_dir_all(place.path("not/yet/there")).unwrap();
    place.append("not/yet/there/app.log", 100);
    place.wait_for_all();
    place.append("not/yet/there/app.log", 100);
    place.wait_for_all();
    router.stop();
    place.assert_each_once("a later folder");
}

#[test]
fn polling_finds_the_same_as_being_told() {
    let mut place = Place::new();
    place.append("app.log", 100);
    let mut router = place.start("    Path {dir}/logs/app.log\n    Inotify_Watcher Off\n    Rotate_Wait 1\n");
    place.wait_for_all();
    for round in 0..3 {
        place.append("app.log", 100);
        rotate(&place, Style::Rename, round);
        place.append("app.log", 100);
        place.wait_for_all();
    }
    router.stop();
    place.assert_each_once("polling");
}

#[test]
fn a_file_that_may_be_read_later_is_read_then_and_told_of_once() {
    let mut place = Place::new();
    place.append("open.log", 100);
    place.append("closed.log", 100);
    let may = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may(&place.path("closed.log"), 0o000);
    may(&place.dir.path().join("out"), 0o777);
    let input = "    Path {dir}/logs/*.log\n    Refresh_Interval 1\n";
    let mut router = Router::spawn_as_nobody(place.dir.clone(), &place.config(input), &[]);
    wait_for("what may be read", || place.numbers()[..100].iter().all(|times| *times > 0));
    router.wait_for_log("the file cannot be read");
    place.append("open.log", 100);
    wait_for("more of what may be read", || place.numbers()[200..].iter().all(|times| *times > 0));
    assert!(place.numbers()[100..200].iter().all(|times| *times == 0), "nobody could read these");

    may(&place.path("closed.log"), 0o644);
    place.wait_for_all();
    assert!(router.stop().success());
    place.assert_each_once("after the mend");
    assert_eq!(router.log().matches("the file cannot be read").count(), 1, "{}", router.log());
}
