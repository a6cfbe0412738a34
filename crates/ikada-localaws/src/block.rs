//! Classifies 64 bytes of a JSON string at once.
//!
//! Log messages are JSON inside JSON: a quote or backslash stands every few bytes, at no predictable distance, so a
//! scan that stops at each of them spends its time on mispredicted branches. Working on bit masks of whole blocks
//! instead (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019) takes one branch per block.

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64;

/// One bit for each byte of a block, the first byte in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Masks {
    pub(crate) quotes: u64,
    pub(crate) backslashes: u64,
}

impl Masks {
    /// Classifies a block.
    #[inline]
    pub(crate) fn of(block: &[u8; BLOCK]) -> Self {
        Masks { quotes: positions(block, b'"'), backslashes: positions(block, b'\\') }
    }

    /// The bytes that a backslash escapes. `carry` is 1 when the byte before the block escapes its first one, and
    /// becomes the same for the next block.
    pub(crate) fn escaped(&self, carry: &mut u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        // An escaped backslash escapes nothing.
        let backslashes = self.backslashes & !*carry;
        let after = (backslashes << 1) | *carry;
        // In a run of backslashes every other byte is escaped, counted from the run's start. Adding the start of a
        // run to it clears the run and carries past its end, which tells runs that start at odd places.
        let odd_starts = backslashes & !EVEN & !after;
        let (carried, overflow) = odd_starts.overflowing_add(backslashes);
        *carry = u64::from(overflow);
        (EVEN ^ (carried << 1)) & after
    }
}

/// Where `wanted` stands in a block: compared as bytes, which compiles to vector instructions, then packed.
#[inline]
fn positions(block: &[u8; BLOCK], wanted: u8) -> u64 {
    let flags: [u8; BLOCK] = std::array::from_fn(|at| u8::from(block[at] == wanted));
    let (words, _) = flags.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| (bits << 8) | pack(u64::from_le_bytes(*word)))
}

/// Packs eight bytes of 0 or 1 into eight bits.
#[inline]
fn pack(flags: u64) -> u64 {
    flags.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Says whether a block has a quote or a backslash at all, which is quicker to tell than where.
#[inline]
pub(crate) fn is_plain(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0, |found, byte| found | u8::from(*byte == b'"') | u8::from(*byte == b'\\')) == 0
}

/// Says whether any byte is under 0x20, which a string may not contain.
#[inline]
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |found, byte| found | u8::from(*byte < 0x20)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *state >> 33
    }

    fn random_block(state: &mut u64) -> [u8; BLOCK] {
        const LIKELY: [u8; 8] = [b'\\', b'\\', b'\\', b'"', b'a', 0x1f, 0x20, 0xff];
        std::array::from_fn(|_| match random(state) % 4 {
            0 => random(state) as u8,
            _ => LIKELY[random(state) as usize % 8],
        })
    }

    #[test]
    fn masks_have_a_bit_for_every_byte_they_name() {
        let mut state = 1;
        for _ in 0..5_000 {
            let block = random_block(&mut state);
            let bits =
                |wanted: u8| (0..BLOCK).fold(0u64, |sum, at| sum | (u64::from(block[at] == wanted) << at));
            let plain = Masks { quotes: bits(b'"'), backslashes: bits(b'\\') };
            assert_eq!(Masks::of(&block), plain);
            assert_eq!(is_plain(&block), plain == Masks::default());
            assert_eq!(has_control(&block), block.iter().any(|byte| *byte < 0x20));
        }
    }

    #[test]
    fn escaped_bytes_are_those_that_a_walk_finds() {
        let mut state = 2;
        let (mut carry, mut walking) = (0, false);
        for _ in 0..5_000 {
            let block = random_block(&mut state);
            let mut wanted = 0;
            for (at, byte) in block.iter().enumerate() {
                wanted |= u64::from(walking) << at;
                walking = !walking && *byte == b'\\';
            }
            assert_eq!(Masks::of(&block).escaped(&mut carry), wanted);
            assert_eq!(carry == 1, walking);
        }
    }
}
