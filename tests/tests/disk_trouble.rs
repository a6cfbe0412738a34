//! Disks that are full or read-only: told once, worked around, and used again as soon as they can be.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ikada_localaws::{Config, Down, LocalAws, Service};
use ikada_tests::books::Books;
use ikada_tests::disk::SmallDisk;
use ikada_tests::{Router, Writer, firelens_config, wait_for};
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";

/// Memory in which 6,000 records do not fit, and a disk at `{dir}/small`.
fn config(aws: &LocalAws) -> String {
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let config = config.replace("    Mem_Buf_Limit 50MB\n", "");
    format!(
        "[SERVICE]\n    Flush 0.2\n    Grace 20\n    ikada.memory_limit 1M\n    ikada.stall_limit 0.1\n    \
         storage.path {{dir}}/small/store\n{config}"
    )
}

fn local() -> LocalAws {
    LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap()
}

fn arrived(aws: &LocalAws) -> u64 {
    aws.report().client(Service::Logs, "a").map_or(0, |numbers| numbers.distinct)
}

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

fn files(place: &Path) -> usize {
    let outputs = std::fs::read_dir(place.join("small/store/outputs")).into_iter().flatten();
    outputs.map(|output| std::fs::read_dir(output.unwrap().path()).unwrap().count()).sum()
}

/// Writes to a dead destination until a line says that chunks go to disk again.
fn write_until_the_disk_is_used_again(router: &Router, aws: &LocalAws, writer: &mut Writer) {
    aws.faults().down(Down::Refuse);
    // A disk that failed is left alone for five seconds; every round takes a part of one.
    for _ in 0..200 {
        writer.write(200);
        if router.log().contains("can be written again") {
            aws.faults().up();
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the disk is not used again");
}

/// All that was written was delivered or counted, and none of it twice.
fn assert_books(router: &mut Router, aws: &LocalAws, written: u64) -> u64 {
    let status = router.stop();
    let (sent, unsent, dropped) = Books::of(&router.log(), "cloudwatch_logs.0").ends();
    assert_eq!((sent, unsent, sent + dropped), (arrived(aws), 0, written), "{}", router.log());
    assert_eq!(status.code(), Some(0), "{}", router.log());
    dropped
}

#[test]
fn a_full_disk_is_told_once_what_does_not_fit_is_counted_and_it_is_used_again_when_there_is_room() {
    let (aws, dir) = (local(), Arc::new(TempDir::with_prefix("ik").unwrap()));
    let Some(_disk) = SmallDisk::mount(&dir.path().join("small"), "1m") else { return };
    aws.faults().down(Down::Refuse);
    let mut router = Router::start_in(dir.clone(), &config(&aws), &[]);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(20_000);
    router.wait_for_log("could not write to");
    router.wait_for_log("reason=overflow");
    assert_eq!(count(&router.log(), "could not write to"), 1, "{}", router.log());
    aws.faults().up();
    wait_for("an empty disk", || files(dir.path()) == 0);
    write_until_the_disk_is_used_again(&router, &aws, &mut writer);
    let written = writer.written();
    drop(writer);
    assert!(assert_books(&mut router, &aws, written) > 0);
}

#[test]
fn a_disk_that_becomes_read_only_is_told_once_and_used_again_when_it_can_be_written() {
    let (aws, dir) = (local(), Arc::new(TempDir::with_prefix("ik").unwrap()));
    let Some(disk) = SmallDisk::mount(&dir.path().join("small"), "64m") else { return };
    let mut router = Router::start_in(dir, &config(&aws), &[]);
    disk.set_read_only(true);
    aws.faults().down(Down::Refuse);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(20_000);
    router.wait_for_log("could not write to");
    router.wait_for_log("reason=overflow");
    assert_eq!(count(&router.log(), "could not write to"), 1, "{}", router.log());
    disk.set_read_only(false);
    write_until_the_disk_is_used_again(&router, &aws, &mut writer);
    let written = writer.written();
    drop(writer);
    assert!(assert_books(&mut router, &aws, written) > 0);
}

#[test]
fn a_disk_that_cannot_be_used_at_the_start_is_used_once_it_can_be() {
    let (aws, dir) = (local(), Arc::new(TempDir::with_prefix("ik").unwrap()));
    let Some(disk) = SmallDisk::mount(&dir.path().join("small"), "64m") else { return };
    disk.set_read_only(true);
    let mut router = Router::start_in(dir, &config(&aws), &[]);
    assert_eq!(count(&router.log(), "could not write to"), 1, "{}", router.log());
    disk.set_read_only(false);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    write_until_the_disk_is_used_again(&router, &aws, &mut writer);
    let written = writer.written();
    drop(writer);
    assert_books(&mut router, &aws, written);
}
