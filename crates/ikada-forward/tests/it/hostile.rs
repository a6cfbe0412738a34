//! Peers that mean harm, or do not know better, beside one that does nothing wrong.

use ikada_forward::client::{FrameOption, encode_compressed, encode_packed};
use ikada_forward::{Compression, Settings};

use crate::harness::{Client, Running, message, run_of, start};

/// Sends bytes that must end the connection, while a neighbour goes on.
async fn is_refused(what: &str, bytes: &[u8], kept: usize) {
    let running = start(Settings::default(), false).await;
    let mut neighbour = running.client().await;
    neighbour.send(&message("good", "before", Some("before"))).await;
    assert_eq!(neighbour.answer().await.as_deref(), Some("before"));

    let mut client = running.client().await;
    // The peer may hang up while this is still being written.
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, bytes).await.ok();
    assert_eq!(client.answer().await, None, "{what}");

    neighbour.send(&message("good", "after", Some("after"))).await;
    assert_eq!(neighbour.answer().await.as_deref(), Some("after"), "{what}");
    let (router, metrics) = (running.router.clone(), running.metrics.clone());
    running.finish().await;
    assert_eq!(router.seen().iter().filter(|seen| seen.tag != b"good").count(), kept, "{what}");
    assert_eq!((metrics.malformed.get(), metrics.closed_connections.get()), (1, 1), "{what}");
}

#[tokio::test]
async fn garbage_ends_its_connection_and_no_other() {
    is_refused("text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0).await;
    is_refused("0xc1", &[0xc1; 100], 0).await;
    is_refused("a reserved byte in a record", b"\x93\xa1t\x05\x81\xa1k\xc1", 0).await;
    let good_and_bad = [message("t", "kept", None), vec![0xff; 10]].concat();
    is_refused("garbage behind a good frame", &good_and_bad, 1).await;
}

#[tokio::test]
async fn lengths_of_four_gigabytes_end_the_connection_before_they_are_believed() {
    is_refused("a pack", b"\x92\xa1t\xc6\xff\xff\xff\xff", 0).await;
    is_refused("a tag", b"\x92\xdb\xff\xff\xff\xff", 0).await;
    is_refused("a string in a record", b"\x93\xa1t\x05\x81\xa1k\xdb\xff\xff\xff\xff", 0).await;
}

#[tokio::test]
async fn an_endless_array_is_bounded_by_the_size_of_a_frame() {
    let mut bytes = b"\x92\xa1t\xdd\xff\xff\xff\xff".to_vec();
    for _ in 0..3_000_000 {
        bytes.extend_from_slice(b"\x92\x05\x80");
    }
    is_refused("four billion entries", &bytes, 0).await;
}

#[tokio::test]
async fn deep_nesting_ends_the_connection() {
    let mut bytes = b"\x93\xa1t\x05\x81\xa1k".to_vec();
    bytes.extend_from_slice(&[0x91; 100_000]);
    is_refused("arrays", &bytes, 0).await;
    let mut pack = b"\x92\x05\x81\xa1k".to_vec();
    pack.extend_from_slice(&[0x81; 1000]);
    let mut bytes = Vec::new();
    let option = FrameOption { chunk: Some(b"c"), ..FrameOption::default() };
    encode_packed(&mut bytes, b"t", &pack, &option);
    is_refused("maps in a pack", &bytes, 0).await;
}

#[tokio::test]
async fn bombs_are_not_unfolded() {
    // A hundred megabytes of entries in a few hundred kilobytes.
    let run = [run_of(1), vec![0; 100_000_000]].concat();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = Vec::new();
        encode_compressed(&mut bytes, b"t", &run, compression, 3, &FrameOption::default()).unwrap();
        assert!(bytes.len() < 1_000_000);
        is_refused("a bomb", &bytes, 0).await;
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_its_connection() {
    let mut bytes = Vec::new();
    encode_packed(&mut bytes, b"t", &run_of(400_000), &FrameOption::default());
    assert!(bytes.len() > 6_144_000);
    is_refused("a large pack", &bytes, 0).await;
    let long = message("t", &"x".repeat(6_144_000), None);
    is_refused("a large message", &long, 0).await;
}

#[tokio::test]
async fn a_damaged_pack_without_a_token_costs_only_what_is_damaged() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    let mut run = run_of(3);
    run.extend_from_slice(b"\xc1junk");
    run.extend_from_slice(&run_of(2));
    let mut bytes = Vec::new();
    encode_packed(&mut bytes, b"t", &run, &FrameOption::default());
    let mut large = run_of(20_000);
    large.truncate(large.len() - 1);
    encode_packed(&mut bytes, b"t", &large, &FrameOption::default());
    bytes.extend(message("t", "next", Some("next")));
    client.send(&bytes).await;
    assert_eq!(client.answer().await.as_deref(), Some("next"));
    assert_eq!(running.router.seen().len(), 3 + 19_999 + 1);
    assert_eq!((running.metrics.malformed.get(), running.metrics.closed_connections.get()), (2, 0));
    running.finish().await;
}

#[tokio::test]
async fn a_damaged_pack_with_a_token_is_kept_as_far_as_it_is_good_and_not_answered() {
    for entries in [3, 20_000] {
        let running = start(Settings::default(), false).await;
        let mut client = running.client().await;
        let mut run = run_of(entries);
        run.truncate(run.len() - 1);
        let mut bytes = message("t", "good", Some("good"));
        let option = FrameOption { chunk: Some(b"bad"), ..FrameOption::default() };
        encode_packed(&mut bytes, b"t", &run, &option);
        client.send(&bytes).await;
        assert_eq!(client.answer().await.as_deref(), Some("good"));
        assert_eq!(client.answer().await, None);
        assert_eq!(running.router.seen().len(), 1 + entries - 1);
        running.finish().await;
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_and_counted() {
    let running = start(Settings { max_connections: 2, ..Settings::default() }, false).await;
    let mut first = answered(&running, "1").await;
    let second = answered(&running, "2").await;
    let mut third = running.client().await;
    assert_eq!(third.answer().await, None);
    assert_eq!(running.metrics.closed_connections.get(), 1);
    // A place becomes free once its connection is gone.
    drop(second);
    let mut tries = 0;
    loop {
        let mut again = running.client().await;
        tokio::io::AsyncWriteExt::write_all(&mut again.stream, &message("t", "m", Some("4"))).await.ok();
        if again.answer().await.as_deref() == Some("4") {
            break;
        }
        tries += 1;
        assert!(tries < 10_000);
    }
    first.send(&message("t", "m", Some("5"))).await;
    assert_eq!(first.answer().await.as_deref(), Some("5"));
    running.finish().await;
}

async fn answered(running: &Running, token: &str) -> Client<tokio::net::UnixStream> {
    let mut client = running.client().await;
    client.send(&message("t", "m", Some(token))).await;
    assert_eq!(client.answer().await.as_deref(), Some(token));
    client
}
