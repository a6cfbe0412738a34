//! Dead letters that are brought to S3, because the disk of a task goes with it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service};
use ikada_tests::books::Books;
use ikada_tests::{Router, Writer, binary, firelens_config, wait_for};
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";
const OTHER: &str = "app-firelens-fedcba9876543210";
const BUCKET: &str = "dead-letters";

/// An AWS that forbids one stream.
fn aws() -> LocalAws {
    let aws = LocalAws::start(Config::default()).unwrap();
    aws.s3().create_bucket(BUCKET);
    let forbidden = Fault::new(FaultKind::AccessDenied).on(Service::Logs, "PutLogEvents");
    aws.faults().add(forbidden.resource(&format!("app:s-{TAG}")));
    aws
}

fn config(aws: &LocalAws, storage: &str) -> String {
    let url = aws.http_url();
    let service = format!(
        "[SERVICE]\n    Flush 0.1\n    Grace 10\n    ikada.dlq_s3_bucket {BUCKET}\n    ikada.dlq_s3_prefix ecs/shop\n    \
         ikada.dlq_s3_region ap-northeast-1\n    ikada.dlq_s3_endpoint {url}\n{storage}"
    );
    let output = format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {url}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n    Retry_Limit no_retries\n"
    );
    service + &firelens_config(&output)
}

/// The names of what was brought.
fn brought(aws: &LocalAws) -> Vec<String> {
    aws.s3().objects(BUCKET).into_keys().collect()
}

/// What `ikada dlq export` says of a copy of what was brought.
fn exported(aws: &LocalAws) -> Vec<serde_json::Value> {
    let copy = TempDir::with_prefix("ik").unwrap();
    for (name, object) in aws.s3().objects(BUCKET) {
        let (_, name) = name.strip_prefix("ecs/shop/").unwrap().split_once('/').unwrap();
        let path = copy.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, object.bytes.unwrap()).unwrap();
    }
    let output = Command::new(binary()).args(["dlq", "export", "--path"]).arg(copy.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(dir: &Path) -> usize {
    let outputs = std::fs::read_dir(dir).into_iter().flatten().flatten();
    outputs.map(|output| std::fs::read_dir(output.path()).map_or(0, Iterator::count)).sum()
}

#[test]
fn without_a_disk_what_is_refused_is_in_s3_with_its_reason_when_the_router_has_stopped() {
    let aws = aws();
    let mut router = Router::start(&config(&aws, ""));
    Writer::connect(&router.socket(), TAG, "a").write(100);
    router.wait_for_log("dropped 100 records");
    router.stop();
    let letters = exported(&aws);
    assert_eq!(letters.len(), 100, "{}", router.log());
    let first = &letters[0];
    assert_eq!((first["tag"].as_str(), first["record"]["source"].as_str()), (Some(TAG), Some("stdout")));
    assert_eq!(first["dead_letter"]["reason"].as_str(), Some("retry_limit"));
}

#[test]
fn a_bucket_that_takes_nothing_is_in_nobodys_way_and_what_a_kill_leaves_is_brought_by_the_next_run() {
    let aws = aws();
    let closed = aws.faults().add(Fault::new(FaultKind::Unavailable).service(Service::S3));
    let config = config(&aws, "    storage.path {dir}/store\n");
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let kept = dir.path().join("store/rejected/outputs");
    let mut router = Router::start_in(dir.clone(), &config, &[]);
    Writer::connect(&router.socket(), TAG, "a").write(100);
    router.wait_for_log("could not bring dead letters to s3://dead-letters/ecs/shop/");
    Writer::connect(&router.socket(), OTHER, "b").write(5000);
    let arrived = || aws.report().client(Service::Logs, "b").map_or(0, |numbers| numbers.distinct);
    wait_for("the others", || arrived() == 5000);
    assert!(files(&kept) >= 2 && brought(&aws).is_empty());
    router.signal(rustix::process::Signal::KILL);
    router.wait();

    aws.faults().remove(closed);
    let mut router = Router::start_in(dir, &config, &[]);
    wait_for("the letters", || brought(&aws).len() == 2 && files(&kept) == 0);
    let status = router.stop();
    assert_eq!((status.code(), Books::of(&router.log(), "cloudwatch_logs.0").ends()), (Some(0), (0, 0, 0)));
    assert_eq!(exported(&aws).len(), 100);
}
