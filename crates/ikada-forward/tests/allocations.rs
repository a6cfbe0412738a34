//! What the hot path allocates: per chunk, never per message.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bytes::BytesMut;
use ikada_forward::client::{FrameOption, encode_message};
use ikada_forward::{Acks, Decoder, TagRule};
use ikada_plugin::FlushClock;
use ikada_record::Timestamp;
use tokio::time::Instant;

#[test]
fn a_message_costs_no_allocation_of_its_own() {
    const MESSAGES: u64 = 20_000;
    let mut frame = Vec::new();
    let record = [b"\x82\xa6source\xa6stdout\xa3log\xda\x01\x00".to_vec(), vec![b'x'; 256]].concat();
    encode_message(&mut frame, b"app.a", Timestamp::new(5, 7), &record, &FrameOption::default());
    let mut with_option = frame.clone();
    with_option[0] = 0x94;
    with_option.push(0x80);

    let now = Instant::now();
    for (rule, frame) in
        [(TagRule::Sent, &frame), (TagRule::Sent, &with_option), (TagRule::Prefix(b"pre.".to_vec()), &frame)]
    {
        let flush = FlushClock::new(now, Duration::from_secs(1));
        let mut decoder = Decoder::new(Arc::new(rule), 6_144_000, flush, Acks::new(None));
        let mut buf = BytesMut::from(&frame.repeat(MESSAGES as usize)[..]);
        let counted = measure(|| {
            let fed = decoder.feed(&mut buf, now);
            assert_eq!(fed.records, MESSAGES);
            decoder.flush();
            assert_eq!(decoder.take_ready().map(|ready| ready.chunk.len() as u64).sum::<u64>(), MESSAGES);
        });
        // Some 22 chunks, each with a buffer and an index that grow by doubling.
        assert!(counted.count_total < MESSAGES / 20, "{counted:?}");
    }
}
