//! Compressed entries, unpacked within a bound.
//!
//! A few kilobytes can unfold to gigabytes, so output is produced piece by piece and given up at the limit, and zstd may not ask for a
//! window larger than what could come out. Checksums are checked: what fails them is no data.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::frame::{Compression, FrameError};

/// Unpacks `payload` behind what `out` holds. After an error nothing of it is there.
pub(crate) fn inflate(
    payload: &[u8],
    compression: Compression,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let before = out.len();
    // Logs shrink to a sixth or less; guessing low costs a copy, guessing high memory.
    out.reserve(payload.len().saturating_mul(4).min(limit));
    let result = match compression {
        Compression::Gzip => read_bounded(MultiGzDecoder::new(payload), limit, out),
        Compression::Zstd => zstd_decoder(payload, limit)
            .map_err(FrameError::Compressed)
            .and_then(|decoder| read_bounded(decoder, limit, out)),
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn zstd_decoder(payload: &[u8], limit: usize) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
    // The format allows windows from 2^10 bytes; libzstd itself takes none over 2^27 unless told to.
    let log = limit.next_power_of_two().ilog2().clamp(10, 27);
    decoder.window_log_max(log)?;
    Ok(decoder)
}

fn read_bounded(decoder: impl Read, limit: usize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let before = out.len();
    let one_more = limit as u64 + 1;
    decoder.take(one_more).read_to_end(out).map_err(FrameError::Compressed)?;
    if out.len() - before > limit {
        return Err(FrameError::Bomb { limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_back_to_back_are_joined() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        let mut out = Vec::new();
        inflate(&two, Compression::Gzip, 100, &mut out).unwrap();
        assert_eq!(out, b"one two");

        let two = [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()];
        out.clear();
        inflate(&two.concat(), Compression::Zstd, 100, &mut out).unwrap();
        assert_eq!(out, b"one two");
    }

    #[test]
    fn what_unfolds_beyond_the_limit_is_given_up() {
        let zeros = vec![0; 10_000_000];
        for (packed, how) in
            [(gzip(&zeros), Compression::Gzip), (zstd::encode_all(&zeros[..], 1).unwrap(), Compression::Zstd)]
        {
            let mut out = vec![7];
            let error = inflate(&packed, how, 1_000_000, &mut out).unwrap_err();
            assert!(matches!(error, FrameError::Bomb { limit: 1_000_000 } | FrameError::Compressed(_)));
            assert_eq!(out, [7]);
            assert!(out.capacity() < 2_200_000, "{}", out.capacity());
        }
    }

    #[test]
    fn a_broken_checksum_or_a_missing_end_is_damage() {
        let good = gzip(b"some text that is long enough");
        let mut bad = good.clone();
        let at = bad.len() - 6;
        bad[at] ^= 1;
        for bytes in [&bad[..], &good[..good.len() - 3], &good[..8], b"\x1f\x8b"] {
            let mut out = Vec::new();
            let error = inflate(bytes, Compression::Gzip, 1000, &mut out).unwrap_err();
            assert!(matches!(error, FrameError::Compressed(_)));
            assert!(out.is_empty());
        }
        let good = zstd::encode_all(&b"some text"[..], 1).unwrap();
        let mut out = Vec::new();
        assert!(inflate(&good[..good.len() - 1], Compression::Zstd, 1000, &mut out).is_err());
    }
}
