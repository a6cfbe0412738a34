use std::io::ErrorKind;
use std::time::Duration;

use ikada_localaws::{Config, CutPoint, Down, Fault, FaultKind, LocalAws, Quota, Service, When};

use crate::client::{Client, default, start};

const BATCH: &str = r#"{"DeliveryStreamName":"web","Records":[{"Data":"c2VxPWE6MQ=="}]}"#;

fn cut(at: CutPoint) -> Fault {
    Fault::new(FaultKind::Cut { at }).service(Service::Firehose).when(When::First(1))
}

fn is_gone(result: std::io::Result<crate::client::Answer>) -> bool {
    let gone = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    result.is_err_and(|error| gone.contains(&error.kind()))
}

fn put(client: &mut Client) -> std::io::Result<crate::client::Answer> {
    client.call("Firehose_20150804.PutRecordBatch", BATCH)
}

#[test]
fn a_cut_before_taking_loses_the_data_and_one_after_taking_delivers_it() {
    for (at, taken) in [
        (CutPoint::BeforeBody, 0),
        (CutPoint::AfterBody, 0),
        (CutPoint::AfterTaking, 1),
        (CutPoint::MidAnswer, 1),
    ] {
        let (aws, mut client) = default();
        aws.faults().add(cut(at));
        assert!(is_gone(put(&mut client)), "{at:?}");
        let report = aws.report();
        assert_eq!(report.records(Service::Firehose), taken, "{at:?}");
        assert_eq!(report.operation(Service::Firehose, "PutRecordBatch").cut, 1, "{at:?}");
        assert_eq!(put(&mut Client::to(&aws)).unwrap().status, 200);
        let report = aws.report();
        let numbers = report.client(Service::Firehose, "a").unwrap();
        assert_eq!((numbers.distinct, numbers.duplicated), (1, taken));
    }
}

#[test]
fn an_answer_cut_in_its_middle_is_begun() {
    use std::io::{Read, Write};
    let (aws, _) = default();
    aws.faults().add(cut(CutPoint::MidAnswer));
    let mut stream = std::net::TcpStream::connect(aws.http_addr()).unwrap();
    let target = "x-amz-target: Firehose_20150804.PutRecordBatch";
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: x\r\n{target}\r\ncontent-length: {}\r\n\r\n{BATCH}",
        BATCH.len()
    )
    .unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).ok();
    let got = String::from_utf8(got).unwrap();
    assert!(got.starts_with("HTTP/1.1 200 OK") && got.contains("FailedPutCount"), "{got}");
    assert!(!got.ends_with("]}"), "{got}");
}

#[test]
fn errors_are_told_in_each_services_words_and_take_nothing() {
    let (aws, mut client) = default();
    aws.cloudwatch().create_log_stream("grp", "str");
    let cases = [
        (FaultKind::InternalError, 500, "InternalFailure", "InternalError"),
        (FaultKind::Unavailable, 503, "ServiceUnavailableException", "ServiceUnavailable"),
        (FaultKind::ExpiredToken, 400, "ExpiredTokenException", "ExpiredToken"),
        (FaultKind::AccessDenied, 400, "AccessDeniedException", "AccessDenied"),
        (FaultKind::UnknownKey, 400, "UnrecognizedClientException", "InvalidAccessKeyId"),
        (FaultKind::Throttle, 400, "ThrottlingException", "SlowDown"),
    ];
    for (kind, status, json_code, xml_code) in cases {
        let id = aws.faults().add(Fault::new(kind.clone()));
        let answer = put(&mut client).unwrap();
        assert_eq!((answer.status, answer.error().as_str()), (status, json_code), "{kind:?}");
        assert_eq!(client.put("/logs-1/key", &[], b"x").element("Code"), Some(xml_code), "{kind:?}");
        assert!(aws.faults().remove(id));
    }
    let report = aws.report();
    assert_eq!(report.records(Service::Firehose) + report.records(Service::S3), 0);
    assert_eq!(report.operation(Service::Firehose, "PutRecordBatch").errors["ThrottlingException"], 1);
}

#[test]
fn a_complete_can_fail_inside_a_200() {
    let (aws, mut client) = default();
    aws.faults()
        .add(Fault::new(FaultKind::ErrorInOk).on(Service::S3, "CompleteMultipartUpload").when(When::Nth(1)));
    let id = client.post("/logs-1/key?uploads", "").element("UploadId").unwrap().to_owned();
    let part = client.put(&format!("/logs-1/key?partNumber=1&uploadId={id}"), &[], b"x");
    let etag = part.header("etag").unwrap();
    let list = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let answer = client.post(&format!("/logs-1/key?uploadId={id}"), &body);
    assert_eq!((answer.status, answer.element("Code")), (200, Some("InternalError")));
    assert!(aws.s3().objects("logs-1").is_empty());
    assert!(client.post(&format!("/logs-1/key?uploadId={id}"), &body).element("ETag").is_some());
    assert_eq!(aws.s3().objects("logs-1").len(), 1);
}

#[test]
fn a_late_answer_has_taken_the_data() {
    let (aws, mut client) = default();
    let kind = FaultKind::LateAnswer { min_ms: 60_000, max_ms: 60_000 };
    aws.faults().add(Fault::new(kind).when(When::First(1)));
    client.patience(Duration::from_millis(50));
    assert!(put(&mut client).is_err());
    let taken = aws.wait_until(Duration::from_secs(10), |report| report.records(Service::Firehose) == 1);
    assert!(taken.is_ok());
}

#[test]
fn a_latency_is_waited_before_anything_is_taken() {
    let (aws, mut client) = default();
    aws.faults().add(Fault::new(FaultKind::latency(Duration::from_secs(60))).when(When::First(1)));
    client.patience(Duration::from_millis(50));
    assert!(put(&mut client).is_err());
    drop(client);
    let cut =
        |report: &ikada_localaws::Report| report.operation(Service::Firehose, "PutRecordBatch").cut == 1;
    let report = aws.wait_until(Duration::from_secs(10), cut).unwrap();
    assert_eq!(report.records(Service::Firehose), 0);
}

#[test]
fn a_quota_throttles_each_stream_by_itself() {
    let (aws, mut client) = default();
    aws.faults().quota(Quota {
        service: Service::Firehose,
        operation: Some("PutRecordBatch".into()),
        per_resource: true,
        calls_per_second: Some(0.001),
        bytes_per_second: None,
        burst_seconds: 2000.0,
    });
    let codes: Vec<_> = (0..5).map(|_| put(&mut client).unwrap().error()).collect();
    assert_eq!(codes[..2], ["", ""]);
    assert!(codes[2..].iter().all(|code| *code == "ServiceUnavailableException"), "{codes:?}");
    let other = client.firehose("PutRecordBatch", &BATCH.replace("web", "other"));
    assert_eq!(other.status, 200);
}

fn refuses(aws: &LocalAws) -> bool {
    Client::connect(aws.http_addr()).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_server_that_is_down_refuses_and_comes_back_on_its_port() {
    let aws = start(Config::default().with_https());
    let mut client = Client::to(&aws);
    assert_eq!(put(&mut client).unwrap().status, 200);
    for _ in 0..20 {
        aws.faults().down(Down::Refuse);
        assert!(refuses(&aws));
        assert!(put(&mut client).is_err());
        aws.faults().up();
        client = Client::to(&aws);
        assert_eq!(put(&mut client).unwrap().status, 200);
    }
}

#[test]
fn a_black_hole_accepts_and_never_answers() {
    let (aws, mut client) = default();
    assert_eq!(put(&mut client).unwrap().status, 200);
    aws.faults().down(Down::BlackHole);
    let mut fresh = Client::to(&aws);
    for client in [&mut client, &mut fresh] {
        client.patience(Duration::from_millis(50));
        let error = put(client).unwrap_err();
        assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "{error:?}");
    }
    aws.faults().up();
    assert_eq!(put(&mut Client::to(&aws)).unwrap().status, 200);
    assert_eq!(aws.report().records(Service::Firehose), 2);
}

#[test]
fn the_admin_port_steers_the_server_even_while_it_is_down() {
    let aws = start(Config { admin_port: Some(0), ..Config::default() });
    let mut admin = Client::connect((aws.http_addr().ip(), aws.admin_port()).into()).unwrap();
    let answer =
        admin.post("/_localaws/faults", r#"{"kind":"throttle","service":"firehose","when":{"first":1}}"#);
    assert_eq!(answer.json()["ids"], serde_json::json!([1]));
    let mut client = Client::to(&aws);
    assert_eq!(put(&mut client).unwrap().error(), "ThrottlingException");
    assert_eq!(put(&mut client).unwrap().status, 200);
    assert_eq!(admin.get("/_localaws/faults").json()[0]["struck"], 1);
    let report: ikada_localaws::Report =
        serde_json::from_slice(&admin.get("/_localaws/report").body).unwrap();
    assert_eq!(report.records(Service::Firehose), 1);
    assert_eq!(admin.get("/_localaws/records?service=firehose&stream=web").text(), r#"["seq=a:1"]"#);
    admin.post("/_localaws/down", r#"{"mode":"refuse"}"#);
    let mut tries = 0;
    while !refuses(&aws) {
        tries += 1;
        assert!(tries < 10_000);
    }
    admin.post("/_localaws/up", "");
    while refuses(&aws) {
        std::thread::yield_now();
    }
    admin.post("/_localaws/reset", "");
    assert_eq!(aws.report().records(Service::Firehose), 0);
    assert_eq!(admin.post("/_localaws/faults", "{}").status, 400);
}
