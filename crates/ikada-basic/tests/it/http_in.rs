//! The `http` input over real connections (reference, inputs §4.4), and where Ikada does better.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ikada_basic::http_in::HttpIn;
use ikada_plugin::{Input, Kind};
use tokio::net::TcpStream;

use crate::rig::{Running, Section, context, input, run};

async fn start(options: &str) -> (Running, SocketAddr) {
    let options = format!("listen 127.0.0.1\nport 0\n{options}");
    let mut section = Section::new(Kind::Input, "http", options.trim_end());
    let mut http = HttpIn::build(&mut section.bag, &section.cx, &mut section.found).unwrap();
    let (cx, router) = context("http", 10);
    http.open(&cx).await.unwrap();
    let address = http.local_addr().unwrap();
    (run(Box::new(http), cx, router), address)
}

fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "x").header("content-type", content_type);
    request.body(Full::new(body.into())).unwrap()
}

/// Sends a request over a connection of its own; the answer's status and body.
async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> (u16, String) {
    let (status, body, _) = whole(send_raw(address, request).await).await;
    (status, body)
}

async fn send_raw(address: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn whole(response: Response<Incoming>) -> (u16, String, http::HeaderMap) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), head.headers)
}

#[tokio::test]
async fn json_lines_arrays_and_forms_are_taken_under_the_path() {
    let (running, address) = start("").await;
    let json = "application/json; charset=utf-8";
    assert_eq!(send(address, post("/app.log/x-y", json, "{\"a\":1}")).await, (201, String::new()));
    assert_eq!(send(address, post("/", json, "[{\"b\":1},{\"b\":2}]")).await.0, 201);
    assert_eq!(send(address, post("/l", "application/x-ndjson", "{\"c\":1}\n{\"c\":2}\n")).await.0, 201);
    assert_eq!(send(address, post("/f", "application/x-www-form-urlencoded", "k=v+w")).await.0, 201);
    let router = running.finish().await;
    let seen: Vec<_> = router.seen().into_iter().map(|seen| (seen.tag, seen.records.join(""))).collect();
    let wanted = [
        ("app.log_x_y", "{\"a\":1}"),
        ("http.0", "{\"b\":1}{\"b\":2}"),
        ("l", "{\"c\":1}{\"c\":2}"),
        ("f", "{\"k\":\"v w\"}"),
    ];
    assert_eq!(seen, wanted.map(|(tag, records)| (tag.to_owned(), records.to_owned())));
}

#[tokio::test]
async fn http2_is_spoken_with_clients_that_begin_with_it() {
    let (running, address) = start("").await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = post("http://x/t", "application/json", "{\"a\":1}");
        let response = sender.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (201, http::Version::HTTP_2));
    }
    drop(sender);
    assert_eq!(running.finish().await.records().len(), 3);
}

#[tokio::test]
async fn what_is_not_understood_is_refused_whole() {
    let (running, address) = start("buffer_max_size 1000").await;
    let json = "application/json";
    let refused = [
        (post("/", json, "{\"a\":1} nonsense"), 400, "not JSON"),
        (post("/", json, "[{\"a\":1},2]"), 400, "no object"),
        (post("/", json, ""), 400, "no payload"),
        (post("/", "text/plain", "x"), 400, "Content-Type"),
        (Request::get("/").header("host", "x").body(Full::default()).unwrap(), 400, "method"),
        (Request::get("/health").header("host", "x").body(Full::default()).unwrap(), 400, "method"),
        (Request::post("/").header("host", "x").body(Full::from("{}")).unwrap(), 400, "Content-Type"),
        (post("/", json, " ".repeat(1001)), 413, "larger than 1000 bytes"),
    ];
    let count = refused.len() as u64;
    for (request, status, text) in refused {
        let (got, body) = send(address, request).await;
        assert!(got == status && body.contains(text), "{text}: {got} {body}");
    }
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&[b' '; 2000]).unwrap();
    let mut request = post("/", json, bomb.finish().unwrap());
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(address, request).await.0, 413);
    let metrics = running.metrics.clone();
    assert_eq!(running.finish().await.records(), Vec::<String>::new());
    assert_eq!(metrics.malformed.get(), count + 1);
}

#[tokio::test]
async fn packed_bodies_tag_keys_addresses_and_answers_are_as_configured() {
    let (running, address) = start(
        "tag_key $app['name']\nsuccessful_response_code 204\nsuccess_header X-Taken yes\nadd_remote_addr on\n\
         remote_addr_key from\nenable_health_endpoint on\ntag own",
    )
    .await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"app\":{\"name\":\"web\"}}{\"b\":2}").unwrap();
    let mut request = post("/", "application/json", packed.finish().unwrap());
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "10.1.2.3, 10.9.9.9".parse().unwrap());
    let (status, _, headers) = whole(send_raw(address, request).await).await;
    assert_eq!((status, headers["x-taken"].to_str().unwrap()), (204, "yes"));
    assert_eq!(send(address, post("/", "application/json", "{\"c\":3}")).await.0, 204);
    let health = Request::get("/health").header("host", "x").body(Full::default()).unwrap();
    assert_eq!(send(address, health).await, (200, "ok\n".to_owned()));
    let router = running.finish().await;
    let seen: Vec<_> =
        router.seen().into_iter().map(|seen| format!("{} {}", seen.tag, seen.records.join(""))).collect();
    assert_eq!(
        seen,
        [
            "web {\"app\":{\"name\":\"web\"},\"from\":\"10.1.2.3\"}",
            "own {\"b\":2,\"from\":\"10.1.2.3\"}",
            "own {\"c\":3,\"from\":\"127.0.0.1\"}",
        ]
    );
}

#[tokio::test]
async fn a_stop_lets_idle_clients_go_at_once() {
    let (running, address) = start("").await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    sender.send_request(post("/", "application/json", "{}")).await.unwrap();
    assert_eq!(running.finish().await.records().len(), 1);
    connection.await.unwrap().unwrap();
}

#[test]
fn what_cannot_be_followed_is_refused_at_its_place() {
    let refused = |options| {
        let (built, lines) = input("http", options);
        assert!(built.is_none(), "{options}");
        lines.join("\n")
    };
    assert!(refused("successful_response_code 418").starts_with("a.conf:1:26: error[bad-value]"));
    assert!(refused("success_header alone").contains("is not a header's name"));
    assert!(refused("tag_key $a[").starts_with("a.conf:1:9: error[bad-value]"));
}
