//! Objects fetched at the start, and what ECS says of the task.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_aws::fetch::{FetchErrorKind, ObjectArn, ObjectFetcher, TaskMetadata};
use ikada_localaws::{AutoCreate, Config, Fault, FaultKind, LocalAws, Service, When};

use crate::rig::in_child;

fn aws() -> LocalAws {
    let auto_create = AutoCreate { buckets: false, ..AutoCreate::default() };
    let aws = LocalAws::start(Config { require_auth: false, auto_create, ..Config::default() }).unwrap();
    aws.s3().create_bucket("conf");
    put(&aws, "/conf/a/extra.conf", "[FILTER]\n");
    aws
}

fn put(aws: &LocalAws, path: &str, text: &str) {
    let mut socket = TcpStream::connect(aws.http_addr()).unwrap();
    let length = text.len();
    write!(
        socket,
        "PUT {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn fetcher(endpoint: String) -> ObjectFetcher {
    ObjectFetcher { endpoint: Some(endpoint), pause: Duration::from_millis(1), ..ObjectFetcher::default() }
}

fn arn(text: &str) -> ObjectArn {
    ObjectArn::parse(text).unwrap()
}

/// An S3 that has one bucket, in one region: it sends everyone else there, as the real one does.
fn regional(region: &'static str, by_header: bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let signature =
                head.iter().find(|line| line.to_lowercase().starts_with("authorization")).unwrap();
            let used = signature.split('/').nth(2).unwrap().to_owned();
            seen.lock().unwrap().push(used.clone());
            let answer = match (used == region, by_header) {
                (true, _) => {
                    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere".to_owned()
                }
                (false, true) => format!(
                    "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: {region}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                ),
                (false, false) => {
                    let body = format!(
                        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>{region}</Region></Error>"
                    );
                    let length = body.len();
                    format!(
                        "HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    )
                }
            };
            (&socket).write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, asked)
}

in_child! {
    fn an_object_is_fetched() {
        let aws = aws();
        let bytes = fetcher(aws.http_url()).fetch(&arn("arn:aws:s3:::conf/a/extra.conf")).await;
        assert_eq!(bytes.unwrap(), b"[FILTER]\n");
    }

    fn the_bucket_s_region_is_found_from_the_redirect() {
        for by_header in [true, false] {
            let (url, asked) = regional("sa-east-1", by_header);
            let fetcher = ObjectFetcher { region: Some("eu-west-1".into()), ..fetcher(url) };
            assert_eq!(fetcher.fetch(&arn("arn:aws:s3:::conf/a")).await.unwrap(), b"there");
            assert_eq!(*asked.lock().unwrap(), ["eu-west-1", "sa-east-1"]);
        }
    }

    fn another_partition_s_bucket_is_looked_for_there() {
        let (url, asked) = regional("cn-northwest-1", true);
        let fetcher = ObjectFetcher { region: Some("eu-west-1".into()), ..fetcher(url) };
        assert_eq!(fetcher.fetch(&arn("arn:aws-cn:s3:::conf/a")).await.unwrap(), b"there");
        assert_eq!(*asked.lock().unwrap(), ["cn-north-1", "cn-northwest-1"]);
    }

    fn trouble_that_passes_is_waited_out() {
        let aws = aws();
        for kind in [FaultKind::Unavailable, FaultKind::Throttle] {
            aws.faults().add(Fault::new(kind).on(Service::S3, "GetObject").when(When::First(2)));
        }
        let bytes = fetcher(aws.http_url()).fetch(&arn("arn:aws:s3:::conf/a/extra.conf")).await;
        assert_eq!(bytes.unwrap(), b"[FILTER]\n");
    }

    fn what_stays_wrong_is_named() {
        let aws = aws();
        let fetcher = fetcher(aws.http_url());
        let error = fetcher.fetch(&arn("arn:aws:s3:::conf/none.conf")).await.unwrap_err();
        assert_eq!((error.kind, error.attempts, error.code.as_deref()), (FetchErrorKind::NoKey, 1, Some("NoSuchKey")));
        assert!(error.to_string().ends_with("(HTTP 404)"), "{error}");

        let error = fetcher.fetch(&arn("arn:aws:s3:::nobody/none.conf")).await.unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::NoBucket);

        aws.faults().add(Fault::new(FaultKind::AccessDenied).on(Service::S3, "GetObject"));
        let error = fetcher.fetch(&arn("arn:aws:s3:::conf/a/extra.conf")).await.unwrap_err();
        assert_eq!((error.kind, error.attempts), (FetchErrorKind::Denied, 2));
        assert!(error.to_string().contains("AccessDenied") && error.to_string().ends_with("(HTTP 403) (tried 2 times)"), "{error}");

        aws.faults().clear();
        aws.faults().add(Fault::new(FaultKind::Unavailable).on(Service::S3, "GetObject"));
        let error = fetcher.fetch(&arn("arn:aws:s3:::conf/a/extra.conf")).await.unwrap_err();
        assert_eq!((error.kind, error.attempts), (FetchErrorKind::Other, ObjectFetcher::ATTEMPTS));
    }

    fn ecs_tells_what_task_this_is() {
        let aws = aws();
        let task = TaskMetadata::fetch(&format!("{}/v4/abc", aws.http_url())).await.unwrap();
        assert_eq!((task.region.as_str(), task.cluster.as_str()), ("ap-northeast-1", "local"));
        assert_eq!(task.variables().len(), 9);
        assert!(TaskMetadata::fetch("http://127.0.0.1:1/v4/abc").await.is_err());
        assert!(TaskMetadata::fetch("not an address").await.is_err());
    }
}
