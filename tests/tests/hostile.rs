//! Bytes that are no frames: the connection is closed with one line and a count, and its neighbours go on.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ikada_msgpack::write;
use ikada_tests::{Router, Writer, docker_record, free_port, get, wait_for};

const TAG: &str = "app-firelens-0123";

fn router(port: u16) -> Router {
    Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n    HTTP_Server On\n    HTTP_Listen 127.0.0.1\n    HTTP_Port {port}\n\
         [INPUT]\n    Name forward\n    unix_path {{dir}}/fluent.sock\n\
         [OUTPUT]\n    Name file\n    Match *\n    Path {{dir}}\n    File out\n    Format plain\n"
    ))
}

/// A counter of the only input, as the metrics endpoint tells it.
fn malformed(port: u16) -> u64 {
    let text = get(port, "/api/v1/metrics/prometheus");
    let line = text.lines().find(|line| line.starts_with("fluentbit_input_malformed_total{"));
    line.and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap()
}

fn gzip_bomb() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..200 {
        gzip.write_all(&zeros).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    let mut frame = Vec::new();
    write::array_header(&mut frame, 3);
    write::str(&mut frame, TAG.as_bytes());
    write::bin(&mut frame, &bomb);
    write::map_header(&mut frame, 1);
    write::str(&mut frame, b"compressed");
    write::str(&mut frame, b"gzip");
    frame
}

fn deep() -> Vec<u8> {
    let mut frame = Vec::new();
    write::array_header(&mut frame, 3);
    write::str(&mut frame, TAG.as_bytes());
    write::uint(&mut frame, 5);
    frame.extend_from_slice(b"\x81\xa1k");
    frame.resize(frame.len() + 100_000, 0x91);
    frame
}

#[test]
fn hostile_connections_are_closed_and_their_neighbours_go_on() {
    let port = free_port();
    let router = router(port);
    let mut neighbour = Writer::connect(&router.socket(), TAG, "good");
    let four_gigabytes = b"\x93\xa3tag\xdb\xff\xff\xff\xff".to_vec();
    let attacks = [
        ("garbage", vec![0xc1; 4096]),
        ("a value that is no frame", b"{\"log\":\"x\"}\n".to_vec()),
        ("a length of 4 GB", four_gigabytes),
        ("deep nesting", deep()),
        ("a gzip bomb", gzip_bomb()),
    ];
    for (n, (what, bytes)) in attacks.iter().enumerate() {
        let mut attacker = Writer::connect(&router.socket(), TAG, "bad");
        // The router may close while it is still being written to.
        drop(attacker.write_raw(bytes));
        attacker.wait_closed();
        wait_for(what, || malformed(port) > n as u64);
        neighbour.write(10);
    }
    let out = router.dir().join("out");
    let arrived = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    wait_for("the neighbour's records", || arrived() == 50);
    let complaints = router.log().lines().filter(|line| line.contains(" warn]")).count();
    assert!((1..=attacks.len()).contains(&complaints), "{}", router.log());
}

#[test]
fn half_a_frame_and_a_new_connection_harm_nobody() {
    let port = free_port();
    let router = router(port);
    let mut frame = Vec::new();
    write::array_header(&mut frame, 3);
    write::str(&mut frame, TAG.as_bytes());
    write::uint(&mut frame, 5);
    frame.extend_from_slice(&docker_record("whole"));
    for cut in [1, 5, frame.len() / 2, frame.len() - 1] {
        let mut first = Writer::connect(&router.socket(), TAG, "a");
        first.write_raw(&frame[..cut]).unwrap();
        drop(first);
        let mut again = Writer::connect(&router.socket(), TAG, "a");
        again.write_raw(&frame).unwrap();
    }
    let out = router.dir().join("out");
    wait_for("four whole records", || {
        std::fs::read_to_string(&out).is_ok_and(|text| text.matches("\"log\":\"whole\"").count() == 4)
    });
    assert_eq!(malformed(port), 0);
}
