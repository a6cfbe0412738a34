//! The frames of the reference, replayed, and frames in all kinds of pieces.

use std::collections::BTreeMap;

use ikada_forward::client::{FrameOption, encode_compressed, encode_packed};
use ikada_forward::{Compression, Settings, TagRule};
use ikada_msgpack::View;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Running, Seen, message, run_of, start};

/// Frames where Ikada differs on purpose, and why. `docs/compatibility.md` tells it to users.
const DIFFERENCES: &[(&str, &str)] = &[
    ("fwd-message-empty-tag", "kept under its empty tag, where Fluent Bit loses it"),
    ("fwd-packed-nil-option", "accepted, as in the other modes"),
    ("fwd-packed-truncated-stream", "not answered, because an entry was lost"),
    ("fwd-packed-garbage", "not answered, because everything was lost"),
    ("fwd-packed-scalar-stream", "not answered, because everything was lost"),
    ("fwd-packed-bad-mid", "ends at the junk, and is not answered"),
    ("fwd-gzip-no-option", "told by its first bytes with or without an option map"),
    ("fwd-gzip-corrupt", "its checksum is checked"),
    ("fwd-gzip-not-gzip", "not answered, because nothing was stored"),
];

/// What Ikada does with those frames: replies, whether it closes, entries stored.
fn own(id: &str) -> Option<Value> {
    let p = |n| json!(["app.p", "1757573178.182000000", {}, {"log": format!("m{n}")}]);
    let g = |n| json!(["app.g", "1757573178.182000000", {}, {"log": format!("m{n}")}]);
    Some(match id {
        "fwd-message-empty-tag" => {
            json!({"reply": [], "closed": false, "records": [["", "1757573178.000000000", {}, {"log": "m"}]]})
        }
        "fwd-packed-nil-option" => json!({"reply": [], "closed": false, "records": [p(0), p(1), p(2)]}),
        "fwd-packed-truncated-stream" => json!({"reply": [], "closed": true, "records": [p(0), p(1)]}),
        "fwd-packed-garbage" | "fwd-packed-scalar-stream" | "fwd-gzip-corrupt" | "fwd-gzip-not-gzip" => {
            json!({"reply": [], "closed": true, "records": []})
        }
        "fwd-packed-bad-mid" => json!({"reply": [], "closed": true, "records": [p(1)]}),
        "fwd-gzip-no-option" => json!({"reply": [], "closed": false, "records": [g(0), g(1), g(2)]}),
        _ => return None,
    })
}

#[tokio::test]
async fn every_measured_frame_does_what_the_reference_says_or_better() {
    let cases = include_str!("../cases/forward-frames.jsonl");
    let mut failures = Vec::new();
    let mut differing = Vec::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let measured =
            json!({"reply": case["reply"], "closed": case["closed"], "records": sorted(&case["records"])});
        let expected = own(id).unwrap_or_else(|| measured.clone());
        if expected != measured {
            differing.push(id.to_owned());
        }
        let got = replay(&hex(case["frame_hex"].as_str().unwrap())).await;
        if got != expected {
            failures.push(format!("{id}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let listed: Vec<_> = DIFFERENCES.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(differing, listed, "each difference is listed with its reason");
}

/// What a Fluent Bit sends that groups its records: marks before and behind them, which are no records.
#[tokio::test]
async fn the_marks_of_groups_are_no_records() {
    let entry = |time: u32, head: &[u8], record: &[u8]| {
        [b"\x92\x92\xd7\x00", &time.to_be_bytes()[..], &[0; 4], head, record].concat()
    };
    let group = |padding: usize| {
        let text = "x".repeat(padding);
        let record = rmp_serde::to_vec(&json!({"i": text})).unwrap();
        [
            entry(u32::MAX, b"\x81\xa1m\xa1v", b"\x81\xa1g\x01"),
            entry(1_757_573_178, b"\x80", &record),
            entry(u32::MAX - 1, b"\x80", b"\x80"),
        ]
        .concat()
    };
    for padding in [0, 1_000_000] {
        let run = group(padding);
        let mut packed = b"\x92\xa1t\xc6".to_vec();
        packed.extend_from_slice(&(run.len() as u32).to_be_bytes());
        packed.extend_from_slice(&run);
        let forward = [b"\x92\xa1t\x93", &run[..]].concat();
        for frame in [packed, forward] {
            let got = replay(&frame).await;
            let records = got["records"].as_array().unwrap();
            assert_eq!((records.len(), &got["closed"]), (1, &json!(false)), "{padding}");
            assert_eq!(records[0][3]["i"].as_str().unwrap().len(), padding);
        }
    }
    let message = b"\x93\xa1t\xd7\x00\xff\xff\xff\xff\0\0\0\0\x80";
    assert_eq!(replay(message).await["records"], json!([]));
}

/// Sends a frame and a good one behind it; the answer to the latter, or the end, says that all was looked at.
async fn replay(frame: &[u8]) -> Value {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    client.send(&[frame, &message("last", "last", Some("last"))].concat()).await;
    let mut replies = Vec::new();
    let closed = loop {
        match client.answer().await {
            None => break true,
            Some(token) if token == "last" => break false,
            Some(token) => replies.push(json!({"ack": token})),
        }
    };
    let router = running.router.clone();
    running.finish().await;
    let records: Vec<_> = router.seen().iter().filter(|seen| seen.tag != b"last").map(shown).collect();
    json!({"reply": replies, "closed": closed, "records": sorted(&Value::Array(records))})
}

fn sorted(records: &Value) -> Value {
    let mut records = records.as_array().unwrap().clone();
    records.sort_by_key(ToString::to_string);
    Value::Array(records)
}

fn shown(seen: &Seen) -> Value {
    let time = format!("{}.{:09}", seen.time.secs(), seen.time.nanos());
    let metadata = seen.metadata.as_deref().map_or(json!({}), plain);
    json!([String::from_utf8_lossy(&seen.tag), time, metadata, plain(&seen.record)])
}

/// MessagePack as the case file writes it.
fn plain(bytes: &[u8]) -> Value {
    value(View::parse(bytes).unwrap().0)
}

fn value(view: View<'_>) -> Value {
    match view {
        View::Nil => Value::Null,
        View::Bool(b) => b.into(),
        View::Int(n) => n.into(),
        View::Uint(n) => n.into(),
        View::Float(n) => n.into(),
        View::Str(text) | View::Bin(text) => match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => json!({"__bytes_hex__": text.iter().map(|b| format!("{b:02x}")).collect::<String>()}),
        },
        View::Array(array) => array.iter().map(value).collect(),
        View::Map(map) => {
            let key = |key| match value(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(map.iter().map(|(k, v)| (key(k), value(v))).collect())
        }
        View::Ext(..) => panic!("no case holds one"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte() {
    let running = start(Settings::default(), true).await;
    let mut client = running.tcp_client().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in message("t", "slow", Some("done")) {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.as_deref(), Some("done"));
    assert_eq!(running.router.seen().len(), 1);
    running.finish().await;
}

#[tokio::test]
async fn two_frames_in_one_segment_and_a_half_one_behind_them_keep_their_bounds() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    let third = message("t", "three", Some("3"));
    let (half, other) = third.split_at(7);
    let bytes = [message("t", "one", None), message("t", "two", Some("2")), half.to_vec()].concat();
    client.send(&bytes).await;
    assert_eq!(client.answer().await.as_deref(), Some("2"));
    client.send(other).await;
    assert_eq!(client.answer().await.as_deref(), Some("3"));
    assert_eq!(crate::harness::logs(&running.router), ["one", "two", "three"]);
    running.finish().await;
}

#[tokio::test]
async fn a_reconnect_in_the_middle_of_a_frame_costs_that_frame_only() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    let second = message("t", "two", None);
    client.send(&[&message("t", "one", None), &second[..9]].concat()).await;
    drop(client);
    // As Docker does: the message whose write failed is written again on the next connection.
    let mut client = running.client().await;
    client.send(&second).await;
    running.router.until_seen(2).await;
    running.stop.cancel();
    let (router, metrics) = (running.router.clone(), running.metrics.clone());
    running.ended().await;
    let mut logs = crate::harness::logs(&router);
    logs.sort();
    assert_eq!(logs, ["one", "two"]);
    assert_eq!((metrics.records.get(), metrics.malformed.get(), metrics.closed_connections.get()), (2, 0, 0));
}

#[tokio::test]
async fn tags_are_replaced_and_prefixed() {
    for (tags, expected) in [
        (TagRule::Sent, "app.a"),
        (TagRule::Fixed(b"fixed".to_vec()), "fixed"),
        (TagRule::Prefix(b"pre.".to_vec()), "pre.app.a"),
    ] {
        let running = start(Settings { tags, ..Settings::default() }, false).await;
        let mut client = running.client().await;
        let mut bytes = message("app.a", "m", None);
        encode_packed(&mut bytes, b"app.a", &run_of(1), &FrameOption::default());
        encode_packed(&mut bytes, b"app.a", &run_of(10_000), &FrameOption::default());
        client.send(&bytes).await;
        running.router.until_seen(10_002).await;
        let mut by_tag = BTreeMap::new();
        running.router.seen().into_iter().for_each(|seen| *by_tag.entry(seen.tag).or_insert(0) += 1);
        assert_eq!(by_tag, BTreeMap::from([(expected.as_bytes().to_vec(), 10_002)]));
        running.finish().await;
    }
}

/// Sends bytes in pieces and waits for that many entries.
async fn send_in_pieces(running: &Running, bytes: &[u8], pieces: &[usize], entries: usize) -> Vec<Seen> {
    let mut client = running.client().await;
    let mut rest = bytes;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        client.send(now).await;
        rest = later;
    }
    running.router.until_seen(entries).await;
    running.router.seen()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Packs from tiny to far above the size at which they are shared, plain and compressed, cut anywhere.
    #[test]
    fn packs_of_any_size_in_any_pieces_come_out_whole(
        sizes in proptest::collection::vec((0usize..4, 1usize..9000), 1..6),
        pieces in proptest::collection::vec(1usize..200_000, 1..5),
    ) {
        let mut bytes = Vec::new();
        let mut expected = 0;
        for (n, (how, size)) in sizes.iter().enumerate() {
            let (tag, run) = (format!("t{n}"), run_of(*size));
            let option = FrameOption { size: Some(*size as u64), ..FrameOption::default() };
            match how {
                0 => encode_compressed(&mut bytes, tag.as_bytes(), &run, Compression::Gzip, 1, &option).unwrap(),
                1 => encode_compressed(&mut bytes, tag.as_bytes(), &run, Compression::Zstd, 1, &option).unwrap(),
                _ => encode_packed(&mut bytes, tag.as_bytes(), &run, &option),
            }
            expected += size;
        }
        // One cut per piece: tiny pieces would only make the test slow.
        let pieces: Vec<_> = pieces.iter().map(|piece| (*piece).max(bytes.len() / 50)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(async {
            let running = start(Settings::default(), false).await;
            let seen = send_in_pieces(&running, &bytes, &pieces, expected).await;
            assert_eq!(running.metrics.records.get(), expected as u64);
            running.finish().await;
            seen
        });
        for (n, (_, size)) in sizes.iter().enumerate() {
            let tag = format!("t{n}").into_bytes();
            let nanos: Vec<_> = seen.iter().filter(|seen| seen.tag == tag).map(|seen| seen.time.nanos()).collect();
            prop_assert_eq!(nanos, (0..*size as u32).collect::<Vec<_>>());
        }
    }
}
