use ikada_localaws::{Config, Service};

use crate::client::{Answer, Client, default, start};

const PART: usize = 5 * 1024 * 1024;

fn begin(client: &mut Client, target: &str) -> String {
    let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let answer = client.send("POST", &format!("{target}?uploads="), &headers, b"").unwrap();
    answer.element("UploadId").unwrap().to_owned()
}

fn part(client: &mut Client, target: &str, id: &str, number: u32, body: &[u8]) -> Answer {
    client.put(&format!("{target}?partNumber={number}&uploadId={id}"), &[], body)
}

fn finish(client: &mut Client, target: &str, id: &str, parts: &[(u32, &str)]) -> Answer {
    let list: String = parts
        .iter()
        .map(|(number, etag)| format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>"))
        .collect();
    let body = format!("<CompleteMultipartUpload xmlns=\"x\">{list}</CompleteMultipartUpload>");
    client.post(&format!("{target}?uploadId={id}"), &body)
}

#[test]
fn an_object_reads_back_with_its_headers() {
    let (aws, mut client) = default();
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip"), ("x-amz-acl", "private")];
    let answer = client.put("/logs-1/a%20b/%E6%97%A5.log?x-id=PutObject", &headers, b"hello seq=a:1");
    assert_eq!((answer.status, answer.header("etag").unwrap().len()), (200, 34));
    let answer = client.get("/logs-1/a%20b/%E6%97%A5.log");
    assert_eq!((answer.status, answer.text()), (200, "hello seq=a:1"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let head = client.send("HEAD", "/logs-1/a%20b/%E6%97%A5.log", &[], b"").unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("13")));
    let objects = aws.s3().objects("logs-1");
    let object = &objects["a b/日.log"];
    assert_eq!(object.bytes.as_deref(), Some(&b"hello seq=a:1"[..]));
    assert_eq!(object.headers["x-amz-acl"], "private");
    assert_eq!(client.get("/logs-1/none").element("Code"), Some("NoSuchKey"));
    let range = client.send("GET", "/logs-1/a%20b/%E6%97%A5.log", &[("range", "bytes=6-8")], b"").unwrap();
    assert_eq!((range.status, range.text()), (206, "seq"));
}

#[test]
fn etag_is_spelled_as_s3_does() {
    use std::io::{Read, Write};
    let (aws, mut client) = default();
    client.put("/logs-1/a", &[], b"hello");
    let mut socket = std::net::TcpStream::connect(aws.http_addr()).unwrap();
    socket.write_all(b"GET /logs-1/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\nETag: \"") && !answer.contains("\r\netag"), "{answer}");
}

#[test]
fn parts_become_one_object() {
    let (aws, mut client) = default();
    let target = "/logs-1/big.log";
    let id = begin(&mut client, target);
    let (first, last) = ([b"seq=a:1 ".to_vec(), vec![b'x'; PART]].concat(), b" seq=a:2".to_vec());
    let etag2 = part(&mut client, target, &id, 2, &last).header("etag").unwrap().to_owned();
    let etag1 = part(&mut client, target, &id, 1, &first).header("etag").unwrap().to_owned();
    let listed = client.get(&format!("{target}?uploadId={id}"));
    assert_eq!(listed.text().matches("<Part>").count(), 2);
    assert_eq!(client.get("/logs-1?uploads").element("UploadId"), Some(id.as_str()));
    assert!(aws.s3().objects("logs-1").is_empty());
    assert_eq!(aws.s3().open_uploads("logs-1")[0].parts, [(1, first.len() as u64), (2, 8)]);
    let quoted = etag2.replace('"', "&quot;");
    let answer = finish(&mut client, target, &id, &[(1, &etag1), (2, &quoted)]);
    assert!(answer.element("ETag").unwrap().ends_with("-2&quot;"), "{}", answer.text());
    let objects = aws.s3().objects("logs-1");
    let object = &objects["big.log"];
    assert_eq!(object.bytes.as_deref(), Some(&[first, last].concat()[..]));
    assert_eq!((object.parts, object.content_encoding.as_deref()), (2, Some("gzip")));
    assert!(aws.s3().open_uploads("logs-1").is_empty());
    assert!(aws.report().client(Service::S3, "a").unwrap().is_exactly_once(2));
    let again = finish(&mut client, target, &id, &[(1, &etag1), (2, &etag2)]);
    assert_eq!(again.status, 200, "a repeated Complete is answered as the first time");
    assert_eq!(aws.s3().objects("logs-1")["big.log"].writes, 1);
}

#[test]
fn every_rule_about_parts_has_its_error() {
    let (aws, mut client) = default();
    let target = "/logs-1/big.log";
    let id = begin(&mut client, target);
    let small = part(&mut client, target, &id, 1, b"small").header("etag").unwrap().to_owned();
    let other = part(&mut client, target, &id, 2, b"other").header("etag").unwrap().to_owned();
    let mut code = |parts: &[(u32, &str)]| {
        finish(&mut client, target, &id, parts).element("Code").unwrap_or_default().to_owned()
    };
    assert_eq!(code(&[(1, &small), (2, &other)]), "EntityTooSmall");
    assert_eq!(code(&[(2, &other), (1, &small)]), "InvalidPartOrder");
    assert_eq!(code(&[(1, &other)]), "InvalidPart");
    assert_eq!(code(&[(3, &small)]), "InvalidPart");
    assert_eq!(code(&[]), "MalformedXML");
    assert_eq!(part(&mut client, target, &id, 0, b"x").element("Code"), Some("InvalidArgument"));
    assert_eq!(part(&mut client, target, &id, 10_001, b"x").element("Code"), Some("InvalidArgument"));
    assert_eq!(part(&mut client, target, "nope", 1, b"x").element("Code"), Some("NoSuchUpload"));
    let abort = client.send("DELETE", &format!("{target}?uploadId={id}"), &[], b"").unwrap();
    assert_eq!(abort.status, 204);
    assert_eq!(finish(&mut client, target, &id, &[(1, &small)]).element("Code"), Some("NoSuchUpload"));
    assert!(aws.s3().objects("logs-1").is_empty());
}

#[test]
fn a_part_or_object_written_twice_counts_once() {
    let (aws, mut client) = default();
    client.put("/logs-1/a", &[], b"seq=a:1 seq=a:2");
    client.put("/logs-1/a", &[], b"seq=a:1 seq=a:2");
    let numbers = aws.report().client(Service::S3, "a").unwrap().clone();
    assert!(numbers.is_exactly_once(2), "{numbers:?}");
    assert_eq!(aws.s3().objects("logs-1")["a"].writes, 2);
    client.put("/logs-1/b", &[], b"seq=a:2");
    assert_eq!(aws.report().client(Service::S3, "a").unwrap().duplicated, 1);
}

#[test]
fn conditional_writes_do_not_overwrite() {
    let (aws, mut client) = default();
    let once = [("if-none-match", "*")];
    assert_eq!(client.put("/logs-1/a", &once, b"first").status, 200);
    let answer = client.put("/logs-1/a", &once, b"second");
    assert_eq!((answer.status, answer.element("Code")), (412, Some("PreconditionFailed")));
    assert_eq!(aws.s3().objects("logs-1")["a"].bytes.as_deref(), Some(&b"first"[..]));
}

#[test]
fn keys_and_bucket_names_have_their_limits() {
    let (_aws, mut client) = default();
    let key = "k".repeat(1024);
    assert_eq!(client.put(&format!("/logs-1/{key}"), &[], b"x").status, 200);
    assert_eq!(client.put(&format!("/logs-1/{key}k"), &[], b"x").element("Code"), Some("KeyTooLongError"));
    assert_eq!(client.put("/UPPER/key", &[], b"x").element("Code"), Some("InvalidBucketName"));
    let strict = start(Config::default().strict());
    let mut client = Client::to(&strict);
    assert_eq!(client.put("/logs-1/key", &[], b"x").element("Code"), Some("NoSuchBucket"));
    strict.s3().create_bucket("logs-1");
    assert_eq!(client.put("/logs-1/key", &[], b"x").status, 200);
}

#[test]
fn listings_group_by_delimiter_and_come_in_pages() {
    let (_aws, mut client) = default();
    for key in ["a/1", "a/2", "b/1", "c", "d"] {
        client.put(&format!("/logs-1/{key}"), &[], b"x");
    }
    let page = client.get("/logs-1?list-type=2&delimiter=/&max-keys=2");
    assert_eq!((page.element("KeyCount"), page.element("IsTruncated")), (Some("2"), Some("true")));
    assert!(page.text().contains("<Prefix>a/</Prefix>") && page.text().contains("<Prefix>b/</Prefix>"));
    let token = page.element("NextContinuationToken").unwrap();
    let rest = client.get(&format!("/logs-1?list-type=2&delimiter=/&continuation-token={token}"));
    assert!(rest.text().contains("<Key>c</Key>") && rest.text().contains("<Key>d</Key>"));
    assert_eq!((rest.element("KeyCount"), rest.element("IsTruncated")), (Some("2"), Some("false")));
    let some = client.get("/logs-1?list-type=2&prefix=a%2F");
    assert_eq!(some.text().matches("<Contents>").count(), 2);
}

#[test]
fn a_bucket_can_stand_in_the_host_name() {
    let (aws, mut client) = default();
    for (host, key) in [("logs-1.s3.eu-west-1.localhost", "a"), ("logs-1.localhost:4711", "b")] {
        assert_eq!(client.put(&format!("/{key}"), &[("host", host)], b"x").status, 200);
    }
    assert_eq!(aws.s3().objects("logs-1").into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn chunked_bodies_are_stored_unwrapped() {
    let (aws, mut client) = default();
    let headers = [
        ("content-encoding", "aws-chunked,gzip"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "11"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let body = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    assert_eq!(client.put("/logs-1/good", &headers, body).status, 200);
    let damaged = b"b\r\nhello_world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    assert_eq!(client.put("/logs-1/bad", &headers, damaged).element("Code"), Some("BadDigest"));
    let objects = aws.s3().objects("logs-1");
    assert_eq!(objects.len(), 1);
    assert_eq!(objects["good"].bytes.as_deref(), Some(&b"hello world"[..]));
    assert_eq!(objects["good"].content_encoding.as_deref(), Some("gzip"));
}

#[test]
fn keys_are_listed_as_the_client_asks() {
    let (_aws, mut client) = default();
    client.put("/logs-1/a%20%26%3C", &[], b"x");
    assert!(client.get("/logs-1?list-type=2").text().contains("<Key>a &amp;&lt;</Key>"));
    let encoded = client.get("/logs-1?list-type=2&encoding-type=url");
    assert_eq!((encoded.element("EncodingType"), encoded.element("Key")), (Some("url"), Some("a%20%26%3C")));
}
