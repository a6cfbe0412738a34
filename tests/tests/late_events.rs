//! Log events that the service turns away for their time: set aside, or let go, as `late_events` says.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;

use ikada_localaws::{Config, LocalAws};
use ikada_tests::{Router, Writer, binary, firelens_config};

const TAG: &str = "app-firelens-0123456789abcdef";

/// The dead letters after a run whose hundred events were all too old.
fn dead_letters(late_events: &str) -> String {
    let aws = LocalAws::start(Config::default()).unwrap();
    // The service lives fifteen days ahead, and takes what is up to fourteen days old.
    aws.faults().shift_clock(15 * 24 * 3_600_000);
    let output = format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group on\n    late_events {late_events}\n",
        aws.http_url()
    );
    let service = "[SERVICE]\n    Flush 1\n    storage.path {dir}/store\n    storage.keep.rejected On\n";
    let mut router = Router::start(&format!("{service}{}", firelens_config(&output)));
    Writer::connect(&router.socket(), TAG, "a").write(100);
    router.wait_for_log("turned away because of their time");
    let dir = router.shared_dir();
    router.stop();
    assert!(router.log().contains("sent=0, unsent=0, dropped=100"), "{}", router.log());
    let mut dlq = Command::new(binary());
    dlq.args(["dlq", "list", "-c"]).arg(dir.path().join("fluent-bit.conf"));
    String::from_utf8(dlq.output().unwrap().stdout).unwrap()
}

#[test]
fn late_events_are_set_aside_or_let_go_as_the_option_says() {
    let kept = dead_letters("dead_letter");
    assert!(kept.contains("100 records") && kept.contains("\"reason\":\"out_of_time\""), "{kept}");
    assert_eq!(dead_letters("drop"), "");
}
