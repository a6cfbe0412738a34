//! Writing a map whose length is known at its end, and taking a pair out of one.

/// A map under way. Its header starts as one byte; what follows is moved up if more than 15 pairs came.
#[derive(Debug)]
pub(super) struct MapWriter {
    at: usize,
    pairs: u32,
}

impl MapWriter {
    pub(super) fn start(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.push(0x80);
        Self { at, pairs: 0 }
    }

    /// Counts pairs that were written.
    pub(super) fn add(&mut self, pairs: u32) {
        self.pairs += pairs;
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let count = self.pairs.to_be_bytes();
        match self.pairs {
            0..16 => out[self.at] |= count[3],
            16..=0xffff => {
                out[self.at] = 0xde;
                out.splice(self.at + 1..self.at + 1, [count[2], count[3]]);
            }
            _ => {
                out[self.at] = 0xdf;
                out.splice(self.at + 1..self.at + 1, count);
            }
        }
    }
}

/// Removes the pair at `pair` from the map that starts at `map`. The header keeps its width.
pub(super) fn remove_pair(out: &mut Vec<u8>, map: usize, pair: std::ops::Range<usize>) {
    out.drain(pair);
    match out[map] {
        0xde => {
            let count = u16::from_be_bytes([out[map + 1], out[map + 2]]).saturating_sub(1);
            out[map + 1..map + 3].copy_from_slice(&count.to_be_bytes());
        }
        0xdf => {
            let header = [out[map + 1], out[map + 2], out[map + 3], out[map + 4]];
            let count = u32::from_be_bytes(header).saturating_sub(1);
            out[map + 1..map + 5].copy_from_slice(&count.to_be_bytes());
        }
        _ => out[map] -= 1,
    }
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::{MapView, View, write};

    use super::*;

    #[test]
    fn maps_of_any_length_are_written_and_lose_a_pair() {
        for pairs in [1_u32, 15, 16, 17, 65_535, 65_536] {
            let mut out = vec![0xc0];
            let mut map = MapWriter::start(&mut out);
            for number in 0..pairs {
                write::uint(&mut out, 5);
                write::uint(&mut out, u64::from(number));
                map.add(1);
            }
            map.finish(&mut out);
            let written = MapView::known(&out[1..]);
            assert_eq!(written.len(), pairs as usize);
            assert_eq!(written.iter().last().unwrap().1, View::Uint(u64::from(pairs - 1)));

            let header = out.len() - 1 - written.body().len();
            remove_pair(&mut out, 1, 1 + header..1 + header + 2);
            assert_eq!(MapView::known(&out[1..]).len(), pairs as usize - 1);
            assert_eq!(ikada_msgpack::skip(&out[1..]).unwrap(), out.len() - 1);
        }
    }
}
