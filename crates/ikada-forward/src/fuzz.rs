//! What a fuzzer feeds: hostile bytes in, no panic, and the same entries however they are cut into reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ikada_plugin::FlushClock;
use tokio::time::Instant;

use crate::{Acks, Decoder, TagRule};

/// Bytes a frame may have here: small, so that the bound is met often.
const LIMIT: usize = 64 * 1024;

/// Decodes `data` in one piece and in many, and compares.
///
/// # Panics
/// The two disagree, or an entry that was accepted cannot be read: both are bugs.
pub fn fuzz_frames(data: &[u8]) {
    let whole = decode(data, data.len().max(1));
    let step = 1 + usize::from(data.first().copied().unwrap_or(0) % 7);
    let pieces = decode(data, step);
    if !whole.ended {
        assert_eq!(whole, pieces, "pieces of {step} bytes");
        return;
    }
    // Damage may be seen earlier where more bytes are there at once; what was taken in then is a part of the other.
    for (stream, entries) in &whole.entries {
        let others = pieces.entries.get(stream).map_or(&[][..], Vec::as_slice);
        let common = entries.len().min(others.len());
        assert_eq!(entries[..common], others[..common], "pieces of {step} bytes");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Encoded entries in the order of the wire, by tag and by whether an answer is wanted: only within those the order is kept.
    entries: BTreeMap<(Vec<u8>, bool), Vec<Vec<u8>>>,
    answers: Vec<u8>,
    ended: bool,
}

fn decode(data: &[u8], step: usize) -> Outcome {
    let now = Instant::now();
    let acks = Acks::new(None);
    let flush = FlushClock::new(now, Duration::from_secs(1));
    let mut decoder = Decoder::new(Arc::new(TagRule::Sent), LIMIT, flush, acks.clone());
    let mut outcome = Outcome { entries: BTreeMap::new(), answers: Vec::new(), ended: false };
    let mut buf = BytesMut::new();
    for piece in data.chunks(step) {
        buf.extend_from_slice(piece);
        let fed = decoder.feed(&mut buf, now);
        decoder.flush();
        for ready in decoder.take_ready() {
            let stream = (ready.chunk.tag().as_bytes().to_vec(), ready.chunk.receipt().is_watched());
            let entries = outcome.entries.entry(stream).or_default();
            for entry in ready.chunk.entries() {
                // Reading what was accepted must find a whole record in every entry.
                assert_eq!(entry.record().raw().count(), entry.record().len());
                entries.push(entry.as_bytes().to_vec());
            }
        }
        outcome.answers.extend(acks.take());
        if fed.end.is_some() {
            outcome.ended = true;
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Starts of values that matter to framing, so that random bytes get far.
    fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"\x93\xa1t\x05\x81\xa1k\xa1v".to_vec()),
            2 => Just(b"\x94\xa1t\x05\x80\x81\xa5chunk\xa1c".to_vec()),
            2 => Just(b"\x92\xa1t\x92\x92\x05\x80\x92\x92\x06\x80\x80".to_vec()),
            2 => Just(b"\x93\xa1p\xc4\x06\x92\x05\x80\x92\x06\x80\xc0".to_vec()),
            1 => Just(b"\x93\xa1p\xc4\x04\x92\x05\x80\xc1\x81\xa5chunk\xa1d".to_vec()),
            1 => Just(b"\x93\xa1p\xc4\x04\x92\x05\x80\xc1\x80".to_vec()),
            3 => proptest::collection::vec(any::<u8>(), 0..6),
            2 => proptest::sample::select(vec![0x90u8, 0x92, 0x93, 0x94, 0xc0, 0xc4, 0xc6, 0xd7, 0xdb, 0xdd, 0x80, 0xdf])
                .prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Frames of the reference, with some bytes changed, back to back.
    fn damaged_frames() -> impl Strategy<Value = Vec<u8>> {
        let frames: Vec<Vec<u8>> = include_str!("../tests/cases/forward-frames.jsonl")
            .lines()
            .map(|line| {
                let case: serde_json::Value = serde_json::from_str(line).unwrap();
                let hex = case["frame_hex"].as_str().unwrap().to_owned();
                (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
            })
            .collect();
        let bytes =
            proptest::collection::vec(proptest::sample::select(frames), 1..5).prop_map(|f| f.concat());
        let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
        (bytes, changes).prop_map(|(mut bytes, changes)| {
            changes.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = *byte);
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn damaged_frames_do_no_harm(data in damaged_frames()) {
            fuzz_frames(&data);
        }

        #[test]
        fn however_frames_are_cut_the_same_entries_come_out(data in telling_bytes()) {
            fuzz_frames(&data);
        }
    }
}
