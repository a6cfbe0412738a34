//! Rotations while the input runs, and while it does not: every line comes once.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::rig::Running;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Rename,
    CopyTruncate,
    Compress,
    Link,
}

/// A folder, and the number of lines that were written in it.
struct Place {
    dir: TempDir,
    next: usize,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&mut self, lines: usize) {
        let numbers = self.next..self.next + lines;
        let text: String = numbers.map(|n| format!("{n:08} a line of the application\n")).collect();
        let mut file = OpenOptions::new().append(true).create(true).open(self.path("app.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.next += lines;
    }

    /// Rotates as logrotate does.
    fn rotate(&self, style: Style) {
        let live = self.path("app.log");
        if style == Style::Link {
            let next = self.path(&format!("file-{}", self.next));
            File::create(&next).unwrap();
            std::os::unix::fs::symlink(&next, self.path("link")).unwrap();
            return fs::rename(self.path("link"), live).unwrap();
        }
        for n in (1..30).rev() {
            for end in ["", ".gz"] {
                let from = self.path(&format!("app.log.{n}{end}"));
                if from.exists() {
                    fs::rename(&from, self.path(&format!("app.log.{}{end}", n + 1))).unwrap();
                }
            }
        }
        let old = self.path("app.log.1");
        if style == Style::CopyTruncate {
            fs::copy(&live, &old).unwrap();
            return File::options().write(true).open(&live).unwrap().set_len(0).unwrap();
        }
        fs::rename(&live, &old).unwrap();
        File::create(&live).unwrap();
        if style == Style::Compress {
            compress(&old);
        }
    }
}

/// As gzip does: bit by bit, with the time of the original, which is removed at the end.
fn compress(path: &Path) {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let file = File::create(&packed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for part in fs::read(path).unwrap().chunks(4096) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    let file = encoder.finish().unwrap();
    file.set_modified(fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    fs::remove_file(path).unwrap();
}

/// What each run has seen.
struct Runs {
    options: String,
    done: Vec<String>,
}

impl Runs {
    async fn start(&self) -> Running {
        Running::start(&self.options).await
    }

    /// Waits until all lines have come.
    async fn wait(&self, running: &Running, place: &Place) {
        running.watcher.wait_for(place.next.saturating_sub(self.done.len())).await;
    }

    async fn stop(&mut self, running: Running) {
        let watcher = running.stop().await;
        self.done.extend(watcher.records().into_iter().map(|(_, record)| record));
    }
}

async fn rotations_and_restarts(style: Style, pattern: &str) {
    let mut place = Place { dir: TempDir::new().unwrap(), next: 0 };
    if style == Style::Link {
        File::create(place.path("file")).unwrap();
        std::os::unix::fs::symlink(place.path("file"), place.path("app.log")).unwrap();
    }
    place.append(1);
    let at = place.dir.path().display();
    let options = format!(
        "path {at}/{pattern}\nread_from_head on\ndb {at}/tail.db\nrotate_wait 0.1\nwatcher_interval 0.1\n"
    );
    let mut runs = Runs { options, done: Vec::new() };
    let mut running = runs.start().await;
    for round in 0..12 {
        place.append(5_000);
        if round % 3 == 2 {
            // Known before it is rotated while nobody looks.
            runs.wait(&running, &place).await;
            runs.stop(running).await;
            place.append(2_000);
            place.rotate(style);
            place.append(2_000);
            running = runs.start().await;
        } else {
            if style == Style::CopyTruncate {
                // What is written between the copy and the cut is nobody's; here nothing is.
                runs.wait(&running, &place).await;
            }
            place.rotate(style);
            place.append(4_000);
            runs.wait(&running, &place).await;
        }
    }
    place.append(10);
    runs.wait(&running, &place).await;
    runs.stop(running).await;
    let mut times = vec![0_u32; place.next];
    for record in &runs.done {
        times[record[8..16].parse::<usize>().unwrap()] += 1;
    }
    let lost = times.iter().filter(|times| **times == 0).count();
    let doubled = times.iter().filter(|times| **times > 1).count();
    assert_eq!((lost, doubled), (0, 0), "{style:?} {pattern}: lost and doubled of {}", place.next);
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_files_lose_and_double_nothing() {
    rotations_and_restarts(Style::Rename, "app.log").await;
    rotations_and_restarts(Style::Rename, "app.log*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copied_and_cut_files_lose_and_double_nothing() {
    rotations_and_restarts(Style::CopyTruncate, "app.log").await;
    rotations_and_restarts(Style::CopyTruncate, "app.log*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_lose_and_double_nothing() {
    rotations_and_restarts(Style::Compress, "app.log").await;
    rotations_and_restarts(Style::Compress, "app.log*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_links_lose_and_double_nothing() {
    rotations_and_restarts(Style::Link, "app.log").await;
}
