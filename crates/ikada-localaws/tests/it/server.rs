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
