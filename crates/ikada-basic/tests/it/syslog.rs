//! `syslog` over every kind of socket (reference, inputs §4.5), and where Ikada does better.

use std::path::Path;

use ikada_basic::syslog::Syslog;
use ikada_msgpack::View;
use ikada_plugin::{Input, Kind};
use ikada_record::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio::time::timeout;

use crate::rig::{NEVER, Running, Section, Watcher, context, input, run};

const NEW: &str = "<34>1 2024-10-11T22:14:15.003Z host app 111 ID47 - it works";
const OLD: &str = "<13>Oct 11 22:14:15 host app[42]: it works";

async fn start(options: &str) -> (Running, Option<std::net::SocketAddr>) {
    let mut section = Section::new(Kind::Input, "syslog", options.trim_end());
    let built = Syslog::build(&mut section.bag, &section.cx, &mut section.found);
    let mut syslog =
        built.unwrap_or_else(|| panic!("{:?}", section.found.lines(&section.sources).collect::<Vec<_>>()));
    let (cx, router) = context("syslog", 10);
    syslog.open(&cx).await.unwrap();
    let address = syslog.local_addr();
    (run(Box::new(syslog), cx, router), address)
}

async fn over_tcp(options: &str, bytes: &str) -> std::sync::Arc<Watcher> {
    let (running, address) = start(&format!("mode tcp\nlisten 127.0.0.1\nport 0\n{options}")).await;
    let mut socket = TcpStream::connect(address.unwrap()).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    drop(timeout(NEVER, socket.read_to_end(&mut Vec::new())).await.expect("an end"));
    running.finish().await
}

fn time(router: &Watcher) -> Timestamp {
    router.seen()[0].chunk.entries().next().unwrap().time()
}

#[tokio::test]
async fn messages_of_both_rfcs_are_read_without_a_word_about_parsers() {
    let router = over_tcp("", &format!("{NEW}\n{OLD}\r\n")).await;
    let records = router.records();
    assert!(
        records[0].contains("\"pri\":\"34\"") && records[0].contains("\"message\":\"it works\""),
        "{}",
        records[0]
    );
    assert!(
        records[0].contains("\"ident\":\"app\"") && records[0].contains("\"msgid\":\"ID47\""),
        "{}",
        records[0]
    );
    assert!(
        records[1].contains("\"pri\":\"13\"") && records[1].contains("\"message\":\"it works\""),
        "{}",
        records[1]
    );
    assert_eq!(time(&router), Timestamp::new(1_728_684_855, 3_000_000));
}

#[tokio::test]
async fn a_message_without_an_end_is_a_record_and_one_that_fits_nothing_keeps_its_text() {
    let router = over_tcp("parser syslog-rfc5424", &format!("odd\n\n{NEW}")).await;
    let records = router.records();
    assert_eq!(records[0], "{\"log\":\"odd\"}");
    assert!(records[1].contains("\"host\":\"host\""), "{records:?}");
    assert_eq!(records.len(), 2);
}

#[tokio::test]
async fn messages_may_be_preceded_by_their_length() {
    let two = format!("{} {NEW}{} <34>1 - - - - - - a b\n", NEW.len(), "<34>1 - - - - - - a b".len());
    let records = over_tcp("format octet_counting", &two).await.records();
    assert_eq!(records.len(), 2);
    assert!(records[1].contains("\"a b\""), "{records:?}");
}

#[tokio::test]
async fn the_message_as_it_came_and_its_sender_are_added_where_that_is_asked_for() {
    let router = over_tcp("raw_message_key raw\nsource_address_key from", NEW).await;
    let chunk = &router.seen()[0].chunk;
    let record = chunk.entries().next().unwrap().record();
    assert_eq!(record.get(b"raw"), Some(View::Bin(NEW.as_bytes())));
    assert!(record.get(b"from").unwrap().as_str().unwrap().starts_with(b"tcp://127.0.0.1:"));
}

#[tokio::test]
async fn a_message_that_is_too_long_closes_its_connection_and_is_counted() {
    let (running, address) = start("mode tcp\nlisten 127.0.0.1\nport 0\nbuffer_chunk_size 100").await;
    let mut socket = TcpStream::connect(address.unwrap()).await.unwrap();
    socket.write_all(format!("{NEW}\n{}", "x".repeat(200)).as_bytes()).await.unwrap();
    drop(timeout(NEVER, socket.read_to_end(&mut Vec::new())).await.expect("an end"));
    let metrics = running.metrics.clone();
    assert_eq!(running.finish().await.records().len(), 1);
    assert_eq!((metrics.closed_connections.get(), metrics.malformed.get()), (1, 1));
}

#[tokio::test]
async fn a_datagram_is_a_message() {
    let (running, address) = start("mode udp\nlisten 127.0.0.1\nport 0\nreceive_buffer_size 1M\ntag t").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for message in [NEW, OLD, "<34>1 - - - - - - a b\n\0"] {
        socket.send_to(message.as_bytes(), address.unwrap()).await.unwrap();
    }
    let router = running.finish().await;
    assert_eq!(router.seen()[0].tag, "t");
    let records = router.records();
    assert_eq!(records.len(), 3);
    assert!(records[2].contains("\"a b\""), "{records:?}");
}

#[tokio::test]
async fn local_programs_write_to_a_socket_file_that_goes_with_the_input() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let local = "<13>Oct 11 22:14:15 app[42]: it works";
    // Left over from a run that was killed.
    drop(UnixDatagram::bind(&path).unwrap());
    for mode in ["unix_udp", "unix_tcp"] {
        let (running, _) = start(&format!("mode {mode}\npath {}\nunix_perm 0600", path.display())).await;
        assert_eq!(mode_of(&path), 0o600);
        match mode {
            "unix_udp" => {
                let socket = UnixDatagram::unbound().unwrap();
                socket.send_to(local.as_bytes(), &path).await.unwrap();
            }
            _ => {
                let mut socket = UnixStream::connect(&path).await.unwrap();
                socket.write_all(format!("{local}\n").as_bytes()).await.unwrap();
                socket.shutdown().await.unwrap();
            }
        }
        running.router.until(|router| router.records().len() == 1).await;
        let records = running.finish().await.records();
        assert!(
            records[0].contains("\"ident\":\"app\"") && records[0].contains("\"pid\":\"42\""),
            "{records:?}"
        );
        assert!(!path.exists());
    }
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_cannot_be_followed_is_refused_at_its_place() {
    let refused = |options| {
        let (built, lines) = input("syslog", options);
        assert!(built.is_none(), "{options}");
        lines.join("\n")
    };
    assert!(refused("mode unix_tcp").contains("error[missing-option]: the unix modes need a `path`"));
    assert!(refused("mode tcp\nparser syslog-rfc5425").contains("did you mean `syslog-rfc5424`"));
    assert!(refused("mode tcp\ntls on").contains("a server needs `tls.crt_file` and `tls.key_file`"));
    assert!(refused("mode udp\ntls on").contains("error[conflicting-options]"));
}
