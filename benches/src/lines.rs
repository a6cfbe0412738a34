//! A file of numbered lines, written once and read by every program in turn, and `wc -l` on the same file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::frames::Dice;
use crate::process;
use crate::run::Measured;

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of an access log.
    Plain,
    /// JSON with a time and a map in it.
    Json,
}

/// The file. Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    folder: tempfile::TempDir,
    /// How many lines it has.
    pub(crate) count: u64,
    /// How many bytes.
    pub(crate) bytes: u64,
}

/// How often it is asked whether `wc` has ended. Its time is as exact as this.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl Lines {
    /// Writes lines until there are so many bytes.
    pub(crate) fn write(kind: Kind, bytes: u64) -> Result<Lines> {
        let top = std::env::temp_dir().canonicalize().context("there is no folder for temporary files")?;
        let folder = tempfile::Builder::new().prefix("ikada-bench-file-").tempdir_in(top)?;
        let mut lines = Lines { folder, count: 0, bytes: 0 };
        let mut file = BufWriter::with_capacity(1 << 20, File::create(lines.path())?);
        let mut dice = Dice::new(7);
        while lines.bytes < bytes {
            let line = match kind {
                Kind::Plain => plain(lines.count, &mut dice),
                Kind::Json => json(lines.count, &mut dice),
            };
            file.write_all(line.as_bytes()).context("cannot write the file of lines")?;
            lines.count += 1;
            lines.bytes += line.len() as u64;
        }
        let file = file.into_inner().context("cannot write the file of lines")?;
        // On disk before anybody is measured, or the kernel would write it meanwhile.
        file.sync_all().context("cannot write the file of lines")?;
        Ok(lines)
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    /// Reads it once, so that whoever is measured next finds it in the kernel's cache: Fluent Bit puts what it has read out of there
    /// (`file_cache_advise`), and the next reader would have to wait for the disk.
    pub(crate) fn warm(&self) -> Result<()> {
        let mut file = File::open(self.path()).context("cannot read the file of lines")?;
        std::io::copy(&mut file, &mut std::io::sink()).context("cannot read the file of lines")?;
        Ok(())
    }

    /// What `wc -l` takes for it.
    pub(crate) fn measure_wc(&self, base: Measured) -> Result<Measured> {
        self.warm()?;
        let machine = process::machine_cpu_seconds();
        let start = Instant::now();
        let mut child = Command::new("wc")
            .arg("-l")
            .arg(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run wc")?;
        let mut memory_bytes = 0;
        while !process::has_ended(child.id()) {
            memory_bytes = process::peak_memory(child.id()).max(memory_bytes);
            std::thread::sleep(LOOK_AGAIN);
        }
        let wall_seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = process::cpu_seconds(child.id())?;
        child.wait().context("wc is gone")?;
        Ok(Measured {
            program: "wc -l",
            records: self.count,
            fed_bytes: self.bytes,
            wall_seconds,
            read_seconds: wall_seconds,
            cpu_seconds,
            other_cpu_seconds: (process::machine_cpu_seconds() - machine - cpu_seconds).max(0.0),
            metered_seconds: wall_seconds,
            memory_bytes,
            lost: Some(0),
            ..base
        })
    }
}

fn plain(number: u64, dice: &mut Dice) -> String {
    format!(
        "10.0.{}.{} - - [23/Nov/2026:00:{:02}:{:02} +0000] \"GET /products/{}?seq=app:{number:010} HTTP/1.1\" 200 {} \
         \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64)\" 0.{:03}\n",
        dice.below(16),
        dice.below(256),
        number / 6_000 % 60,
        number / 100 % 60,
        1 + dice.below(5_000),
        200 + dice.below(30_000),
        dice.below(1_000)
    )
}

/// Times go on by 10 µs a line, and stay within an hour of each other.
fn json(number: u64, dice: &mut Dice) -> String {
    let micros = number % 360_000_000 * 10;
    let (minutes, seconds, rest) = (micros / 60_000_000, micros / 1_000_000 % 60, micros % 1_000_000);
    format!(
        concat!(
            r#"{{"time":"2026-11-23T00:{:02}:{:02}.{:06}Z","level":"info","service":"checkout","msg":"order placed","#,
            r#""customer":{{"id":{},"country":"JP"}},"items":{},"total":{}.{:02},"took_ms":{},"request":"seq=app:{:010}"}}"#,
            "\n"
        ),
        minutes,
        seconds,
        rest,
        1_000 + dice.below(9_000),
        1 + dice.below(6),
        5 + dice.below(400),
        dice.below(100),
        2 + dice.below(400),
        number
    )
}

/// The file, if there is one.
pub(crate) fn path_of(lines: Option<&Lines>) -> PathBuf {
    lines.map_or_else(|| Path::new("none").to_owned(), Lines::path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_as_many_as_it_says() {
        for kind in [Kind::Plain, Kind::Json] {
            let lines = Lines::write(kind, 50_000).unwrap();
            let text = std::fs::read_to_string(lines.path()).unwrap();
            assert_eq!((text.len() as u64, text.lines().count() as u64), (lines.bytes, lines.count));
            for (number, line) in text.lines().enumerate() {
                assert!(line.contains(&format!("seq=app:{number:010}")), "{line}");
                if kind == Kind::Json {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert!(value["time"].as_str().unwrap().starts_with("2026-11-23T00:00:00.0"), "{line}");
                }
            }
        }
    }

    #[test]
    fn wc_takes_little() {
        let lines = Lines::write(Kind::Plain, 50_000).unwrap();
        let measured = lines.measure_wc(Measured::default()).unwrap();
        assert_eq!((measured.records, measured.program), (lines.count, "wc -l"));
    }
}
