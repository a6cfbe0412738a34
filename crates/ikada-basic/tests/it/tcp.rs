//! `tcp` over real connections: the table of the reference (inputs §4.1), and where Ikada does better.

use std::net::SocketAddr;

use ikada_basic::tcp::Tcp;
use ikada_plugin::{Input, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{NEVER, Running, Section, context, run};

/// The input of these options, running on a port of its own; the flush comes every 10 ms.
async fn start(options: &str) -> (Running, SocketAddr) {
    let options = format!("listen 127.0.0.1\nport 0\n{options}");
    let mut section = Section::new(Kind::Input, "tcp", options.trim_end());
    let mut tcp = Tcp::build(&mut section.bag, &section.cx, &mut section.found).unwrap();
    let (cx, router) = context("tcp", 10);
    tcp.open(&cx).await.unwrap();
    let address = tcp.local_addr().unwrap();
    (run(Box::new(tcp), cx, router), address)
}

/// Sends bytes over one connection and closes it.
async fn send(address: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    closed(&mut socket).await;
}

/// Waits until the other side has closed the connection.
async fn closed(socket: &mut TcpStream) {
    let mut answer = Vec::new();
    // A connection that is closed with bytes unread ends with an error.
    drop(timeout(NEVER, socket.read_to_end(&mut answer)).await.expect("an end"));
    assert_eq!(answer, b"");
}

/// What comes of bytes that a client sends before it closes the connection, and how much of it was malformed.
async fn sent(options: &str, bytes: &str) -> (Vec<String>, u64) {
    let (running, address) = start(options).await;
    send(address, bytes.as_bytes()).await;
    let metrics = running.metrics.clone();
    (running.finish().await.records(), metrics.malformed.get())
}

#[tokio::test]
async fn the_agent_s_health_check_is_one_record() {
    let (records, malformed) = sent("tag health", "{\"health\":\"check\"}").await;
    assert_eq!((records, malformed), (vec!["{\"health\":\"check\"}".to_owned()], 0));
}

#[tokio::test]
async fn separators_between_json_are_optional() {
    let (records, malformed) = sent("", "{\"a\":1}\n{\"b\":2}{\"c\":3}").await;
    assert_eq!((records, malformed), (["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"].map(str::to_owned).into(), 0));
}

#[tokio::test]
async fn json_may_come_in_pieces_and_what_is_whole_does_not_wait() {
    let (running, address) = start("tag app").await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(b"{\"a\":1}{\"b\":").await.unwrap();
    running.router.until(|router| router.records() == ["{\"a\":1}"]).await;
    socket.write_all(b"2}").await.unwrap();
    running.router.until(|router| router.records() == ["{\"a\":1}", "{\"b\":2}"]).await;
    assert!(running.router.seen().iter().all(|seen| seen.tag == "app"));
    drop(socket);
    running.finish().await;
}

#[tokio::test]
async fn an_array_becomes_a_record_and_a_number_none() {
    assert_eq!(sent("", "[1,{\"x\":2}]").await, (vec!["{\"msg\":[1,{\"x\":2}]}".to_owned()], 0));
    assert_eq!(sent("", "5\n{\"a\":1}").await, (vec!["{\"a\":1}".to_owned()], 1));
}

#[tokio::test]
async fn a_garbage_line_costs_only_itself() {
    let (records, malformed) = sent("", "{\"a\":1}\nnot json\n{\"b\":2}\n").await;
    assert_eq!((records, malformed), (vec!["{\"a\":1}".to_owned(), "{\"b\":2}".to_owned()], 1));
}

#[tokio::test]
async fn half_a_value_at_the_end_is_counted() {
    assert_eq!(sent("", "{\"a\":1}{\"b\":").await, (vec!["{\"a\":1}".to_owned()], 1));
}

#[tokio::test]
async fn a_long_value_needs_a_larger_chunk_size() {
    let value = format!("{{\"log\":\"{}\"}}", "x".repeat(40_000));
    for options in ["chunk_size 64", "buffer_size 64"] {
        assert_eq!(sent(options, &value).await, (vec![value.clone()], 0), "{options}");
    }
    let (running, address) = start("").await;
    let mut other = TcpStream::connect(address).await.unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    drop(socket.write_all(value.as_bytes()).await);
    closed(&mut socket).await;
    assert_eq!((running.metrics.malformed.get(), running.metrics.closed_connections.get()), (1, 1));
    // The neighbour goes on.
    other.write_all(b"{\"a\":1}").await.unwrap();
    running.router.until(|router| router.records() == ["{\"a\":1}"]).await;
    drop(other);
    running.finish().await;
}

#[tokio::test]
async fn lines_are_records_and_the_last_needs_no_end() {
    let (records, _) = sent("format none", "l1\nl2\r\n\n日本\nno newline").await;
    assert_eq!(
        records,
        ["{\"log\":\"l1\"}", "{\"log\":\"l2\\r\"}", "{\"log\":\"日本\"}", "{\"log\":\"no newline\"}"]
    );
}

#[tokio::test]
async fn a_separator_may_have_several_characters() {
    let (records, _) = sent("format none\nseparator \\r\\n", "a\r\nb\nc\r\n").await;
    assert_eq!(records, ["{\"log\":\"a\"}", "{\"log\":\"b\\nc\"}"]);
}

#[tokio::test]
async fn what_came_before_a_long_line_counts() {
    let (running, address) = start("format none\nchunk_size 1").await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let text = format!("one\n{}\nthree\n", "2".repeat(1025));
    drop(socket.write_all(text.as_bytes()).await);
    closed(&mut socket).await;
    assert_eq!(running.finish().await.records(), ["{\"log\":\"one\"}"]);
}

#[tokio::test]
async fn a_line_that_does_not_end_closes_its_connection() {
    let (running, address) = start("format none").await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    drop(socket.write_all(&vec![b'x'; 100_000]).await);
    closed(&mut socket).await;
    assert_eq!(running.metrics.closed_connections.get(), 1);
    assert_eq!(running.finish().await.records(), Vec::<String>::new());
}

#[tokio::test]
async fn the_client_s_address_is_added_where_it_is_asked_for() {
    for (options, sent, expected) in [
        ("source_address_key from", "{\"a\":1}", "{\"a\":1,\"from\":\"tcp://"),
        ("source_address_key from", "[1]", "{\"msg\":[1],\"from\":\"tcp://"),
        ("source_address_key from\nformat none", "line", "{\"log\":\"line\",\"from\":\"tcp://"),
    ] {
        let (running, address) = start(options).await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        let own = socket.local_addr().unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        closed(&mut socket).await;
        assert_eq!(running.finish().await.records(), [format!("{expected}{own}\"}}")]);
    }
}

#[tokio::test]
async fn a_stop_takes_what_has_already_come() {
    let (running, address) = start("format none").await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"first\n").await.unwrap();
    running.router.until(|router| router.records().len() == 1).await;
    socket.write_all(&b"line\n".repeat(20_000)).await.unwrap();
    // The client stays: the input ends all the same.
    assert_eq!(running.finish().await.records().len(), 20_001);
    drop(socket);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_by_its_address() {
    let (running, address) = start("").await;
    let options = format!("listen 127.0.0.1\nport {}", address.port());
    let mut section = Section::new(Kind::Input, "tcp", &options);
    let mut second = Tcp::build(&mut section.bag, &section.cx, &mut section.found).unwrap();
    let (cx, _) = context("tcp", 10);
    let error = second.open(&cx).await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not listen on {address}"));
    running.finish().await;
}

#[tokio::test]
async fn a_parser_reads_each_line_and_what_it_cannot_read_is_kept() {
    let (records, _) = sent("parser json", "{\"a\":1}\nno json\n").await;
    assert_eq!(records, ["{\"a\":1}", "{\"log\":\"no json\"}"]);
    let (records, _) = sent("parser json\nsource_address_key from", "{\"a\":1}").await;
    assert!(records[0].starts_with("{\"a\":1,\"from\":\"tcp://127.0.0.1:"), "{records:?}");
}

#[tokio::test]
async fn connections_may_be_encrypted() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("crt.pem"), dir.path().join("key.pem"));
    std::fs::write(&chain, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let options = format!("tls on\ntls.crt_file {}\ntls.key_file {}", chain.display(), key.display());
    let (running, address) = start(&options).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let plain = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut socket = connector.connect(name, plain).await.unwrap();
    socket.write_all(b"{\"a\":1}").await.unwrap();
    socket.shutdown().await.unwrap();
    running.router.until(|router| router.records().len() == 1).await;

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"{\"plain\":1}\n").await.unwrap();
    drop(timeout(NEVER, plain.read_to_end(&mut Vec::new())).await.expect("an end"));
    assert_eq!(running.metrics.closed_connections.get(), 1);
    assert_eq!(running.finish().await.records(), ["{\"a\":1}"]);
}
