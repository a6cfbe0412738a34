//! Position databases that Fluent Bit wrote.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use ikada_store::positions::{Change, Checkpoint, Positions, Settings};

use crate::rig::Running;

/// Writes a row as Fluent Bit does, without anything of this program.
fn row(db: &Path, file: &Path, offset: u64, marker: (i64, u8)) {
    let mut positions = Positions::open(db, &Settings::default()).unwrap();
    let checkpoint = Checkpoint {
        name: file.to_str().unwrap().as_bytes().to_vec(),
        offset,
        inode: fs::metadata(file).unwrap().ino(),
        rotated: false,
        marker: marker.0,
        marker_size: marker.1,
        more: None,
    };
    positions
        .apply(vec![Change::Save { id: None, checkpoint, input: String::new(), now: 1_700_000_000 }])
        .unwrap();
}

async fn records(dir: &Path, count: usize) -> Vec<String> {
    let at = dir.to_str().unwrap();
    let running = Running::start(&format!("path {at}/*.log\ndb {at}/tail.db\nread_from_head on\n")).await;
    let records = running.watcher.wait_for(count).await;
    running.stop().await;
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_where_fluent_bit_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.log");
    fs::write(&file, "l1\nl2\nl3\n").unwrap();
    // The marker that Fluent Bit 5.1.1 stores behind `l1\nl2\n` (reference, inputs §3.8).
    row(&dir.path().join("tail.db"), &file, 6, (-71_276_765_683_462_781, 6));
    assert_eq!(records(dir.path(), 1).await, [r#"{"log":"l3"}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_an_old_version_without_a_marker_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.log");
    fs::write(&file, "l1\nl2\nl3\n").unwrap();
    row(&dir.path().join("tail.db"), &file, 3, (0, 0));
    assert_eq!(records(dir.path(), 2).await, [r#"{"log":"l2"}"#, r#"{"log":"l3"}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_marker_does_not_fit_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.log");
    fs::write(&file, "m1\nm2\nm3\n").unwrap();
    row(&dir.path().join("tail.db"), &file, 6, (-71_276_765_683_462_781, 6));
    assert_eq!(records(dir.path(), 3).await.len(), 3);
}

/// Fluent Bit reads half of a file, Ikada the rest, Fluent Bit again, and Ikada the last: no line is missing, none comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn both_programs_take_turns_on_one_database() {
    let Some(fluent_bit) = std::env::var_os("FLUENT_BIT_BIN") else {
        eprintln!("skipped: FLUENT_BIT_BIN is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let file = dir.path().join("a.log");
    let mut written = String::new();
    let mut theirs = |lines: std::ops::Range<u32>| {
        lines.for_each(|n| written.push_str(&format!("line {n:04}\n")));
        fs::write(dir.path().join("next"), &written).unwrap();
        // The same inode goes on.
        let text = fs::read(dir.path().join("next")).unwrap();
        let known = fs::metadata(&file).map_or(0, |meta| meta.len() as usize);
        let mut open = fs::OpenOptions::new().append(true).create(true).open(&file).unwrap();
        std::io::Write::write_all(&mut open, &text[known..]).unwrap();
    };
    let run_theirs = || {
        let out = Command::new(&fluent_bit)
            .args(["-q", "-i", "tail", "-p", &format!("path={at}/a.log"), "-p", &format!("db={at}/tail.db")])
            .args(["-p", "read_from_head=on", "-p", "exit_on_eof=on"])
            .args(["-o", "stdout", "-p", "match=*", "-p", "format=json_lines", "-f", "1"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).matches("line ").count()
    };
    theirs(0..100);
    assert_eq!(run_theirs(), 100);
    theirs(100..200);
    assert_eq!(records(dir.path(), 100).await.len(), 100);
    theirs(200..300);
    assert_eq!(run_theirs(), 100);
    theirs(300..400);
    let last = records(dir.path(), 100).await;
    assert_eq!((last.len(), last[0].as_str()), (100, r#"{"log":"line 0300"}"#));
}
