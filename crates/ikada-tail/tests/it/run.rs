//! A running input.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ikada_plugin::InputMemory;
use ikada_store::positions::{Positions, Settings};
use tempfile::TempDir;

use crate::rig::Running;

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn pack(path: &Path, text: &str) {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    fs::write(path, packer.finish().unwrap()).unwrap();
}

fn place() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_records_with_path_and_offset_under_the_tag_of_their_path() {
    let (dir, at) = place();
    append(&dir.path().join("a.log"), "one\r\ntwo\n\nlast");
    let options = format!(
        "path {at}/*.log\ntag x.*\nread_from_head on\npath_key file\noffset_key at\nskip_empty_lines on\n"
    );
    let running = Running::start(&options).await;
    running.watcher.wait_for(2).await;
    let watcher = running.stop().await;
    let tag = format!("x.{}.a.log", at.trim_start_matches('/').replace('/', ".").replace("..", "."));
    let record = |at_byte: u32, log: &str| {
        (tag.clone(), format!(r#"{{"file":"{at}/a.log","at":{at_byte},"log":"{log}"}}"#).replace('/', "\\/"))
    };
    let plain: Vec<_> =
        watcher.records().into_iter().map(|(tag, record)| (tag, record.replace("\\/", "/"))).collect();
    let expected: Vec<_> = [record(0, "one"), record(5, "two")]
        .into_iter()
        .map(|(tag, r)| (tag, r.replace("\\/", "/")))
        .collect();
    assert_eq!(plain, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parser_makes_the_record_and_what_does_not_fit_stays_text() {
    let (dir, at) = place();
    append(&dir.path().join("a.log"), "{\"a\":1}\nno json\r\n{\"b\":[true]}\n");
    let running = Running::start(&format!("path {at}/a.log\nparser json\nread_from_head on\n")).await;
    let records = running.watcher.wait_for(3).await;
    assert_eq!(records, [r#"{"a":1}"#, r#"{"log":"no json\r"}"#, r#"{"b":[true]}"#]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_multiline_mode_adds_to_the_first_lines_last_text() {
    let (dir, at) = place();
    append(&dir.path().join("a.log"), "before\nlevel=info msg=start\n  at x\n  at y\nlevel=warn msg=next\n");
    // Every line is logfmt of some kind, so the first line is told by JSON here.
    let options = format!("path {at}/a.log\nread_from_head on\nmultiline on\nparser_firstline json\n");
    append(
        &dir.path().join("a.log"),
        "{\"n\":1,\"m\":\"start\"}\n  at x\n  at y\n{\"m\":\"b\",\"n\":1}\nz\n",
    );
    let running = Running::start(&options).await;
    running.watcher.wait_for(7).await;
    let watcher = running.stop().await;
    let records: Vec<_> = watcher.records().into_iter().map(|(_, record)| record).collect();
    assert!(records.contains(&r#"{"n":1,"m":"start\n  at x\n  at y"}"#.to_owned()), "{records:?}");
    assert!(records.contains(&r#"{"log":"z"}"#.to_owned()), "{records:?}");
    assert_eq!(records.len(), 8, "the record under way is let go at the stop: {records:?}");
}

/// A record to which line after line is added, with no first line of another in sight.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_end_goes_out_in_pieces_when_the_memory_of_inputs_is_full() {
    let line = "x".repeat(99);
    let old = format!("{{\"m\":\"start\"}}\n{}", format!("{line}\n").repeat(50_000));
    let docker = format!("{{\"log\":\"{line}\"}}\n").repeat(50_000);
    for (mode, text) in [("multiline on\nparser_firstline json\n", old), ("docker_mode on\n", docker)] {
        let (dir, at) = place();
        append(&dir.path().join("a.log"), &text);
        let memory = InputMemory::new(300_000, Duration::from_millis(1));
        let options = format!("path {at}/a.log\nread_from_head on\n{mode}");
        let running = Running::start_in(&options, memory).await;
        let lines = || {
            let records = running.watcher.records();
            (records.len(), records.iter().map(|(_, record)| record.matches(&line).count()).sum::<usize>())
        };
        while lines().1 < 49_000 {
            tokio::task::yield_now().await;
        }
        let watcher = running.stop().await;
        let records = watcher.records();
        let longest = records.iter().map(|(_, record)| record.len()).max().unwrap();
        let all: usize = records.iter().map(|(_, record)| record.matches(&line).count()).sum();
        assert_eq!(all, 50_000, "{mode}");
        assert!(longest < 700_000, "{mode}: {longest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_read_from_head_only_what_comes_is_read() {
    let (dir, at) = place();
    append(&dir.path().join("a.log"), "old\n");
    pack(&dir.path().join("old.log.gz"), "packed\nand old\n");
    fs::write(dir.path().join("torn.log.gz"), &fs::read(dir.path().join("old.log.gz")).unwrap()[..20])
        .unwrap();
    let options = format!("path {at}/*.log*\ndb {at}/tail.db\n");
    let running = Running::start(&options).await;
    // The first look is over when all files have their rows; one that comes later is read from its start.
    let rows = || Positions::open(&dir.path().join("tail.db"), &Settings::default()).unwrap().all().unwrap();
    while rows().len() < 3 {
        tokio::task::yield_now().await;
    }
    append(&dir.path().join("b.log"), "new file\n");
    running.watcher.wait_for(1).await;
    append(&dir.path().join("a.log"), "new\n");
    let records = running.watcher.wait_for(2).await;
    assert_eq!(records, [r#"{"log":"new file"}"#, r#"{"log":"new"}"#]);
    running.stop().await;
    // Nor is it read when the rows are known.
    append(&dir.path().join("b.log"), "more\n");
    let running = Running::start(&options).await;
    pack(&dir.path().join("new.log.gz"), "packed and new\n");
    running.watcher.wait_for(2).await;
    let watcher = running.stop().await;
    let mut records: Vec<_> = watcher.records().into_iter().map(|(_, record)| record).collect();
    records.sort();
    assert_eq!(records, [r#"{"log":"more"}"#, r#"{"log":"packed and new"}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_settled_is_read_again_and_what_is_settled_is_not() {
    let (dir, at) = place();
    let options = format!("path {at}/*.log\nread_from_head on\ndb {at}/tail.db\n");
    append(&dir.path().join("a.log"), "one\n");
    let running = Running::start(&options).await;
    running.watcher.wait_for(1).await;
    running.stop().await;

    append(&dir.path().join("a.log"), "two\n");
    let running = Running::start(&options).await;
    running.watcher.hold();
    assert_eq!(running.watcher.wait_for(1).await, [r#"{"log":"two"}"#]);
    running.watcher.abandon();
    running.stop().await;

    let running = Running::start(&options).await;
    append(&dir.path().join("a.log"), "three\n");
    assert_eq!(running.watcher.wait_for(2).await, [r#"{"log":"two"}"#, r#"{"log":"three"}"#]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_the_program_at_the_end_of_all_files_if_it_is_asked_to() {
    let (dir, at) = place();
    append(&dir.path().join("a.log"), "one\ntwo\n");
    let running = Running::start(&format!("path {at}/*.log\nread_from_head on\nexit_on_eof on\n")).await;
    running.quit.cancelled().await;
    let watcher = running.stop().await;
    assert_eq!(watcher.records().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_all_files_is_only_what_has_had_one() {
    for (text, count) in [("one\n", 1), ("", 0)] {
        let (dir, at) = place();
        let options = format!("path {at}/*.log\nread_from_head on\nexit_on_eof on\nrefresh_interval 1\n");
        let running = Running::start(&options).await;
        // Time for it to find that there is nothing.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!running.quit.is_cancelled());
        append(&dir.path().join("a.log"), text);
        running.quit.cancelled().await;
        let watcher = running.stop().await;
        assert_eq!(watcher.records().len(), count);
    }
}

/// Times after which files are looked at, however little the system tells: never, in a test.
const TOLD: &str = "progress_check_interval 1h\nrefresh_interval 3600\nwatcher_interval 1h\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_told_through_links_and_relative_paths_too() {
    let (dir, at) = place();
    fs::create_dir(dir.path().join("real")).unwrap();
    let real = dir.path().join("real/a.log");
    append(&real, "0\n");
    std::os::unix::fs::symlink("real/a.log", dir.path().join("link.log")).unwrap();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let relative = format!("{up}{}", at.trim_start_matches('/'));
    for path in [format!("{at}/link.log"), format!("{relative}/real/*.log"), format!("{relative}/link.log")] {
        let running = Running::start(&format!("path {path}\nread_from_head on\n{TOLD}")).await;
        let before = running.watcher.wait_for(1).await.len();
        // Twice: the first look may be on its way yet.
        for more in 1..=2 {
            append(&real, "more\n");
            running.watcher.wait_for(before + more).await;
        }
        running.stop().await;
        fs::write(&real, "0\n").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rotated_goes_on_under_the_tag_and_the_path_it_had() {
    for how in ["tag x.<n>\ntag_regex /(?<n>[a-z]+)\\.log$", "tag *"] {
        for is_copy in [false, true] {
            let (dir, at) = place();
            let (log, old) = (dir.path().join("a.log"), dir.path().join("a.log.1"));
            let options = format!("path {at}/*.log\nread_from_head on\npath_key p\ndb {at}/tail.db\n{how}\n");
            append(&log, "one\n");
            let running = Running::start(&options).await;
            running.watcher.wait_for(1).await;
            let first = running.stop().await.records().remove(0);
            append(&log, "two\n");
            if is_copy {
                fs::copy(&log, &old).unwrap();
                fs::write(&log, "three\n").unwrap();
            } else {
                fs::rename(&log, &old).unwrap();
                append(&log, "three\n");
            }
            let running = Running::start(&options).await;
            running.watcher.wait_for(2).await;
            let mut records = running.stop().await.records();
            records.sort();
            let expected: Vec<_> = ["three", "two"]
                .into_iter()
                .map(|line| (first.0.clone(), first.1.replace("one", line)))
                .collect();
            assert_eq!(records, expected);
        }
    }
}
