//! `cloudwatch_logs`.

use ikada_localaws::{Config, CutPoint, Down, Fault, FaultKind, LocalAws, Service, When};
use ikada_plugin::Outcome;
use ikada_record::DropReason;
use serde_json::{Value, json};

use crate::rig::{Rig, in_child, now_ms};

const OPTIONS: &str = "log_group_name g\nlog_stream_prefix pre-\nauto_create_group on\n";
const DAY: i64 = 24 * 3_600_000;

fn aws() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

fn rig(aws: &LocalAws) -> Rig {
    Rig::new(aws, "cloudwatch_logs", OPTIONS)
}

/// A local AWS where the stream that `rig` writes to is there.
fn with_stream() -> LocalAws {
    let aws = aws();
    aws.cloudwatch().create_log_stream("g", "pre-app");
    aws
}

fn fault(kind: FaultKind, when: When) -> Fault {
    Fault::new(kind).on(Service::Logs, "PutLogEvents").when(when)
}

fn requests(aws: &LocalAws, operation: &str) -> u64 {
    aws.report().operation(Service::Logs, operation).requests
}

fn messages(aws: &LocalAws, stream: &str) -> Vec<String> {
    aws.cloudwatch().events("g", stream).into_iter().map(|(_, message)| message).collect()
}

fn text(n: usize) -> Value {
    json!({"log": format!("message {n}")})
}

/// A batch of 40 records, more than the 24 that each call can hold of them.
fn push_large(rig: &mut Rig, records: usize) {
    let now = now_ms();
    let filler = "x".repeat(42_000);
    let all: Vec<_> = (0..records).map(|n| (now, json!({"log": format!("seq=t:{n} {filler}")}))).collect();
    rig.push("app", &all);
}

fn is_exactly_once(aws: &LocalAws, stream: &str, count: u64) -> bool {
    let report = aws.report();
    let numbers = report.sequence(Service::Logs, &format!("g:{stream}"), "t").unwrap();
    numbers.is_exactly_once(count) && numbers.out_of_order == 0
}

in_child! {
    fn the_captured_request_comes_out_the_same() {
        let aws = LocalAws::start(Config { capture: true, check_event_age: false, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("grp", "pre-app.web.c1");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", "log_group_name grp\nlog_stream_prefix pre-\nlog_format json/emf\n");
        rig.push("app.web.c1", &[
            (1_700_000_000_123, json!({"log": "hello \"日本\" \\ \n", "n": 1})),
            (1_700_000_001_123, json!({"log": {"a": 1, "b": "q\"q"}})),
        ]);
        rig.finish().await;
        let calls = aws.requests(Service::Logs);
        assert_eq!(calls.len(), 1);
        assert_eq!(
            String::from_utf8_lossy(&calls[0].body),
            r#"{"logGroupName":"grp","logStreamName":"pre-app.web.c1","logEvents":[{"timestamp":1700000000123,"message":"{\"log\":\"hello \\\"\\u65e5\\u672c\\\" \\\\ \\n\",\"n\":1}"},{"timestamp":1700000001123,"message":"{\"log\":{\"a\":1,\"b\":\"q\\\"q\"}}"}]}"#
        );
        assert_eq!(calls[0].header("x-amz-target"), Some("Logs_20140328.PutLogEvents"));
        assert_eq!(calls[0].header("content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!(calls[0].header("content-length"), Some(&*calls[0].body.len().to_string()));
        assert_eq!(calls[0].header("x-amzn-logs-format"), Some("json/emf"));
        assert!(calls[0].header("user-agent").unwrap().contains("app/ikada"));
        assert!(calls[0].header("authorization").unwrap().contains("/eu-central-1/logs/aws4_request"));
    }

    fn a_stream_that_is_missing_is_made_and_the_same_events_are_stored() {
        let aws = aws();
        aws.cloudwatch().create_log_group("g");
        let mut rig = rig(&aws);
        rig.push_numbered("app", 2_000);
        rig.finish().await;
        assert!(is_exactly_once(&aws, "pre-app", 2_000));
        assert_eq!((requests(&aws, "CreateLogStream"), requests(&aws, "CreateLogGroup")), (1, 0));
        assert_eq!((rig.retries.len(), rig.ledger.delivered()), (0, 2_000));
    }

    fn a_group_that_is_missing_is_made_with_class_and_retention() {
        let aws = aws();
        let options = "log_group_name /a/b\nlog_stream_name s\nauto_create_group true\nlog_retention_days 7\nlog_group_class INFREQUENT_ACCESS\n";
        let mut rig = Rig::new(&aws, "cloudwatch_logs", options);
        rig.push("app", &[(now_ms(), text(1))]);
        rig.finish().await;
        let group = &aws.cloudwatch().groups()["/a/b"];
        assert_eq!((group.class.as_str(), group.retention_days), ("INFREQUENT_ACCESS", Some(7)));
        assert_eq!(aws.cloudwatch().events("/a/b", "s")[0].1, r#"{"log":"message 1"}"#);
        assert_eq!(rig.retries, []);
    }

    fn a_group_that_may_not_be_made_is_asked_for() {
        let aws = aws();
        let mut rig = Rig::new(&aws, "cloudwatch_logs", "log_group_name g\nlog_stream_name s\n");
        rig.push("app", &[(now_ms(), text(1))]);
        let Outcome::Retry { after: Some(_), cause } = rig.attempt_once().await else { panic!() };
        assert_eq!(cause.code.as_deref(), Some("ResourceNotFoundException"));
        assert!(cause.message.contains("create log group `g`"), "{cause}");
    }

    fn a_group_that_goes_away_is_made_again() {
        let aws = aws();
        let mut rig = rig(&aws);
        for n in 0..2 {
            rig.push("app", &[(now_ms(), text(n))]);
            rig.finish().await;
            assert_eq!(messages(&aws, "pre-app").len(), 1);
            aws.cloudwatch().delete_log_group("g");
        }
        assert_eq!((rig.retries.len(), rig.ledger.delivered()), (0, 2));
    }

    fn streams_that_find_their_group_missing_at_once_make_it_once() {
        let aws = aws();
        let mut rig = rig(&aws);
        for n in 0..20 {
            rig.push(&format!("app{n}"), &[(now_ms(), text(n))]);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for mut batch in rig.close() {
            tasks.spawn(async move {
                let outcome = batch.delivery.attempt().await;
                batch.parts.iter().for_each(|part| part.share.deliver(part.entries));
                matches!(outcome, Outcome::Delivered)
            });
        }
        assert_eq!(tasks.join_all().await, [true; 20]);
        assert_eq!(requests(&aws, "CreateLogGroup"), 1);
        assert_eq!(aws.cloudwatch().groups()["g"].streams.len(), 20);
    }

    fn creations_that_are_too_many_wait_without_using_up_a_retry() {
        let aws = with_stream();
        aws.faults().add(Fault::new(FaultKind::Throttle).on(Service::Logs, "CreateLogStream").when(When::First(3)));
        let mut rig = rig(&aws);
        rig.push("other", &[(now_ms(), text(1))]);
        rig.finish().await;
        assert_eq!((rig.retries.len(), requests(&aws, "CreateLogStream")), (0, 4));
    }

    fn events_outside_the_services_time_are_counted_and_the_rest_is_stored() {
        let aws = with_stream();
        let now = now_ms();
        let mut rig = rig(&aws);
        // Out of order, so that places in the call are not places in the batch.
        rig.push("app", &[
            (now + 1, text(0)),
            (now + 3 * 3_600_000, text(1)),
            (now, text(2)),
            (now + 4 * 3_600_000, text(3)),
        ]);
        rig.push("app", &[(now - 20 * DAY, text(4)), (now - 20 * DAY, text(5))]);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app"), [r#"{"log":"message 2"}"#, r#"{"log":"message 0"}"#]);
        assert_eq!((rig.ledger.delivered(), rig.ledger.dropped(DropReason::OutOfTime)), (2, 4));
        assert_eq!(rig.retries, []);
    }

    fn a_batch_that_was_taken_is_not_sent_again_when_the_next_one_is_throttled() {
        let aws = with_stream();
        aws.faults().add(fault(FaultKind::Throttle, When::Nth(2)));
        let mut rig = rig(&aws);
        push_large(&mut rig, 60);
        rig.finish().await;
        assert_eq!((requests(&aws, "PutLogEvents"), rig.retries.len()), (4, 1));
        assert_eq!(rig.retries[0].0.code.as_deref(), Some("ThrottlingException"));
        assert!(is_exactly_once(&aws, "pre-app", 60));
    }

    fn records_that_alternate_between_streams_make_one_call_each() {
        let aws = aws();
        let options = format!("{OPTIONS}log_stream_template $TAG.$svc\n");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &options);
        let now = now_ms();
        let all: Vec<_> = (0..12).map(|n| (now, json!({"svc": (["a", "b"][n % 2]), "n": n}))).collect();
        rig.push("app", &all);
        rig.push("app", &[(now, json!({"n": "no service"}))]);
        rig.finish().await;
        assert_eq!(aws.report().operation(Service::Logs, "PutLogEvents").succeeded, 3);
        assert_eq!((messages(&aws, "app.a").len(), messages(&aws, "app.b").len()), (6, 6));
        assert_eq!(messages(&aws, "pre-app"), [r#"{"n":"no service"}"#]);
    }

    fn events_of_three_days_out_of_order_go_in_sorted_calls_of_less_than_a_day() {
        let aws = LocalAws::start(Config { check_event_age: false, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "pre-app");
        let mut rig = rig(&aws);
        let start = now_ms() - 3 * DAY;
        let all: Vec<_> = (0..900).map(|n| (start + (n * 7_919 % 900) * DAY * 3 / 900, text(n as usize))).collect();
        rig.push("app", &all);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app").len(), 900);
        assert_eq!((rig.retries.len(), rig.ledger.delivered()), (0, 900));
    }

    fn a_long_japanese_record_is_delivered_whole_and_readable() {
        let aws = with_stream();
        let mut rig = rig(&aws);
        let text = "日".repeat(200_000);
        rig.push("app", &[(now_ms(), json!({"log": text}))]);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app"), [format!(r#"{{"log":"{text}"}}"#)]);
    }

    fn a_record_beyond_the_limit_goes_in_parts_is_cut_or_is_dropped() {
        for policy in ["", "oversize truncate\n", "oversize drop\n"] {
            let aws = with_stream();
            aws.faults().add(fault(FaultKind::InternalError, When::Probability(0.4)));
            let mut rig = Rig::new(&aws, "cloudwatch_logs", &format!("{OPTIONS}{policy}"));
            rig.push("app", &[(now_ms(), text(0)), (now_ms(), json!({"log": "é".repeat(1_200_000)})), (now_ms(), text(1))]);
            rig.finish().await;
            let got = messages(&aws, "pre-app");
            let dropped = rig.ledger.dropped(DropReason::Oversize);
            assert_eq!(rig.ledger.delivered() + dropped, 3);
            match policy {
                "" => {
                    assert_eq!(got.len(), 5, "each part comes once");
                    let part = |n: usize| got.iter().find_map(|line| line.strip_suffix(&format!("[Part {n}/3]"))).unwrap();
                    let whole = [part(1), part(2), part(3)].concat();
                    assert!(whole == format!("{{\"log\":\"{}\"}}", "é".repeat(1_200_000)));
                }
                "oversize drop\n" => assert_eq!((got.len(), dropped), (2, 1)),
                _ => {
                    assert!(got[1].ends_with("é[Truncated...]") && (1_048_540..=1_048_550).contains(&got[1].len()));
                    assert_eq!(got.len(), 3);
                }
            }
        }
    }

    fn events_out_of_time_can_go_with_the_time_of_now() {
        let aws = with_stream();
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &format!("{OPTIONS}late_events now\n"));
        let now = now_ms();
        let old = now - 20 * DAY;
        rig.push("app", &[(old, text(0)), (old + 1, text(1))]);
        rig.push("app", &[(now, text(2)), (now + 3 * 3_600_000, text(3))]);
        rig.finish().await;
        let events = aws.cloudwatch().events("g", "pre-app");
        assert_eq!((events.len(), rig.ledger.delivered(), rig.retries.len()), (4, 4, 0));
        assert!(events.iter().all(|(time, _)| (time - now).abs() < 3_600_000), "{events:?}");
    }

    fn numbers_become_metrics() {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "pre-app");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &format!("{OPTIONS}metric_namespace my/ns\nmetric_dimensions host,app;host\n"));
        let now = now_ms();
        rig.push("app", &[(now, json!({"host": "h", "app": "a", "latency": 5.5})), (now, json!({"log": "no number"}))]);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app"), [
            format!(
                r#"{{"_aws":{{"Timestamp":{now},"CloudWatchMetrics":[{{"Namespace":"my/ns","Dimensions":[["host","app"],["host"]],"Metrics":[{{"Name":"latency","Unit":"None"}}]}}]}},"host":"h","app":"a","latency":5.5}}"#
            ),
            r#"{"log":"no number"}"#.to_owned(),
        ]);
        assert_eq!(aws.requests(Service::Logs)[0].header("x-amzn-logs-format"), Some("json/emf"));
    }

    fn a_call_says_what_its_logs_are_of_and_has_those_of_one_entity_only() {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("g", "pre-app");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &format!("{OPTIONS}add_entity on\n"));
        let record = |n: usize, service: &str| json!({
            "log": format!("seq=t:{n}"), "aws_entity_account_id": "123456789012",
            "kubernetes": {"aws_entity_service_name": service, "namespace_name": "shop"}
        });
        let entries: Vec<_> = (0..6).map(|n| (now_ms(), record(n, ["cart", "till"][n % 2]))).collect();
        rig.push("app", &entries);
        rig.push("app", &[(now_ms(), json!({"log": "seq=t:6"}))]);
        rig.finish().await;
        let entity = |name: &str| json!({
            "keyAttributes": {"Type": "Service", "Name": name, "AwsAccountId": "123456789012"},
            "attributes": {"PlatformType": "Generic", "K8s.Namespace": "shop"}
        });
        let requests = aws.requests(Service::Logs);
        let bodies = requests.iter().map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
        let mut calls: Vec<_> = bodies.map(|body| (body["entity"].clone(), body["logEvents"].as_array().unwrap().len())).collect();
        calls.sort_by_key(|(entity, _)| entity.to_string());
        assert_eq!(calls, [(Value::Null, 1), (entity("cart"), 3), (entity("till"), 3)]);
        let messages = messages(&aws, "pre-app");
        assert!(messages.iter().all(|message| !message.contains("aws_entity")), "{messages:?}");
        assert!(messages[0].contains(r#""kubernetes":{"namespace_name":"shop"}"#), "{messages:?}");
        assert_eq!(rig.ledger.delivered(), 7);
    }

    fn many_new_streams_cost_one_failed_call_each_and_one_for_the_group() {
        let aws = LocalAws::start(Config { create_log_stream_rate: None, ..Config::default() }).unwrap();
        let mut rig = rig(&aws);
        const STREAMS: u64 = 400;
        for n in 0..STREAMS {
            rig.push(&format!("app.{n}"), &[(now_ms(), text(n as usize))]);
        }
        rig.finish_together().await;
        let report = aws.report();
        let failed: u64 = ["PutLogEvents", "CreateLogStream", "CreateLogGroup"].into_iter().map(|name| {
            let calls = report.operation(Service::Logs, name);
            calls.requests - calls.succeeded
        }).sum();
        assert!(failed <= STREAMS + 1, "{failed}");
        assert_eq!((requests(&aws, "CreateLogGroup"), requests(&aws, "CreateLogStream")), (1, STREAMS + 1));
        assert_eq!((rig.ledger.delivered(), rig.retries.len()), (STREAMS, 0));
    }

    fn creations_follow_the_pace_of_the_service_and_cost_no_retry() {
        let aws = LocalAws::start(Config { create_log_stream_rate: Some(20.0), ..Config::default() }).unwrap();
        let mut rig = rig(&aws);
        for n in 0..80 {
            rig.push(&format!("app.{n}"), &[(now_ms(), text(n))]);
        }
        rig.finish_together().await;
        assert_eq!((rig.ledger.delivered(), rig.retries.len()), (80, 0));
    }

    fn under_a_log_key_text_is_raw_and_what_lacks_it_is_counted() {
        let aws = with_stream();
        let options = format!("{OPTIONS}log_key log\n");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &options);
        let now = now_ms();
        let values = [json!("raw 日本\n"), json!({"a": 1, "b": "q\"q"}), json!(12345), json!(true), json!("")];
        let all: Vec<_> = values.into_iter().map(|value| (now, json!({"lo": "x", "log": value}))).collect();
        rig.push("app", &all);
        rig.push("app", &[(now, json!({"log_processed": 1})), (now, json!({}))]);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app"), ["raw 日本\n", r#"{"a":1,"b":"q\"q"}"#, "12345", "true"]);
        assert_eq!((rig.ledger.delivered(), rig.ledger.dropped(DropReason::Empty)), (4, 3));
    }

    fn whatever_fails_on_the_way_nothing_is_lost_and_nothing_sent_twice() {
        for kind in [
            FaultKind::InternalError,
            FaultKind::Unavailable,
            FaultKind::Throttle,
            FaultKind::Cut { at: CutPoint::BeforeBody },
            FaultKind::Cut { at: CutPoint::AfterBody },
        ] {
            let aws = with_stream();
            aws.faults().add(fault(kind.clone(), When::Probability(0.5)));
            let mut rig = rig(&aws);
            push_large(&mut rig, 150);
            rig.finish().await;
            assert!(is_exactly_once(&aws, "pre-app", 150), "{kind:?}");
            assert!(!rig.retries.is_empty(), "{kind:?}");
        }
    }

    fn an_answer_that_is_lost_means_twice_but_never_less() {
        for at in [CutPoint::AfterTaking, CutPoint::MidAnswer] {
            let aws = with_stream();
            aws.faults().add(fault(FaultKind::Cut { at }, When::Nth(1)));
            let mut rig = rig(&aws);
            rig.push_numbered("app", 100);
            rig.finish().await;
            let report = aws.report();
            let numbers = report.sequence(Service::Logs, "g:pre-app", "t").unwrap();
            assert_eq!((numbers.lost(100), numbers.duplicated, rig.retries.len()), (0, 100, 1), "{at:?}");
        }
    }

    fn a_peer_that_is_silent_or_gone_costs_an_attempt_and_no_more() {
        let aws = with_stream();
        let options = format!("{OPTIONS}net.io_timeout 0.3\nnet.connect_timeout 1\n");
        let mut rig = Rig::new(&aws, "cloudwatch_logs", &options);
        for (down, said) in [(Down::BlackHole, "no answer within 1.3 s"), (Down::Refuse, "refused")] {
            rig.push_numbered("app", 10);
            aws.faults().down(down);
            let Outcome::Retry { cause, .. } = rig.attempt_once().await else { panic!() };
            assert!(cause.message.contains(said), "{cause}");
            aws.faults().up();
        }
        rig.push("app", &[(now_ms(), text(1))]);
        rig.finish().await;
        assert_eq!(messages(&aws, "pre-app"), [r#"{"log":"message 1"}"#]);
    }

    fn expired_credentials_are_renewed_within_the_attempt() {
        let aws = with_stream();
        aws.faults().add(fault(FaultKind::ExpiredToken, When::Nth(1)));
        let mut rig = rig(&aws);
        rig.push_numbered("app", 10);
        rig.finish().await;
        assert!(is_exactly_once(&aws, "pre-app", 10));
        assert_eq!((rig.retries.len(), rig.attempts), (0, 1));
    }

    fn what_is_denied_waits_and_names_the_action() {
        let aws = with_stream();
        aws.faults().add(fault(FaultKind::AccessDenied, When::First(2)));
        let mut rig = rig(&aws);
        rig.push_numbered("app", 10);
        rig.finish().await;
        assert_eq!(rig.ledger.delivered(), 10);
        let (cause, after) = &rig.retries[0];
        assert!(cause.message.contains("`logs:PutLogEvents` on log group `g`"), "{cause}");
        assert!(after.is_some());
    }

    fn a_call_that_is_refused_for_one_event_is_halved_until_the_rest_is_stored() {
        let aws = with_stream();
        let refused =
            FaultKind::Error { status: 400, code: "InvalidParameterException".into(), message: "bad event".into() };
        // The whole, a half, a quarter ... down to one of 64.
        aws.faults().add(fault(refused, When::First(7)));
        let mut rig = rig(&aws);
        rig.push_numbered("app", 64);
        rig.finish().await;
        assert_eq!((rig.ledger.delivered(), rig.ledger.dropped(DropReason::Rejected)), (63, 1));
        let report = aws.report();
        assert_eq!(report.sequence(Service::Logs, "g:pre-app", "t").unwrap().distinct, 63);
        assert_eq!(rig.attempts, 1);
    }

    fn a_call_that_is_wrong_as_a_whole_is_given_up_with_the_services_words() {
        let aws = with_stream();
        let refused =
            FaultKind::Error { status: 400, code: "SerializationException".into(), message: "no".into() };
        aws.faults().add(fault(refused, When::Always));
        let mut rig = rig(&aws);
        rig.push_numbered("app", 500);
        rig.finish().await;
        assert_eq!((rig.ledger.delivered(), rig.ledger.dropped(DropReason::Rejected)), (0, 500));
        assert!(requests(&aws, "PutLogEvents") < 64);
    }

    fn whatever_comes_in_keeps_within_the_services_limits_and_ends_in_one_place() {
        use proptest::prelude::*;
        use proptest::strategy::ValueTree;
        use proptest::test_runner::{Config as Cases, TestRunner};

        let length = prop_oneof![8 => 0usize..400, 2 => 10_000usize..300_000, 1 => 900_000usize..1_300_000];
        let entry = (length, 0usize..4, -40 * 3_600_000i64..3_600_000);
        let mut runner = TestRunner::new(Cases { cases: 24, failure_persistence: None, ..Cases::default() });
        let cases: Vec<_> = (0..24)
            .map(|_| proptest::collection::vec(entry.clone(), 1..60).new_tree(&mut runner).unwrap().current())
            .collect();
        for (number, case) in cases.into_iter().enumerate() {
            let aws = aws();
            let splits = number % 2 == 0;
            let policy = if splits { "" } else { "oversize truncate\n" };
            let mut rig = Rig::new(&aws, "cloudwatch_logs", &format!("{OPTIONS}{policy}"));
            let now = now_ms();
            let fill = ["x", "\"\\", "日", "\u{1}\u{7f}é"];
            for (n, chunk) in case.chunks(13).enumerate() {
                let all: Vec<_> = chunk
                    .iter()
                    .map(|(len, kind, offset)| {
                        let text = fill[*kind].repeat(len / fill[*kind].len());
                        (now + offset, json!({"seq": "1", "log": text}))
                    })
                    .collect();
                rig.push(["app", "web"][n % 2], &all);
            }
            rig.finish().await;
            assert_eq!(rig.retries, []);
            assert_eq!((rig.ledger.delivered(), rig.ledger.dropped_total()), (case.len() as u64, 0));
            let put = aws.report().operation(Service::Logs, "PutLogEvents");
            assert!(put.records == case.len() as u64 || splits && put.records > case.len() as u64);
            assert!(put.errors.keys().all(|code| code == "ResourceNotFoundException"), "{:?}", put.errors);
        }
    }
}
