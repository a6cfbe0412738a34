//! The file of the task: an application that writes its audit trail to a volume, and what of it must be in S3, to the letter.
//!
//! Each line is JSON with a time in the zone of whoever acted, and a record that is JSON inside a string. The parser takes the time
//! over as the entry's and opens the string; S3 gets lines with the map where the string was. Which line that is follows from its
//! number, so what arrived is compared with what must be there, byte by byte.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use ikada_localaws::LocalAws;

use super::task::{REGION, TASK_ID};

/// The client's name in the marks of its records.
pub(crate) const CLIENT: &str = "file";
pub(crate) const BUCKET: &str = "shop-audit-file";
const TAG: &str = "audit-file";
/// Name of the file with the parser.
pub(crate) const PARSERS_FILE: &str = "parsers-audit.conf";

pub(crate) const PARSERS: &str = "\
[PARSER]
    Name audit_json
    Format json
    Time_Key timestamp
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
    Time_Keep On
    Decode_Field_As json record
";

/// The configuration that a team adds to the generated one (`config-file-value`).
pub(crate) fn configuration(folder: &Path, endpoint: &str, region: &str) -> String {
    let folder = folder.display();
    format!(
        "[SERVICE]
    Parsers_File {PARSERS_FILE}

[INPUT]
    Name tail
    Tag {TAG}
    Path {folder}/audit.log
    DB {folder}/audit.db
    Read_from_Head On
    Parser audit_json

[OUTPUT]
    Name s3
    Match {TAG}
    bucket {BUCKET}
    compression gzip
    endpoint {endpoint}
    region {region}
    s3_key_format /trail/%Y/%m/%d/$TAG/%H%M%S-$UUID.jsonl.gz
    store_dir {folder}/s3
    total_file_size 1M
    upload_timeout 2s
"
    )
}

/// The audit trail: a line for each number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trail {
    /// Time of the first line, in whole microseconds.
    began: DateTime<Utc>,
}

impl Trail {
    /// A trail that begins now.
    pub(crate) fn new() -> Trail {
        let now = Utc::now();
        Trail { began: DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now) }
    }

    /// Writes `count` lines to the end of a file; `sent` is counted up with each.
    pub(crate) fn play(self, path: &Path, count: u64, sent: &AtomicU64) -> io::Result<()> {
        let mut file = BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?);
        for number in 0..count {
            writeln!(file, "{}", self.line(number))?;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        file.flush()
    }

    fn time(self, number: u64) -> DateTime<Utc> {
        // Ten lines a millisecond: the whole trail lies within seconds.
        self.began + TimeDelta::microseconds(number as i64 * 100)
    }

    /// The time as the application writes it: people act in three zones.
    fn written_time(self, number: u64) -> String {
        let east = [0, 9 * 3600, -5 * 3600][(number % 3) as usize];
        let zone = FixedOffset::east_opt(east).expect("the zone is less than a day off");
        self.time(number).with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S%.6f%z").to_string()
    }

    /// What the application writes.
    fn line(self, number: u64) -> String {
        let record = serde_json::Value::String(record(number));
        format!(
            r#"{{"timestamp":"{}","actor":"u-{}","record":{record}}}"#,
            self.written_time(number),
            number % 900
        )
    }

    /// What must be in S3. The agent's metadata filter takes every tag, so its fields stand behind those of the line.
    fn expected(self, number: u64) -> String {
        format!(
            r#"{{"date":"{}","timestamp":"{}","actor":"u-{}","record":{},"ecs_cluster":"shop","ecs_task_arn":"arn:aws:ecs:{REGION}:123456789012:task/shop/{TASK_ID}","ecs_task_definition":"shop:7"}}"#,
            self.time(number).format("%Y-%m-%dT%H:%M:%S%.6fZ"),
            self.written_time(number),
            number % 900,
            record(number)
        )
    }
}

fn record(number: u64) -> String {
    const ACTIONS: [&str; 4] = ["user.login", "role.assigned", "price.changed", "order.refunded"];
    format!(
        r#"{{"id":"seq={CLIENT}:{number}","action":"{}","amount":{}.5,"fields":["a","\"b\""],"allowed":{}}}"#,
        ACTIONS[(number % 4) as usize],
        number % 1_000,
        !number.is_multiple_of(20)
    )
}

/// What a look into the bucket came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Objects, with their keys, sizes and numbers of lines.
    pub(crate) objects: Vec<(String, u64, usize)>,
    /// The first line.
    pub(crate) sample: String,
    /// Numbers whose line is there exactly once, to the letter.
    pub(crate) exact: u64,
    /// Lines that are no line that was to be there, or came again.
    pub(crate) wrong: Vec<String>,
    /// Keys that are not as `s3_key_format` and the first line in the object have them.
    pub(crate) wrong_keys: Vec<String>,
}

impl Checked {
    /// Opens every object and compares every line.
    pub(crate) fn of(aws: &LocalAws, trail: Trail, count: u64) -> Result<Checked> {
        let mut checked = Checked::default();
        let mut seen = vec![false; count as usize];
        for (key, object) in aws.s3().objects(BUCKET) {
            let stored = object.bytes.as_deref().context("the local AWS kept no content")?;
            let mut text = String::new();
            // Nobody but this demo wrote the object, and what it wrote is bounded.
            flate2::read::GzDecoder::new(stored)
                .read_to_string(&mut text)
                .with_context(|| format!("{key} is not gzip"))?;
            text.lines().for_each(|line| checked.take(line, trail, &mut seen));
            if !is_key(&key, text.lines().next().unwrap_or_default()) {
                checked.wrong_keys.push(key.clone());
            }
            if checked.sample.is_empty() {
                checked.sample = text.lines().next().unwrap_or_default().to_owned();
            }
            checked.objects.push((key, object.size, text.lines().count()));
        }
        Ok(checked)
    }

    fn take(&mut self, line: &str, trail: Trail, seen: &mut [bool]) {
        let number = number(line).filter(|number| trail.expected(*number) == line);
        match number.and_then(|number| seen.get_mut(number as usize)) {
            Some(is_seen) if !*is_seen => {
                *is_seen = true;
                self.exact += 1;
            }
            _ => self.wrong.push(line.to_owned()),
        }
    }

    /// Whether every line is there once, to the letter, and under the right keys.
    pub(crate) fn is_exact(&self, count: u64) -> bool {
        self.exact == count && self.wrong.is_empty() && self.wrong_keys.is_empty()
    }
}

/// The number in a line's mark.
fn number(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("seq={CLIENT}:"))?;
    rest.split_once('"')?.0.parse().ok()
}

/// `trail/<day>/<tag>/<time>-<eight letters and digits>.jsonl.gz`, day and time being those of the first line.
fn is_key(key: &str, first: &str) -> bool {
    let date = serde_json::from_str::<serde_json::Value>(first).ok();
    let date = date.and_then(|line| line["date"].as_str()?.parse::<DateTime<Utc>>().ok());
    let start = date.map(|date| date.format(&format!("trail/%Y/%m/%d/{TAG}/%H%M%S-")).to_string());
    let rest = start.and_then(|start| key.strip_prefix(&start)?.strip_suffix(".jsonl.gz"));
    rest.is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_what_must_become_of_it_say_the_same() {
        let trail = Trail::new();
        for number in 0..50 {
            let line: serde_json::Value = serde_json::from_str(&trail.line(number)).unwrap();
            let wanted: serde_json::Value = serde_json::from_str(&trail.expected(number)).unwrap();
            assert_eq!(line["timestamp"], wanted["timestamp"]);
            let record: serde_json::Value = serde_json::from_str(line["record"].as_str().unwrap()).unwrap();
            assert_eq!(record, wanted["record"]);
            assert_eq!(super::number(&trail.expected(number)), Some(number));
        }
    }

    #[test]
    fn a_changed_line_and_a_second_one_are_wrong() {
        let (trail, mut checked, mut seen) = (Trail::new(), Checked::default(), vec![false; 2]);
        checked.take(&trail.expected(0), trail, &mut seen);
        checked.take(&trail.expected(0), trail, &mut seen);
        checked.take(&trail.expected(1).replace("u-1", "u-2"), trail, &mut seen);
        assert_eq!((checked.exact, checked.wrong.len()), (1, 2));
        assert!(!checked.is_exact(2));
    }

    #[test]
    fn a_key_has_the_time_of_its_first_line() {
        let line = r#"{"date":"2026-11-23T01:02:03.123456Z"}"#;
        assert!(is_key("trail/2026/11/23/audit-file/010203-CMkRhVsB.jsonl.gz", line));
        assert!(!is_key("trail/2026/11/23/audit-file/010204-CMkRhVsB.jsonl.gz", line));
        assert!(!is_key("trail/2026/11/23/audit-file/010203-CMkRhVsB.jsonl", line));
    }
}
