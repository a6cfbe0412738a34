use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use ikada_localaws::{Config, Keep, LocalAws, Service, TaskIdentity};

use crate::client::{Client, default, start};

const BATCH: &str = r#"{"DeliveryStreamName":"web","Records":[{"Data":"aGVsbG8="}]}"#;

#[test]
fn unsigned_requests_are_refused_unless_that_is_off() {
    let aws = LocalAws::start(Config::default()).unwrap();
    let mut client = Client::to(&aws);
    let answer = client.firehose("PutRecordBatch", BATCH);
    assert_eq!(answer.error(), "MissingAuthenticationTokenException");
    assert_eq!(client.put("/logs-1/key", &[], b"x").element("Code"), Some("AccessDenied"));
}

#[test]
fn requests_are_captured_on_demand() {
    let aws = start(Config { capture: true, ..Config::default() });
    Client::to(&aws).firehose("PutRecordBatch", BATCH);
    let requests = aws.requests(Service::Firehose);
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.operation.as_str(), request.resource.as_str()), ("PutRecordBatch", "web"));
    assert_eq!((request.status, request.records, request.body.as_slice()), (200, 1, BATCH.as_bytes()));
    assert_eq!(request.header("X-Amz-Target"), Some("Firehose_20150804.PutRecordBatch"));
}

#[test]
fn content_is_kept_up_to_the_limit_and_counted_beyond() {
    let aws = start(Config { keep_limit: 12, ..Config::default() });
    let mut client = Client::to(&aws);
    for _ in 0..4 {
        client.firehose("PutRecordBatch", BATCH);
    }
    assert_eq!(aws.firehose().records("web").len(), 2);
    let report = aws.report();
    assert_eq!((report.records(Service::Firehose), report.kept_bytes, report.not_kept), (4, 10, 2));
    let aws = start(Config { keep: Keep::None, ..Config::default() });
    Client::to(&aws).firehose("PutRecordBatch", BATCH);
    assert!(aws.firehose().records("web").is_empty());
    assert_eq!(aws.report().records(Service::Firehose), 1);
}

#[test]
fn a_reset_forgets_counts_and_content_but_not_the_streams() {
    let (aws, mut client) = default();
    client.firehose("PutRecordBatch", BATCH);
    client.put("/logs-1/key", &[], b"seq=a:1");
    aws.reset();
    let report = aws.report();
    assert_eq!(report.requests(Service::Firehose) + report.requests(Service::S3), 0);
    assert!(report.clients.is_empty() && aws.s3().objects("logs-1").is_empty());
    assert_eq!(aws.firehose().streams(), ["web"]);
}

#[test]
fn task_metadata_and_credentials_are_served() {
    let task = TaskIdentity { cluster: "prod".into(), ..TaskIdentity::default() };
    let aws = start(Config { task, credentials_token: Some("secret".into()), ..Config::default() });
    let mut client = Client::to(&aws);
    let answer = client.get("/v4/abc/task").json();
    assert_eq!(answer["Cluster"], "arn:aws:ecs:ap-northeast-1:123456789012:cluster/prod");
    assert_eq!(client.get("/v4/abc").json()["Name"], "log_router");
    assert_eq!(client.get("/creds/x").status, 401);
    let answer = client.send("GET", "/creds/x", &[("authorization", "secret")], b"").unwrap().json();
    assert_eq!(answer["AccessKeyId"], "ASIALOCAL00000000001");
    assert!(answer["Expiration"].as_str().unwrap().ends_with('Z'));
    assert_eq!(aws.credentials().issued(), 1);
}

#[test]
fn credentials_that_were_given_out_expire() {
    let aws = LocalAws::start(Config::default()).unwrap();
    let mut client = Client::to(&aws);
    let key = client.get("/creds").json()["AccessKeyId"].as_str().unwrap().to_owned();
    let date = chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/{}/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
        &date[..8],
        "0".repeat(64)
    );
    let headers = [("authorization", authorization.as_str()), ("x-amz-date", date.as_str())];
    assert_eq!(client.put("/logs-1/key", &headers, b"x").status, 200);
    aws.credentials().expire_all();
    assert_eq!(client.put("/logs-1/key", &headers, b"x").element("Code"), Some("ExpiredToken"));
    aws.faults().shift_clock(3_600_000);
    let answer = client.put("/logs-1/key", &headers, b"x");
    assert_eq!((answer.status, answer.element("Code")), (403, Some("RequestTimeTooSkewed")));
}

#[test]
fn roles_are_assumed_by_form_and_by_query() {
    let (aws, mut client) = default();
    let role = "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Flogs&RoleSessionName=s-1";
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("Action=AssumeRole&Version=2011-06-15&{role}&ExternalId=a%20b%2Bc");
    let answer = client.send("POST", "/", &form, body.as_bytes()).unwrap();
    assert_eq!(answer.element("SecretAccessKey"), Some("secret-of-ASIALOCAL00000000001"));
    let arn = "arn:aws:sts::123456789012:assumed-role/logs/s-1";
    assert_eq!(answer.element("Arn"), Some(arn));
    let target = format!("/?Action=AssumeRoleWithWebIdentity&{role}&WebIdentityToken=jwt");
    assert!(client.get(&target).element("SessionToken").is_some());
    assert_eq!(client.get("/?Action=AssumeRole").element("Code"), Some("ValidationError"));
    assert_eq!(aws.report().operation(Service::Sts, "AssumeRole").requests, 2);
    let requests = aws.requests(Service::Sts);
    assert_eq!(requests[0].resource, "arn:aws:iam::123456789012:role/logs");
}

#[test]
fn https_serves_the_same_data_to_those_who_trust_the_certificate() {
    let dir = std::env::temp_dir().join(format!("localaws-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let ca_file = dir.join("ca.pem");
    let aws = start(Config {
        ca_file: Some(ca_file.clone()),
        host_names: vec!["logs-1.localhost".into()],
        ..Config::default().with_https()
    });
    assert_eq!(std::fs::read_to_string(&ca_file).unwrap(), aws.ca_pem());
    std::fs::remove_dir_all(&dir).unwrap();
    for name in ["localhost", "127.0.0.1", "logs-1.localhost", "logs-1.s3.localhost"] {
        let mut client = Client::tls(aws.https_port(), name, aws.ca_pem()).unwrap();
        assert_eq!(client.firehose("PutRecordBatch", BATCH).status, 200, "{name}");
    }
    assert_eq!(aws.firehose().records("web").len(), 4);
    let other = start(Config::default().with_https());
    let mut stranger = Client::tls(aws.https_port(), "localhost", other.ca_pem()).unwrap();
    assert!(stranger.call("Firehose_20150804.PutRecordBatch", BATCH).is_err());
}

#[test]
fn a_payload_hash_is_checked_on_demand() {
    for verify_payload_hash in [false, true] {
        let aws = LocalAws::start(Config { verify_payload_hash, ..Config::default() }).unwrap();
        let date = chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/{}/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
            &date[..8],
            "0".repeat(64)
        );
        let put = |hash: &str| {
            let headers = [
                ("authorization", authorization.as_str()),
                ("x-amz-date", date.as_str()),
                ("x-amz-content-sha256", hash),
            ];
            Client::to(&aws).put("/logs-1/key", &headers, b"hello world").status
        };
        assert_eq!(put("b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"), 200);
        assert_eq!(put("UNSIGNED-PAYLOAD"), 200);
        assert_eq!(put(&"0".repeat(64)), if verify_payload_hash { 400 } else { 200 });
    }
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let aws = start(Config { idle_timeout: Some(Duration::from_millis(50)), ..Config::default() });
    let mut client = Client::to(&aws);
    assert_eq!(client.firehose("PutRecordBatch", BATCH).status, 200);
    assert!(client.is_closed());
}

#[test]
fn the_program_tells_its_ports_and_serves() {
    let program = env!("CARGO_BIN_EXE_localaws");
    let mut child =
        Command::new(program).args(["--no-auth", "--keep", "all"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ports: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
    let mut client = Client::connect(([127, 0, 0, 1], port("http_port")).into()).unwrap();
    assert_eq!(client.firehose("PutRecordBatch", BATCH).status, 200);
    let mut admin = Client::connect(([127, 0, 0, 1], port("admin_port")).into()).unwrap();
    let report: ikada_localaws::Report =
        serde_json::from_slice(&admin.get("/_localaws/report").body).unwrap();
    assert_eq!(report.records(Service::Firehose), 1);
    assert_ne!(port("https_port"), 0);
    child.kill().unwrap();
    child.wait().unwrap();
}
