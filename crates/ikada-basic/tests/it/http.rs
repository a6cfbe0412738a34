//! `http` against a server with a script.

use std::io::Read;

use crate::rig::Rig;
use crate::server::{Answer, Server, status};

/// An output that sends to this server.
fn rig(server: &Server, options: &str) -> Rig {
    Rig::new("http", format!("{}\n{options}", server.options()).trim_end())
}

const ONE: &str = "{\"date\":1700000000.123457,\"log\":\"hello \\u65e5\\u672c\"}";
const TWO: &str = "{\"date\":1700000000.123457,\"n\":2}";

/// The body of three records, of which the last came in another chunk and under another tag.
async fn body(options: &str) -> (String, Vec<u8>) {
    let server = Server::start([]).await;
    let mut rig = rig(&server, options);
    rig.push("app", &["{\"log\":\"hello 日本\"}", "{\"n\":2}"]);
    rig.push("web", &["{\"n\":2}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    assert_eq!(rig.ledger.delivered(), 3);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    (seen[0].header("content-type").unwrap().to_owned(), seen[0].body.clone())
}

#[tokio::test]
async fn each_format_has_its_body_and_content_type() {
    let text = async |options: &str| {
        let (kind, body) = body(options).await;
        (kind, String::from_utf8(body).unwrap())
    };
    assert_eq!(text("").await, ("application/json".into(), format!("[{ONE},{TWO},{TWO}]")));
    assert_eq!(
        text("format json_lines").await,
        ("application/x-ndjson".into(), format!("{ONE}\n{TWO}\n{TWO}\n"))
    );
    assert_eq!(text("format json_stream").await, ("application/json".into(), format!("{ONE}{TWO}{TWO}")));
    let (kind, body) = body("format msgpack").await;
    assert_eq!(kind, "application/msgpack");
    let time = [1_700_000_000u32.to_be_bytes(), 123_456_717u32.to_be_bytes()].concat();
    let last = [b"\x92\x92\xd7\x00".as_slice(), &time, b"\x80\x81\xa1n\x02"].concat();
    assert_eq!(body[body.len() - 2 * last.len()..], [last.clone(), last].concat());
}

#[tokio::test]
async fn the_date_is_written_as_it_is_asked_for() {
    let (_, body) = body("format json_lines\njson_date_key @timestamp\njson_date_format iso8601").await;
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with("{\"@timestamp\":\"2023-11-14T22:13:20.123456Z\",\"log\":"), "{text}");
}

#[tokio::test]
async fn requests_look_as_the_options_say() {
    let server = Server::start([]).await;
    let options = "uri v1/input?source=ecs\nhttp_method PUT\nheader X-Team payments and more\n\
                   header x-team second\nheader Content-Type text/plain\nhttp_user router\nhttp_passwd hunter2";
    let mut rig = rig(&server, options);
    rig.push("app", &["{}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("PUT", "/v1/input?source=ecs"));
    let teams: Vec<_> = seen.headers.get_all("x-team").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(teams, ["payments and more", "second"]);
    assert_eq!(seen.headers.get_all("content-type").iter().count(), 1);
    assert_eq!(seen.header("content-type"), Some("text/plain"));
    assert_eq!(seen.header("authorization"), Some("Basic cm91dGVyOmh1bnRlcjI="));
    assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
    assert!(seen.header("user-agent").unwrap().starts_with("ikada/"));
    assert_eq!(seen.header("content-encoding"), None);
}

#[tokio::test]
async fn with_a_tag_header_each_tag_has_requests_of_its_own() {
    let server = Server::start([]).await;
    let mut rig = rig(&server, "header_tag X-Tag\nformat json_lines\njson_date_key false");
    rig.push("app.one", &["{\"n\":1}"]);
    rig.push("app.\ntwo", &["{\"n\":2}"]);
    rig.push("app.one", &["{\"n\":3}"]);
    assert_eq!(rig.finish().await, ["delivered", "delivered"]);
    let seen = server.seen();
    let mut tags: Vec<_> = seen.iter().map(|seen| (seen.header("x-tag").unwrap(), seen.text())).collect();
    tags.sort_unstable();
    assert_eq!(tags, [("app._two", "{\"n\":2}\n"), ("app.one", "{\"n\":1}\n{\"n\":3}\n")]);
}

#[tokio::test]
async fn what_an_answer_means_for_the_records() {
    let said = "{\"error\":\n \"too much\"}";
    let server = Server::start([
        status(500),
        Answer::Status(429, Some(("retry-after", "7")), said),
        Answer::Status(503, Some(("retry-after", "86400")), ""),
        status(302),
        status(408),
        status(204),
        Answer::Status(404, None, "no such thing"),
    ])
    .await;
    let mut rig = rig(&server, "");
    rig.push("app", &["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(
        rig.finish().await,
        [
            "again: the server answered 500 Internal Server Error",
            "again after 7s: the server answered 429 Too Many Requests: {\"error\":  \"too much\"}",
            "again after 300s: the server answered 503 Service Unavailable",
            "again: the server answered 302 Found",
            "again: the server answered 408 Request Timeout",
            "delivered",
        ]
    );
    rig.push("app", &["{\"n\":3}"]);
    assert_eq!(rig.finish().await, ["rejected: the server answered 404 Not Found: no such thing"]);
    assert_eq!((rig.ledger.delivered(), rig.ledger.dropped_total()), (2, 1));
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies[..6].iter().all(|body| *body == bodies[0]), "every attempt sends the same");
    assert_eq!(server.connections(), 1, "answers that are read leave the connection in use");
}

#[tokio::test]
async fn what_a_server_says_can_be_left_out() {
    let server = Server::start([Answer::Status(400, None, "secret")]).await;
    let mut rig = rig(&server, "log_response_payload off");
    rig.push("app", &["{}"]);
    assert_eq!(rig.finish().await, ["rejected: the server answered 400 Bad Request"]);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_tried_again() {
    let server = Server::start([Answer::Cut, status(500), Answer::Cut]).await;
    let mut rig = rig(&server, "");
    rig.push("app", &["{\"n\":1}"]);
    let words = rig.finish().await;
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(words[0].starts_with("again: ") && words[2].starts_with("again: "), "{words:?}");
    assert_eq!(words[3], "delivered");
}

#[tokio::test]
async fn nobody_listening_is_tried_again() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut rig = Rig::new("http", &format!("host 127.0.0.1\nport {}", address.port()));
    rig.push("app", &["{}"]);
    let mut batches = rig.close();
    let ikada_plugin::Outcome::Retry { cause, after: None } = batches[0].delivery.attempt().await else {
        panic!("nobody is there");
    };
    let expected = format!("{address}: tcp connect error: Connection refused (os error 111)");
    assert_eq!(cause.to_string(), expected);
    batches[0].parts[0].share.deliver(1);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
    let server = Server::start([Answer::Silence]).await;
    let mut rig = rig(&server, "http.response_timeout 0.05");
    rig.push("app", &["{}"]);
    let words = rig.finish().await;
    assert_eq!(words[0], "again: no answer within 0.05 s");
    // A busy machine may be late again.
    assert_eq!(words.last().unwrap(), "delivered");
}

#[tokio::test]
async fn bodies_are_compressed_once_and_say_so() {
    let server = Server::start([status(500)]).await;
    let records: Vec<String> = (0..500).map(|n| format!("{{\"log\":\"line {n}\"}}")).collect();
    let records: Vec<_> = records.iter().map(String::as_str).collect();
    for compress in ["gzip", "zstd"] {
        let mut rig = rig(&server, &format!("format json_lines\njson_date_key false\ncompress {compress}"));
        rig.push("app", &records);
        assert_eq!(rig.finish().await.last().unwrap(), "delivered");
    }
    let seen = server.seen();
    let expected = records.join("\n") + "\n";
    let mut text = String::new();
    for attempt in &seen[..2] {
        assert_eq!(attempt.header("content-encoding"), Some("gzip"));
        assert!(attempt.body.len() < expected.len() / 3);
        text.clear();
        flate2::read::GzDecoder::new(&attempt.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
    assert_eq!(seen[2].header("content-encoding"), Some("zstd"));
    text.clear();
    zstd::stream::read::Decoder::new(&seen[2].body[..]).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn no_body_is_longer_than_a_megabyte_unless_one_record_is() {
    let server = Server::start([]).await;
    for (format, is_array) in [("json", true), ("json_lines", false)] {
        let before = server.seen().len();
        let mut rig = rig(&server, &format!("format {format}\njson_date_key false"));
        let long = format!("{{\"log\":\"{}\"}}", "x".repeat(1_200_000));
        let line = |n: usize| format!("{{\"n\":{n},\"log\":\"{}\"}}", "y".repeat(20_000 + 37 * n));
        let mut records: Vec<String> = (0..150).map(line).collect();
        records.insert(75, long);
        let all: Vec<_> = records.iter().map(String::as_str).collect();
        for some in all.chunks(40) {
            rig.push("app", some);
        }
        let words = rig.finish().await;
        assert!(words.iter().all(|word| word == "delivered"), "{words:?}");
        assert_eq!(rig.ledger.delivered(), 151);
        let bodies: Vec<_> = server.seen()[before..].iter().map(|seen| seen.text().to_owned()).collect();
        assert_eq!(bodies.iter().filter(|body| body.len() > 1_000_000).count(), 1);
        let lines = bodies.iter().flat_map(|body| match is_array {
            true => serde_json::from_str::<Vec<serde_json::Value>>(body).unwrap(),
            false => body.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        });
        let lines: Vec<_> = lines.map(|line| line.to_string()).collect();
        assert_eq!(lines, records, "{format}");
    }
}

#[tokio::test]
async fn a_body_waits_for_its_flush() {
    let server = Server::start([]).await;
    let mut rig = rig(&server, "");
    rig.push("app", &["{}"]);
    let due = rig.output.due().unwrap();
    assert!(rig.output.pop(due - std::time::Duration::from_millis(1)).is_none());
    assert!(rig.output.held() > 0);
    let batch = rig.output.pop(due).unwrap();
    assert_eq!((batch.entries, batch.lane, rig.output.due()), (1, None, None));
    batch.parts[0].share.deliver(1);
}

#[tokio::test]
async fn a_certificate_is_checked_for_its_host_unless_told_otherwise() {
    let server = Server::start_tls("logs.test").await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &server.ca_pem).unwrap();
    let other = dir.path().join("other.pem");
    std::fs::write(&other, Server::start_tls("logs.test").await.ca_pem).unwrap();
    let first = async |options: &str| {
        let mut rig = rig(&server, &format!("tls on\n{options}"));
        rig.push("app", &["{\"n\":1}"]);
        let mut batches = rig.close();
        let outcome = batches[0].delivery.attempt().await;
        batches[0].parts[0].share.deliver(1);
        match outcome {
            ikada_plugin::Outcome::Delivered => "delivered".to_owned(),
            ikada_plugin::Outcome::Retry { cause, .. } => cause.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let trusted = format!("tls.ca_file {}", ca.display());
    assert_eq!(first(&format!("{trusted}\ntls.vhost logs.test")).await, "delivered");
    let wrong_name = first(&trusted).await;
    assert!(wrong_name.contains("certificate not valid for name"), "{wrong_name}");
    let unknown = first(&format!("tls.ca_file {}\ntls.vhost logs.test", other.display())).await;
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    assert_eq!(first("tls.verify off").await, "delivered");
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[0].text(), "[{\"date\":1700000000.123457,\"n\":1}]");
}

#[tokio::test]
async fn gelf_is_an_object_a_line() {
    let server = Server::start([]).await;
    let mut rig = rig(&server, "format gelf\ngelf_short_message_key log");
    rig.push("app", &["{\"log\":\"a\",\"n\":1}", "{\"log\":\"b\"}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(
        String::from_utf8(seen.body).unwrap(),
        "{\"version\":\"1.1\",\"short_message\":\"a\",\"_n\":1,\"timestamp\":1700000000.123}\n\
         {\"version\":\"1.1\",\"short_message\":\"b\",\"timestamp\":1700000000.123}\n"
    );
}

#[tokio::test]
async fn snappy_is_raw() {
    let server = Server::start([]).await;
    let mut rig = rig(&server, "format json_lines\ncompress snappy");
    rig.push("app", &["{\"n\":2}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("content-encoding"), Some("snappy"));
    let text = snap::raw::Decoder::new().decompress_vec(&seen.body).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), format!("{TWO}\n"));
}

#[tokio::test]
async fn a_record_may_be_a_request_with_headers_of_its_own() {
    let server = Server::start([status(500)]).await;
    let mut rig = rig(&server, "body_key $b\nheaders_key $h\nheader X-All yes");
    rig.push(
        "app",
        &[
            "{\"b\":\"{\\\"body\\\":1}\",\"h\":{\"X-A\":\"1\",\"X-N\":5,\"Content-Length\":\"9\"}}",
            "{\"b\":7}",
            "{\"b\":\"plain\"}",
        ],
    );
    let words = rig.finish().await;
    assert_eq!(words[1..], ["delivered", "delivered"], "{words:?}");
    assert_eq!(rig.ledger.dropped(ikada_record::DropReason::Empty), 1);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!((&seen[1].body[..], seen[1].header("x-a")), (&b"{\"body\":1}"[..], Some("1")));
    assert_eq!((seen[1].header("x-n"), seen[1].header("x-all")), (None, Some("yes")));
    assert_eq!((&seen[2].body[..], seen[2].header("content-type")), (&b"plain"[..], None));
}

#[tokio::test]
async fn a_proxy_without_tls_gets_the_whole_url_and_who_asks() {
    let proxy = Server::start([]).await;
    let options = format!("host logs.example\nuri /v1?a=b\nproxy http://me:pw@{}", proxy.address);
    let mut rig = Rig::new("http", &options);
    rig.push("app", &["{\"n\":1}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let seen = &proxy.seen()[0];
    assert_eq!(seen.uri, "http://logs.example:80/v1?a=b");
    assert_eq!(
        (seen.header("host"), seen.header("proxy-authorization")),
        (Some("logs.example"), Some("Basic bWU6cHc="))
    );
}

#[tokio::test]
async fn over_tls_a_proxy_is_asked_for_a_tunnel() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
    let server = Server::start_tls("logs.example").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = format!(
        "host logs.example\ntls on\ntls.verify off\nproxy http://me:pw@{}",
        listener.local_addr().unwrap()
    );
    let address = server.address;
    let proxy = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut client = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            client.read_line(&mut head).await.unwrap();
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await.ok() });
        head
    });
    let mut rig = Rig::new("http", &options);
    rig.push("app", &["{\"n\":1}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let head = proxy.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("connect logs.example:443 http/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: basic bwu6chc="), "{head}");
    assert_eq!((server.seen()[0].uri.as_str(), server.seen()[0].header("proxy-authorization")), ("/", None));
}
