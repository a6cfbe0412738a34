//! Looks for marks inside content that may be compressed.

use std::io::Read;

use crate::sequence::{MarkFinder, Marks};

/// How much is decompressed before it is searched.
const WINDOW: usize = 1 << 20;

/// A window is searched up to its last separator if one stands this close to its end: a mark is shorter.
const TAIL: usize = 4096;

/// Adds the marks in `bytes`, which may be gzip (several members too), zstd (several frames too), or plain.
pub(crate) fn scan(finder: &MarkFinder, bytes: &[u8], marks: &mut Marks) {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        scan_stream(finder, flate2::read::MultiGzDecoder::new(bytes), marks);
        return;
    }
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        if let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(bytes) {
            scan_stream(finder, decoder, marks);
        }
        return;
    }
    finder.scan(bytes, marks);
}

/// Searches a stream window by window; damage ends the search.
fn scan_stream(finder: &MarkFinder, mut stream: impl Read, marks: &mut Marks) {
    let mut window = vec![0; WINDOW];
    let mut held = 0;
    loop {
        let Some(free) = window.get_mut(held..) else { return };
        let Ok(count) = stream.read(free) else { return };
        if count == 0 {
            finder.scan(window.get(..held).unwrap_or_default(), marks);
            return;
        }
        held += count;
        if held < WINDOW {
            continue;
        }
        let searched = last_separator(&window);
        finder.scan(window.get(..searched).unwrap_or_default(), marks);
        window.copy_within(searched.., 0);
        held = WINDOW - searched;
    }
}

fn last_separator(window: &[u8]) -> usize {
    let from = window.len().saturating_sub(TAIL);
    let tail = window.get(from..).unwrap_or_default();
    memchr::memrchr3(b'\n', b' ', b'"', tail).map_or(window.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::sequence::Tracker;

    fn distinct(bytes: &[u8]) -> (u64, u64) {
        let mut marks = Marks::default();
        scan(&MarkFinder::default(), bytes, &mut marks);
        let mut tracker = Tracker::default();
        tracker.apply(&marks);
        let found = tracker.clients().next().map(|(_, track)| (track.distinct, track.duplicated));
        found.unwrap_or_default()
    }

    fn text(count: u64) -> String {
        (0..count).map(|n| format!("{{\"log\":\"seq=a:{n}\"}}\n")).collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn marks_are_found_in_plain_gzip_and_zstd_content_across_window_borders() {
        let text = text(200_000);
        assert!(text.len() > 4 * WINDOW);
        assert_eq!(distinct(text.as_bytes()), (200_000, 0));
        assert_eq!(distinct(&gzip(&text)), (200_000, 0));
        assert_eq!(distinct(&zstd::encode_all(text.as_bytes(), 1).unwrap()), (200_000, 0));
    }

    #[test]
    fn joined_gzip_members_and_zstd_frames_are_all_read() {
        let (head, tail) = (text(3), "seq=a:3\nseq=a:4\n");
        assert_eq!(distinct(&[gzip(&head), gzip(tail)].concat()), (5, 0));
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(distinct(&[frame(&head), frame(tail)].concat()), (5, 0));
    }
}
