//! Lines that come in pieces, as Docker cuts them.

use std::time::Duration;

use ikada_forward::client::{FrameOption, encode_message};
use ikada_forward::{JoinRule, Settings};
use ikada_msgpack::{MapView, write};
use ikada_record::Timestamp;

use crate::harness::{message, start};

/// A piece as the driver sends it.
fn piece(ordinal: u32, last: bool, text: &str) -> Vec<u8> {
    let ordinal = ordinal.to_string();
    let fields = [
        ("log", text),
        ("partial_last", if last { "true" } else { "false" }),
        ("partial_id", "f00d"),
        ("container_id", "c0ffee"),
        ("partial_ordinal", ordinal.as_str()),
        ("partial_message", "true"),
    ];
    let mut record = Vec::new();
    write::map_header(&mut record, fields.len());
    for (key, value) in fields {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

fn log(record: &[u8]) -> Vec<u8> {
    MapView::known(record).get(b"log").unwrap().as_str().unwrap().to_vec()
}

fn frame(ordinal: u32, last: bool, text: &str, token: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let option = FrameOption { chunk: token.map(str::as_bytes), ..FrameOption::default() };
    encode_message(
        &mut out,
        b"t",
        Timestamp::new(i64::from(ordinal), 0),
        &piece(ordinal, last, text),
        &option,
    );
    out
}

#[tokio::test]
async fn pieces_arrive_as_one_record_that_counts_as_one() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    let text = |n: u32| char::from(b'a' + n as u8).to_string().repeat(16 * 1024);
    for n in 1..=24 {
        client.send(&frame(n, false, &text(n), None)).await;
        client.send(&message("t", "between", None)).await;
    }
    client.send(&frame(25, true, "end", None)).await;
    running.router.until_seen(25).await;
    let seen = running.router.seen();
    let whole = seen.iter().find(|seen| log(&seen.record) != b"between").unwrap();
    let wanted: String = (1..=24).map(text).collect();
    assert!(log(&whole.record) == (wanted + "end").into_bytes());
    assert_eq!(whole.time, Timestamp::new(1, 0));
    let keys: Vec<_> =
        MapView::known(&whole.record).iter().map(|(key, _)| key.as_str().unwrap().to_vec()).collect();
    assert_eq!(keys, [&b"container_id"[..], b"log"]);
    assert_eq!(running.metrics.records.get(), 25);
    running.finish().await;
}

#[tokio::test]
async fn without_its_last_piece_a_line_arrives_in_marked_pieces_after_a_while() {
    let join = JoinRule { patience: Duration::from_millis(100), ..JoinRule::default() };
    let running = start(Settings { join: Some(join), ..Settings::default() }, false).await;
    let mut client = running.client().await;
    client.send(&[frame(1, false, "a", None), frame(2, false, "b", None)].concat()).await;
    running.router.until_seen(2).await;
    let records: Vec<_> = running.router.seen().into_iter().map(|seen| seen.record).collect();
    assert_eq!(records, [piece(1, false, "a"), piece(2, false, "b")]);
    assert_eq!(running.metrics.records.get(), 2);
    running.finish().await;
}

#[tokio::test]
async fn a_stop_or_the_end_of_the_connection_lets_unfinished_lines_go() {
    for ends_by_itself in [true, false] {
        let running = start(Settings::default(), false).await;
        let mut client = running.client().await;
        client.send(&[message("t", "before", None), frame(1, false, "a", None)].concat()).await;
        running.router.until_seen(1).await;
        let router = running.router.clone();
        if ends_by_itself {
            drop(client);
            router.until_seen(2).await;
            running.finish().await;
        } else {
            running.finish().await;
        }
        assert_eq!(router.seen()[1].record, piece(1, false, "a"));
    }
}

#[tokio::test]
async fn a_piece_that_asks_for_an_answer_is_answered_before_the_next_one_comes() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    for n in 1..=3 {
        client.send(&frame(n, n == 3, "x", Some(&n.to_string()))).await;
        assert_eq!(client.answer().await, Some(n.to_string()));
    }
    assert_eq!(running.router.seen().len(), 3);
    running.finish().await;
}

#[tokio::test]
async fn pieces_stay_pieces_where_the_option_is_off() {
    let running = start(Settings { join: None, ..Settings::default() }, false).await;
    let mut client = running.client().await;
    client.send(&[frame(1, false, "a", None), frame(2, true, "b", None)].concat()).await;
    running.router.until_seen(2).await;
    assert_eq!(running.router.seen()[1].record, piece(2, true, "b"));
    running.finish().await;
}
