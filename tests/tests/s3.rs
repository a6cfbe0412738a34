//! What users of the `s3` output see: stops, crashes, names.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use ikada_forward::client::{FrameOption, encode_message};
use ikada_localaws::{Config, CutPoint, Fault, FaultKind, Keep, LocalAws, Service};
use ikada_record::Timestamp;
use ikada_tests::{Router, Writer, docker_record, firelens_config, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";

fn local() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

fn output(aws: &LocalAws, lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "    Name s3\n    region ap-northeast-1\n    endpoint {}\n    bucket logs\n{lines}",
        aws.http_url()
    )
}

fn config(aws: &LocalAws, lines: &str) -> String {
    firelens_config(&output(aws, lines))
}

/// Files of objects below a folder.
fn journals(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => todo.push(path),
                false => found.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.retain(|name| name.ends_with(".journal") || name.ends_with(".upload"));
    found
}

fn write_acked(router: &Router, tag: &str, client: &str, count: usize) {
    let mut writer = Writer::connect(&router.socket(), tag, client);
    let mut reader = writer.reader();
    for _ in 0..count {
        writer.write_asking();
    }
    for _ in 0..count {
        reader.read_ack().unwrap();
    }
}

fn start(dir: &Arc<TempDir>, config: &str) -> Router {
    Router::start_in(dir.clone(), config, &[])
}

fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::with_prefix("ik").unwrap())
}

#[test]
fn what_a_stop_cannot_deliver_is_delivered_by_the_next_start_under_its_own_time() {
    let (aws, dir) = (local(), folder());
    let config = config(&aws, "store_dir {dir}/s3\ns3_key_format /$TAG/%Y-%m-%dT%H:%M:%S");
    let config = format!("[SERVICE]\n    Grace 1\n{config}");
    let fault = aws.faults().add(Fault::new(FaultKind::Unavailable).service(Service::S3));
    let mut router = start(&dir, &config);
    write_acked(&router, TAG, "a", 10);
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    assert!(aws.s3().objects("logs").is_empty());
    assert_eq!(journals(&dir.path().join("s3")).len(), 1);
    let stopped = chrono_second();

    aws.faults().remove(fault);
    wait_for("the clock shows another second", || chrono_second() != stopped);
    let mut router = start(&dir, &config);
    wait_for("the object", || aws.s3().objects("logs").len() == 1);
    let key = aws.s3().objects("logs").into_keys().next().unwrap();
    assert!(key < format!("{TAG}/{}", iso(stopped + 1)), "{key}");
    assert_eq!(aws.report().client(Service::S3, "a").unwrap().lost(10), 0);
    router.stop();
    assert!(journals(&dir.path().join("s3")).is_empty());
}

fn chrono_second() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Seconds since 1970 as a date, for comparison with names.
fn iso(secs: u64) -> String {
    let (days, rest) = (secs / 86_400, secs % 86_400);
    // Days to a date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[test]
fn an_index_counts_on_over_clean_restarts() {
    let (aws, dir) = (local(), folder());
    let config = config(&aws, "store_dir {dir}/s3\ns3_key_format /$TAG/$INDEX.log");
    for run in 0..3 {
        let mut router = start(&dir, &config);
        write_acked(&router, TAG, &format!("run{run}"), 3);
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    }
    let keys: Vec<String> = aws.s3().objects("logs").into_keys().collect();
    assert_eq!(keys, (0..3).map(|n| format!("{TAG}/{n}.log")).collect::<Vec<_>>());
}

#[test]
fn two_outputs_of_one_bucket_keep_their_own_prefixes_over_a_kill() {
    let (aws, dir) = (local(), folder());
    let second = output(&aws, "store_dir {dir}/s3\ns3_key_format /two/$TAG\nMatch app-firelens*");
    let config =
        format!("{}\n[OUTPUT]\n{second}", config(&aws, "store_dir {dir}/s3\ns3_key_format /one/$TAG"));
    let mut router = start(&dir, &config);
    write_acked(&router, TAG, "a", 5);
    router.signal(Signal::KILL);
    router.wait();
    assert_eq!(journals(&dir.path().join("s3")).len(), 2);

    let mut router = start(&dir, &config);
    wait_for("both objects", || aws.s3().objects("logs").len() == 2);
    router.stop();
    let objects = aws.s3().objects("logs");
    for prefix in ["one/", "two/"] {
        let body = objects.iter().find(|(key, _)| key.starts_with(prefix)).unwrap().1.bytes.clone().unwrap();
        assert_eq!(body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 5, "{prefix}");
    }
    assert!(journals(&dir.path().join("s3")).is_empty());
}

#[test]
fn without_a_folder_that_can_be_written_acks_wait_for_the_bucket() {
    let (aws, dir) = (local(), folder());
    std::fs::write(dir.path().join("s3"), "no folder").unwrap();
    let config = config(&aws, "store_dir {dir}/s3\nupload_timeout 1s\ns3_key_format /$TAG/$UUID");
    let router = start(&dir, &config);
    router.wait_for_log("`store_dir` cannot be used");
    write_acked(&router, TAG, "a", 5);
    assert_eq!(
        aws.report().client(Service::S3, "a").unwrap().lost(5),
        0,
        "they are there when they are acked"
    );
}

#[test]
fn an_outage_fills_the_disk_and_holds_up_no_client() {
    let (aws, dir) = (local(), folder());
    let fault = aws.faults().add(Fault::new(FaultKind::Throttle).service(Service::S3));
    let config = config(&aws, "store_dir {dir}/s3\ntotal_file_size 1M\nuse_put_object on\ncompression gzip");
    let mut router = start(&dir, &config);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(200_000);
    write_acked(&router, TAG, "b", 5);
    assert!(aws.s3().objects("logs").is_empty());
    aws.faults().remove(fault);
    drop(writer);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    let report = aws.report();
    let numbers = report.client(Service::S3, "a").unwrap();
    assert_eq!((numbers.lost(200_000), numbers.duplicated), (0, 0), "{numbers:?}\n{}", router.log());
}

#[test]
fn what_a_client_sends_again_after_a_lost_answer_and_a_restart_is_one_object() {
    let (aws, dir) = (local(), folder());
    let config = config(&aws, "log_key log\ns3_key_format /$TAG/%Y.log");
    let config = format!("[SERVICE]\n    Grace 2\n{config}");
    let mut frames = Vec::new();
    for number in 0..20 {
        let record = docker_record(&format!("line {number}"));
        let time = Timestamp::new(1_700_000_000, number);
        encode_message(&mut frames, TAG.as_bytes(), time, &record, &FrameOption::default());
    }
    let run = |code| {
        let mut router = start(&dir, &config);
        Writer::connect(&router.socket(), TAG, "a").write_raw(&frames).unwrap();
        assert_eq!(router.stop().code(), Some(code), "{}", router.log());
    };
    let silence = FaultKind::Cut { at: CutPoint::AfterTaking };
    let fault = aws.faults().add(Fault::new(silence).on(Service::S3, "PutObject"));
    run(2);
    aws.faults().remove(fault);
    let before = aws.s3().objects("logs");
    assert_eq!(before.len(), 1);
    run(0);
    let after = aws.s3().objects("logs");
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let body = after.into_values().next().unwrap().bytes.unwrap();
    let lines: Vec<String> = (0..20).map(|number| format!("line {number}\n")).collect();
    assert_eq!(body, lines.concat().as_bytes());
}

/// The most memory that the process ever had, in bytes.
fn peak(router: &Router) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", router.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_stays_small_however_much_goes_through() {
    let folder_too = "store_dir {dir}/s3";
    for lines in ["", "compression gzip", folder_too, "store_dir {dir}/s3\ncompression gzip"] {
        let aws =
            LocalAws::start(Config { keep: Keep::None, md5_etags: false, ..Config::default() }).unwrap();
        let mut router = start(&folder(), &config(&aws, &format!("{lines}\ns3_key_format /$TAG/$UUID")));
        let mut writer = Writer::connect(&router.socket(), TAG, "a");
        writer.write(300_000);
        drop(writer);
        let most = peak(&router);
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
        assert_eq!(aws.report().client(Service::S3, "a").unwrap().lost(300_000), 0);
        assert!(most < 95_000_000, "{lines}: {most} bytes");
    }
}
