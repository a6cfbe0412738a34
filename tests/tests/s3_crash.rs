//! The `s3` output killed again and again while S3 fails in every way: what was acked is in the bucket.
//!
//! `IKADA_S3_KILLS=100` runs the long version: that many kills, and ten thousand records for each.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use ikada_forward::client::{FrameOption, encode_packed, push_entry};
use ikada_localaws::{Config, CutPoint, Fault, FaultKind, Keep, LocalAws, Service, When};
use ikada_msgpack::{View, skip};
use ikada_record::Timestamp;
use ikada_tests::{Router, docker_record, firelens_config, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

const TAG: &[u8] = b"app-firelens-0123456789abcdef";
/// Records of one frame, which is acked as a whole.
const FRAME: u64 = 500;

fn kills() -> u64 {
    std::env::var("IKADA_S3_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(15)
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A client that keeps what is not acked.
struct Client {
    socket: UnixStream,
    answers: Vec<u8>,
}

impl Client {
    fn connect(router: &Router) -> Self {
        Self { socket: UnixStream::connect(router.socket()).unwrap(), answers: Vec::new() }
    }

    /// Sends one frame with the numbers from `frame * FRAME` on.
    fn send(&mut self, frame: u64) {
        let (mut run, mut buf) = (Vec::new(), Vec::new());
        for number in frame * FRAME..(frame + 1) * FRAME {
            let log = format!("seq=a:{number} {}", "request served ".repeat(40));
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            push_entry(&mut run, Timestamp::new(now.as_secs() as i64, 0), &docker_record(&log));
        }
        let id = frame.to_string();
        let option = FrameOption { chunk: Some(id.as_bytes()), ..FrameOption::default() };
        encode_packed(&mut buf, TAG, &run, &option);
        self.socket.write_all(&buf).unwrap();
    }

    /// Waits for the next ack: the number of its frame.
    fn acked(&mut self) -> u64 {
        loop {
            if let Ok(len) = skip(&self.answers) {
                let (view, _) = View::parse(&self.answers).unwrap();
                let id = view.as_map().unwrap().get(b"ack").unwrap().as_str().unwrap().to_vec();
                self.answers.drain(..len);
                return String::from_utf8(id).unwrap().parse().unwrap();
            }
            let mut buf = [0; 4096];
            match self.socket.read(&mut buf).unwrap() {
                0 => panic!("closed without an ack"),
                n => self.answers.extend_from_slice(&buf[..n]),
            }
        }
    }
}

/// Every call may fail: refused, throttled, cut before anything was done, and cut after everything was.
fn trouble(aws: &LocalAws, probability: f64) {
    for kind in [
        FaultKind::InternalError,
        FaultKind::Throttle,
        FaultKind::Cut { at: CutPoint::BeforeBody },
        FaultKind::Cut { at: CutPoint::AfterTaking },
        FaultKind::Cut { at: CutPoint::AfterTaking },
    ] {
        aws.faults().add(Fault::new(kind).service(Service::S3).when(When::Probability(probability)));
    }
}

fn config(aws: &LocalAws, lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let output = format!(
        "    Name s3\n    region ap-northeast-1\n    endpoint {}\n    bucket logs\n    total_file_size 12M\n    \
         upload_timeout 2s\n    s3_key_format /$TAG/%Y/%m/%d/%H/%M/%S.log\n{lines}",
        aws.http_url()
    );
    format!(
        "[SERVICE]\n    Grace 60\n    scheduler.base 1\n    scheduler.cap 2\n{}",
        firelens_config(&output)
    )
}

fn requests(aws: &LocalAws) -> u64 {
    let operations = [
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "HeadObject",
        "ListMultipartUploads",
        "AbortMultipartUpload",
    ];
    operations.iter().map(|operation| aws.report().operation(Service::S3, operation).requests).sum()
}

fn files(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name());
    names.filter(|name| !["lock", "index", "quarantine"].iter().any(|other| name == other)).count()
}

#[test]
fn what_is_acked_with_a_folder_that_survives_is_in_the_bucket_exactly_once() {
    for compression in ["none", "gzip"] {
        let aws = LocalAws::start(Config {
            keep: Keep::None,
            md5_etags: false,
            complete_is_idempotent: compression == "none",
            ..Config::default()
        })
        .unwrap();
        trouble(&aws, 0.04);
        let config = config(&aws, &format!("store_dir {{dir}}/s3\ncompression {compression}"));
        let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
        let folder = dir.path().join("s3/logs/s3.0");
        let mut dice = Dice(7);
        let mut frames = 0;
        for _ in 0..kills() {
            let mut router = Router::start_in(dir.clone(), &config, &[]);
            let mut client = Client::connect(&router);
            let last = frames + 1 + dice.below(38);
            let before = requests(&aws);
            while frames < last {
                client.send(frames);
                assert_eq!(client.acked(), frames);
                frames += 1;
            }
            let more = dice.below(8);
            wait_for("some calls", || requests(&aws) >= before + more || files(&folder) == 0);
            router.signal(Signal::KILL);
            router.wait();
        }
        aws.faults().clear();
        let mut router = Router::start_in(dir.clone(), &config, &[]);
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
        let report = aws.report();
        let numbers = report.client(Service::S3, "a").unwrap();
        assert_eq!((numbers.lost(frames * FRAME), numbers.duplicated), (0, 0), "{numbers:?}");
        assert_eq!(aws.s3().open_uploads("logs"), [], "no upload is left open");
        assert_eq!(files(&folder), 0, "the folder is empty");
    }
}

#[test]
fn what_is_acked_without_a_folder_is_in_the_bucket() {
    let aws = LocalAws::start(Config { keep: Keep::None, md5_etags: false, ..Config::default() }).unwrap();
    trouble(&aws, 0.04);
    let config = config(&aws, "");
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let mut dice = Dice(11);
    let mut unacked: Vec<u64> = Vec::new();
    let mut frames = 0;
    for _ in 0..kills().div_ceil(3) {
        let mut router = Router::start_in(dir.clone(), &config, &[]);
        let mut client = Client::connect(&router);
        let last = frames + 1 + dice.below(19);
        unacked.extend(frames..last);
        frames = last;
        unacked.iter().for_each(|frame| client.send(*frame));
        for _ in 0..dice.below(unacked.len() as u64 + 1) {
            let acked = client.acked();
            unacked.retain(|frame| *frame != acked);
        }
        router.signal(Signal::KILL);
        router.wait();
    }
    aws.faults().clear();
    let mut router = Router::start_in(dir, &config, &[]);
    let mut client = Client::connect(&router);
    unacked.iter().for_each(|frame| client.send(*frame));
    let mut acked: Vec<u64> = unacked.iter().map(|_| client.acked()).collect();
    acked.sort_unstable();
    assert_eq!(acked, unacked);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    let report = aws.report();
    assert_eq!(report.client(Service::S3, "a").unwrap().lost(frames * FRAME), 0);
}
