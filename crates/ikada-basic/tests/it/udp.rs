//! `udp` with real datagrams (reference, inputs §4.2), and where Ikada does better.

use std::net::SocketAddr;

use ikada_basic::udp::Udp;
use ikada_plugin::{Input, Kind};
use tokio::net::UdpSocket;

use crate::rig::{Running, Section, context, run};

async fn start(options: &str) -> (Running, SocketAddr) {
    let options = format!("listen 127.0.0.1\nport 0\n{options}");
    let mut section = Section::new(Kind::Input, "udp", options.trim_end());
    let mut udp = Udp::build(&mut section.bag, &section.cx, &mut section.found).unwrap();
    let (cx, router) = context("udp", 10);
    udp.open(&cx).await.unwrap();
    let address = udp.local_addr().unwrap();
    (run(Box::new(udp), cx, router), address)
}

async fn sent(options: &str, datagrams: &[&str]) -> (Vec<String>, u64) {
    let (running, address) = start(options).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in datagrams {
        socket.send_to(datagram.as_bytes(), address).await.unwrap();
    }
    let metrics = running.metrics.clone();
    // What lies in the socket at the stop is read.
    (running.finish().await.records(), metrics.malformed.get())
}

#[tokio::test]
async fn each_datagram_is_whole_by_itself() {
    let (records, malformed) = sent("", &["{\"a\":1}{\"b\":2}\n", "{\"c\":", "3}", "[1]"]).await;
    assert_eq!(records, ["{\"a\":1}", "{\"b\":2}", "{\"msg\":[1]}"]);
    assert_eq!(malformed, 3, "half a value, a number, and a brace");
}

#[tokio::test]
async fn the_last_line_of_a_datagram_needs_no_separator() {
    let (records, _) = sent("format none", &["one\ntwo", "three", "", "four\n"]).await;
    assert_eq!(
        records,
        ["{\"log\":\"one\"}", "{\"log\":\"two\"}", "{\"log\":\"three\"}", "{\"log\":\"four\"}"]
    );
}

#[tokio::test]
async fn the_sender_s_address_is_added_where_it_is_asked_for() {
    let (records, _) = sent("source_address_key from\nparser logfmt", &["a=1"]).await;
    let [record] = &records[..] else { panic!("{records:?}") };
    assert!(record.starts_with("{\"a\":\"1\",\"from\":\"udp://127.0.0.1:"), "{record}");
}

#[tokio::test]
async fn a_burst_of_datagrams_comes_through() {
    let (running, address) = start("format none").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..2000 {
        socket.send_to(format!("line {n}").as_bytes(), address).await.unwrap();
        if n % 50 == 49 {
            running.router.until(|router| router.records().len() == n + 1).await;
        }
    }
    assert_eq!(running.finish().await.records().len(), 2000);
}
