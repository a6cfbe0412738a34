use std::time::{SystemTime, UNIX_EPOCH};

use ikada_localaws::{AutoCreate, Config, LocalAws, Service};
use serde_json::{Value, json};

use crate::client::{Answer, Client, default, start};

const DAY: i64 = 86_400_000;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn with_stream() -> (LocalAws, Client) {
    let (aws, client) = default();
    aws.cloudwatch().create_log_stream("grp", "str");
    (aws, client)
}

fn events(events: impl IntoIterator<Item = (i64, String)>) -> Vec<Value> {
    events.into_iter().map(|(time, text)| json!({ "timestamp": time, "message": text })).collect()
}

fn put(client: &mut Client, list: impl IntoIterator<Item = (i64, String)>) -> Answer {
    let body = json!({ "logGroupName": "grp", "logStreamName": "str", "logEvents": events(list) });
    client.logs("PutLogEvents", &body.to_string())
}

#[test]
fn events_are_stored_as_they_were_said() {
    let (aws, mut client) = with_stream();
    let time = now();
    let body = format!(
        r#"{{"logGroupName":"grp","logStreamName":"str","logEvents":[{{"timestamp":{time},"message":"{{\"log\":\"\u65e5\u672c 日本 \ud83d\ude00 seq=a:1\"}}"}},{{"message":"plain","timestamp":{time}}}]}}"#
    );
    let answer = client.logs("PutLogEvents", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("x-amzn-requestid").is_some());
    let wanted = [(time, "{\"log\":\"日本 日本 😀 seq=a:1\"}".to_owned()), (time, "plain".to_owned())];
    assert_eq!(aws.cloudwatch().events("grp", "str"), wanted);
    let report = aws.report();
    assert_eq!(report.resource(Service::Logs, "grp:str").unwrap().records, 2);
    assert!(report.sequence(Service::Logs, "grp:str", "a").unwrap().is_exactly_once(1));
}

#[test]
fn the_number_of_events_is_limited() {
    let (_aws, mut client) = with_stream();
    let time = now();
    assert_eq!(put(&mut client, (0..10_000).map(|_| (time, "x".to_owned()))).status, 200);
    let answer = put(&mut client, (0..10_001).map(|_| (time, "x".to_owned())));
    assert_eq!((answer.status, answer.error().as_str()), (400, "InvalidParameterException"));
    assert_eq!(put(&mut client, []).error(), "InvalidParameterException");
}

#[test]
fn the_bytes_of_a_call_are_counted_decoded_with_26_for_each_event() {
    let (_aws, mut client) = with_stream();
    let time = now();
    // Three bytes each in UTF-8, six as an escape: 349,516 × 3 + 2 × 26 + … fills the call to the byte.
    let whole = 1_048_576 - 26;
    let text = format!("{}{}", "日".repeat(whole / 3), "x".repeat(whole % 3));
    assert_eq!(put(&mut client, [(time, text.clone())]).status, 200);
    let answer = put(&mut client, [(time, format!("{text}x"))]);
    assert!(answer.text().contains("Log event too large"), "{}", answer.text());
    let half = (1_048_576 - 2 * 26) / 2;
    assert_eq!(put(&mut client, [(time, "x".repeat(half)), (time, "\"".repeat(half))]).status, 200);
    let answer = put(&mut client, [(time, "x".repeat(half)), (time, "\"".repeat(half + 1))]);
    assert!(answer.text().contains("Upload too large"), "{}", answer.text());
}

#[test]
fn events_must_be_in_order_and_within_a_day() {
    let (aws, mut client) = with_stream();
    let time = now();
    let answer = put(&mut client, [(time, "b".into()), (time - 1, "a".into())]);
    assert!(answer.text().contains("chronological"), "{}", answer.text());
    let answer = put(&mut client, [(time - DAY, "a".into()), (time, "b".into())]);
    assert!(answer.text().contains("24 hours"), "{}", answer.text());
    assert!(aws.cloudwatch().events("grp", "str").is_empty());
    assert_eq!(put(&mut client, [(time - DAY + 1, "a".into()), (time, "b".into())]).status, 200);
}

#[test]
fn old_new_and_expired_events_are_rejected_alone() {
    let (aws, mut client) = with_stream();
    let time = now();
    let far = [(time - 15 * DAY, "old"), (time - 60_000, "good"), (time + 3 * 3_600_000, "new")];
    let answer = put(&mut client, far.map(|(time, text)| (time, text.to_owned())));
    assert_eq!(
        answer.json()["rejectedLogEventsInfo"],
        json!({ "tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2 })
    );
    aws.cloudwatch().set_retention("grp", Some(3));
    let old = [(time - 15 * DAY, "old"), (time - 4 * DAY, "expired"), (time - 60_000, "good too")];
    let answer = put(&mut client, old.map(|(time, text)| (time, text.to_owned())));
    assert_eq!(
        answer.json()["rejectedLogEventsInfo"],
        json!({ "tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2 })
    );
    let texts: Vec<_> = aws.cloudwatch().events("grp", "str").into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["good", "good too"]);
    let report = aws.report();
    let stream = report.resource(Service::Logs, "grp:str").unwrap();
    assert_eq!((stream.records, stream.refused), (2, 4));
}

#[test]
fn the_age_of_events_can_be_left_unchecked() {
    let aws = start(Config { check_event_age: false, ..Config::default() });
    aws.cloudwatch().create_log_stream("grp", "str");
    let answer = put(&mut Client::to(&aws), [(1_700_000_000_123, "2023".into())]);
    assert!(answer.json()["rejectedLogEventsInfo"].is_null());
    assert_eq!(aws.cloudwatch().events("grp", "str"), [(1_700_000_000_123, "2023".to_owned())]);
}

#[test]
fn groups_and_streams_have_to_be_made_first() {
    let (aws, mut client) = default();
    let answer = put(&mut client, [(now(), "x".into())]);
    assert_eq!((answer.status, answer.error().as_str()), (400, "ResourceNotFoundException"));
    let stream = r#"{"logGroupName":"grp","logStreamName":"str"}"#;
    assert_eq!(client.logs("CreateLogStream", stream).error(), "ResourceNotFoundException");
    let group = r#"{"logGroupName":"grp","logGroupClass":"INFREQUENT_ACCESS","tags":{"team":"a"}}"#;
    assert_eq!(client.logs("CreateLogGroup", group).status, 200);
    assert_eq!(client.logs("CreateLogGroup", group).error(), "ResourceAlreadyExistsException");
    assert!(put(&mut client, [(now(), "x".into())]).text().contains("log stream does not exist"));
    assert_eq!(client.logs("CreateLogStream", stream).status, 200);
    assert_eq!(client.logs("CreateLogStream", stream).error(), "ResourceAlreadyExistsException");
    assert_eq!(put(&mut client, [(now(), "x".into())]).status, 200);
    let groups = aws.cloudwatch().groups();
    assert_eq!(groups["grp"].class, "INFREQUENT_ACCESS");
    assert_eq!(groups["grp"].tags["team"], "a");
    assert_eq!(groups["grp"].streams, ["str"]);
}

#[test]
fn groups_and_streams_can_make_themselves() {
    let aws = start(Config { auto_create: AutoCreate::all(), ..Config::default() });
    assert_eq!(put(&mut Client::to(&aws), [(now(), "x".into())]).status, 200);
    assert_eq!(aws.cloudwatch().events("grp", "str").len(), 1);
}

#[test]
fn names_and_retention_follow_the_rules() {
    let (aws, mut client) = default();
    let mut make = |operation: &str, body: Value| client.logs(operation, &body.to_string()).error();
    for bad in ["", "a b", "a:b", "aws/x", &"x".repeat(513), "日本"] {
        assert_eq!(
            make("CreateLogGroup", json!({ "logGroupName": bad })),
            "InvalidParameterException",
            "{bad}"
        );
    }
    assert_eq!(make("CreateLogGroup", json!({ "logGroupName": "/a.b-c_d/#1" })), "");
    for bad in ["", "a:b", "a*", &"x".repeat(513)] {
        let body = json!({ "logGroupName": "/a.b-c_d/#1", "logStreamName": bad });
        assert_eq!(make("CreateLogStream", body), "InvalidParameterException", "{bad}");
    }
    let retention = |days: i64| json!({ "logGroupName": "/a.b-c_d/#1", "retentionInDays": days });
    assert_eq!(make("PutRetentionPolicy", retention(2)), "InvalidParameterException");
    assert_eq!(make("PutRetentionPolicy", retention(7)), "");
    assert_eq!(
        make("PutRetentionPolicy", json!({ "logGroupName": "none", "retentionInDays": 7 })),
        "ResourceNotFoundException"
    );
    assert_eq!(aws.cloudwatch().groups()["/a.b-c_d/#1"].retention_days, Some(7));
}

#[test]
fn a_body_that_is_not_json_or_of_the_wrong_shape_is_a_serialization_error() {
    let (_aws, mut client) = with_stream();
    let bodies = [
        "",
        "{",
        r#"{"logGroupName":"grp","logStreamName":"str","logEvents":[{"timestamp":"1","message":"x"}]}"#,
        r#"{"logGroupName":"grp","logStreamName":"str","logEvents":[{"timestamp":1,"message":{"a":1}}]}"#,
        r#"{"logGroupName":"grp","logStreamName":"str","logEvents":[{"timestamp":1,"message":"x"}]} x"#,
    ];
    for body in bodies {
        let answer = client.logs("PutLogEvents", body);
        assert_eq!((answer.status, answer.error().as_str()), (400, "SerializationException"), "{body}");
    }
    let missing = r#"{"logGroupName":"grp","logStreamName":"str","logEvents":[{"message":"x"}]}"#;
    assert_eq!(client.logs("PutLogEvents", missing).error(), "InvalidParameterException");
}

#[test]
fn streams_are_made_no_faster_than_the_quota() {
    let aws = start(Config { create_log_stream_rate: Some(0.001), ..Config::default() });
    aws.cloudwatch().create_log_group("grp");
    let mut client = Client::to(&aws);
    let mut make = |n: u32| {
        let body = json!({ "logGroupName": "grp", "logStreamName": format!("s{n}") });
        client.logs("CreateLogStream", &body.to_string()).error()
    };
    assert_eq!(make(0), "");
    assert!((1..10).all(|n| make(n) == "ThrottlingException"));
}

#[test]
fn listings_come_in_pages() {
    let (aws, mut client) = default();
    for n in 0..60 {
        aws.cloudwatch().create_log_stream("grp", &format!("s{n:02}"));
    }
    let body = json!({ "logGroupName": "grp", "logStreamNamePrefix": "s" });
    let first = client.logs("DescribeLogStreams", &body.to_string()).json();
    assert_eq!(first["logStreams"].as_array().unwrap().len(), 50);
    let body = json!({ "logGroupName": "grp", "logStreamNamePrefix": "s", "nextToken": first["nextToken"] });
    let rest = client.logs("DescribeLogStreams", &body.to_string()).json();
    assert_eq!(rest["logStreams"].as_array().unwrap().len(), 10);
    assert!(rest["nextToken"].is_null());
    let groups = client.logs("DescribeLogGroups", r#"{"logGroupNamePrefix":"g"}"#).json();
    assert_eq!(groups["logGroups"][0]["logGroupName"], "grp");
}
