//! When answers are given, and when not.

use ikada_forward::Settings;
use ikada_forward::client::{FrameOption, encode_forward, encode_packed};
use ikada_plugin::OnFull;
use ikada_record::{Chunk, Receipt, Tag};
use tokio::io::AsyncWriteExt;

use crate::harness::{message, run_of, start};

#[tokio::test]
async fn a_frame_is_answered_only_when_every_share_of_it_settled() {
    let running = start(Settings::default(), false).await;
    running.router.hold();
    let mut client = running.client().await;
    client.send(&message("a", "one", Some("1"))).await;
    running.router.until("the first share", |router| router.held() == 1).await;
    client.send(&message("a", "two", Some("2"))).await;
    running.router.until("both shares", |router| router.held() == 2).await;
    assert_eq!((running.tally.made(), running.tally.ended()), (2, 0));
    running.router.settle(1);
    assert_eq!(client.answer().await.as_deref(), Some("1"));
    running.router.settle(1);
    assert_eq!(client.answer().await.as_deref(), Some("2"));
    assert!(running.router.how().iter().all(|how| *how == OnFull::Wait));
    running.finish().await;
}

#[tokio::test]
async fn frames_of_one_read_are_answered_together_when_all_their_tags_settled() {
    let running = start(Settings::default(), false).await;
    running.router.hold();
    let mut client = running.client().await;
    client.send(&[message("a", "one", Some("1")), message("b", "two", Some("2"))].concat()).await;
    running.router.until("both tags", |router| router.held() == 2).await;
    running.router.settle(2);
    assert_eq!(client.answer().await.as_deref(), Some("1"));
    assert_eq!(client.answer().await.as_deref(), Some("2"));
    running.finish().await;
}

#[tokio::test]
async fn what_was_abandoned_is_never_answered() {
    let running = start(Settings::default(), false).await;
    running.router.hold();
    let mut client = running.client().await;
    client.send(&message("a", "lost", Some("lost"))).await;
    running.router.until("the share", |router| router.held() == 1).await;
    running.router.abandon(1);
    client.send(&message("a", "kept", Some("kept"))).await;
    running.router.until("the other share", |router| router.held() == 1).await;
    running.router.settle(1);
    assert_eq!(client.answer().await.as_deref(), Some("kept"));
    running.finish().await;
}

#[tokio::test]
async fn every_mode_is_answered_and_an_empty_array_at_once() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    let token = |token: &'static [u8]| FrameOption { chunk: Some(token), ..FrameOption::default() };
    let run = Chunk::check(Tag::from("t"), run_of(5).into(), Receipt::unwatched()).unwrap();
    let mut bytes = Vec::new();
    encode_forward(&mut bytes, b"t", run.entries().take(0), &token(b"none"));
    encode_forward(&mut bytes, b"t", run.entries(), &token(b"forward"));
    encode_packed(&mut bytes, b"t", run.data(), &token(b"packed"));
    encode_packed(&mut bytes, b"t", &run_of(20_000), &token(b"large"));
    client.send(&bytes).await;
    for token in ["none", "forward", "packed", "large"] {
        assert_eq!(client.answer().await.as_deref(), Some(token));
    }
    assert_eq!(running.router.seen().len(), 20_010);
    running.finish().await;
}

#[tokio::test]
async fn a_peer_that_half_closes_still_hears_its_answers() {
    let running = start(Settings::default(), true).await;
    running.router.hold();
    let mut client = running.tcp_client().await;
    client.send(&message("a", "one", Some("1"))).await;
    client.stream.shutdown().await.unwrap();
    running.router.until("the share", |router| router.held() == 1).await;
    running.router.settle(1);
    assert_eq!(client.answer().await.as_deref(), Some("1"));
    assert_eq!(client.answer().await, None);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_no_answers_neither_blocks_the_reader_nor_grows_without_bound() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    // Long tokens fill the socket and then the answers' bound.
    let token = "x".repeat(60_000);
    let frame = message("a", "m", Some(&token));
    let mut written = 0;
    while client.stream.write_all(&frame).await.is_ok() {
        written += 1;
        assert!(written < 10_000, "the connection is ended at some bound");
    }
    assert!(written > 10, "the bound is far above what a slow peer leaves unread");
    let mut other = running.client().await;
    other.send(&message("b", "n", Some("n"))).await;
    assert_eq!(other.answer().await.as_deref(), Some("n"));
    running.finish().await;
}

#[tokio::test]
async fn what_wants_no_answer_is_paced_and_what_does_is_not() {
    let running = start(Settings::default(), false).await;
    let mut client = running.client().await;
    client.send(&message("a", "m", None)).await;
    running.router.until_seen(1).await;
    client.send(&message("a", "m", Some("t"))).await;
    running.router.until_seen(2).await;
    assert_eq!(running.router.how(), [OnFull::Pace, OnFull::Wait]);
    running.finish().await;
}
