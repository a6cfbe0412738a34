//! Inputs beside the main ones, and the output `http` with a signature, in the program as it is run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use ikada_tests::{Router, free_port, wait_for};

fn lines(router: &Router, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(router.dir().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn records_come_in_over_syslog_http_and_udp_and_from_commands() {
    let (syslog, http, udp) = (free_port(), free_port(), free_port());
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n\
         [INPUT]\n    Name syslog\n    Tag syslog\n    Mode tcp\n    Listen 127.0.0.1\n    Port {syslog}\n\
         [INPUT]\n    Name http\n    Listen 127.0.0.1\n    Port {http}\n\
         [INPUT]\n    Name udp\n    Tag udp\n    Listen 127.0.0.1\n    Port {udp}\n\
         [INPUT]\n    Name exec\n    Tag exec\n    Command echo hello\n    Oneshot on\n\
         [INPUT]\n    Name mem\n    Tag mem\n\
         [OUTPUT]\n    Name file\n    Match *\n    Format plain\n    Path {{dir}}\n\
         [OUTPUT]\n    Name counter\n    Match exec\n"
    ));
    let mut socket = TcpStream::connect(("127.0.0.1", syslog)).unwrap();
    socket.write_all(b"<34>1 2024-10-11T22:14:15.003Z host app 111 ID47 - it works\n").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"{\"a\":1}", ("127.0.0.1", udp)).unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", http)).unwrap();
    let body = "{\"n\":1}\n{\"n\":2}\n";
    let head = "POST /web HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n";
    client.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");

    for (file, count) in [("syslog", 1), ("udp", 1), ("web", 2), ("exec", 1), ("mem", 1)] {
        wait_for(file, || lines(&router, file).len() >= count);
    }
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    assert_eq!(lines(&router, "web"), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(
        (lines(&router, "udp"), lines(&router, "exec")),
        (vec!["{\"a\":1}".into()], vec!["{\"exec\":\"hello\"}".into()])
    );
    assert!(lines(&router, "syslog")[0].contains("\"message\":\"it works\""));
    assert!(
        router.stdout().contains("\"serialized_events\":1,\"log_records\":1,\"total\":1}"),
        "{}",
        router.stdout()
    );
}

#[test]
fn a_command_that_is_to_be_the_last_ends_the_program() {
    let mut router = Router::spawn(
        std::sync::Arc::new(tempfile::tempdir().unwrap()),
        "[INPUT]\n    Name exec\n    Command seq 1000\n    Exit_After_Oneshot on\n[OUTPUT]\n    Name file\n    Match *\n    \
         Format template\n    Template {exec}\n    Path {dir}\n    File out\n",
        &[],
    );
    assert_eq!(router.wait().code(), Some(0), "{}", router.log());
    let wanted: Vec<String> = (1..=1000).map(|n: u32| n.to_string()).collect();
    assert_eq!(lines(&router, "out"), wanted);
}

#[test]
fn requests_are_signed_with_the_credentials_of_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut buf = [0; 4096];
        while !seen.ends_with(b"}]") {
            let len = socket.read(&mut buf).unwrap();
            seen.extend_from_slice(&buf[..len]);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(seen).unwrap()
    });
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name dummy\n    Samples 1\n[OUTPUT]\n    Name http\n    Match *\n    Port {port}\n    \
         aws_auth on\n    aws_service es\n    aws_region ap-northeast-1\n"
    ));
    let request = server.join().unwrap().to_ascii_lowercase();
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    assert!(request.contains("authorization: aws4-hmac-sha256 credential=akidexample/"), "{request}");
    assert!(request.contains("/ap-northeast-1/es/aws4_request, signedheaders="), "{request}");
    assert!(request.contains("x-amz-date: 20"), "{request}");
}
